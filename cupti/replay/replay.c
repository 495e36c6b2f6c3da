/* SPDX-License-Identifier: MIT */
/*
 * A block belongs to one row of each breakdown. Device memory appears in all breakdowns, other
 * memory only in that by kind. Every change of a block is applied to its rows and to the levels.
 */
#include "cupti/replay/replay.h"

#include <errno.h>
#include <string.h>

#include "cupti/format/trace_record.h"
#include "cupti/replay/memory_kind.h"

/** What the levels change by. */
struct change {
    uint64_t requested_bytes, allocated_bytes, reserved_bytes, driver_bytes;
};

/** Changes all levels at once; a new maximum of requested memory starts a new peak. */
static void levels_add(struct replay *replay, const struct change *change, int sign,
                       uint64_t time_ns)
{
    uint64_t serial = replay->peak_serial, highest = replay->requested.peak;

    void (*const add)(struct level *, int64_t, uint64_t) = replay->outside ? level_move : level_add;

    /* A free is recorded after the events that it caused, but took effect before them. */
    if (time_ns < replay->levels_ns)
        time_ns = replay->levels_ns;
    replay->levels_ns = time_ns;
    add(&replay->requested, sign * (int64_t)change->requested_bytes, serial);
    add(&replay->allocated, sign * (int64_t)change->allocated_bytes, serial);
    add(&replay->reserved, sign * (int64_t)change->reserved_bytes, serial);
    add(&replay->driver, sign * (int64_t)change->driver_bytes, serial);
    if (replay->outside)
        return;
    if (replay->requested.peak > highest) {
        replay->peak_serial++;
        replay->peak_time_ns = time_ns;
        address_history_peak(&replay->addresses, replay->order);
    }
    if (replay->watch.levels)
        replay->watch.levels(replay->watch.context, change->requested_bytes > 0, time_ns);
}

void replay_device_add(struct replay *replay, const struct replay_block *block, int sign)
{
    bool is_segment = block->space == BLOCK_SPACE_SEGMENT;
    struct replay_device *device;

    if (block->device >= REPLAY_DEVICES ||
        (!is_segment && !memory_kind(block->memory)->takes_device))
        return;
    device = &replay->device_now[block->device];
    if (is_segment || block->passed)
        device->driver_bytes += (uint64_t)sign * block->allocated_bytes;
    if (!is_segment) {
        device->requested_bytes += (uint64_t)sign * block->requested_bytes;
        device->allocated_bytes += (uint64_t)sign * block->allocated_bytes;
    }
}

/** Rows of a block; those that do not apply are NULL. */
static int rows_get(struct replay *replay, const struct replay_block *block,
                    struct tally *ret_rows[REPLAY_ROWS])
{
    bool on_device = memory_kind(block->memory)->on_device;
    size_t stacks = replay->stacks.rows;

    memset(ret_rows, 0, REPLAY_ROWS * sizeof *ret_rows);
    ret_rows[REPLAY_KIND] = tallies_get(&replay->kinds, block->memory);
    if (!on_device)
        return ret_rows[REPLAY_KIND] ? 0 : -ENOMEM;
    ret_rows[REPLAY_TOTAL] = &replay->total;
    if (replay->by_site)
        ret_rows[REPLAY_SITE] = tallies_get(&replay->sites, block->site);
    ret_rows[REPLAY_STACK] = tallies_get(&replay->stacks, block->stack);
    ret_rows[REPLAY_SIZE] = tallies_get(&replay->sizes, tally_size_class(block->requested_bytes));
    ret_rows[REPLAY_LIBRARY] = tallies_get(
        &replay->libraries, replay->watch.library_of(replay->watch.context, block->stack));
    ret_rows[REPLAY_API] = tallies_get(&replay->apis, block->api);
    if (replay->has_paths)
        ret_rows[REPLAY_PATH] = tallies_get(&replay->paths,
                                            replay_path_key(block->stack, block->thread));
    if (replay->by_site && replay->stacks.rows > stacks &&
        key_index_get(&replay->site_of_stack, block->stack, block->site) == KEY_INDEX_NONE)
        return -ENOMEM;
    for (int i = 0; i < REPLAY_ROWS; i++)
        if (!ret_rows[i] && (i != REPLAY_SITE || replay->by_site) &&
            (i != REPLAY_PATH || replay->has_paths))
            return -ENOMEM;
    return 0;
}

static void row_live(struct tally *row, const struct replay_block *block, int sign, uint64_t serial,
                     bool outside)
{
    void (*const add)(struct level *, int64_t, uint64_t) = outside ? level_move : level_add;

    add(&row->live_bytes, sign * (int64_t)block->requested_bytes, serial);
    add(&row->live_blocks, sign, serial);
}

