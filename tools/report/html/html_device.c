/* SPDX-License-Identifier: MIT */
/*
 * Owners of the device's memory: at the peak of the program, by the trace and, with CUPTI, by the
 * driver's own list of allocations; and by cuMemGetInfo when the driver had the least left.
 * Finally the pool's own statistics.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/html/html_table.h"
#include "tools/report/html/html_view.h"
#include "tools/base/units.h"

#define BAR_HEIGHT 28

static uint64_t beyond(uint64_t whole, uint64_t part)
{
    return whole > part ? whole - part : 0;
}

/** A part of the device's memory; `colour` is a class. */
struct part {
    const char *name, *colour;
    uint64_t bytes;
};

static void bar_print(FILE *out, const struct part *parts, size_t count, uint64_t whole,
                      const char *label)
{
    double x = 0;

    if (!whole)
        return;
    fprintf(out, "<svg class=\"bar\" viewBox=\"0 0 %.0f %d\" role=\"img\" aria-label=\"%s\">",
            HTML_VIEW_WIDTH, BAR_HEIGHT, label);
    for (size_t i = 0; i < count; i++) {
        double width = HTML_VIEW_WIDTH * (double)parts[i].bytes / (double)whole;

        fprintf(out,
                "<g><title>%s\n%s, %s</title><rect class=\"%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" "
                "height=\"%d\"/></g>",
                parts[i].name, unit_bytes(parts[i].bytes).text,
                unit_percent(parts[i].bytes, whole).text, parts[i].colour, x, width, BAR_HEIGHT);
        x += width;
    }
    fputs("</svg>\n", out);
}

static void parts_print(FILE *out, const struct part *parts, size_t count, const char *caption)
{
    static const char *const columns[] = {"Part", "#Bytes", "#Share", NULL};
    uint64_t whole = 0;

    for (size_t i = 0; i < count; i++)
        whole += parts[i].bytes;
    bar_print(out, parts, count, whole, caption);
    html_table_begin(out, "parts", caption, columns);
    for (size_t i = 0; i < count; i++) {
        html_row_begin(out);
        fprintf(out, "<td><span class=\"key %s\">%s</span>", parts[i].colour, parts[i].name);
        html_cell_bytes(out, parts[i].bytes);
        html_cell_percent(out, parts[i].bytes, whole);
    }
    html_row_begin(out);
    fputs("<td>total", out);
    html_cell_bytes(out, whole);
    html_cell_percent(out, whole, whole);
    html_table_end(out);
}

/** The program's memory from the driver, in three parts. */
static void own_parts(const struct timeline_point *levels, struct part ret_parts[3])
{
    uint64_t used = levels->allocated_bytes > levels->requested_bytes ? levels->allocated_bytes
                                                                      : levels->requested_bytes;

    ret_parts[0] = (struct part){"requested by the program", "requested", levels->requested_bytes};
    ret_parts[1] = (struct part){"rounding inside blocks", "allocated",
                                 beyond(used, levels->requested_bytes)};
    ret_parts[2] = (struct part){"held by the pool, not in use", "reserved",
                                 beyond(levels->driver_bytes, used)};
}

static void account_print(const struct html_article *article)
{
    const struct replay_memory_info *info = &article->analysis->memory_info;
    const struct timeline_point levels = {.requested_bytes = info->requested_bytes,
                                          .allocated_bytes = info->allocated_bytes,
                                          .driver_bytes = info->driver_bytes};
    struct part parts[5];
    char device[48] = "";
    uint64_t used = beyond(info->total_bytes, info->free_bytes), own;

    own_parts(&levels, parts);
    own = parts[0].bytes + parts[1].bytes + parts[2].bytes;
    parts[3] = (struct part){"unaccounted: contexts, code, other processes", "unaccounted",
                             beyond(used, own)};
    parts[4] = (struct part){"free", "free", info->free_bytes};
    if (article->analysis->devices > 1)
        snprintf(device, sizeof device, "device %" PRIu64 ", ", info->device);
    fprintf(
        article->out,
        "<h3>Device memory as reported by the driver (cuMemGetInfo)</h3>\n<p>At the lowest free "
        "memory, "
        "%safter %s: "
        "%s total = %s free + %s of this program + %s unaccounted. The driver does not separate "
        "other processes from the rest of the unaccounted memory. Unaccounted at most: %s.</p>\n",
        device, unit_duration(info->time_ns).text, unit_bytes(info->total_bytes).text,
        unit_bytes(info->free_bytes).text, unit_bytes(own).text, unit_bytes(parts[3].bytes).text,
        unit_bytes(article->analysis->unaccounted_bytes).text);
    parts_print(article->out, parts, 5, "The whole device as reported by the driver");
}

/** Memory from driver calls that are not hooked, by the library that allocated it. */
static int unaccounted_print(const struct html_article *article)
{
    static const char *const columns[] = {"Library",      "#Peak",        "#At the end",
                                          "#Allocations", "#Total bytes", NULL};
    const struct tallies *libraries = article->analysis->driver_view.libraries;
    struct tally *rows = report_rows_sorted(libraries);

    if (!rows)
        return libraries->rows ? -ENOMEM : 0;
    html_table_begin(article->out, "sortable", "Unaccounted memory, by library", columns);
    for (size_t i = 0; i < libraries->rows && i < article->top; i++) {
        const char *path = (const char *)(uintptr_t)rows[i].key;

        html_row_begin(article->out);
        html_cell_hint(article->out, path ? frame_file_name(path) : "unknown code",
                       path ? path : "");
        html_cell_bytes(article->out, rows[i].live_bytes.peak);
        html_cell_bytes(article->out, rows[i].live_bytes.current);
        html_cell_count(article->out, rows[i].allocations);
        html_cell_bytes(article->out, rows[i].requested_bytes);
    }
    html_table_end(article->out);
    free(rows);
    return 0;
}

