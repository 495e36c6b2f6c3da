/* SPDX-License-Identifier: MIT */
/*
 * Shared by all formats of the report: names of rows, their order, and notes on missing data.
 */
#include "tools/report/base/report.h"

#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/units.h"

const char *const report_by_name[REPORT_BY_NAMES] = {
    [REPORT_BY_SITE] = "site",   [REPORT_BY_LIBRARY] = "library", [REPORT_BY_SIZE] = "size",
    [REPORT_BY_API] = "api",     [REPORT_BY_STACK] = "stack",     [REPORT_BY_CALLER] = "caller",
    [REPORT_BY_PHASE] = "phase",
};

const struct tallies *report_tallies(const struct analysis *analysis, enum report_by by)
{
    const struct tallies *const tallies[REPORT_BY_TALLIES] = {
        [REPORT_BY_SITE] = &analysis->sites,
        [REPORT_BY_LIBRARY] = &analysis->libraries,
        [REPORT_BY_SIZE] = &analysis->sizes,
        [REPORT_BY_API] = &analysis->apis,
    };

    return tallies[by];
}

struct tally *report_rows_sorted(const struct tallies *tallies)
{
    struct tally *rows = tallies->rows ? malloc(tallies->rows * sizeof *rows) : NULL;

    if (!rows)
        return NULL;
    memcpy(rows, tallies->row, tallies->rows * sizeof *rows);
    qsort(rows, tallies->rows, sizeof *rows, tally_compare);
    return rows;
}

void report_site_name(const struct analysis *analysis, uint64_t site, char *ret_text,
                      size_t text_bytes)
{
    struct frame frame;

    if (frames_location(analysis->reader, site, &frame))
        frame_text(&frame, ret_text, text_bytes);
    else
        snprintf(ret_text, text_bytes, "unknown");
}

void report_site_key(const struct analysis *analysis, uint64_t site, char *ret_text,
                     size_t text_bytes)
{
    struct frame frame;

    if (frames_location(analysis->reader, site, &frame))
        frame_key(&frame, ret_text, text_bytes);
    else
        snprintf(ret_text, text_bytes, "unknown");
}

void report_place_of(const struct frame *frame, struct report_place *ret_place)
{
    *ret_place = (struct report_place){
        .site = frame->site, .known = true, .file = frame->file, .line = frame->line};
    if (frame->inlined || frame->site.function)
        snprintf(ret_place->function, sizeof ret_place->function, "%s",
                 frame->function ? frame->function : "");
    else
        symbol_text(frame->symbol, ret_place->function, sizeof ret_place->function);
    safe_text_end(ret_place->function, sizeof ret_place->function);
}

void report_place_find(const struct analysis *analysis, uint64_t site,
                       struct report_place *ret_place)
{
    struct frame frame;

    if (frames_location(analysis->reader, site, &frame))
        report_place_of(&frame, ret_place);
    else
        *ret_place = (struct report_place){0};
}

void report_row_name(const struct analysis *analysis, enum report_by by, const struct tally *row,
                     char *ret_text, size_t text_bytes)
{
    const char *name;

    switch (by) {
    case REPORT_BY_SITE: report_site_name(analysis, row->key, ret_text, text_bytes); return;
    case REPORT_BY_SIZE:
        snprintf(ret_text, text_bytes, "up to %s",
                 unit_bytes(analysis_size_class_bytes(row->key)).text);
        return;
    case REPORT_BY_LIBRARY:
        snprintf(ret_text, text_bytes, "%s",
                 row->key ? frame_file_name((const char *)(uintptr_t)row->key) : "unknown");
        return;
    default:
        name = trace_reader_string(analysis->reader, row->key);
        snprintf(ret_text, text_bytes, "%s", name ? name : "unknown");
    }
}

const char *report_unfreed(const struct analysis *analysis)
{
    return analysis->recording.running     ? "live now"
           : analysis_was_killed(analysis) ? "live at the end"
                                           : "never freed";
}

const char *report_unfreed_title(const struct analysis *analysis)
{
    return analysis->recording.running     ? "Live now"
           : analysis_was_killed(analysis) ? "Live at the end"
                                           : "Leaks";
}

