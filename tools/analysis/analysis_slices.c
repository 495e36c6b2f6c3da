/* SPDX-License-Identifier: MIT */
/*
 * The run in slices of time, on request. An event of a later slice closes the slice, with the
 * figures of all rows and the address map at its peak.
 *
 * A map costs in proportion to the live blocks. MAP_WORK bounds the cost of all maps together,
 * spread over the run; a slice without a map says so.
 */
#include <errno.h>
#include <stdlib.h>

#include "cupti/format/trace_record.h"
#include "tools/analysis/analysis_parts.h"

#define MAP_WORK (16 * 1024 * 1024) /* blocks looked at for the maps of all slices */
#define MAP_RUNS 160                /* of a map: less wide neighbours are joined */

/** A map's runs as they are made. */
struct runs {
    struct slice *slice;
    struct slice_run run; /* under way; 0 bytes: none */
    uint64_t least_bytes, weight_bytes;
    size_t room;
    bool fine;
};

static void run_end(struct runs *runs)
{
    struct slice *slice = runs->slice;

    if (!runs->run.bytes || !runs->fine)
        return;
    if (slice->runs == runs->room) {
        struct slice_run *larger = realloc(slice->run, 2 * (runs->room + 16) * sizeof *larger);

        runs->fine = larger;
        if (!larger)
            return;
        slice->run = larger;
        runs->room = 2 * (runs->room + 16);
    }
    slice->run[slice->runs++] = runs->run;
    runs->run = (struct slice_run){0};
    runs->weight_bytes = 0;
}

/** Finds the site with more than half of a run, if there is one (a vote by bytes). */
static void run_vote(struct runs *runs, uint32_t site, uint64_t bytes)
{
    if (runs->run.site == site) {
        runs->weight_bytes += bytes;
    } else if (bytes > runs->weight_bytes) {
        runs->run.site = site;
        runs->weight_bytes = bytes - runs->weight_bytes;
    } else {
        runs->weight_bytes -= bytes;
    }
}

static void run_add(struct runs *runs, const struct slice_run *piece)
{
    if (piece->bytes >= runs->least_bytes || piece->begins)
        run_end(runs);
    if (!runs->run.bytes) {
        runs->run.address = piece->address;
        runs->run.begins = piece->begins;
        runs->run.gap = piece->gap;
    }
    runs->run.bytes += piece->bytes;
    runs->run.waste_bytes += piece->waste_bytes;
    runs->run.hole_bytes += piece->hole_bytes;
    runs->run.holes += piece->holes;
    runs->run.blocks += piece->blocks;
    if (piece->blocks)
        run_vote(runs, piece->site, piece->bytes);
    if (runs->run.bytes >= runs->least_bytes)
        run_end(runs);
}

static void extent_add(struct runs *runs, const struct address_map *map,
                       const struct address_extent *extent)
{
    const struct replay_block *block = map->block + extent->first;
    bool begins = extent->bytes >= runs->least_bytes;

    if (extent->gap_bytes) {
        run_end(runs);
        runs->run = (struct slice_run){.address = extent->address - extent->gap_bytes,
                                       .bytes = address_map_gap_width(map),
                                       .gap = true};
        run_end(runs);
    }
    for (size_t i = 0; i <= extent->blocks; i++) {
        uint64_t hole = address_hole_before(map, extent, i);

        if (hole)
            run_add(runs, &(struct slice_run){.address = i ? block[i - 1].address +
                                                                 block[i - 1].allocated_bytes
                                                           : extent->address,
                                              .bytes = hole,
                                              .hole_bytes = hole,
                                              .holes = 1,
                                              .begins = begins && !i});
        if (i < extent->blocks)
            run_add(runs, &(struct slice_run){.address = block[i].address,
                                              .bytes = block[i].allocated_bytes,
                                              .waste_bytes = block[i].allocated_bytes -
                                                             block[i].requested_bytes,
                                              .blocks = 1,
                                              .site = block[i].site,
                                              .begins = begins && !i && !hole});
    }
    if (begins)
        run_end(runs);
}

/** What lay where at the open slice's peak. */
static void map_take(struct analysis *analysis, struct slice *slice)
{
    struct slices *slices = analysis->slices;
    struct address_map map;
    struct runs runs = {.slice = slice, .fine = true};
    uint64_t cost = analysis->block_table.rows +
                    analysis->slice_addresses.gone[ADDRESS_AT_PEAK].count;

    if (analysis->map_work + cost > MAP_WORK / slices->count * (slices->open + 1))
        return;
    analysis->map_work += cost;
    if (address_map_create(&analysis->block_table, &analysis->slice_addresses, ADDRESS_AT_PEAK,
                           &map) < 0) {
        slices->short_of_memory = true;
        return;
    }
    address_map_gaps(&map, &analysis->defragmentation);
    runs.least_bytes = map.bytes / MAP_RUNS + 1;
    for (size_t i = 0; i < map.extents && runs.fine; i++)
        extent_add(&runs, &map, &map.extent[i]);
    run_end(&runs);
    slice->mapped = runs.fine;
    slices->short_of_memory |= !runs.fine;
    address_map_done(&map);
}

static const struct tallies *table_of(const struct analysis *analysis, enum slice_table table)
{
    const struct tallies *const all[SLICE_TABLES] = {
        [SLICE_SITES] = &analysis->sites, [SLICE_PATHS] = analysis_paths(analysis),
        [SLICE_SIZES] = &analysis->sizes, [SLICE_LIBRARIES] = &analysis->libraries,
        [SLICE_APIS] = &analysis->apis,   [SLICE_KINDS] = &analysis->kinds};

    return all[table];
}

