/* SPDX-License-Identifier: MIT */
/*
 * Here: from a trace.
 */
#include "tools/budget/snapshot.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/bound.h"
#include "tools/base/infile.h"
#include "tools/report/base/report.h"
#include "tools/analysis/wrapper_rules.h"
#include "tools/symbols/frames.h"
#include "tools/symbols/function_name.h"
#include "tools/symbols/symbols.h"
#include "tools/symbols/wrappers.h"
#include "tools/trace/trace_open.h"

const char *const snapshot_figure_name[SNAPSHOT_FIGURE_COUNT] = {
#define FIGURE(name, value) #name,
    SNAPSHOT_FIGURES(FIGURE)
#undef FIGURE
};

int snapshot_site_compare_name(const void *a, const void *b)
{
    const struct snapshot_site *left = a, *right = b;
    int order = strcmp(left->module, right->module);

    return order ? order : strcmp(left->function, right->function);
}

int snapshot_site_compare(const void *a, const void *b)
{
    const struct snapshot_site *left = a, *right = b;

    for (int i = 0; i < SNAPSHOT_FIGURE_COUNT; i++)
        if (left->figure[i] != right->figure[i])
            return left->figure[i] > right->figure[i] ? -1 : 1;
    return snapshot_site_compare_name(a, b);
}

void snapshot_site_text(const struct snapshot_site *site, char *ret_text, size_t text_bytes)
{
    char function[512];

    function_name_copy(site->function, function, sizeof function);
    if (!site->file)
        snprintf(ret_text, text_bytes, "%s (%s)", function, site->module);
    else if (!strcmp(site->file, site->module)) /* Python */
        snprintf(ret_text, text_bytes, "%s:%llu %s", site->file, (unsigned long long)site->line,
                 site->function);
    else
        snprintf(ret_text, text_bytes, "%s:%llu %s (%s)", site->file,
                 (unsigned long long)site->line, function, site->module);
    safe_text_end(ret_text, text_bytes);
}

void snapshot_pinned_text(const struct snapshot_site *site, char *ret_text, size_t text_bytes)
{
    struct snapshot_site there = *site;

    if (site->pinned_line)
        there.line = site->pinned_line;
    snapshot_site_text(&there, ret_text, text_bytes);
}

const struct snapshot_site *snapshot_pins_most(const struct snapshot *snapshot)
{
    const struct snapshot_site *most = NULL;

    for (size_t i = 0; i < snapshot->sites; i++)
        if (snapshot->site[i].pinned_bytes > (most ? most->pinned_bytes : 0))
            most = &snapshot->site[i];
    return most;
}

static int reader_open(const char *path, struct trace_reader **ret_reader, char *ret_why,
                       size_t why_bytes)
{
    char why[256];
    int error = trace_open(path, ret_reader, why, sizeof why);

    if (error < 0)
        snprintf(ret_why, why_bytes, "%s: %s: %s", path, why,
                 error == -ENOENT            ? "name a file that 'cupool run' wrote"
                 : error == -EPROTONOSUPPORT ? "use the cupool that wrote it"
                                             : "record it again");
    return error;
}

int snapshot_trace_open(const char *path, const char *const *ignored, size_t ignored_count,
                        struct snapshot_trace *ret_trace, char *ret_why, size_t why_bytes)
{
    struct snapshot_trace trace = {0};
    int error = reader_open(path, &trace.reader, ret_why, why_bytes);

    if (error < 0)
        return error;
    error = site_names_create(trace.reader, ignored, ignored_count, &trace.names);
    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: out of memory", path);
        trace_reader_close(trace.reader);
        return error;
    }
    *ret_trace = trace;
    return 0;
}

void snapshot_trace_close(struct snapshot_trace *trace)
{
    site_names_destroy(trace->names);
    trace_reader_close(trace->reader);
    symbols_done();
}