static void driver_pools_print(const struct html_article *article)
{
    static const char *const columns[] = {
        "#Device",      "#Peak held", "#Peak in use", "#Last held",
        "#Last in use", "#Trims",     "Destroyed",    NULL};
    const struct driver_view *view = &article->analysis->driver_view;

    if (!view->pools)
        return;
    html_table_begin(article->out, "sortable", "Stream-ordered pools of the driver", columns);
    for (size_t i = 0; i < view->pools && i < article->top; i++) {
        const struct driver_pool *pool = &view->pool[i];

        html_row_begin(article->out);
        html_cell_count(article->out, pool->device);
        html_cell_bytes(article->out, pool->peak_bytes);
        html_cell_bytes(article->out, pool->peak_used_bytes);
        html_cell_bytes(article->out, pool->bytes);
        html_cell_bytes(article->out, pool->used_bytes);
        html_cell_count(article->out, pool->trims);
        html_cell_text(article->out, pool->destroyed ? "yes" : "no");
    }
    html_table_end(article->out);
}

/** CUPTI's view of the driver's allocations. */
static int driver_view_print(const struct html_article *article)
{
    const struct driver_view *view = &article->analysis->driver_view;
    struct driver_step at_peak;
    char state[256];
    int error = 0;

    if (!view->state)
        return 0;
    fputs("<h3>Allocations as listed by the driver (CUPTI)</h3>\n", article->out);
    if (driver_view_at(view, article->analysis->peak_time_ns, &at_peak)) {
        fprintf(article->out, "<p>%s: %s at the program's peak, %s at most. ",
                view->is_whole ? "Total" : "Total, partial", unit_bytes(at_peak.total_bytes).text,
                unit_bytes(view->total_peak_bytes).text);
        fprintf(article->out, "Unaccounted, from calls that are not hooked: %s at the peak, ",
                unit_bytes(at_peak.unaccounted_bytes).text);
        fprintf(
            article->out, "%s at most, %s at the end. Page-locked host memory: %s at most.</p>\n",
            unit_bytes(view->unaccounted_peak_bytes).text,
            unit_bytes(view->unaccounted_end_bytes).text, unit_bytes(view->host_peak_bytes).text);
        error = unaccounted_print(article);
        driver_pools_print(article);
    }
    driver_view_state_text(view, state, sizeof state);
    fputs("<p class=\"note\">CUPTI: ", article->out);
    html_text(article->out, state);
    fputs("</p>\n", article->out);
    return error;
}

static void gauge_cell(FILE *out, const char *name, uint64_t value)
{
    size_t length = strlen(name);

    if (length > 3 && !strcmp(name + length - 3, "_ns"))
        html_cell_duration(out, value);
    else if (length > 6 && !strcmp(name + length - 6, "_bytes"))
        html_cell_bytes(out, value);
    else
        html_cell_count(out, value);
}

/** A level has a peak; a total has none, nor has a level that was always 0. */
static void peak_cell(FILE *out, const struct analysis_counter *counter, uint64_t value)
{
    if (counter->peak)
        gauge_cell(out, counter->name, value);
    else
        fputs("<td data-v=\"0\">\u2013", out);
}

static void pool_print(const struct html_article *article)
{
    static const char *const columns[] = {"Statistic",           "#Context", "#At the end", "#Peak",
                                          "#At the pool's peak", NULL};
    const struct analysis *analysis = article->analysis;

    if (!analysis->counters)
        return;
    fputs("<details><summary>Statistics of the pool</summary>\n", article->out);
    html_table_begin(article->out, "sortable", "Levels and totals of the pool, as last recorded",
                     columns);
    for (size_t i = 0; i < analysis->counters && i < article->top; i++) {
        const struct analysis_counter *counter = &analysis->counter[i];

        html_row_begin(article->out);
        html_cell_text(article->out, counter->name);
        html_cell_count(article->out, counter->context);
        gauge_cell(article->out, counter->name, counter->current);
        peak_cell(article->out, counter, counter->peak);
        peak_cell(article->out, counter, counter->at_peak);
    }
    html_table_end(article->out);
    fputs("</details>\n", article->out);
}

int html_device_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    const struct timeline_point levels = {.requested_bytes = analysis->requested.peak,
                                          .allocated_bytes = analysis->allocated.at_peak,
                                          .driver_bytes = analysis->driver.at_peak};
    struct part parts[3];
    int error;

    own_parts(&levels, parts);
    html_section_begin(article, "device", "The device's memory");
    fprintf(article->out, "<p>Held from the driver at the peak: %s, %.1f %% idle.",
            unit_bytes(analysis->driver.at_peak).text, 100 * analysis_overhead(analysis));
    if (!analysis->has_memory_info && !analysis->driver_view.was_on)
        fputs(" The program never called cuMemGetInfo, so other memory on the device is unknown.",
              article->out);
    fputs("</p>\n", article->out);
    if (analysis->driver.at_peak)
        parts_print(article->out, parts, 3, "Memory held from the driver, at the peak");
    error = driver_view_print(article);
    if (analysis->has_memory_info)
        account_print(article);
    pool_print(article);
    html_section_end(article);
    return error;
}
