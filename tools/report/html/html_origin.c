/* SPDX-License-Identifier: MIT */
/*
 * Origin of the report: the command, the devices, the recording, the loaded files, and the limits
 * of the page.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "tools/base/disguise.h"
#include "tools/report/html/html_table.h"
#include "tools/base/units.h"

static void item_print(FILE *out, const char *name, const char *value)
{
    fprintf(out, "<dt>%s</dt><dd>", name);
    html_text(out, value);
    fputs("</dd>\n", out);
}

static void count_print(FILE *out, const char *name, uint64_t count)
{
    item_print(out, name, unit_count(count).text);
}

static void devices_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    char text[512];

    for (size_t i = 0; i < analysis->devices; i++) {
        const struct analysis_device *device = &analysis->device[i];

        snprintf(text, sizeof text, "%u: %s, %s%s; driver %llu.%llu, CUDA runtime %llu.%llu",
                 device->index, device->name, unit_bytes(device->total_bytes).text,
                 device->simulated && !strstr(device->name, "(simulated)") ? " (simulated)" : "",
                 (unsigned long long)device->driver_version / 1000,
                 (unsigned long long)device->driver_version % 1000 / 10,
                 (unsigned long long)device->runtime_version / 1000,
                 (unsigned long long)device->runtime_version % 1000 / 10);
        item_print(article->out, "Device", text);
    }
}

static void recording_print(const struct html_article *article)
{
    const struct trace_summary *recording = &article->analysis->recording;
    char why[256];

    report_incomplete(recording, why, sizeof why);
    item_print(article->out, "Trace", article->trace);
    item_print(article->out, "Size", unit_bytes(recording->file_bytes).text);
    item_print(article->out, "Complete", *why ? why : "yes");
    count_print(article->out, "Events", recording->events);
    count_print(article->out, "Dropped records", recording->dropped_records);
    count_print(article->out, "Lost records", recording->lost_records);
    count_print(article->out, "Frees of unknown blocks", article->analysis->unmatched_frees);
}

/** Files by path, each with the build-id of its first site. */
static int modules_print(const struct html_article *article)
{
    static const char *const columns[] = {"File", "Build-id", NULL};
    const struct analysis *analysis = article->analysis;
    struct tallies seen = {0};
    bool fine = true;

    fputs("<details><summary>Files with sites</summary>\n", article->out);
    html_table_begin(article->out, "sortable", "Files that allocated device memory", columns);
    for (size_t i = 0; i < analysis->sites.rows && fine; i++) {
        struct trace_site place;
        size_t before = seen.rows;

        if (trace_reader_site(analysis->reader, analysis->sites.row[i].key, &place) < 0 ||
            !place.module)
            continue;
        fine = tallies_get(&seen, (uint64_t)(uintptr_t)place.module);
        if (seen.rows == before || seen.rows > article->top)
            continue;
        html_row_begin(article->out);
        html_cell_text(article->out, disguise_path(place.module));
        html_cell_text(article->out, place.build_id ? disguise_text(place.build_id) : "none");
    }
    html_table_end(article->out);
    fputs("</details>\n", article->out);
    tallies_done(&seen);
    return fine ? 0 : -ENOMEM;
}

static void limits_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    char text[256];

    snprintf(text, sizeof text,
             "at most %zu rows per table; at most %d spans of the timeline; elements too small to "
             "see are "
             "joined, with a note",
             article->top, TIMELINE_SPANS);
    item_print(article->out, "Limits", text);
    if (analysis->recording.unknown_records)
        count_print(article->out, "Unknown records", analysis->recording.unknown_records);
}

int html_provenance_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    time_t start = (time_t)(analysis->recording.start_realtime_ns / 1000000000);
    char text[64];
    struct tm calendar;
    int error;

    html_section_begin(article, "provenance", "Origin");
    fputs("<dl class=\"origin\">\n", article->out);
    item_print(article->out, "Command", analysis->command ? analysis->command : "unknown");
    snprintf(text, sizeof text, "%u", analysis->recording.pid);
    item_print(article->out, "Process ID", text);
    snprintf(text, sizeof text, "unknown");
    if (gmtime_r(&start, &calendar))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &calendar);
    item_print(article->out, "Started", text);
    item_print(article->out, "Run time", unit_duration(analysis->duration_ns).text);
    snprintf(text, sizeof text, "%d", analysis_exit_status(analysis));
    item_print(article->out, "Exit status", analysis_exit_status(analysis) < 0 ? "unknown" : text);
    item_print(article->out, "Recorded by", analysis->version ? analysis->version : "unknown");
    devices_print(article);
    recording_print(article);
    limits_print(article);
    fputs("</dl>\n", article->out);
    error = modules_print(article);
    html_section_end(article);
    return error;
}