/** A block becomes (+1) or ends being (-1) live. */
static int block_live(struct replay *replay, const struct replay_block *block, int sign,
                      uint64_t time_ns)
{
    uint64_t serial = replay->peak_serial;
    struct tally *rows[REPLAY_ROWS];
    int error = rows_get(replay, block, rows);

    if (error < 0)
        return error;
    for (int i = 0; i < REPLAY_ROWS; i++) {
        if (!rows[i])
            continue;
        if (replay->watch.row)
            replay->watch.row(replay->watch.context, i, rows[i], false);
        row_live(rows[i], block, sign, serial, replay->outside);
        if (replay->watch.row)
            replay->watch.row(replay->watch.context, i, rows[i], true);
    }
    if (memory_kind(block->memory)->on_device) {
        const struct change change = {.requested_bytes = block->requested_bytes,
                                      .allocated_bytes = block->allocated_bytes,
                                      .driver_bytes = block->passed ? block->allocated_bytes : 0};

        levels_add(replay, &change, sign, time_ns);
        replay_device_add(replay, block, sign);
        if (replay->watch.block && !replay->outside)
            error = replay->watch.block(replay->watch.context, rows[REPLAY_SITE], block, sign,
                                        time_ns);
    }
    return error;
}

static void call_count(struct replay *replay, const struct trace_record *record)
{
    if (replay->outside)
        return;
    replay->calls_asked++;
    replay->calls_driver += record->outcome == TRACE_OUTCOME_PASSED ||
                            record->outcome == TRACE_OUTCOME_FAILED;
    histogram_add(&replay->latency, trace_latency_ns(record->latency));
}

/** Removes a block from the table; `ended`: with its context. */
static void block_leave(struct replay *replay, struct replay_block *block, bool ended)
{
    address_history_leave(&replay->addresses, block, ended);
    if (replay->watch.leave)
        replay->watch.leave(replay->watch.context, block);
    block_table_remove(&replay->block_table, block);
}

/** Accounts for a freed block: its lifetime, and whether it was temporary. */
static void block_lived(struct replay *replay, const struct replay_block *block,
                        struct tally *const rows[REPLAY_ROWS], uint64_t time_ns)
{
    uint64_t lived_ns = time_ns > block->time_ns ? time_ns - block->time_ns : 0;
    bool temporary = block->counted && replay->order - block->order < LIFETIME_TEMPORARY;

    if (!memory_kind(block->memory)->on_device || replay->outside)
        return;
    lifetimes_add(&replay->lifetimes, lived_ns, block->requested_bytes);
    for (int i = 0; i < REPLAY_ROWS; i++)
        if (rows[i])
            tally_lifetime(rows[i], lived_ns, block->requested_bytes, temporary);
}

bool replay_is_failure(const struct trace_record *record)
{
    return record->kind == TRACE_EVENT_ALLOCATE && record->outcome == TRACE_OUTCOME_FAILED &&
           memory_kind(record->memory)->on_device;
}

static void call_note(const struct replay *replay, enum replay_row row, const struct tally *tally,
                      const struct trace_record *record)
{
    if (replay->watch.call)
        replay->watch.call(replay->watch.context, row, tally, record);
}

/** Begins to keep paths when a second thread allocates; until then, they equal the stacks. */
static int paths_begin(struct replay *replay)
{
    for (size_t i = 0; i < replay->stacks.rows; i++) {
        const struct tally *stack = &replay->stacks.row[i];
        uint64_t key = replay_path_key((uint32_t)stack->key, replay->path_thread);
        struct tally *path = tallies_get(&replay->paths, key);

        if (!path)
            return -ENOMEM;
        if (replay->watch.row)
            replay->watch.row(replay->watch.context, REPLAY_STACK, stack, false);
        *path = *stack;
        path->key = key;
    }
    replay->has_paths = true;
    return 0;
}

static int thread_note(struct replay *replay, uint32_t thread)
{
    if (!replay->has_thread)
        replay->path_thread = thread;
    replay->has_thread = true;
    return replay->by_thread && !replay->has_paths && thread != replay->path_thread
               ? paths_begin(replay)
               : 0;
}

/** Counts the call of an allocation, whether or not there is a block. */
static int allocation_count(struct replay *replay, const struct trace_record *record,
                            const struct replay_block *block)
{
    struct tally *rows[REPLAY_ROWS];
    int error = rows_get(replay, block, rows);

    if (error < 0)
        return error;
    for (int i = 0; i < REPLAY_ROWS; i++)
        if (rows[i] && !replay->outside) {
            tally_allocation(rows[i], record, block->requested_bytes);
            call_note(replay, i, rows[i], record);
        }
    if (memory_kind(record->memory)->on_device) {
        call_count(replay, record);
        replay->order += record->outcome != TRACE_OUTCOME_FAILED;
    }
    return 0;
}