static int devices_copy(struct snapshot *snapshot, const struct analysis *analysis)
{
    snapshot->device = calloc(analysis->devices + 1, sizeof *snapshot->device);
    if (!snapshot->device)
        return -ENOMEM;
    for (; snapshot->devices < analysis->devices; snapshot->devices++) {
        const struct analysis_device *from = &analysis->device[snapshot->devices];
        struct snapshot_device *to = &snapshot->device[snapshot->devices];

        to->name = strdup(from->name);
        if (asprintf(&to->driver, "%llu.%llu", (unsigned long long)from->driver_version / 1000,
                     (unsigned long long)from->driver_version % 1000 / 10) < 0)
            to->driver = NULL;
        if (!to->name || !to->driver) {
            free(to->name);
            free(to->driver);
            return -ENOMEM;
        }
    }
    return 0;
}

/** Figures of the stacks of one line of a site, under the number of its first stack. */
struct line_tally {
    uint64_t first, stack, leaked_bytes, live_bytes;
    struct site_line line;
};

static int line_compare(const void *a, const void *b)
{
    const struct line_tally *left = a, *right = b;

    if (left->first != right->first)
        return left->first < right->first ? -1 : 1;
    if (left->line.line != right->line.line)
        return left->line.line < right->line.line ? -1 : 1;
    return (left->stack > right->stack) - (left->stack < right->stack);
}

static bool line_is_more(const struct line_tally *line, const struct line_tally *than)
{
    if (line->leaked_bytes != than->leaked_bytes)
        return line->leaked_bytes > than->leaked_bytes;
    return line->live_bytes > than->live_bytes;
}

/** Returns lines of all stacks, those of one site together; free() them. */
static struct line_tally *lines_sum(const struct analysis *analysis, const struct site_names *names,
                                    size_t *ret_count)
{
    size_t rows = analysis->stacks.rows, count = 0;
    struct line_tally *lines = calloc(rows + 1, sizeof *lines);

    for (size_t i = 0; lines && i < rows; i++) {
        const struct tally *row = &analysis->stacks.row[i];

        lines[i] = (struct line_tally){site_names_first(names, row->key), row->key,
                                       row->leaked_bytes, row->live_bytes.peak,
                                       site_names_line(names, row->key)};
    }
    if (lines)
        qsort(lines, rows, sizeof *lines, line_compare);
    for (size_t i = 0; lines && i < rows; i++) {
        struct line_tally *last = count ? &lines[count - 1] : NULL;

        if (last && last->first == lines[i].first && last->line.line == lines[i].line.line) {
            last->leaked_bytes += lines[i].leaked_bytes;
            last->live_bytes += lines[i].live_bytes;
        } else {
            lines[count++] = lines[i];
        }
    }
    *ret_count = count;
    return lines;
}

/** The first line of a site; the lines are in the order of sites. */
static size_t lines_begin(const struct line_tally *lines, size_t count, uint64_t first)
{
    return LOWER_BOUND(lines, count, first, first);
}

/** Returns the line of a site that leaks most, else holds most. */
static struct site_line line_choose(const struct line_tally *lines, size_t count, uint64_t first)
{
    const struct line_tally *most = NULL;

    for (size_t i = lines_begin(lines, count, first); i < count && lines[i].first == first; i++)
        if (!most || line_is_more(&lines[i], most))
            most = &lines[i];
    return most ? most->line : (struct site_line){0};
}

static int line_copy(struct texts *texts, struct snapshot_site *site, struct site_line line)
{
    if (!line.file || !line.line)
        return 0;
    site->file = texts_keep(texts, frame_file_name(line.file));
    site->path = texts_keep(texts, line.file);
    site->line = line.line;
    return site->file && site->path ? 0 : -ENOMEM;
}

/** A site's row in the fragmentation, and its first stack. */
struct pinned {
    struct key_index site, stack;
};

static int pinned_index(const struct analysis *analysis, const struct site_names *names,
                        struct pinned *ret_pinned)
{
    const struct fragmentation *fragmentation = &analysis->fragmentation;
    bool fine = true;

