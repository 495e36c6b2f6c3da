/* SPDX-License-Identifier: MIT */
/*
 * What allocations, frees and segments do to the levels, the ledger and the tallies.
 *
 * The trace is not trusted and may be incomplete, so nothing here relies on pairs: a free of an
 * unknown address is counted, an allocation at a live address replaces the block there, and levels
 * never go below zero.
 */
#include <errno.h>
#include <string.h>

#include "tools/analysis/analysis_parts.h"

#define CTYPES_DEPTH 16 /* frames between a function and who called ctypes */

uint64_t analysis_size_class_bytes(uint64_t key)
{
    return UINT64_C(1) << key;
}

struct timeline_point analysis_levels_now(const struct analysis *analysis, uint64_t time_ns)
{
    return (struct timeline_point){.time_ns = time_ns,
                                   .requested_bytes = analysis->requested.current,
                                   .allocated_bytes = analysis->allocated.current,
                                   .reserved_bytes = analysis->reserved.current,
                                   .driver_bytes = analysis->driver.current,
                                   .allocations = analysis->total.allocations,
                                   .frees = analysis->total.frees,
                                   .driver_calls = analysis->calls_driver};
}

/** Changes all levels at once; a new highest requested begins a new peak. */
static void levels_add(struct analysis *analysis, const struct timeline_point *change, int sign,
                       uint64_t time_ns)
{
    uint64_t serial = analysis->peak_serial, highest = analysis->requested.peak;
    void (*const add)(struct level *, int64_t, uint64_t) = analysis->outside ? level_move
                                                                             : level_add;
    struct timeline_point now;

    /* A free is recorded after what it set off, and took effect before it. */
    if (time_ns < analysis->levels_ns)
        time_ns = analysis->levels_ns;
    analysis->levels_ns = time_ns;
    add(&analysis->requested, sign * (int64_t)change->requested_bytes, serial);
    add(&analysis->allocated, sign * (int64_t)change->allocated_bytes, serial);
    add(&analysis->reserved, sign * (int64_t)change->reserved_bytes, serial);
    add(&analysis->driver, sign * (int64_t)change->driver_bytes, serial);
    if (analysis->outside)
        return;
    if (analysis->requested.peak > highest) {
        analysis->peak_serial++;
        analysis->peak_time_ns = time_ns;
        address_history_peak(&analysis->addresses, analysis->order);
    }
    now = analysis_levels_now(analysis, time_ns);
    timeline_add(&analysis->timeline, &now);
    if (analysis->slices)
        analysis_slices_level(analysis, &now);
    if (change->requested_bytes)
        plateau_series_add(&analysis->plateau_series, &now);
    analysis_phases_level(analysis, now.requested_bytes);
}

/** What a device gave (+1) or got back (-1), which its own account of what is free shows too. */
void analysis_device_add(struct analysis *analysis, const struct ledger_block *block, int sign)
{
    if (block->device < ANALYSIS_DEVICES)
        analysis->device_bytes[block->device] += (uint64_t)sign * block->allocated_bytes;
}

bool analysis_block_is_given(const struct ledger_block *block)
{
    return block->space == LEDGER_SEGMENT ||
           (block->passed && memory_kind(block->memory)->takes_device);
}

/** The rows an allocation belongs to. */
enum { ROW_TOTAL, ROW_SITE, ROW_STACK, ROW_SIZE, ROW_LIBRARY, ROW_API, ROW_PATH, ROW_KIND, ROWS };

/** What Python's ctypes calls through; whoever called ctypes is who called the function. */
static bool is_of_ctypes(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return !strncmp(name, "libffi", 6) || !strncmp(name, "_ctypes", 7);
}

uint64_t analysis_library_of(const struct analysis *analysis, uint64_t site)
{
    struct trace_site place;
    uint64_t innermost;

    /* Modules are told apart by their path, which is interned: its address is its identity. */
    if (trace_reader_site(analysis->reader, site, &place) < 0 || !place.module)
        return 0;
    innermost = (uint64_t)(uintptr_t)place.module;
    if (!is_of_ctypes(place.module))
        return innermost;
    for (int i = 0; i < CTYPES_DEPTH; i++) {
        if (trace_reader_site(analysis->reader, place.caller, &place) < 0 || !place.module)
            break;
        if (!is_of_ctypes(place.module))
            return (uint64_t)(uintptr_t)place.module;
    }
    return innermost;
}