static int allocate_add(struct replay *replay, const struct trace_record *record, uint64_t stack)
{
    const struct memory_kind *kind = memory_kind(record->memory);
    struct replay_block *old = block_table_find(&replay->block_table, kind->space, record->address);
    struct replay_block block = {.address = record->address,
                                 .requested_bytes = tally_bytes(record->size),
                                 .allocated_bytes = tally_bytes(record->value),
                                 .time_ns = record->time_ns,
                                 .order = replay->order + 1,
                                 .stack = (uint32_t)stack,
                                 .site = (uint32_t)record->site,
                                 .context = record->context,
                                 .api = record->api,
                                 .memory = record->memory,
                                 .space = (uint8_t)kind->space,
                                 .passed = record->outcome == TRACE_OUTCOME_PASSED,
                                 .counted = !replay->outside,
                                 .device = record->device,
                                 .thread = record->thread};
    int error = thread_note(replay, record->thread);

    if (error < 0)
        return error;
    if (!block.allocated_bytes || record->outcome == TRACE_OUTCOME_FAILED)
        block.allocated_bytes = block.requested_bytes;
    error = allocation_count(replay, record, &block);
    if (error < 0 || record->outcome == TRACE_OUTCOME_FAILED || !record->address)
        return error;
    if (old) {
        struct replay_block replaced = *old;

        replay->replaced_blocks++;
        block_leave(replay, old, false);
        error = block_live(replay, &replaced, -1, record->time_ns);
    }
    if (error == 0)
        error = block_live(replay, &block, 1, record->time_ns);
    return error < 0 ? error : block_table_add(&replay->block_table, &block);
}

/** Counts a free under its block's rows, and under the function that was called. */
static int free_count(struct replay *replay, const struct trace_record *record,
                      const struct replay_block *block)
{
    struct tally *rows[REPLAY_ROWS];
    int error = rows_get(replay, block, rows);

    if (error < 0)
        return error;
    block_lived(replay, block, rows, trace_record_order_ns(record));
    if (rows[REPLAY_API])
        rows[REPLAY_API] = tallies_get(&replay->apis, record->api);
    if (memory_kind(block->memory)->on_device && !rows[REPLAY_API])
        return -ENOMEM;
    for (int i = 0; i < REPLAY_ROWS; i++)
        if (rows[i] && !replay->outside) {
            rows[i]->frees++;
            tally_latency(rows[i], record);
            call_note(replay, i, rows[i], record);
        }
    return 0;
}

static int free_add(struct replay *replay, const struct trace_record *record)
{
    struct replay_block *found = block_table_find(
        &replay->block_table, memory_kind(record->memory)->space, record->address);
    struct replay_block block;
    int error;

    if (record->outcome == TRACE_OUTCOME_FAILED || !found) {
        if (memory_kind(record->memory)->on_device)
            call_count(replay, record);
        replay->unmatched_frees += record->outcome != TRACE_OUTCOME_FAILED && record->address != 0;
        return 0;
    }
    block = *found;
    if (memory_kind(block.memory)->on_device)
        call_count(replay, record);
    block_leave(replay, found, false);
    error = block_live(replay, &block, -1, trace_record_order_ns(record));
    return error < 0 ? error : free_count(replay, record, &block);
}

static int invalid_free_add(struct replay *replay, const struct trace_record *record,
                            uint64_t stack)
{
    struct tally *rows[] = {tallies_get(&replay->stacks, stack),
                            tallies_get(&replay->apis, record->api), &replay->total,
                            replay->by_site ? tallies_get(&replay->sites, record->site)
                                            : &(struct tally){0}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!rows[i])
            return -ENOMEM;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        rows[i]->invalid_frees++;
    return 0;
}

static void segment_live(struct replay *replay, const struct replay_block *segment, int sign,
                         uint64_t time_ns)
{
    const struct change change = {.reserved_bytes = segment->allocated_bytes,
                                  .driver_bytes = segment->allocated_bytes};

    levels_add(replay, &change, sign, time_ns);
    replay_device_add(replay, segment, sign);
}

static int segment_add(struct replay *replay, const struct trace_record *record)
{
    const struct replay_block segment = {
        .address = record->address,
        .allocated_bytes = tally_bytes(record->size),
        .order = replay->order + 1,
        .context = record->context,
        .device = record->device,
        .memory = record->memory == TRACE_MEMORY_MAPPING ? TRACE_MEMORY_MAPPING : TRACE_MEMORY_NONE,
        .space = BLOCK_SPACE_SEGMENT};

    replay->calls_driver += !replay->outside;
    replay->segment_allocations += !replay->outside;
    if (record->value ||
        block_table_find(&replay->block_table, BLOCK_SPACE_SEGMENT, record->address))
        return 0;
    segment_live(replay, &segment, 1, record->time_ns);
    return block_table_add(&replay->block_table, &segment);
}