    for (size_t i = 0; i < fragmentation->sites && fine; i++)
        fine = key_index_get(&ret_pinned->site, fragmentation->site[i].key, (uint32_t)i) !=
               KEY_INDEX_NONE;
    for (size_t i = 0; i < fragmentation->stacks && fine; i++)
        fine = key_index_get(&ret_pinned->stack,
                             site_names_first(names, fragmentation->stack[i].key),
                             (uint32_t)i) != KEY_INDEX_NONE;
    return fine ? 0 : -ENOMEM;
}

/** Returns the bytes that a site pins, and the line of its stack that pins most. */
static void pinned_set(struct snapshot_site *site, const struct analysis *analysis,
                       const struct site_names *names, const struct pinned *pinned, uint64_t key)
{
    const struct fragmentation *fragmentation = &analysis->fragmentation;
    uint32_t row = key_index_find(&pinned->site, key);

    if (row != KEY_INDEX_NONE)
        site->pinned_bytes = fragmentation->site[row].pinned_bytes;
    row = key_index_find(&pinned->stack, key);
    if (row != KEY_INDEX_NONE && site->pinned_bytes)
        site->pinned_line = site_names_line(names, fragmentation->stack[row].key).line;
}

static bool related_has(const struct snapshot_site *site, const char *function)
{
    bool found = !strcmp(site->function, function);

    for (size_t i = 0; i < site->relateds && !found; i++)
        found = !strcmp(site->related[i], function);
    return found;
}

static int related_add(struct texts *texts, struct snapshot_site *site, const struct frame *frame,
                       size_t count)
{
    for (size_t i = 0; i < count && site->relateds < SNAPSHOT_RELATED; i++) {
        char name[512];

        if (!frame[i].function)
            continue;
        function_name_copy(frame[i].function, name, sizeof name);
        if (related_has(site, name))
            continue;
        site->related[site->relateds] = texts_keep(texts, name);
        if (!site->related[site->relateds])
            return -ENOMEM;
        site->relateds++;
    }
    return 0;
}

/** The functions around a site, by the stacks of its lines. */
static int related_copy(struct texts *texts, struct snapshot_site *site,
                        const struct trace_reader *reader, const struct line_tally *lines,
                        size_t count, uint64_t first)
{
    struct frame frames[SNAPSHOT_RELATED];
    int error = 0;

    for (size_t i = lines_begin(lines, count, first);
         i < count && lines[i].first == first && error == 0 && site->relateds < SNAPSHOT_RELATED;
         i++) {
        error = related_add(texts, site, frames,
                            frames_callers(reader, lines[i].stack, frames, SNAPSHOT_RELATED));
        if (error == 0)
            error = related_add(texts, site, frames,
                                frames_passed(reader, lines[i].stack, frames, SNAPSHOT_RELATED));
    }
    return error;
}

static int sites_copy(struct snapshot *snapshot, const struct analysis *analysis,
                      const struct site_names *names)
{
    size_t count = 0;
    struct line_tally *lines = lines_sum(analysis, names, &count);
    struct pinned pinned = {0};
    int error = pinned_index(analysis, names, &pinned);

    snapshot->site = calloc(analysis->sites.rows + 1, sizeof *snapshot->site);
    if (!snapshot->site || !lines)
        error = -ENOMEM;
    for (size_t i = 0; i < analysis->sites.rows && error == 0; i++) {
        const struct tally *row = &analysis->sites.row[i];
        struct snapshot_site *site = &snapshot->site[snapshot->sites++];
        struct site_name name = site_names_get(names, row->key);

        site->module = texts_keep(&snapshot->texts, name.module);
        site->function = texts_keep(&snapshot->texts, name.function);
#define FIGURE(name, value) site->figure[SNAPSHOT_##name] = (value);
        SNAPSHOT_FIGURES(FIGURE)
#undef FIGURE
        site->failures = row->failures;
        site->misses = row->misses;
        site->invalid_frees = row->invalid_frees;
        pinned_set(site, analysis, names, &pinned, row->key);
        error = line_copy(&snapshot->texts, site, line_choose(lines, count, row->key));
        if (!site->module || !site->function)
            error = -ENOMEM;
        if (error == 0)
            error = related_copy(&snapshot->texts, site, analysis->reader, lines, count, row->key);
    }
    free(lines);
    key_index_done(&pinned.site);
    key_index_done(&pinned.stack);
    if (error == 0)
        qsort(snapshot->site, snapshot->sites, sizeof *snapshot->site, snapshot_site_compare);
    return error;
}