/** Rows of a block; those that do not apply are NULL. Only device memory is broken down. */
static int rows_get(struct analysis *analysis, const struct ledger_block *block,
                    struct tally *ret_rows[ROWS])
{
    bool on_device = memory_kind(block->memory)->on_device;
    size_t stacks = analysis->stacks.rows;

    for (int i = 0; i < ROWS; i++)
        ret_rows[i] = NULL;
    ret_rows[ROW_KIND] = tallies_get(&analysis->kinds, block->memory);
    if (on_device) {
        ret_rows[ROW_TOTAL] = &analysis->total;
        ret_rows[ROW_SITE] = tallies_get(&analysis->sites, block->site);
        ret_rows[ROW_STACK] = tallies_get(&analysis->stacks, block->stack);
        ret_rows[ROW_SIZE] = tallies_get(&analysis->sizes,
                                         tally_size_class(block->requested_bytes));
        ret_rows[ROW_LIBRARY] = tallies_get(&analysis->libraries,
                                            analysis_library_of(analysis, block->stack));
        ret_rows[ROW_API] = tallies_get(&analysis->apis, block->api);
        if (analysis->has_paths)
            ret_rows[ROW_PATH] = tallies_get(&analysis->paths,
                                             analysis_path_key(block->stack, block->thread));
        if (analysis->stacks.rows > stacks &&
            key_index_get(&analysis->site_of_stack, block->stack, block->site) == KEY_INDEX_NONE)
            return -ENOMEM;
    }
    for (int i = 0; i < ROWS; i++)
        if (!ret_rows[i] && (on_device || i == ROW_KIND) && (i != ROW_PATH || analysis->has_paths))
            return -ENOMEM;
    return 0;
}

static const enum slice_table slice_tables[ROWS] = {
    [ROW_TOTAL] = SLICE_TOTAL, [ROW_SITE] = SLICE_SITES,        [ROW_STACK] = SLICE_PATHS,
    [ROW_SIZE] = SLICE_SIZES,  [ROW_LIBRARY] = SLICE_LIBRARIES, [ROW_API] = SLICE_APIS,
    [ROW_PATH] = SLICE_PATHS,  [ROW_KIND] = SLICE_KINDS};

/** The number of a row in its table. False: slices do not have the table. */
static bool slice_row_find(const struct analysis *analysis, int i, const struct tally *row,
                           size_t *ret_number)
{
    const struct tally *const first[ROWS] = {
        [ROW_TOTAL] = &analysis->total,
        [ROW_SITE] = analysis->sites.row,
        [ROW_STACK] = analysis->has_paths ? NULL : analysis->stacks.row,
        [ROW_SIZE] = analysis->sizes.row,
        [ROW_LIBRARY] = analysis->libraries.row,
        [ROW_API] = analysis->apis.row,
        [ROW_PATH] = analysis->paths.row,
        [ROW_KIND] = analysis->kinds.row};

    if (!first[i])
        return false;
    *ret_number = (size_t)(row - first[i]);
    return true;
}

static void row_live(struct tally *row, const struct ledger_block *block, int sign, uint64_t serial,
                     bool outside)
{
    void (*const add)(struct level *, int64_t, uint64_t) = outside ? level_move : level_add;

    add(&row->live_bytes, sign * (int64_t)block->requested_bytes, serial);
    add(&row->live_blocks, sign, serial);
}

/** The row of `i` is about to change, or has changed, in the open slice. */
static void slice_row(struct analysis *analysis, int i, const struct tally *row,
                      void (*note)(struct slices *, enum slice_table, size_t, uint64_t))
{
    size_t number;

    if (analysis->slices && slice_row_find(analysis, i, row, &number))
        note(analysis->slices, slice_tables[i], number, row->live_bytes.current);
}

static void slice_leak(struct analysis *analysis, int i, const struct tally *row,
                       const struct ledger_block *block)
{
    size_t number;

    if (analysis->slices && slice_row_find(analysis, i, row, &number))
        slices_leak(analysis->slices, slice_tables[i], number, block->time_ns,
                    block->requested_bytes);
}

