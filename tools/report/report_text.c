/* SPDX-License-Identifier: MIT */
/*
 * The report for people: one terminal page. First the most important sentence, then one line for
 * each question, then the memory by site and by size.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/base/escape.h"
#include "tools/report/report_defragmentation.h"
#include "tools/report/report_memory_errors.h"
#include "tools/base/units.h"
#include "tools/report/report_text_parts.h"

#define DEFAULT_TOP  8
#define SIZE_ROWS    6
#define PHASE_ROWS   40
#define PHASES_BRIEF 5

#define TROUBLE_SITES 3

static void process_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    int status = analysis_exit_status(analysis);

    if (analysis->command) {
        fputs(report_text_colour(page, REPORT_BOLD), page->out);
        report_text_cut(page, analysis->command, page->style->columns - 1);
        fprintf(page->out, "%s\n", report_text_colour(page, REPORT_PLAIN));
    }
    fprintf(page->out, "pid %u", analysis->recording.pid);
    if (analysis->has_rank)
        fprintf(page->out, ", rank %llu", (unsigned long long)analysis->rank);
    if (analysis->ranks)
        fprintf(page->out, " of %llu", (unsigned long long)analysis->ranks);
    fprintf(page->out, ", ran %s%s", unit_duration(analysis->duration_ns).text,
            report_duration_end(analysis));
    if (analysis->recording.running)
        fputs(", still running\n", page->out);
    else if (status < 0)
        fputs(", unknown exit status\n", page->out);
    else if (WIFSIGNALED((int)analysis->wait_status))
        fprintf(page->out, ", %sended by signal %d%s\n", report_text_colour(page, REPORT_RED),
                status - 128, report_text_colour(page, REPORT_PLAIN));
    else
        fprintf(page->out, ", exit status %d\n", status);
}

static void version_print(FILE *out, const char *title, uint64_t version)
{
    if (version)
        fprintf(out, ", %s %llu.%llu", title, (unsigned long long)version / 1000,
                (unsigned long long)version % 1000 / 10);
}

static void devices_print(const struct report_page *page)
{
    for (size_t i = 0; i < page->analysis->devices; i++) {
        const struct analysis_device *device = &page->analysis->device[i];

        fprintf(page->out, "%s %u: ", device->simulated ? "simulated device" : "device",
                device->index);
        escape_print(page->out, ESCAPE_LINE, device->name);
        fprintf(page->out, ", %s", unit_bytes(device->total_bytes).text);
        version_print(page->out, "driver", device->driver_version);
        version_print(page->out, "CUDA", device->runtime_version);
        fputc('\n', page->out);
    }
}

/** A note before the statistics. */
static void note_print(const struct report_page *page, const char *title, const char *text)
{
    fprintf(page->out, "%s%s:%s %s\n", report_text_colour(page, REPORT_YELLOW), title,
            report_text_colour(page, REPORT_PLAIN), text);
}

static void incomplete_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    char why[512];

    report_skipped(analysis, why, sizeof why);
    if (*why)
        fprintf(page->out, "%s\n", why);

    report_incomplete(&analysis->recording, why, sizeof why);
    if (analysis->recording.cut_stacks)
        fprintf(page->out, "%s cut to the innermost frame: too many different stacks\n",
                unit_nouns(analysis->recording.cut_stacks, "stack").text);
    if (*why)
        note_print(page, analysis->recording.running ? "snapshot" : "trace is incomplete", why);
    report_rotated(&analysis->recording, why, sizeof why);
    if (*why)
        note_print(page, "trace is truncated", why);
}

static void headline_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;

    if (!analysis->total.allocations) {
        fprintf(page->out, "\n%s.\n\n", report_no_memory(&analysis->recording));
        return;
    }
    fprintf(page->out, "\n%sAt its peak the program used %s of device memory",
            report_text_colour(page, REPORT_BOLD), unit_bytes(analysis->requested.peak).text);
    if (analysis_has_pool(analysis))
        fprintf(page->out, ", out of %s from the driver",
                unit_bytes(analysis->driver.at_peak).text);
    fprintf(page->out, ".%s\n\n", report_text_colour(page, REPORT_PLAIN));
}

