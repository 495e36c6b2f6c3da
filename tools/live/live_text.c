/* SPDX-License-Identifier: MIT */
/*
 * Output of `cupool top`: one process with bars for its levels, their history and its sites, or a
 * table of processes. All of it is cut to the requested width.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "tools/base/text_fit.h"
#include "tools/base/text_table.h"
#include "tools/base/units.h"
#include "tools/live/live_processes.h"

#define BAR_MOST     40
#define BAR_LEAST    10
#define BAR_BESIDE   56 /* columns beside a bar */
#define SPARK_BESIDE 16
#define RATE_MOST    1e12 /* a second; more is damage */

const char *const live_sort_name[LIVE_SORTS] = {
    [LIVE_SORT_BYTES] = "bytes",
    [LIVE_SORT_PEAK] = "peak",
    [LIVE_SORT_ALLOCATIONS] = "allocations",
    [LIVE_SORT_NAME] = "name",
};

/** Between two readings of a page; the counts are per second of that time. */
struct rates {
    double allocations, driver_calls;
    bool known;
};

/** 0 if a total became smaller: a context has ended, and its statistics with it. */
static double growth_of(const struct live_page *now, const struct live_page *before,
                        const char *figure)
{
    uint64_t to = live_sum(now, figure).current, from = live_sum(before, figure).current;

    return to > from ? (double)(to - from) : 0;
}

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
    rates.allocations = growth_of(now, before, "allocations") / seconds;
    rates.driver_calls = growth_of(now, before, "driver_calls") / seconds;
    return rates;
}

static uint64_t age_ns(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

/** 0: there is no room for bars. */
static unsigned bar_width(const struct live_view *view)
{
    unsigned width = view->columns < BAR_BESIDE + BAR_LEAST ? 0 : view->columns - BAR_BESIDE;

    return width < BAR_MOST ? width : BAR_MOST;
}

static void bar_print(uint64_t part, uint64_t whole, unsigned width, FILE *out)
{
    double share = whole ? (double)part / (double)whole : 0;
    unsigned filled = share < 1 ? (unsigned)(share * width + 0.5) : width;

    if (!width)
        return;
    fputs("  [", out);
    for (unsigned i = 0; i < width; i++)
        fputc(i < filled ? '#' : '.', out);
    fputc(']', out);
}

/** `bound`: the peak is a sum of peaks that may have been at different times. */
static void level_print(const char *title, struct live_value value, bool bound, uint64_t whole,
                        const struct live_view *view, FILE *out)
{
    fprintf(out, "  %-12s %10s", title, unit_bytes(value.current).text);
    bar_print(value.current, whole, bar_width(view), out);
    fprintf(out, "  peak %s%s\n", bound ? "at most " : "", unit_bytes(value.peak).text);
}

static void levels_print(const struct live_page *page, const struct live_view *view, FILE *out)
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
        level_print(levels[i].title, live_sum(page, levels[i].figure), page->contexts > 1, whole,
                    view, out);
}

static void devices_print(const struct live_page *page, const struct live_view *view, FILE *out)
{
    for (unsigned i = 0; i < page->devices; i++) {
        const struct live_device *device = &page->device[i];
        uint64_t used = device->used_bytes;
        char title[24];

        snprintf(title, sizeof title, "device %u", device->number);
        fprintf(out, "  %-12s %10s", title, unit_bytes(used).text);
        bar_print(used, device->total_bytes, bar_width(view), out);
        fprintf(out, "  %s of %s\n", unit_percent(used, device->total_bytes).text,
                unit_bytes(device->total_bytes).text);
    }
}

void live_history_add(struct live_history *history, uint64_t level, uint64_t time_ns)
{
    size_t at = history->readings++ % LIVE_HISTORY;

    history->level[at] = level;
    history->time_ns[at] = time_ns;
}

