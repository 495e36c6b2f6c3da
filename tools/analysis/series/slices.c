/* SPDX-License-Identifier: MIT */
#include "tools/analysis/series/slices.h"

#include <stdlib.h>
#include <string.h>

void slices_begin(struct slices *slices, uint64_t end_ns)
{
    *slices = (struct slices){
        .width_ns = end_ns / SLICES_MOST + 1, .count = SLICES_MOST, .serial = 1};
}

size_t slices_at(const struct slices *slices, uint64_t time_ns)
{
    uint64_t at = time_ns / slices->width_ns;

    return at < slices->count ? (size_t)at : slices->count - 1;
}

static uint32_t count_of(uint64_t count)
{
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/** NULL: out of memory. */
static struct slice_track *track_get(struct slices *slices, enum slice_table table, size_t row)
{
    size_t room = slices->tracks[table];
    struct slice_track *track = slices->track[table];

    if (row < room)
        return &track[row];
    room = room ? room : 64;
    while (room <= row)
        room *= 2;
    track = realloc(track, room * sizeof *track);
    if (!track) {
        slices->short_of_memory = true;
        return NULL;
    }
    memset(track + slices->tracks[table], 0, (room - slices->tracks[table]) * sizeof *track);
    slices->track[table] = track;
    slices->tracks[table] = room;
    return &track[row];
}

void slices_before(struct slices *slices, enum slice_table table, size_t row, uint64_t now_bytes)
{
    struct slice_track *track = track_get(slices, table, row);

    if (!track || track->serial == slices->serial)
        return;
    track->at_peak = now_bytes;
    track->serial = slices->serial;
}

void slices_after(struct slices *slices, enum slice_table table, size_t row, uint64_t now_bytes)
{
    struct slice_track *track = track_get(slices, table, row);

    if (track && now_bytes > track->peak)
        track->peak = now_bytes;
}

void slices_call(struct slices *slices, enum slice_table table, size_t row, uint64_t latency_ns)
{
    struct slice_track *track = track_get(slices, table, row);

    if (track && latency_ns > track->longest_ns)
        track->longest_ns = latency_ns;
}

static int compare_rows(const void *key, const void *entry)
{
    uint32_t row = *(const uint32_t *)key, other = ((const struct slice_entry *)entry)->row;

    return (row > other) - (row < other);
}

static struct slice_entry *entry_find(const struct slice_list *list, size_t row)
{
    uint32_t key = (uint32_t)row;

    return list->entries
               ? bsearch(&key, list->entry, list->entries, sizeof *list->entry, compare_rows)
               : NULL;
}

void slices_leak(struct slices *slices, enum slice_table table, size_t row, uint64_t time_ns,
                 uint64_t bytes)
{
    size_t at = slices_at(slices, time_ns);
    struct slice_track *track;
    struct slice_entry *entry;

    if (at < slices->open) {
        entry = entry_find(&slices->slice[at].table[table], row);
        if (entry) {
            entry->figures.leaked_bytes += bytes;
            entry->figures.leaked_blocks = count_of((uint64_t)entry->figures.leaked_blocks + 1);
        }
        return;
    }
    track = track_get(slices, table, row);
    if (track) {
        track->leaked_bytes += bytes;
        track->leaked_blocks++;
    }
}

bool slices_level(struct slices *slices, const struct timeline_point *now)
{
    struct slice *slice;

    if (slices->open == slices->count)
        return false;
    slice = &slices->slice[slices->open];
    if (now->driver_bytes > slice->driver_most)
        slice->driver_most = now->driver_bytes;
    if (now->requested_bytes <= slice->peak.requested_bytes)
        return false;
    slice->peak = *now;
    slices->serial++;
    return true;
}

void slices_skip(struct slices *slices, enum slice_table table, const struct tally *row,
                 size_t rows)
{
    for (size_t i = rows; i-- > 0;) {
        struct slice_track *track = track_get(slices, table, i);

        if (!track)
            return;
        *track = (struct slice_track){.peak = row[i].live_bytes.current,
                                      .allocations = row[i].allocations,
                                      .frees = row[i].frees,
                                      .failures = row[i].failures,
                                      .hits = row[i].hits,
                                      .requested_bytes = row[i].requested_bytes};
    }
}

/** Returns a row's figures of the open slice; its track begins anew. */
static struct slice_figures track_take(struct slice_track *track, const struct tally *row,
                                       uint64_t serial)
{
    const uint64_t now_bytes = row->live_bytes.current;
    const struct slice_figures figures = {
        .at_peak = track->serial == serial ? track->at_peak : now_bytes,
        .peak = track->peak,
        .allocations = count_of(row->allocations - track->allocations),
        .frees = count_of(row->frees - track->frees),
        .failures = count_of(row->failures - track->failures),
        .hits = count_of(row->hits - track->hits),
        .requested_bytes = row->requested_bytes - track->requested_bytes,
        .leaked_bytes = track->leaked_bytes,
        .leaked_blocks = count_of(track->leaked_blocks),
        .longest_ns = track->longest_ns};

    track->peak = now_bytes;
    track->longest_ns = 0;
    track->leaked_bytes = track->leaked_blocks = 0;
    track->allocations = row->allocations;
    track->frees = row->frees;
    track->failures = row->failures;
    track->hits = row->hits;
    track->requested_bytes = row->requested_bytes;
    return figures;
}

static bool is_empty(const struct slice_figures *figures)
{
    return !(figures->at_peak | figures->peak | figures->allocations | figures->frees |
             figures->failures | figures->leaked_blocks | figures->longest_ns);
}

void slices_take(struct slices *slices, enum slice_table table, const struct tally *row,
                 size_t rows)
{
    struct slice_list *list = &slices->slice[slices->open].table[table];
    size_t room = 0;

    if (!rows || !track_get(slices, table, rows - 1))
        return;
    for (size_t i = 0; i < rows; i++) {
        const struct slice_figures figures = track_take(&slices->track[table][i], &row[i],
                                                        slices->serial);

        if (is_empty(&figures))
            continue;
        if (list->entries == room) {
            struct slice_entry *larger;

            room = room ? 2 * room : 16;
            larger = realloc(list->entry, room * sizeof *larger);
            if (!larger) {
                slices->short_of_memory = true;
                return;
            }
            list->entry = larger;
        }
        list->entry[list->entries++] = (struct slice_entry){figures, (uint32_t)i};
    }
    if (list->entries) {
        struct slice_entry *exact = realloc(list->entry, list->entries * sizeof *exact);

        list->entry = exact ? exact : list->entry;
    }
    slices->entries += list->entries;
}

static struct slice_figures figures_join(const struct slice_figures *a,
                                         const struct slice_figures *b, bool later_peak)
{
    return (struct slice_figures){
        .at_peak = later_peak ? b->at_peak : a->at_peak,
        .peak = a->peak > b->peak ? a->peak : b->peak,
        .allocations = count_of((uint64_t)a->allocations + b->allocations),
        .frees = count_of((uint64_t)a->frees + b->frees),
        .failures = count_of((uint64_t)a->failures + b->failures),
        .hits = count_of((uint64_t)a->hits + b->hits),
        .requested_bytes = a->requested_bytes + b->requested_bytes,
        .leaked_bytes = a->leaked_bytes + b->leaked_bytes,
        .leaked_blocks = count_of((uint64_t)a->leaked_blocks + b->leaked_blocks),
        .longest_ns = a->longest_ns > b->longest_ns ? a->longest_ns : b->longest_ns};
}

/** Merges the rows of both lists, in order; consumes the lists. */
static struct slice_list lists_join(struct slices *slices, struct slice_list *a,
                                    struct slice_list *b, bool later_peak)
{
    static const struct slice_figures nothing = {0};
    struct slice_list joined = {
        .entry = malloc((a->entries + b->entries + 1) * sizeof *joined.entry)};
    size_t i = 0, j = 0;

    if (!joined.entry)
        slices->short_of_memory = true;
    while (joined.entry && (i < a->entries || j < b->entries)) {
        const struct slice_entry *left = i < a->entries ? &a->entry[i] : NULL;
        const struct slice_entry *right = j < b->entries ? &b->entry[j] : NULL;
        bool first = left && (!right || left->row <= right->row);
        bool second = right && (!left || right->row <= left->row);

        joined.entry[joined.entries++] = (struct slice_entry){
            figures_join(first ? &left->figures : &nothing, second ? &right->figures : &nothing,
                         later_peak),
            first ? left->row : right->row};
        i += first;
        j += second;
    }
    free(a->entry);
    free(b->entry);
    return joined;
}

static struct slice slice_join(struct slices *slices, struct slice *a, struct slice *b)
{
    bool later_peak = b->peak.requested_bytes > a->peak.requested_bytes;
    struct slice joined = later_peak ? *b : *a;

    free(later_peak ? a->run : b->run);
    joined.driver_most = a->driver_most > b->driver_most ? a->driver_most : b->driver_most;
    joined.calls_asked = a->calls_asked + b->calls_asked;
    joined.calls_driver = a->calls_driver + b->calls_driver;
    joined.invalid_frees = a->invalid_frees + b->invalid_frees;
    for (int table = 0; table < SLICE_TABLES; table++) {
        slices->entries -= a->table[table].entries + b->table[table].entries;
        joined.table[table] = lists_join(slices, &a->table[table], &b->table[table], later_peak);
        slices->entries += joined.table[table].entries;
    }
    return joined;
}

/** Halves the number of slices; an even number of them is closed. */
static void slices_halve(struct slices *slices)
{
    for (size_t i = 0; i < slices->open / 2; i++) {
        struct slice joined = slice_join(slices, &slices->slice[2 * i], &slices->slice[2 * i + 1]);

        slices->slice[2 * i] = slices->slice[2 * i + 1] = (struct slice){0};
        slices->slice[i] = joined;
    }
    slices->open /= 2;
    slices->count /= 2;
    slices->width_ns *= 2;
}

void slices_next(struct slices *slices, const struct timeline_point *now)
{
    slices->open++;
    while (slices->entries > SLICES_ENTRIES && slices->open % 2 == 0 &&
           slices->count > SLICES_LEAST)
        slices_halve(slices);
    if (slices->open == slices->count)
        return;
    slices->serial++;
    slices->slice[slices->open] = (struct slice){.peak = *now, .driver_most = now->driver_bytes};
}

struct slice_figures slices_get(const struct slices *slices, size_t slice, enum slice_table table,
                                size_t row)
{
    const struct slice_entry *entry = entry_find(&slices->slice[slice].table[table], row);

    return entry ? entry->figures : (struct slice_figures){0};
}

void slices_close(struct slices *slices)
{
    for (int table = 0; table < SLICE_TABLES; table++) {
        free(slices->track[table]);
        slices->track[table] = NULL;
        slices->tracks[table] = 0;
    }
}

void slices_done(struct slices *slices)
{
    for (size_t i = 0; i < SLICES_MOST; i++) {
        for (int table = 0; table < SLICE_TABLES; table++)
            free(slices->slice[i].table[table].entry);
        free(slices->slice[i].run);
    }
    slices_close(slices);
    *slices = (struct slices){0};
}