/** A call of the row of `i`. */
static void slice_call(struct analysis *analysis, int i, const struct tally *row,
                       const struct trace_record *record)
{
    size_t number;

    if (analysis->slices && slice_row_find(analysis, i, row, &number))
        slices_call(analysis->slices, slice_tables[i], number, trace_latency_ns(record->latency));
}

/**
 * The program's end begins with the first free after its last allocation; a pause after it, while
 * most is still there, says that it had not begun.
 */
static void teardown_note(struct analysis *analysis, int sign, uint64_t time_ns)
{
    const uint64_t now_bytes = analysis->requested.current;
    bool paused = time_ns - analysis->teardown.last_ns > GROWTH_REST_NS;

    if (sign > 0) {
        analysis->teardown.begin_ns = 0;
        analysis->teardown.bytes = now_bytes;
    } else if (!analysis->teardown.begin_ns ||
               (paused && 2 * now_bytes > analysis->teardown.bytes)) {
        analysis->teardown.begin_ns = time_ns;
        analysis->teardown.frees = analysis->total.frees;
    }
    analysis->teardown.last_ns = time_ns;
}

/** Notes what a site has now, and where it grows by copying. */
static int site_note(struct analysis *analysis, const struct tally *site,
                     const struct ledger_block *block, int sign, uint64_t time_ns)
{
    const struct growth_note note = {.time_ns = time_ns,
                                     .order = analysis->order,
                                     .step = analysis->steps.count,
                                     .blocks = site->live_blocks.current,
                                     .bytes = site->live_bytes.current};
    size_t row = (size_t)(site - analysis->sites.row);
    int r = 0;

    if (analysis->outside)
        return 0;
    teardown_note(analysis, sign, time_ns);
    if (sign > 0)
        r = copies_allocate(&analysis->copies, row, block->order, block->requested_bytes);
    else
        copies_free(&analysis->copies, row, block->order, block->requested_bytes, analysis->order,
                    analysis->addresses.peak_order, analysis->peak_serial);
    return r < 0 ? r : growth_tracks_add(&analysis->tracks, row, &note);
}

/** A block becomes (+1) or ends being (-1) live. */
static int block_live(struct analysis *analysis, const struct ledger_block *block, int sign,
                      uint64_t time_ns)
{
    struct tally *rows[ROWS];
    uint64_t serial = analysis->peak_serial;
    int r = rows_get(analysis, block, rows);

    if (r < 0)
        return r;
    for (int i = 0; i < ROWS; i++)
        if (rows[i]) {
            slice_row(analysis, i, rows[i], slices_before);
            row_live(rows[i], block, sign, serial, analysis->outside);
            slice_row(analysis, i, rows[i], slices_after);
        }
    if (memory_kind(block->memory)->on_device) {
        bool given = analysis_block_is_given(block);
        const struct timeline_point change = {.requested_bytes = block->requested_bytes,
                                              .allocated_bytes = block->allocated_bytes,
                                              .driver_bytes = given ? block->allocated_bytes : 0};

        levels_add(analysis, &change, sign, time_ns);
        if (given)
            analysis_device_add(analysis, block, sign);
        r = site_note(analysis, rows[ROW_SITE], block, sign, time_ns);
    }
    return r;
}

static bool reached_driver(const struct trace_record *record)
{
    return record->outcome == TRACE_OUTCOME_PASSED || record->outcome == TRACE_OUTCOME_FAILED;
}

static void call_count(struct analysis *analysis, const struct trace_record *record)
{
    if (analysis->outside)
        return;
    analysis->calls_asked++;
    analysis->calls_driver += reached_driver(record);
    histogram_add(&analysis->latency, trace_latency_ns(record->latency));
}

/** A block leaves the ledger; `ended`: with its context. */
static void block_leave(struct analysis *analysis, struct ledger_block *block, bool ended)
{
    address_history_leave(&analysis->addresses, block, ended);
    if (analysis->slices) {
        address_history_leave(&analysis->slice_addresses, block, false);
        analysis->slices->short_of_memory |= analysis->slice_addresses.short_of_memory;
    }
    ledger_remove(&analysis->ledger, block);
}