static void peak_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;

    report_text_line(page, "Peak");
    fprintf(page->out, "%s after %s; allocated %s, driver %s\n",
            unit_bytes(analysis->requested.peak).text, unit_duration(analysis->peak_time_ns).text,
            unit_bytes(analysis->allocated.at_peak).text,
            unit_bytes(analysis->driver.at_peak).text);
    report_text_line(page, "Fragmentation");
    fprintf(page->out, "%.1f %% of driver memory idle at the peak, %.1f %% lost inside blocks\n",
            100 * analysis_overhead(analysis), 100 * analysis_internal(analysis));
    report_text_fragmentation(page);
    report_text_defragmentation(page);
}

/** A site in the second column, after its action. */
static void site_print(const struct report_page *page, const char *what, uint64_t site)
{
    char name[256];

    report_site_name(page->analysis, site, name, sizeof name);
    report_text_line(page, "");
    escape_line(page->out, "%s %s", what, name);
}

/** How many of the kept ones have the site of row `i`; 0: an earlier row has it. */
static size_t same_frees(const struct analysis *analysis, size_t kept, size_t i)
{
    size_t count = 0;

    for (size_t k = 0; k < kept; k++) {
        const struct analysis_invalid_free *other = &analysis->invalid_free[k];

        if (other->site != analysis->invalid_free[i].site ||
            other->allocation_site != analysis->invalid_free[i].allocation_site)
            continue;
        if (k < i)
            return 0;
        count++;
    }
    return count;
}

static void invalid_frees_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    uint64_t total = analysis->total.invalid_frees;
    size_t kept = total < ANALYSIS_INVALID_FREES ? (size_t)total : ANALYSIS_INVALID_FREES,
           shown = 0;

    fprintf(page->out, "%s%s%s\n", report_text_colour(page, REPORT_RED), unit_count(total).text,
            report_text_colour(page, REPORT_PLAIN));
    for (size_t i = 0; i < kept && shown < TROUBLE_SITES; i++) {
        const struct analysis_invalid_free *free = &analysis->invalid_free[i];
        size_t count = same_frees(analysis, kept, i);
        char what[64];

        if (!count)
            continue;
        snprintf(what, sizeof what, "%s by", unit_count(count).text);
        site_print(page, what, free->site);
        if (free->allocation_site)
            site_print(page, "  allocated by", free->allocation_site);
        if (free->first_free_site)
            site_print(page, "  already freed by", free->first_free_site);
        else if (!free->allocation_site)
            escape_line(page->out, "%-15s  no known allocation at this address", "");
        shown++;
    }
}

/** The site of a refused request. */
static void failures_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    uint64_t total = analysis->total.failures;
    size_t kept = total < ANALYSIS_FAILURES ? (size_t)total : ANALYSIS_FAILURES, shown = 0;

    for (size_t i = 0; i < kept && shown < TROUBLE_SITES; i++) {
        const struct analysis_failure *failure = &analysis->failure[i];
        size_t count = 0;
        bool earlier = false;
        char what[160];

        for (size_t k = 0; k < kept; k++)
            if (analysis->failure[k].site == failure->site) {
                earlier |= k < i;
                count++;
            }
        if (earlier)
            continue;
        snprintf(what, sizeof what, "%s%s, the first for %s, by",
                 shown ? "" : "failed: ", unit_count(count).text,
                 unit_bytes(failure->request_bytes).text);
        site_print(page, what, failure->site);
        shown++;
    }
}