/** A line of the levels at the last readings, the highest of them as high as a character. */
static void history_print(const struct live_history *history, uint64_t now_ns,
                          const struct live_view *view, FILE *out)
{
    static const char *const blocks[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const letters[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
    const char *const *ramp = view->plain ? letters : blocks;
    size_t room = view->columns > SPARK_BESIDE + BAR_LEAST ? view->columns - SPARK_BESIDE
                                                           : BAR_LEAST;
    size_t count = history->readings < LIVE_HISTORY ? history->readings : LIVE_HISTORY, first;
    uint64_t highest = 0;

    count = count < room ? count : room;
    first = history->readings - count;
    if (count < 2)
        return;
    for (size_t i = first; i < history->readings; i++)
        if (history->level[i % LIVE_HISTORY] > highest)
            highest = history->level[i % LIVE_HISTORY];
    fputs("  history      ", out);
    for (size_t i = first; i < history->readings; i++) {
        uint64_t level = history->level[i % LIVE_HISTORY];
        unsigned step = highest ? (unsigned)((double)level / (double)highest * 8 + 0.5) : 0;

        fputs(ramp[level && !step ? 1 : step], out);
    }
    fprintf(out, "\n               the last %s, maximum %s\n",
            unit_duration(age_ns(now_ns, history->time_ns[first % LIVE_HISTORY])).text,
            unit_bytes(highest).text);
}

static int sites_compare(const void *a, const void *b, void *context)
{
    const struct live_site *left = a, *right = b;
    const uint64_t keys[LIVE_SORTS][2] = {
        [LIVE_SORT_BYTES] = {left->bytes, right->bytes},
        [LIVE_SORT_PEAK] = {left->peak_bytes, right->peak_bytes},
        [LIVE_SORT_ALLOCATIONS] = {left->allocations, right->allocations},
    };
    const uint64_t *key = keys[*(const enum live_sort *)context];

    return key[0] != key[1] ? (key[0] < key[1] ? 1 : -1) : strcmp(left->name, right->name);
}

static void sites_print(const struct live_sites *sites, const struct live_view *view, FILE *out)
{
    static const struct text_column columns[] = {{"SITE", false, true, 0},
                                                 {"NOW", true, false, 0},
                                                 {"PEAK", true, false, 2},
                                                 {"BLOCKS", true, false, 3},
                                                 {"ALLOCATIONS", true, false, 1}};
    struct text_table *table = sites->rows ? text_table_create(columns, 5, view->columns) : NULL;
    size_t rows = view->sites_most && view->sites_most < sites->rows ? view->sites_most
                                                                     : sites->rows;
    enum live_sort sort = view->sort;
    int error = table ? 0 : -1;

    fputc('\n', out);
    if (table)
        qsort_r(sites->row, sites->rows, sizeof *sites->row, sites_compare, &sort);
    for (size_t i = 0; i < rows && error == 0; i++) {
        const struct live_site *site = &sites->row[i];
        struct unit_text now = unit_bytes(site->bytes), peak = unit_bytes(site->peak_bytes);
        struct unit_text blocks = unit_count(site->blocks), count = unit_count(site->allocations);
        const char *cells[] = {site->name, now.text, peak.text, blocks.text, count.text};

        error = text_table_add(table, cells);
    }
    escape_line(out, "%s", sites->state);
    if (table)
        text_table_finish(table, out);
}

static void passed_print(const struct live_page *page, FILE *out)
{
    const char *separator = "  outside the pool: ";

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

    fprintf(out, "  %s, %s served without the driver; %s live\n",
            unit_nouns(allocations, "allocation").text,
            unit_percent(live_sum(page, "hits").current, allocations).text,
            unit_blocks(live_sum(page, "live_blocks").current).text);
    if (rates.known)
        fprintf(out, "  %.0f allocations/s, %.1f driver calls/s\n", rates.allocations,
                rates.driver_calls);
    if (live_sum(page, "failures").current || live_sum(page, "invalid_frees").current)
        fprintf(out, "  failed allocations: %s; invalid frees: %s\n",
                unit_count(live_sum(page, "failures").current).text,
                unit_count(live_sum(page, "invalid_frees").current).text);
}

static void process_print(const struct live_page *page, struct rates rates, uint64_t now_ns,
                          const struct live_view *view, FILE *out)
{
    fprintf(out, "%u  ", page->pid);
    escape_print(out, ESCAPE_LINE, page->command);
    fprintf(out, "\n%s for %s, updated %s ago\n\n", page->pooled ? "pooled" : "observed",
            unit_duration(age_ns(now_ns, page->start_realtime_ns)).text,
            unit_duration(age_ns(now_ns, page->update_realtime_ns)).text);
    devices_print(page, view, out);
    if (page->contexts)
        levels_print(page, view, out);
    else
        level_print("requested", page->requested, false, page->requested.peak, view, out);
    if (view->history)
        history_print(view->history, now_ns, view, out);
    if (page->contexts)
        served_print(page, rates, out);
    passed_print(page, out);
    if (view->sites)
        sites_print(view->sites, view, out);
}

/** What a row of the table is sorted by. */
struct order_key {
    uint64_t key;
    const struct live_page *page;
};

static int order_compare(const void *a, const void *b)
{
    const struct order_key *left = a, *right = b;

    if (left->key != right->key)
        return left->key < right->key ? 1 : -1;
    return left->page < right->page ? -1 : left->page > right->page;
}

void live_order(const struct live_processes *now, const struct live_processes *before,
                enum live_sort sort, const struct live_page **ret_order)
{
    struct order_key *keys = calloc(now->count ? now->count : 1, sizeof *keys);

    for (size_t i = 0; i < now->count; i++) {
        const struct live_page *page = &now->page[i];
        struct rates rates = rates_of(page, live_processes_find(before, page));
        struct order_key key = {.page = page};

        switch (sort) {
        case LIVE_SORT_BYTES: key.key = page->requested.current; break;
        case LIVE_SORT_PEAK: key.key = page->requested.peak; break;
        case LIVE_SORT_ALLOCATIONS:
            key.key = rates.known && rates.allocations < RATE_MOST
                          ? (uint64_t)(1000 * rates.allocations)
                          : 0;
            break;
        default: break; /* by pid, as they are */
        }
        ret_order[i] = page;
        if (keys)
            keys[i] = key;
    }
    if (!keys)
        return;
    qsort(keys, now->count, sizeof *keys, order_compare);
    for (size_t i = 0; i < now->count; i++)
        ret_order[i] = keys[i].page;
    free(keys);
}

static struct unit_text share_of_devices(const struct live_page *page)
{
    uint64_t used = 0, whole = 0;

    for (unsigned i = 0; i < page->devices; i++) {
        used += page->device[i].used_bytes;
        whole += page->device[i].total_bytes;
    }
    return unit_percent(used, whole);
}

static int table_row_add(struct text_table *table, const struct live_processes *now,
                         const struct live_page *page, struct rates rates, bool marked)
{
    struct unit_text level = unit_bytes(page->requested.current);
    struct unit_text peak = unit_bytes(page->requested.peak);
    struct unit_text reserved = unit_bytes(live_sum(page, "reserved_bytes").current);
    struct unit_text hits = unit_percent(live_sum(page, "hits").current,
                                         live_sum(page, "allocations").current);
    struct unit_text share = share_of_devices(page);
    char rate[24] = "-", pid[LIVE_PID_BYTES], first[LIVE_PID_BYTES + 4];
    const char *cells[] = {first,      level.text, peak.text, reserved.text,
                           share.text, rate,       hits.text, page->command};

    if (rates.known)
        snprintf(rate, sizeof rate, "%.0f", rates.allocations);
    live_pid_text(now, page, pid);
    snprintf(first, sizeof first, "%s%s", marked ? "> " : "", pid);
    return text_table_add(table, cells);
}

static void table_print(const struct live_processes *now, const struct live_processes *before,
                        const struct live_view *view, FILE *out)
{
    static const struct text_column columns[] = {
        {"PID", true, false, 0},      {"REQUESTED", true, false, 0}, {"PEAK", true, false, 2},
        {"RESERVED", true, false, 4}, {"DEVICE", true, false, 1},    {"ALLOC/S", true, false, 3},
        {"HITS", true, false, 5},     {"COMMAND", false, true, 0}};
    struct text_table *table = text_table_create(columns, 8, view->columns);
    const struct live_page **order = calloc(now->count + 1, sizeof(void *));
    int error = table && order ? 0 : -1;

    if (order)
        live_order(now, before, view->sort, order);
    for (size_t i = 0; i < now->count && error == 0; i++)
        error = table_row_add(table, now, order[i],
                              rates_of(order[i], live_processes_find(before, order[i])),
                              order[i] == view->marked);
    text_table_finish(table, out);
    free(order);
}

/** Signs that a terminal without UTF-8 has. */
static void plain_make(char *text)
{
    char *to = text;

    for (const char *from = text; *from;) {
        uint32_t sign;
        size_t bytes = escape_next(from, &sign);

        *to++ = sign < 0x80 ? (char)sign : sign == 0x2026 ? '~' : '?';
        from += bytes ? bytes : 1;
    }
    *to = '\0';
}

void live_text_print(const struct live_processes *now, const struct live_processes *before,
                     uint64_t now_realtime_ns, const struct live_view *view, FILE *out)
{
    char *text = NULL, *cut = NULL;
    size_t bytes;
    FILE *draft = open_memstream(&text, &bytes), *fitted;

    if (!draft)
        return;
    if (now->count == 1)
        process_print(now->page, rates_of(now->page, live_processes_find(before, now->page)),
                      now_realtime_ns, view, draft);
    else
        table_print(now, before, view, draft);
    fclose(draft);
    fitted = text ? open_memstream(&cut, &bytes) : NULL;
    if (fitted) {
        text_fit_cut(fitted, text, view->columns, view->lines ? view->lines : SIZE_MAX);
        fclose(fitted);
        if (cut && view->plain)
            plain_make(cut);
        fputs(cut ? cut : "", out);
    }
    free(cut);
    free(text);
}
