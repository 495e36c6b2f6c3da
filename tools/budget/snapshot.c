/* SPDX-License-Identifier: MIT */
/*
 * Here: from a trace.
 */
#include "tools/budget/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/bound.h"
#include "tools/base/file/infile.h"
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
                        struct glob_work *work, struct snapshot_trace *ret_trace, char *ret_why,
                        size_t why_bytes)
{
    struct snapshot_trace trace = {.work = work};
    int error = reader_open(path, &trace.reader, ret_why, why_bytes);

    if (error < 0)
        return error;
    error = site_names_create(trace.reader, ignored, ignored_count, work, &trace.names);
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
    site->folder = line.folder ? texts_keep(texts, line.folder) : NULL;
    site->line = line.line;
    return site->file && site->path && !site->folder == !line.folder ? 0 : -ENOMEM;
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
        site->unserved = row->misses + row->waits + row->passed;
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

/** `sets`: NULL: none are followed. */
static int analyse(const struct snapshot_trace *trace, struct site_choice *choice,
                   struct site_sets *sets, struct analysis **ret_analysis, char *ret_why,
                   size_t why_bytes)
{
    struct analysis_lens lens = site_choice_lens(choice);
    const struct analysis_request request = {.lens = &lens, .sets = sets, .window = trace->window};

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

static int phases_copy(struct snapshot *snapshot, const struct analysis *analysis)
{
    snapshot->phase = calloc(analysis->phases + 1, sizeof *snapshot->phase);
    if (!snapshot->phase)
        return -ENOMEM;
    for (size_t i = 0; i < analysis->phases; i++) {
        const struct analysis_phase *p = &analysis->phase[i];
        struct snapshot_phase *phase = &snapshot->phase[snapshot->phases];

        /* A detected finding is a guess, which must not fail a build. */
        if (p->source == ANALYSIS_PHASE_DETECTED)
            continue;
        phase->name = texts_keep(&snapshot->texts, p->name);
#define PHASE_METRIC(key, unit, report, figure) phase->value[PHASE_METRIC_##key] = (figure);
        PHASE_METRICS(PHASE_METRIC)
#undef PHASE_METRIC
        if (!phase->name)
            return -ENOMEM;
        snapshot->phases++;
    }
    return 0;
}

static int sets_copy(struct snapshot *snapshot, const struct site_sets *sets, const bool *seen)
{
    snapshot->set = calloc(sets->sets + 1, sizeof *snapshot->set);
    if (!snapshot->set)
        return -ENOMEM;
    for (size_t i = 0; i < sets->sets; i++) {
        const struct site_set *set = &sets->set[i];

        snapshot->set[i] = (struct snapshot_set){.peak_bytes = set->peak_bytes,
                                                 .leaked_bytes = set->leaked_bytes,
                                                 .bound = set->peak_bound &&
                                                          set->peak_bytes == set->peak_bound};
    }
    for (size_t stack = 0; stack < sets->stacks; stack++)
        for (uint32_t at = seen[stack] ? sets->first[stack] : 0; at; at = sets->member[at - 1].next)
            snapshot->set[sets->member[at - 1].set].fitted = true;
    return 0;
}

static int figures_copy(struct snapshot *snapshot, const struct analysis *analysis,
                        const struct snapshot_trace *trace)
{
    int error;

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
    return error < 0 ? error : phases_copy(snapshot, analysis);
}

/** Makes the sets of the globs, if there are any, and room to note which sites occur. */
static int sets_make(const struct snapshot_trace *trace, const struct texts *sites,
                     struct site_sets *ret_sets, struct site_choice *choice, char *ret_why,
                     size_t why_bytes)
{
    int error = site_names_sets(trace->names, sites, trace->work, ret_sets);

    if (error < 0)
        return error;
    choice->seen = calloc(ret_sets->stacks, sizeof *choice->seen);
    return choice->seen ? 0 : -ENOMEM;
}

int snapshot_measure(const struct snapshot_trace *trace, const char *const *ignored,
                     size_t ignored_count, const struct texts *sites,
                     struct snapshot **ret_snapshot, char *ret_why, size_t why_bytes)
{
    struct site_choice all = {.names = trace->names};
    struct site_sets sets = {0};
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    struct analysis *analysis = NULL;
    bool wanted = sites && sites->rows;
    int error = snapshot ? 0 : -ENOMEM;

    snprintf(ret_why, why_bytes, "out of memory");
    if (error == 0 && wanted)
        error = sets_make(trace, sites, &sets, &all, ret_why, why_bytes);
    if (error == 0)
        error = analyse(trace, &all, wanted ? &sets : NULL, &analysis, ret_why, why_bytes);
    if (error == 0 && sets.spent)
        error = -E2BIG;
    if (error == -E2BIG)
        snprintf(ret_why, why_bytes,
                 "its sites are in too many [site] sections of the budget: give fewer of them");
    if (error == 0)
        error = figures_copy(snapshot, analysis, trace);
    if (error == 0 && wanted)
        error = sets_copy(snapshot, &sets, all.seen);
    if (error == 0)
        error = ignored_copy(snapshot, ignored, ignored_count);
    analysis_destroy(analysis);
    site_names_sets_done(&sets);
    free(all.seen);
    if (error < 0)
        snapshot_destroy(snapshot);
    else
        *ret_snapshot = snapshot;
    return error;
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
    error = snapshot_trace_open(path, NULL, 0, NULL, &trace, ret_why, why_bytes);
    if (error < 0)
        return error;
    if (part)
        error = window_resolve(window, trace.reader, &trace.window, why, sizeof why);
    if (error == 0)
        error = snapshot_measure(&trace, NULL, 0, NULL, ret_snapshot, why, sizeof why);
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
    free(snapshot->phase);
    free(snapshot->set);
    free(snapshot->ignored);
    free(snapshot);
}