static void calls_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct tally *total = &analysis->total;
    uint64_t driver_calls = analysis_driver_calls(analysis);

    report_text_line(page, "Allocations");
    fprintf(page->out, "%s, %s freed, %s failed\n", unit_count(total->allocations).text,
            unit_count(total->frees).text, unit_count(total->failures).text);
    failures_print(page);
    report_text_line(page, "Served");
    fprintf(page->out, "%s from the pool's memory, %s with a driver call,\n",
            unit_percent(total->hits, total->allocations).text,
            unit_percent(total->misses, total->allocations).text);
    report_text_line(page, "");
    fprintf(page->out, "%s after a wait for the device, %s directly by the driver\n",
            unit_percent(total->waits, total->allocations).text,
            unit_percent(total->passed, total->allocations).text);
    report_text_line(page, "Driver calls");
    fprintf(page->out, "%s", unit_count(driver_calls).text);
    if (analysis_has_pool(analysis))
        fprintf(page->out, " with the pool, %s without", unit_count(analysis->calls_asked).text);
    fputc('\n', page->out);
    report_text_line(page, "Latency");
    fprintf(page->out, "p50 %s, p99 %s, max %s\n",
            unit_duration(histogram_quantile(&analysis->latency, 500)).text,
            unit_duration(histogram_quantile(&analysis->latency, 990)).text,
            unit_duration(analysis->latency.max).text);
}

static void lifetimes_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    size_t median = lifetimes_median(&analysis->lifetimes);

    if (!analysis->lifetimes.blocks)
        return;
    report_text_line(page, "Lifetimes");
    if (median + 1 < LIFETIME_CLASSES)
        fprintf(page->out, "median at most %s", unit_duration(lifetime_class_ns(median)).text);
    else
        fprintf(page->out, "median over %s", unit_duration(lifetime_class_ns(median - 1)).text);
    fprintf(page->out, "; %s temporary\n",
            unit_percent(analysis->total.temporaries, analysis->total.allocations).text);
}

static const struct tally *kind_row(const struct analysis *analysis, unsigned memory)
{
    for (size_t i = 0; i < analysis->kinds.rows; i++)
        if (analysis->kinds.row[i].key == memory)
            return &analysis->kinds.row[i];
    return NULL;
}

static void leaks_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct tally *total = &analysis->total;
    const struct tally *pinned = kind_row(analysis, TRACE_MEMORY_PINNED);

    report_text_line(page, analysis->recording.running     ? "Live now"
                           : analysis_was_killed(analysis) ? "Live at end"
                                                           : "Leaks");
    if (total->leaked_blocks)
        fprintf(page->out, "%s%s in %s%s", report_text_colour(page, REPORT_RED),
                unit_bytes(total->leaked_bytes).text, unit_blocks(total->leaked_blocks).text,
                report_text_colour(page, REPORT_PLAIN));
    else
        fputs("none", page->out);
    if (pinned && pinned->leaked_blocks)
        fprintf(page->out, "; pinned host memory %s in %s", unit_bytes(pinned->leaked_bytes).text,
                unit_blocks(pinned->leaked_blocks).text);
    fputc('\n', page->out);
    report_text_line(page, "Invalid frees");
    if (total->invalid_frees)
        invalid_frees_print(page);
    else
        fputs("none\n", page->out);
}