/** Closes the open slice, and opens the next at `time_ns`. */
static void slice_close(struct analysis *analysis, uint64_t time_ns)
{
    struct slices *slices = analysis->slices;
    struct slice *slice = &slices->slice[slices->open];
    const struct timeline_point now = analysis_levels_now(analysis, time_ns);

    for (int table = 0; table < SLICE_TABLES; table++)
        if (table == SLICE_TOTAL)
            slices_take(slices, table, &analysis->total, 1);
        else
            slices_take(slices, table, table_of(analysis, table)->row,
                        table_of(analysis, table)->rows);
    slice->calls_asked = analysis->calls_asked - analysis->slice_asked;
    slice->calls_driver = analysis->calls_driver - analysis->slice_driver;
    slice->invalid_frees = analysis->total.invalid_frees - analysis->slice_invalid;
    analysis->slice_asked = analysis->calls_asked;
    analysis->slice_driver = analysis->calls_driver;
    analysis->slice_invalid = analysis->total.invalid_frees;
    map_take(analysis, slice);
    slices_next(slices, &now);
    address_history_peak(&analysis->slice_addresses, analysis->order);
}

static const enum slice_table slice_tables[REPLAY_ROWS] = {
    [REPLAY_TOTAL] = SLICE_TOTAL, [REPLAY_SITE] = SLICE_SITES,        [REPLAY_STACK] = SLICE_PATHS,
    [REPLAY_SIZE] = SLICE_SIZES,  [REPLAY_LIBRARY] = SLICE_LIBRARIES, [REPLAY_API] = SLICE_APIS,
    [REPLAY_PATH] = SLICE_PATHS,  [REPLAY_KIND] = SLICE_KINDS};

/** Returns the number of a row in its table. False: slices do not include the table. */
static bool row_find(const struct analysis *analysis, enum replay_row row,
                     const struct tally *tally, size_t *ret_number)
{
    const struct tally *const first[REPLAY_ROWS] = {
        [REPLAY_TOTAL] = &analysis->total,
        [REPLAY_SITE] = analysis->sites.row,
        [REPLAY_STACK] = analysis->has_paths ? NULL : analysis->stacks.row,
        [REPLAY_SIZE] = analysis->sizes.row,
        [REPLAY_LIBRARY] = analysis->libraries.row,
        [REPLAY_API] = analysis->apis.row,
        [REPLAY_PATH] = analysis->paths.row,
        [REPLAY_KIND] = analysis->kinds.row};

    if (!first[row])
        return false;
    *ret_number = (size_t)(tally - first[row]);
    return true;
}

static void row_note(void *context, enum replay_row row, const struct tally *tally, bool done)
{
    struct analysis *analysis = context;
    size_t number;

    if (row_find(analysis, row, tally, &number))
        (done ? slices_after : slices_before)(analysis->slices, slice_tables[row], number,
                                              tally->live_bytes.current);
}

static void call_note(void *context, enum replay_row row, const struct tally *tally,
                      const struct trace_record *record)
{
    struct analysis *analysis = context;
    size_t number;

    if (row_find(analysis, row, tally, &number))
        slices_call(analysis->slices, slice_tables[row], number, trace_latency_ns(record->latency));
}

static void leak_note(void *context, enum replay_row row, const struct tally *tally,
                      const struct replay_block *block)
{
    struct analysis *analysis = context;
    size_t number;

    if (row_find(analysis, row, tally, &number))
        slices_leak(analysis->slices, slice_tables[row], number, block->time_ns,
                    block->requested_bytes);
}

static void leave_note(void *context, const struct replay_block *block)
{
    struct analysis *analysis = context;

    address_history_leave(&analysis->slice_addresses, block, false);
    analysis->slices->short_of_memory |= analysis->slice_addresses.short_of_memory;
}

int analysis_slices_begin(struct analysis *analysis)
{
    uint64_t end_ns = analysis->recording.last_ns;

    if (analysis->window.is_set)
        return 0;
    analysis->slices = malloc(sizeof *analysis->slices);
    if (!analysis->slices)
        return -ENOMEM;
    slices_begin(analysis->slices, end_ns > analysis->duration_ns ? end_ns : analysis->duration_ns);
    slices_skip(analysis->slices, SLICE_TOTAL, &analysis->total, 1);
    for (int table = SLICE_TOTAL + 1; table < SLICE_TABLES; table++)
        slices_skip(analysis->slices, table, table_of(analysis, table)->row,
                    table_of(analysis, table)->rows);
    analysis->slices->slice[0].peak = analysis_levels_now(analysis, 0);
    analysis->slices->slice[0].driver_most = analysis->driver.current;
    analysis->slice_asked = analysis->calls_asked;
    analysis->slice_driver = analysis->calls_driver;
    analysis->slice_invalid = analysis->total.invalid_frees;
    address_history_peak(&analysis->slice_addresses, analysis->order);
    analysis->watch.row = row_note;
    analysis->watch.call = call_note;
    analysis->watch.leak = leak_note;
    analysis->watch.leave = leave_note;
    return 0;
}

void analysis_slices_time(struct analysis *analysis, uint64_t time_ns)
{
    struct slices *slices = analysis->slices;

    while (slices->open < slices_at(slices, time_ns))
        slice_close(analysis, (slices->open + 1) * slices->width_ns);
}

void analysis_slices_level(struct analysis *analysis, const struct timeline_point *now)
{
    if (slices_level(analysis->slices, now))
        address_history_peak(&analysis->slice_addresses, analysis->order);
}

int analysis_slices_finish(struct analysis *analysis)
{
    struct slices *slices = analysis->slices;

    while (slices->open < slices->count)
        slice_close(analysis, (slices->open + 1) * slices->width_ns);
    address_history_done(&analysis->slice_addresses);
    slices_close(slices);
    return slices->short_of_memory ? -ENOMEM : 0;
}
