/* SPDX-License-Identifier: MIT */
/*
 * The screen of `cupool top`: one process with bars for its levels, or a table of processes.
 */
#include <string.h>

#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "tools/live/live.h"
#include "tools/base/units.h"

#define BAR_MOST  40
#define BAR_LEAST 10

/** Between two readings of a page; the counts are per second of that time. */
struct rates {
    double allocations, driver_calls;
    bool known;
};

static struct rates rates_of(const struct live_page *now, const struct live_page *before)
{
    struct rates rates = {0};
    double seconds;

    if (!before || before->start_realtime_ns != now->start_realtime_ns ||
        before->update_realtime_ns > now->update_realtime_ns)
        return rates;
    rates.known = true;
    if (before->update_realtime_ns == now->update_realtime_ns)
        return rates; /* nothing happened */
    seconds = (double)(now->update_realtime_ns - before->update_realtime_ns) / 1e9;
    rates.allocations = (double)(live_sum(now, "allocations").current -
                                 live_sum(before, "allocations").current) /
                        seconds;
    rates.driver_calls = (double)(live_sum(now, "driver_calls").current -
                                  live_sum(before, "driver_calls").current) /
                         seconds;
    return rates;
}

static uint64_t age_ns(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

static void bar_print(uint64_t part, uint64_t whole, unsigned width, FILE *out)
{
    unsigned filled = whole ? (unsigned)((double)part / (double)whole * width + 0.5) : 0;

    fputc('[', out);
    for (unsigned i = 0; i < width; i++)
        fputc(i < filled ? '#' : '.', out);
    fputc(']', out);
}

static void level_print(const char *title, struct live_value value, uint64_t whole, unsigned width,
                        FILE *out)
{
    unsigned bar = width < 60 + BAR_LEAST ? BAR_LEAST : width - 60;

    fprintf(out, "  %-12s %10s  ", title, unit_bytes(value.current).text);
    bar_print(value.current, whole, bar < BAR_MOST ? bar : BAR_MOST, out);
    fprintf(out, "  peak %s\n", unit_bytes(value.peak).text);
}

static void levels_print(const struct live_page *page, unsigned width, FILE *out)
{
    static const struct {
        const char *title, *figure;
    } levels[] = {{"requested", "live_requested_bytes"},
                  {"allocated", "live_allocated_bytes"},
                  {"quarantined", "quarantined_bytes"},
                  {"cached", "cached_bytes"},
                  {"reserved", "reserved_bytes"}};
    uint64_t whole = live_sum(page, "reserved_bytes").peak;

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        level_print(levels[i].title, live_sum(page, levels[i].figure), whole, width, out);
}

static void passed_print(const struct live_page *page, FILE *out)
{
    const char *separator = "  past the pool: ";

    for (unsigned i = 0; i < LIVE_KINDS_MAX; i++) {
        const struct memory_kind *kind = memory_kind(i);
        if (!kind || !page->kind[i].blocks)
            continue;
        fprintf(out, "%s%s %s in %s", separator, kind->name, unit_bytes(page->kind[i].bytes).text,
                unit_blocks(page->kind[i].blocks).text);
        separator = ", ";
    }
    if (*separator == ',')
        fputc('\n', out);
}

static void served_print(const struct live_page *page, struct rates rates, FILE *out)
{
    uint64_t allocations = live_sum(page, "allocations").current;

    fprintf(out, "  %s allocations, %s served without the driver; %s live\n",
            unit_count(allocations).text,
            unit_percent(live_sum(page, "hits").current, allocations).text,
            unit_blocks(live_sum(page, "live_blocks").current).text);
    if (rates.known)
        fprintf(out, "  %.0f allocations/s, %.1f driver calls/s\n", rates.allocations,
                rates.driver_calls);
    if (live_sum(page, "failures").current || live_sum(page, "invalid_frees").current)
        fprintf(out, "  %s allocations failed, %s frees were invalid\n",
                unit_count(live_sum(page, "failures").current).text,
                unit_count(live_sum(page, "invalid_frees").current).text);
}

static void process_print(const struct live_page *page, struct rates rates, uint64_t now,
                          unsigned width, FILE *out)
{
    fprintf(out, "%u  ", page->pid);
    escape_print(out, ESCAPE_LINE, page->command);
    fprintf(out, "\n%s for %s, figures from %s ago\n\n", page->pooled ? "pooled" : "observed",
            unit_duration(age_ns(now, page->start_realtime_ns)).text,
            unit_duration(age_ns(now, page->update_realtime_ns)).text);
    if (page->contexts) {
        levels_print(page, width, out);
        fputc('\n', out);
        served_print(page, rates, out);
    }
    passed_print(page, out);
}

static void table_print(const struct live_processes *now, const struct live_processes *before,
                        FILE *out)
{
    fprintf(out, "%8s  %10s  %10s  %10s  %9s  %7s  %s\n", "PID", "REQUESTED", "PEAK", "RESERVED",
            "ALLOC/S", "HITS", "COMMAND");
    for (size_t i = 0; i < now->count; i++) {
        const struct live_page *page = &now->page[i];
        struct live_value requested = live_sum(page, "live_requested_bytes");
        struct rates rates = rates_of(page, live_processes_find(before, page));
        char rate[16] = "-", pid[LIVE_PID_BYTES];

        live_pid_text(now, page, pid);
        if (rates.known)
            snprintf(rate, sizeof rate, "%.0f", rates.allocations);
        fprintf(out, "%8s  %10s  %10s  %10s  %9s  %7s  ", pid, unit_bytes(requested.current).text,
                unit_bytes(requested.peak).text,
                unit_bytes(live_sum(page, "reserved_bytes").current).text, rate,
                unit_percent(live_sum(page, "hits").current, live_sum(page, "allocations").current)
                    .text);
        escape_print(out, ESCAPE_LINE, page->command);
        fputc('\n', out);
    }
}

void live_text_print(const struct live_processes *now, const struct live_processes *before,
                     uint64_t now_realtime_ns, unsigned width, FILE *out)
{
    if (now->count == 1)
        process_print(now->page, rates_of(now->page, live_processes_find(before, now->page)),
                      now_realtime_ns, width, out);
    else
        table_print(now, before, out);
}