/** The driver's own account, and why there is none. */
static void driver_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct driver_view *view = &analysis->driver_view;
    struct driver_step at_peak;
    struct tally *rows;
    char text[256];

    if (!view->state)
        return;
    if (driver_view_at(view, analysis->peak_time_ns, &at_peak)) {
        report_text_line(page, "Driver's view");
        fprintf(page->out, "%s%s at the peak, %s maximum; %s%s unaccounted%s\n",
                view->is_whole ? "" : "partial: ", unit_bytes(at_peak.total_bytes).text,
                unit_bytes(view->total_peak_bytes).text,
                view->unaccounted_peak_bytes ? report_text_colour(page, REPORT_YELLOW) : "",
                unit_bytes(view->unaccounted_peak_bytes).text,
                view->unaccounted_peak_bytes ? report_text_colour(page, REPORT_PLAIN) : "");
    }
    rows = report_rows_sorted(view->libraries);
    for (size_t i = 0; rows && i < view->libraries->rows; i++) {
        const char *library = (const char *)(uintptr_t)rows[i].key;

        report_text_line(page, i ? "" : "Unaccounted");
        escape_line(page->out, "up to %s in %s by %s", unit_bytes(rows[i].live_bytes.peak).text,
                    unit_nouns(rows[i].allocations, "allocation").text,
                    library ? frame_file_name(library) : "unknown code");
    }
    free(rows);
    for (size_t i = 0; i < view->pools; i++) {
        report_text_line(page, i ? "" : "Driver's pools");
        fprintf(page->out, "up to %s, with up to %s in use; device %u\n",
                unit_bytes(view->pool[i].peak_bytes).text,
                unit_bytes(view->pool[i].peak_used_bytes).text, view->pool[i].device);
    }
    driver_view_state_text(view, text, sizeof text);
    report_text_line(page, "CUPTI");
    escape_line(page->out, "%s", text);
}

/** Memory kinds other than plain device memory, with their peaks. */
static void kinds_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const char *separator = "";

    for (unsigned memory = 0; memory < MEMORY_KINDS; memory++) {
        const struct tally *row = memory == TRACE_MEMORY_DEVICE ? NULL : kind_row(analysis, memory);

        if (!row || !row->allocations)
            continue;
        if (!*separator)
            report_text_line(page, "Other peaks");
        fprintf(page->out, "%s%s %s", separator, memory_kind(memory)->name,
                unit_bytes(row->live_bytes.peak).text);
        separator = ", ";
    }
    if (*separator)
        fputc('\n', page->out);
}

/** Modules without names because the files differ from those loaded. */
static void changed_print(const struct report_page *page)
{
    const struct tallies *sites = &page->analysis->sites;
    const char *shown = NULL;
    struct frame frame;

    for (size_t i = 0; i < sites->rows; i++) {
        if (!frames_location(page->analysis->reader, sites->row[i].key, &frame) || !frame.changed ||
            (shown && !strcmp(shown, frame.site.module)))
            continue;
        shown = frame.site.module;
        escape_line(page->out, "%s: module changed since recording; sites shown as offsets",
                    frame_file_name(shown));
    }
}

static int page_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct report_style *style = page->style;
    int error = 0;

    process_print(page);
    devices_print(page);
    report_text_backing(page);
    incomplete_print(page);
    report_text_window(page);
    headline_print(page);
    report_text_findings(page);
    if (analysis->total.allocations || analysis->total.failures) {
        peak_print(page);
        calls_print(page);
        lifetimes_print(page);
        report_text_postmortems(page);
    }
    leaks_print(page);
    report_text_memory_errors(page);
    kinds_print(page);
    driver_print(page);
    report_text_growth(page);
    if (style->by == REPORT_BY_PHASE)
        return report_text_phases(page, style->top ? style->top : PHASE_ROWS);
    error = report_text_phases(page, PHASES_BRIEF);
    if (error == 0 && analysis->total.allocations)
        error = report_text_breakdown(page, style->by, style->top ? style->top : DEFAULT_TOP);
    if (style->by == REPORT_BY_SITE)
        changed_print(page);
    if (error == 0 && analysis->total.allocations && style->by != REPORT_BY_SIZE)
        error = report_text_breakdown(page, REPORT_BY_SIZE, SIZE_ROWS);
    return error < 0 ? error : ferror(page->out) ? -EIO : 0;
}

int report_text(const struct analysis *analysis, const char *trace,
                const struct report_style *style, FILE *out)
{
    struct report_page page = {analysis, style, out, {0}};
    int error = callers_create(analysis, &page.callers);

    if (error < 0)
        return error;
    error = page_print(&page);
    callers_done(&page.callers);
    return error;
}