/** A block was freed: how long it lived, and whether it was temporary. */
static void block_lived(struct analysis *analysis, const struct ledger_block *block,
                        struct tally *const rows[ROWS], uint64_t time_ns)
{
    uint64_t lived_ns = time_ns > block->time_ns ? time_ns - block->time_ns : 0;
    bool temporary = block->counted && analysis->order - block->order < LIFETIME_TEMPORARY;

    if (!memory_kind(block->memory)->on_device || analysis->outside)
        return;
    lifetimes_add(&analysis->lifetimes, lived_ns, block->requested_bytes);
    for (int i = 0; i < ROWS; i++)
        if (rows[i])
            tally_lifetime(rows[i], lived_ns, block->requested_bytes, temporary);
}

static void failure_add(struct analysis *analysis, const struct trace_record *record)
{
    uint64_t failures = analysis->total.failures;

    if (!analysis->outside && failures && failures <= ANALYSIS_FAILURES)
        analysis->failure[failures - 1] = (struct analysis_failure){
            .time_ns = record->time_ns, .request_bytes = record->size, .site = record->site};
}

/** What the call itself counts for, whether or not there is a block of it. */
static void allocation_count(struct analysis *analysis, const struct trace_record *record)
{
    call_count(analysis, record);
    if (record->outcome == TRACE_OUTCOME_FAILED)
        failure_add(analysis, record);
    else
        analysis->order++;
}

/** A second thread allocates: from now on paths are kept, which so far were the stacks. */
static int paths_begin(struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->stacks.rows; i++) {
        const struct tally *stack = &analysis->stacks.row[i];
        uint64_t key = analysis_path_key((uint32_t)stack->key, analysis->path_thread);
        struct tally *path = tallies_get(&analysis->paths, key);

        if (!path)
            return -ENOMEM;
        *path = *stack;
        path->key = key;
    }
    analysis->has_paths = true;
    return 0;
}

static int thread_note(struct analysis *analysis, uint32_t thread)
{
    if (!analysis->has_thread)
        analysis->path_thread = thread;
    analysis->has_thread = true;
    return analysis->detailed && !analysis->has_paths && thread != analysis->path_thread
               ? paths_begin(analysis)
               : 0;
}

int analysis_add_allocate(struct analysis *analysis, const struct trace_record *record)
{
    const struct memory_kind *kind = memory_kind(record->memory);
    struct ledger_block *old = ledger_find(&analysis->ledger, kind->space, record->address);
    struct ledger_block block = {.address = record->address,
                                 .requested_bytes = tally_bytes(record->size),
                                 .allocated_bytes = tally_bytes(record->value),
                                 .time_ns = record->time_ns,
                                 .stack = (uint32_t)analysis->stack,
                                 .order = analysis->order + 1,
                                 .site = (uint32_t)record->site,
                                 .context = record->context,
                                 .api = record->api,
                                 .memory = record->memory,
                                 .space = (uint8_t)kind->space,
                                 .passed = record->outcome == TRACE_OUTCOME_PASSED,
                                 .counted = !analysis->outside,
                                 .device = record->device,
                                 .thread = record->thread};
    struct tally *rows[ROWS];
    int r;

    if (!block.allocated_bytes || record->outcome == TRACE_OUTCOME_FAILED)
        block.allocated_bytes = block.requested_bytes;
    r = thread_note(analysis, record->thread);
    if (r == 0)
        r = rows_get(analysis, &block, rows);
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i] && !analysis->outside) {
            tally_allocation(rows[i], record, block.requested_bytes);
            slice_call(analysis, i, rows[i], record);
        }
    if (kind->on_device)
        allocation_count(analysis, record);
    if (r < 0 || record->outcome == TRACE_OUTCOME_FAILED || !record->address)
        return r;
    if (old) {
        struct ledger_block replaced = *old;

        analysis->replaced_blocks++;
        block_leave(analysis, old, false);
        r = block_live(analysis, &replaced, -1, record->time_ns);
    }
    if (r == 0)
        r = block_live(analysis, &block, 1, record->time_ns);
    return r < 0 ? r : ledger_add(&analysis->ledger, &block);
}