static void segment_remove(struct replay *replay, const struct trace_record *record)
{
    struct replay_block *segment = block_table_find(&replay->block_table, BLOCK_SPACE_SEGMENT,
                                                    record->address);

    replay->calls_driver += !replay->outside;
    replay->segment_frees += !replay->outside;
    if (record->value || !segment)
        return;
    segment_live(replay, segment, -1, trace_record_order_ns(record));
    block_leave(replay, segment, false);
}

static int leak_add(struct replay *replay, const struct replay_block *block)
{
    struct tally *rows[REPLAY_ROWS];
    int error;

    if (!block->counted)
        return 0;
    error = rows_get(replay, block, rows);
    for (int i = 0; i < REPLAY_ROWS && error == 0; i++)
        if (rows[i]) {
            rows[i]->leaked_blocks++;
            rows[i]->leaked_bytes += block->requested_bytes;
            if (replay->watch.leak)
                replay->watch.leak(replay->watch.context, i, rows[i], block);
        }
    return error;
}

/** Ends a context: its remaining blocks were never freed by the program, and are gone. */
static int context_end(struct replay *replay, uint32_t context, uint64_t time_ns)
{
    struct replay_block *block;
    int error = 0;

    while (error == 0 && (block = block_table_context_take(&replay->block_table, context))) {
        struct replay_block gone = *block;

        if (gone.space != BLOCK_SPACE_SEGMENT && !memory_kind(gone.memory)->with_context)
            continue; /* outlives it */
        if (gone.space == BLOCK_SPACE_SEGMENT) {
            segment_live(replay, &gone, -1, time_ns);
        } else {
            error = block_live(replay, &gone, -1, time_ns);
            error = error < 0 ? error : leak_add(replay, &gone);
        }
        block_leave(replay, block, true);
    }
    return error;
}

int replay_find_leaks(struct replay *replay)
{
    struct replay_block *block;
    size_t position = 0;
    int error = 0;

    while (error == 0 && (block = block_table_next(&replay->block_table, &position)))
        if (block->space != BLOCK_SPACE_SEGMENT)
            error = leak_add(replay, block);
    return error;
}

/** Compares the driver's account with the memory the device is known to have given. */
static void memory_info_add(struct replay *replay, const struct trace_record *record)
{
    uint64_t used = record->value > record->size ? record->value - record->size : 0;
    const struct replay_device known = record->device < REPLAY_DEVICES
                                           ? replay->device_now[record->device]
                                           : (struct replay_device){0};

    replay->has_memory_info = true;
    if (used > known.driver_bytes && used - known.driver_bytes > replay->unaccounted_bytes)
        replay->unaccounted_bytes = used - known.driver_bytes;
    if (!replay->memory_info.total_bytes || record->size <= replay->memory_info.free_bytes)
        replay->memory_info = (struct replay_memory_info){.time_ns = record->time_ns,
                                                          .free_bytes = record->size,
                                                          .total_bytes = record->value,
                                                          .device = record->device,
                                                          .requested_bytes = known.requested_bytes,
                                                          .allocated_bytes = known.allocated_bytes,
                                                          .driver_bytes = known.driver_bytes};
}

int replay_add(struct replay *replay, const struct trace_record *record, uint64_t stack)
{
    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_ALLOCATE: return allocate_add(replay, record, stack);
    case TRACE_EVENT_FREE: return free_add(replay, record);
    case TRACE_EVENT_INVALID_FREE: return invalid_free_add(replay, record, stack);
    case TRACE_EVENT_SEGMENT_ALLOCATE: return segment_add(replay, record);
    case TRACE_EVENT_SEGMENT_FREE: segment_remove(replay, record); break;
    case TRACE_EVENT_CONTEXT:
        return record->value ? 0 : context_end(replay, record->context, record->time_ns);
    case TRACE_EVENT_FENCE:
        replay->fences++;
        replay->calls_driver++;
        break;
    case TRACE_EVENT_WAIT:
        replay->epoch_waits++;
        replay->calls_driver++;
        break;
    case TRACE_EVENT_TRIM:
        replay->trims++;
        replay->trimmed_bytes += tally_bytes(record->size);
        break;
    case TRACE_EVENT_MEMORY_INFO: memory_info_add(replay, record); break;
    default: break;
    }
    return 0;
}

void replay_done(struct replay *replay)
{
    for (size_t i = 0; i < REPLAY_BREAKDOWNS; i++)
        tallies_done(replay_tallies(replay, i));
    key_index_done(&replay->site_of_stack);
    block_table_done(&replay->block_table);
    address_history_done(&replay->addresses);
}
