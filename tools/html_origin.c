/* SPDX-License-Identifier: MIT */
/*
 * The sections of the HTML report about the device and the recording: whose memory the driver's
 * was, and where the figures come from.
 */
#include "tools/html_article.h"

#include <time.h>

#include "tools/html_table.h"
#include "tools/units.h"

#define BAR_WIDTH  1200.0
#define BAR_HEIGHT 28
#define UNKNOWN    UINT64_MAX

static uint64_t beyond(uint64_t whole, uint64_t part)
{
    return whole > part ? whole - part : 0;
}

/** A part of the device's memory; `colour` is a class. */
struct part {
    const char *name, *colour;
    uint64_t bytes;
};

static void bar_print(FILE *out, const struct part *parts, size_t count, uint64_t whole)
{
    double x = 0;

    if (!whole)
        return;
    fprintf(out,
            "<svg class=\"bar\" viewBox=\"0 0 %.0f %d\" role=\"img\" aria-label=\"Parts of the "
            "memory taken from the driver\">",
            BAR_WIDTH, BAR_HEIGHT);
    for (size_t i = 0; i < count; i++) {
        double width = BAR_WIDTH * (double)parts[i].bytes / (double)whole;

        fprintf(out,
                "<g><title>%s: %s</title><rect class=\"%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" "
                "height=\"%d\"/></g>",
                parts[i].name, unit_bytes(parts[i].bytes).text, parts[i].colour, x, width,
                BAR_HEIGHT);
        x += width;
    }
    fputs("</svg>\n", out);
}

/** Parts that are not known are left without figures, not shown as nothing. */
static void parts_print(FILE *out, const struct part *parts, size_t count, uint64_t whole)
{
    static const char *const columns[] = {"Part", "#Bytes", "#Of the device", NULL};

    html_table_begin(out, "parts", "Memory of the device when the program had its peak", columns);
    for (size_t i = 0; i < count; i++) {
        html_row_begin(out);
        fprintf(out, "<td><span class=\"key %s\">%s</span>", parts[i].colour, parts[i].name);
        if (parts[i].bytes == UNKNOWN) {
            fputs("<td data-v=\"0\">not known<td data-v=\"0\">-", out);
            continue;
        }
        html_cell_bytes(out, parts[i].bytes);
        html_cell_percent(out, parts[i].bytes, whole);
    }
    html_table_end(out);
}

void html_device_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    uint64_t taken = analysis->driver.at_peak, total = 0;
    struct part parts[] = {
        {"requested by the program", "requested", analysis->requested.peak},
        {"rounding inside blocks", "allocated",
         beyond(analysis->allocated.at_peak, analysis->requested.peak)},
        {"held by the pool, not in use", "reserved", beyond(taken, analysis->allocated.at_peak)},
        {"unaccounted: contexts, code, other processes (highest)", "unaccounted",
         analysis->has_memory_info ? analysis->unaccounted_bytes : UNKNOWN},
        {"the rest", "free", 0},
    };
    size_t count = sizeof parts / sizeof *parts;

    for (size_t i = 0; i < analysis->devices; i++)
        total += analysis->device[i].total_bytes;
    for (size_t i = 0; i < 3; i++)
        taken = i ? taken + parts[i].bytes : parts[i].bytes;
    parts[4].bytes = beyond(total, taken + analysis->unaccounted_bytes);
    html_section_begin(article, "device", "The device's memory");
    fprintf(article->out, "<p>%s was taken from the driver at the peak, %.1f %% of it not in use.",
            unit_bytes(analysis->driver.at_peak).text, 100 * analysis_overhead(analysis));
    if (!analysis->has_memory_info)
        fputs(" The driver's own account was never asked, so nothing is known of other memory.",
              article->out);
    fputs("</p>\n", article->out);
    bar_print(article->out, parts, 3, taken);
    parts_print(article->out, parts, total ? count : count - 1, total);
    html_section_end(article);
}

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
                 device->simulated ? " (simulated)" : "",
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

void html_provenance_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    time_t start = (time_t)(analysis->recording.start_realtime_ns / 1000000000);
    char text[64] = "unknown";
    struct tm calendar;

    html_section_begin(article, "provenance", "Where the figures come from");
    fputs("<dl class=\"origin\">\n", article->out);
    item_print(article->out, "Command", analysis->command ? analysis->command : "unknown");
    count_print(article->out, "Pid", analysis->recording.pid);
    if (gmtime_r(&start, &calendar))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &calendar);
    item_print(article->out, "Started", text);
    item_print(article->out, "Ran", unit_duration(analysis->duration_ns).text);
    snprintf(text, sizeof text, "%d", analysis_exit_status(analysis));
    item_print(article->out, "Exit status", analysis_exit_status(analysis) < 0 ? "unknown" : text);
    item_print(article->out, "Recorded by", analysis->version ? analysis->version : "unknown");
    devices_print(article);
    recording_print(article);
    fputs("</dl>\n", article->out);
    html_section_end(article);
}