static int text_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int ignored_copy(struct snapshot *snapshot, const char *const *ignored, size_t count)
{
    snapshot->ignored = calloc(count + 1, sizeof *snapshot->ignored);
    if (!snapshot->ignored)
        return -ENOMEM;
    for (; snapshot->ignored_count < count; snapshot->ignored_count++) {
        char *copy = strdup(ignored[snapshot->ignored_count]);

        if (!copy)
            return -ENOMEM;
        snapshot->ignored[snapshot->ignored_count] = copy;
    }
    qsort(snapshot->ignored, count, sizeof(char *), text_compare);
    return 0;
}

static int analyse(const struct snapshot_trace *trace, struct site_choice *choice,
                   struct analysis **ret_analysis, char *ret_why, size_t why_bytes)
{
    struct analysis_lens lens = site_choice_lens(choice);
    const struct analysis_request request = {.lens = &lens, .window = trace->window};

    return analysis_create_as(trace->reader, &request, ret_analysis, ret_why, why_bytes);
}

/** Of a part that begins before the first kept event, only what was kept is measured. */
static void part_judge(struct snapshot *snapshot, const struct analysis *analysis)
{
    const struct trace_summary *recording = &analysis->recording;
    const struct analysis_window *window = &analysis->window;

    if (window->is_set && recording->folded_records &&
        (window->phase || window->begin_ns < recording->kept_from_ns))
        snprintf(snapshot->part, sizeof snapshot->part,
                 "events before %s were dropped (trace_max), so values of the part may be too low",
                 unit_duration(recording->kept_from_ns).text);
}

int snapshot_measure(const struct snapshot_trace *trace, const char *const *ignored,
                     size_t ignored_count, struct snapshot **ret_snapshot, char *ret_why,
                     size_t why_bytes)
{
    struct site_choice all = {.names = trace->names};
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    struct analysis *analysis = NULL;
    int error;

    snprintf(ret_why, why_bytes, "out of memory");
    error = snapshot ? analyse(trace, &all, &analysis, ret_why, why_bytes) : -ENOMEM;
    if (error < 0)
        goto destroy;
    metrics_measure(analysis, snapshot->metric);
    metrics_bounds(analysis, snapshot->bound);
    snapshot->sites_bound = analysis->carried.joined;
    part_judge(snapshot, analysis);
    for (int i = 0; i < METRIC_COUNT; i++)
        snapshot->has[i] = true;
    snapshot->has_pinned = true;
    report_incomplete(&analysis->recording, snapshot->incomplete, sizeof snapshot->incomplete);
    error = devices_copy(snapshot, analysis);
    if (error == 0)
        error = sites_copy(snapshot, analysis, trace->names);
    if (error == 0)
        error = ignored_copy(snapshot, ignored, ignored_count);
    if (error < 0)
        goto destroy;
    analysis_destroy(analysis);
    *ret_snapshot = snapshot;
    return 0;
destroy:
    analysis_destroy(analysis);
    snapshot_destroy(snapshot);
    return error;
}

int snapshot_measure_sites(const struct snapshot_trace *trace, const char *glob,
                           uint64_t ret_values[METRIC_COUNT], bool ret_bounds[METRIC_COUNT],
                           bool *ret_fitted, char *ret_why, size_t why_bytes)
{
    struct site_choice choice = {.names = trace->names, .glob = glob};
    struct analysis *analysis;
    int error = analyse(trace, &choice, &analysis, ret_why, why_bytes);

    if (error < 0)
        return error;
    metrics_measure(analysis, ret_values);
    metrics_bounds(analysis, ret_bounds);
    *ret_fitted = choice.fitted;
    analysis_destroy(analysis);
    return 0;
}