const char *report_unfreed_heading(const struct analysis *analysis)
{
    return analysis->recording.running     ? "Now"
           : analysis_was_killed(analysis) ? "At the end"
                                           : "Leaked";
}

const char *report_unfreed_column(const struct analysis *analysis)
{
    return analysis->recording.running     ? "NOW"
           : analysis_was_killed(analysis) ? "AT THE END"
                                           : "LEAKED";
}

void report_rotated(const struct trace_summary *recording, char *ret_text, size_t text_bytes)
{
    *ret_text = '\0';
    if (recording->folded_records)
        snprintf(ret_text, text_bytes,
                 "events before %s were dropped (trace_max), %s of %s are kept; statistics cover "
                 "all events, the timeline and the phases only those kept; for a site with "
                 "several stacks, its own peak is an upper bound",
                 unit_duration(recording->kept_from_ns).text, unit_count(recording->events).text,
                 unit_count(recording->events + recording->folded_records).text);
}

void report_skipped(const struct analysis *analysis, char *ret_text, size_t text_bytes)
{
    uint64_t kernels = 0, calls = 0;
    char libraries[96] = "";

    *ret_text = '\0';
    analysis_counter_get(analysis, "skipped_kernels", &kernels);
    analysis_counter_get(analysis, "skipped_library_calls", &calls);
    if (calls)
        snprintf(libraries, sizeof libraries, ", including those of %s to math libraries",
                 unit_nouns(calls, "call").text);
    if (kernels || calls)
        snprintf(ret_text, text_bytes, "%s skipped%s: the program's results are meaningless",
                 unit_nouns(kernels, "kernel").text, libraries);
}

void report_simulated(const struct analysis *analysis, char *ret_text, size_t text_bytes)
{
    char skipped[192];

    *ret_text = '\0';
    if (!analysis_is_simulated(analysis))
        return;
    report_skipped(analysis, skipped, sizeof skipped);
    snprintf(ret_text, text_bytes, "nothing here was measured on hardware%s%s",
             *skipped ? "; " : "", skipped);
}

const char *report_duration_end(const struct analysis *analysis)
{
    const struct trace_summary *recording = &analysis->recording;

    return recording->running || (!recording->closed && analysis_exit_status(analysis) < 0)
               ? " until its last call"
               : "";
}

void report_incomplete(const struct trace_summary *recording, char *ret_text, size_t text_bytes)
{
    const char *separator = "";
    size_t used = 0;
    const struct {
        bool applies;
        const char *format;
        unsigned long long figure;
    } clauses[] = {
        {recording->running, "the program is still running; this is the state so far", 0},
        {!recording->closed && !recording->running, "the process ended without closing it", 0},
        {recording->stop_errno != 0, "recording stopped early", 0},
        {recording->dropped_records != 0, "records not written: %llu", recording->dropped_records},
        {recording->lost_records != 0 && !recording->running, "records lost: %llu",
         recording->lost_records},
        {recording->lost_bytes != 0, "bytes truncated at its end: %llu", recording->lost_bytes},
    };

    *ret_text = '\0';
    if (recording->complete)
        return;
    for (size_t i = 0; i < sizeof clauses / sizeof *clauses && used < text_bytes; i++) {
        if (!clauses[i].applies)
            continue;
        used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s", separator);
        if (used < text_bytes)
            used += (size_t)snprintf(ret_text + used, text_bytes - used, clauses[i].format,
                                     clauses[i].figure);
        separator = ", ";
    }
    if (recording->stop_errno && used < text_bytes)
        snprintf(ret_text + used, text_bytes - used, " (%s)", strerror((int)recording->stop_errno));
    if (!*ret_text)
        snprintf(ret_text, text_bytes, "its end is missing");
}

bool report_misses_records(const struct trace_summary *recording)
{
    return !recording->complete &&
           (recording->closed || recording->stop_errno || recording->dropped_records ||
            recording->lost_records || recording->lost_bytes);
}

const char *report_no_memory(const struct trace_summary *recording)
{
    return report_misses_records(recording) ? "No allocation of device memory was recorded"
                                            : "The program allocated no device memory";
}