int analysis_add_free(struct analysis *analysis, const struct trace_record *record)
{
    struct ledger_block *found = ledger_find(&analysis->ledger, memory_kind(record->memory)->space,
                                             record->address);
    struct ledger_block block;
    struct tally *rows[ROWS];
    int r;

    if (record->outcome == TRACE_OUTCOME_FAILED || !found) {
        if (memory_kind(record->memory)->on_device)
            call_count(analysis, record);
        analysis->unmatched_frees += record->outcome != TRACE_OUTCOME_FAILED &&
                                     record->address != 0;
        return 0;
    }
    block = *found;
    if (memory_kind(block.memory)->on_device)
        call_count(analysis, record);
    block_leave(analysis, found, false);
    r = block_live(analysis, &block, -1, trace_record_order_ns(record));
    if (r == 0)
        r = rows_get(analysis, &block, rows);
    if (r == 0)
        block_lived(analysis, &block, rows, trace_record_order_ns(record));
    if (r == 0 && rows[ROW_API]) /* the function called, not the one that allocated */
        rows[ROW_API] = tallies_get(&analysis->apis, record->api);
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i] && !analysis->outside) {
            rows[i]->frees++;
            tally_latency(rows[i], record);
            slice_call(analysis, i, rows[i], record);
        }
    return r;
}

static void segment_reserve(struct analysis *analysis, const struct ledger_block *segment, int sign,
                            uint64_t time_ns)
{
    const struct timeline_point change = {.reserved_bytes = segment->allocated_bytes,
                                          .driver_bytes = segment->allocated_bytes};

    levels_add(analysis, &change, sign, time_ns);
    analysis_device_add(analysis, segment, sign);
}

int analysis_add_segment(struct analysis *analysis, const struct trace_record *record)
{
    struct ledger_block segment = {
        .address = record->address,
        .allocated_bytes = tally_bytes(record->size),
        .order = analysis->order + 1,
        .context = record->context,
        .device = record->device,
        .memory = record->memory == TRACE_MEMORY_MAPPING ? TRACE_MEMORY_MAPPING : TRACE_MEMORY_NONE,
        .space = LEDGER_SEGMENT};

    analysis->calls_driver += !analysis->outside;
    analysis->segment_allocations += !analysis->outside;
    if (record->value || ledger_find(&analysis->ledger, LEDGER_SEGMENT, record->address))
        return 0;
    segment_reserve(analysis, &segment, 1, record->time_ns);
    return ledger_add(&analysis->ledger, &segment);
}

void analysis_remove_segment(struct analysis *analysis, const struct trace_record *record)
{
    struct ledger_block *segment = ledger_find(&analysis->ledger, LEDGER_SEGMENT, record->address);

    analysis->calls_driver += !analysis->outside;
    analysis->segment_frees += !analysis->outside;
    if (record->value || !segment)
        return;
    segment_reserve(analysis, segment, -1, trace_record_order_ns(record));
    block_leave(analysis, segment, false);
}

static int leak_add(struct analysis *analysis, const struct ledger_block *block)
{
    struct tally *rows[ROWS];
    int r;

    if (!block->counted)
        return 0;
    r = rows_get(analysis, block, rows);
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i]) {
            rows[i]->leaked_blocks++;
            rows[i]->leaked_bytes += block->requested_bytes;
            slice_leak(analysis, i, rows[i], block);
        }
    return r;
}

int analysis_end_context(struct analysis *analysis, uint32_t context, uint64_t time_ns)
{
    struct ledger_block *block;
    int r = 0;

    while (r == 0 && (block = ledger_context_take(&analysis->ledger, context))) {
        struct ledger_block gone = *block;

        if (gone.space != LEDGER_SEGMENT && !memory_kind(gone.memory)->with_context)
            continue; /* outlives it */
        if (gone.space == LEDGER_SEGMENT) {
            segment_reserve(analysis, &gone, -1, time_ns);
        } else {
            r = block_live(analysis, &gone, -1, time_ns);
            r = r < 0 ? r : leak_add(analysis, &gone);
        }
        block_leave(analysis, block, true);
    }
    return r;
}

int analysis_find_leaks(struct analysis *analysis)
{
    struct ledger_block *block;
    size_t position = 0;
    int r = 0;

    while (r == 0 && (block = ledger_next(&analysis->ledger, &position)))
        if (block->space != LEDGER_SEGMENT)
            r = leak_add(analysis, block);
    return r;
}