/** Keeps the higher of each figure. */
static void phase_measure(const struct analysis_phase *p, uint64_t values[PHASE_METRIC_COUNT])
{
    const uint64_t found[PHASE_METRIC_COUNT] = {
#define PHASE_METRIC(key, unit, report, value) [PHASE_METRIC_##key] = (value),
        PHASE_METRICS(PHASE_METRIC)
#undef PHASE_METRIC
    };

    for (int i = 0; i < PHASE_METRIC_COUNT; i++)
        if (found[i] > values[i])
            values[i] = found[i];
}

int snapshot_measure_phases(const struct snapshot_trace *trace, const char *glob,
                            uint64_t ret_values[PHASE_METRIC_COUNT], bool *ret_fitted,
                            char *ret_why, size_t why_bytes)
{
    struct site_choice all = {.names = trace->names};
    struct analysis *analysis;
    int error = analyse(trace, &all, &analysis, ret_why, why_bytes);

    if (error < 0)
        return error;
    memset(ret_values, 0, PHASE_METRIC_COUNT * sizeof *ret_values);
    *ret_fitted = false;
    for (size_t i = 0; i < analysis->phases; i++) {
        /* A detected finding is a guess, which must not fail a build. */
        if (analysis->phase[i].source == ANALYSIS_PHASE_DETECTED ||
            fnmatch(glob, analysis->phase[i].name, 0) != 0)
            continue;
        *ret_fitted = true;
        phase_measure(&analysis->phase[i], ret_values);
    }
    analysis_destroy(analysis);
    return 0;
}

/** JSON begins with a brace, behind some blanks at most; a trace does not. */
static bool is_json(const char *path)
{
    char text[4096];
    int bytes = infile_peek(path, text, sizeof text - 1);

    text[bytes > 0 ? bytes : 0] = '\0';
    return text[strspn(text, " \t\r\n")] == '{';
}

int snapshot_learn(const char *path, char *ret_why, size_t why_bytes)
{
    struct snapshot *snapshot = NULL;
    struct trace_reader *reader;
    char why[512];
    int error;

    if (is_json(path)) {
        error = baseline_read(path, &snapshot, ret_why, why_bytes);
        snapshot_destroy(snapshot);
        return error;
    }
    error = reader_open(path, &reader, ret_why, why_bytes);
    if (error < 0)
        return error;
    error = wrapper_rules_learn(reader, why, sizeof why);
    if (error < 0)
        snprintf(ret_why, why_bytes, "%s: %s: record it again", path, why);
    trace_reader_close(reader);
    return error;
}

int snapshot_load(const char *path, const struct window_request *window,
                  struct snapshot **ret_snapshot, char *ret_why, size_t why_bytes)
{
    struct snapshot_trace trace;
    char why[256];
    bool part = window_is_wanted(window), baseline = is_json(path);
    int error;

    if (baseline && part) {
        snprintf(ret_why, why_bytes, "%s: a baseline covers a whole run: give a trace", path);
        return -EINVAL;
    }
    if (baseline)
        return baseline_read(path, ret_snapshot, ret_why, why_bytes);
    error = snapshot_trace_open(path, NULL, 0, &trace, ret_why, why_bytes);
    if (error < 0)
        return error;
    if (part)
        error = window_resolve(window, trace.reader, &trace.window, why, sizeof why);
    if (error == 0)
        error = snapshot_measure(&trace, NULL, 0, ret_snapshot, why, sizeof why);
    if (error < 0)
        snprintf(ret_why, why_bytes, "%s: %s", path, why);
    snapshot_trace_close(&trace);
    return error;
}

void snapshot_destroy(struct snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (size_t i = 0; i < snapshot->devices; i++) {
        free(snapshot->device[i].name);
        free(snapshot->device[i].driver);
    }
    texts_done(&snapshot->texts);
    for (size_t i = 0; i < snapshot->ignored_count; i++)
        free(snapshot->ignored[i]);
    free(snapshot->device);
    free(snapshot->site);
    free(snapshot->ignored);
    free(snapshot);
}
