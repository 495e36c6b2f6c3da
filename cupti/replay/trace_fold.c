/* SPDX-License-Identifier: MIT */
/*
 * The steps are those of the tool's analysis, on the same tallies and ledger;
 * tests/scale/rotated.py holds both to the same figures.
 */
#include "cupti/replay/trace_fold.h"

#include <errno.h>
#include <string.h>

#include "cupti/replay/memory_kind.h"
#include "cupti/base/pages.h"
#include "cupti/format/trace_record.h"

/** Room that records of frequent kinds leave to the rare ones. */
#define FREQUENT_RECORDS (TRACE_FOLD_RECORDS - 1024)

enum { ROW_TOTAL, ROW_STACK, ROW_SIZE, ROW_LIBRARY, ROW_API, ROW_KIND, ROWS };

/** What levels change by. */
struct change {
    uint64_t requested_bytes, allocated_bytes, reserved_bytes, driver_bytes;
};

static void levels_add(struct trace_fold *fold, const struct change *change, int sign,
                       uint64_t time_ns)
{
    struct trace_fold_figures *figures = &fold->figures;
    uint64_t serial = figures->peak_serial, highest = figures->requested.peak;

    level_add(&figures->requested, sign * (int64_t)change->requested_bytes, serial);
    level_add(&figures->allocated, sign * (int64_t)change->allocated_bytes, serial);
    level_add(&figures->reserved, sign * (int64_t)change->reserved_bytes, serial);
    level_add(&figures->driver, sign * (int64_t)change->driver_bytes, serial);
    if (figures->requested.peak > highest) {
        figures->peak_serial++;
        figures->peak_time_ns = time_ns;
        address_history_peak(&fold->addresses, figures->total.allocations);
    }
}

/** What a device gave (+1) or got back (-1), which its own account of what is free shows too. */
static void device_add(struct trace_fold *fold, const struct ledger_block *block, int sign)
{
    if (block->device < TRACE_FOLD_DEVICES)
        fold->device_bytes[block->device] += (uint64_t)sign * block->allocated_bytes;
}

static int rows_get(struct trace_fold *fold, const struct ledger_block *block,
                    struct tally *ret_rows[ROWS])
{
    bool on_device = memory_kind(block->memory)->on_device;

    memset(ret_rows, 0, ROWS * sizeof *ret_rows);
    ret_rows[ROW_KIND] = tallies_get(&fold->kinds, block->memory);
    if (!on_device)
        return ret_rows[ROW_KIND] ? 0 : -ENOMEM;
    ret_rows[ROW_TOTAL] = &fold->figures.total;
    ret_rows[ROW_STACK] = tallies_get(&fold->stacks, block->stack);
    ret_rows[ROW_SIZE] = tallies_get(&fold->sizes, tally_size_class(block->requested_bytes));
    ret_rows[ROW_LIBRARY] = tallies_get(&fold->libraries, fold->module_of[block->stack]);
    ret_rows[ROW_API] = tallies_get(&fold->apis, block->api);
    for (int i = 0; i < ROWS; i++)
        if (!ret_rows[i])
            return -ENOMEM;
    return 0;
}

static int block_live(struct trace_fold *fold, const struct ledger_block *block, int sign,
                      uint64_t time_ns)
{
    uint64_t serial = fold->figures.peak_serial;
    struct tally *rows[ROWS];
    int r = rows_get(fold, block, rows);

    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i]) {
            level_add(&rows[i]->live_bytes, sign * (int64_t)block->requested_bytes, serial);
            level_add(&rows[i]->live_blocks, sign, serial);
        }
    if (r == 0 && memory_kind(block->memory)->on_device) {
        bool given = block->passed && memory_kind(block->memory)->takes_device;
        const struct change change = {.requested_bytes = block->requested_bytes,
                                      .allocated_bytes = block->allocated_bytes,
                                      .driver_bytes = given ? block->allocated_bytes : 0};

        levels_add(fold, &change, sign, time_ns);
        if (given)
            device_add(fold, block, sign);
    }
    return r;
}

static void call_count(struct trace_fold *fold, const struct trace_record *record)
{
    fold->figures.calls_asked++;
    fold->figures.calls_driver += record->outcome == TRACE_OUTCOME_PASSED ||
                                  record->outcome == TRACE_OUTCOME_FAILED;
    histogram_add(&fold->figures.latency, trace_latency_ns(record->latency));
}

/** A block leaves the ledger; `ended`: with its context. */
static void block_leave(struct trace_fold *fold, struct ledger_block *block, bool ended)
{
    address_history_leave(&fold->addresses, block, ended);
    ledger_remove(&fold->ledger, block);
}

/** A block was freed: how long it lived, and whether it was temporary. */
static void block_lived(struct trace_fold *fold, const struct ledger_block *block,
                        struct tally *const rows[ROWS], uint64_t time_ns)
{
    uint64_t lived_ns = time_ns > block->time_ns ? time_ns - block->time_ns : 0;
    bool temporary = fold->figures.total.allocations - block->order < LIFETIME_TEMPORARY;

    if (!memory_kind(block->memory)->on_device)
        return;
    lifetimes_add(&fold->figures.lifetimes, lived_ns, block->requested_bytes);
    for (int i = 0; i < ROWS; i++)
        tally_lifetime(rows[i], lived_ns, block->requested_bytes, temporary);
}

static void failure_add(struct trace_fold *fold, const struct trace_record *record)
{
    uint64_t failures = fold->figures.total.failures;

    if (failures && failures <= TRACE_FOLD_FAILURES)
        fold->store->failure[failures - 1] = (struct trace_fold_failure){
            .time_ns = record->time_ns, .request_bytes = record->size, .site = record->site};
}

static int allocate_add(struct trace_fold *fold, const struct trace_record *record)
{
    const struct memory_kind *kind = memory_kind(record->memory);
    struct ledger_block *old = ledger_find(&fold->ledger, kind->space, record->address);
    struct ledger_block block = {.address = record->address,
                                 .requested_bytes = tally_bytes(record->size),
                                 .allocated_bytes = tally_bytes(record->value),
                                 .time_ns = record->time_ns,
                                 .order = fold->figures.total.allocations + 1,
                                 .stack = (uint32_t)record->site,
                                 .site = (uint32_t)record->site,
                                 .context = record->context,
                                 .api = record->api,
                                 .memory = record->memory,
                                 .space = (uint8_t)kind->space,
                                 .passed = record->outcome == TRACE_OUTCOME_PASSED,
                                 .counted = true,
                                 .device = record->device};
    struct tally *rows[ROWS];
    int r;

    if (!block.allocated_bytes || record->outcome == TRACE_OUTCOME_FAILED)
        block.allocated_bytes = block.requested_bytes;
    r = rows_get(fold, &block, rows);
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i])
            tally_allocation(rows[i], record, block.requested_bytes);
    if (kind->on_device) {
        call_count(fold, record);
        if (record->outcome == TRACE_OUTCOME_FAILED)
            failure_add(fold, record);
    }
    if (r < 0 || record->outcome == TRACE_OUTCOME_FAILED || !record->address)
        return r;
    if (old) {
        struct ledger_block replaced = *old;

        fold->figures.replaced_blocks++;
        block_leave(fold, old, false);
        r = block_live(fold, &replaced, -1, record->time_ns);
    }
    if (r == 0)
        r = block_live(fold, &block, 1, record->time_ns);
    return r < 0 ? r : ledger_add(&fold->ledger, &block);
}

static int free_add(struct trace_fold *fold, const struct trace_record *record)
{
    const struct memory_kind *kind = memory_kind(record->memory);
    struct ledger_block *found = ledger_find(&fold->ledger, kind->space, record->address);
    struct ledger_block block;
    struct tally *rows[ROWS];
    int r;

    if (record->outcome == TRACE_OUTCOME_FAILED || !found) {
        if (kind->on_device)
            call_count(fold, record);
        fold->figures.unmatched_frees += record->outcome != TRACE_OUTCOME_FAILED &&
                                         record->address != 0;
        return 0;
    }
    block = *found;
    if (memory_kind(block.memory)->on_device)
        call_count(fold, record);
    block_leave(fold, found, false);
    r = block_live(fold, &block, -1, trace_record_order_ns(record));
    if (r == 0)
        r = rows_get(fold, &block, rows);
    if (r == 0)
        block_lived(fold, &block, rows, trace_record_order_ns(record));
    if (r == 0 && rows[ROW_API]) { /* the function called, not the one that allocated */
        rows[ROW_API] = tallies_get(&fold->apis, record->api);
        r = rows[ROW_API] ? 0 : -ENOMEM;
    }
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i]) {
            rows[i]->frees++;
            tally_latency(rows[i], record);
        }
    return r;
}

static int invalid_free_add(struct trace_fold *fold, const struct trace_record *record)
{
    struct tally *stack = tallies_get(&fold->stacks, record->site);
    struct tally *api = tallies_get(&fold->apis, record->api);

    if (!stack || !api)
        return -ENOMEM;
    stack->invalid_frees++;
    api->invalid_frees++;
    if (fold->figures.total.invalid_frees < TRACE_FOLD_FREES)
        fold->store->invalid_free[fold->figures.total.invalid_frees] = *record;
    fold->figures.total.invalid_frees++;
    return 0;
}

static int segment_add(struct trace_fold *fold, const struct trace_record *record)
{
    const struct ledger_block segment = {
        .address = record->address,
        .allocated_bytes = tally_bytes(record->size),
        .order = fold->figures.total.allocations + 1,
        .context = record->context,
        .device = record->device,
        .memory = record->memory == TRACE_MEMORY_MAPPING ? TRACE_MEMORY_MAPPING : TRACE_MEMORY_NONE,
        .space = LEDGER_SEGMENT};
    const struct change change = {.reserved_bytes = segment.allocated_bytes,
                                  .driver_bytes = segment.allocated_bytes};

    fold->figures.calls_driver++;
    fold->figures.segment_allocations++;
    if (record->value || ledger_find(&fold->ledger, LEDGER_SEGMENT, record->address))
        return 0;
    levels_add(fold, &change, 1, record->time_ns);
    device_add(fold, &segment, 1);
    return ledger_add(&fold->ledger, &segment);
}

static void segment_end(struct trace_fold *fold, const struct ledger_block *segment,
                        uint64_t time_ns)
{
    const struct change change = {.reserved_bytes = segment->allocated_bytes,
                                  .driver_bytes = segment->allocated_bytes};

    levels_add(fold, &change, -1, time_ns);
    device_add(fold, segment, -1);
}

static void segment_remove(struct trace_fold *fold, const struct trace_record *record)
{
    struct ledger_block *segment = ledger_find(&fold->ledger, LEDGER_SEGMENT, record->address);

    fold->figures.calls_driver++;
    fold->figures.segment_frees++;
    if (record->value || !segment)
        return;
    segment_end(fold, segment, trace_record_order_ns(record));
    block_leave(fold, segment, false);
}

static int leak_add(struct trace_fold *fold, const struct ledger_block *block)
{
    struct tally *rows[ROWS];
    int r = rows_get(fold, block, rows);

    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i]) {
            rows[i]->leaked_blocks++;
            rows[i]->leaked_bytes += block->requested_bytes;
        }
    return r;
}

static int context_end(struct trace_fold *fold, uint32_t context, uint64_t time_ns)
{
    struct ledger_block *block;
    int r = 0;

    while (r == 0 && (block = ledger_context_take(&fold->ledger, context))) {
        struct ledger_block gone = *block;

        if (gone.space != LEDGER_SEGMENT && !memory_kind(gone.memory)->with_context)
            continue; /* outlives it */
        if (gone.space == LEDGER_SEGMENT) {
            segment_end(fold, &gone, time_ns);
        } else {
            r = block_live(fold, &gone, -1, time_ns);
            r = r < 0 ? r : leak_add(fold, &gone);
        }
        block_leave(fold, block, true);
    }
    return r;
}

static void trim_add(struct trace_fold *fold, const struct trace_record *record)
{
    if (fold->store->trims < TRACE_FOLD_TRIMS)
        fold->store->trim[fold->store->trims++] = (struct trace_fold_trim){
            .time_ns = record->time_ns, .bytes = tally_bytes(record->size)};
    fold->figures.trims++;
    fold->figures.trimmed_bytes += tally_bytes(record->size);
}

/** A failure of the pool, or (`number`) a refusal: its levels. */
static void postmortem_add(struct trace_fold *fold, const struct trace_record *record,
                           uint64_t number)
{
    const struct trace_fold_figures *figures = &fold->figures;
    struct trace_fold_store *store = fold->store;

    if (store->postmortems < 2 * TRACE_FOLD_POSTMORTEMS &&
        (number || figures->postmortems < TRACE_FOLD_POSTMORTEMS))
        store->postmortem[store->postmortems++] = (struct trace_fold_postmortem){
            .time_ns = record->time_ns,
            .request_bytes = record->size,
            .held_free_bytes = number ? 0 : record->value,
            .number = number,
            .requested_bytes = figures->requested.current,
            .allocated_bytes = figures->allocated.current,
            .reserved_bytes = figures->reserved.current,
            .driver_bytes = figures->driver.current,
            .site = record->site,
            .thread = record->thread,
            .context = record->context};
    fold->figures.postmortems += !number;
}

static void memory_info_add(struct trace_fold *fold, const struct trace_record *record)
{
    struct trace_fold_figures *figures = &fold->figures;
    uint64_t used = record->value > record->size ? record->value - record->size : 0;
    uint64_t known = record->device < TRACE_FOLD_DEVICES ? fold->device_bytes[record->device] : 0;

    figures->has_memory_info = 1;
    if (used > known && used - known > figures->unaccounted_bytes)
        figures->unaccounted_bytes = used - known;
    if (!figures->memory_info.total_bytes || record->size <= figures->memory_info.free_bytes)
        figures->memory_info = (struct trace_fold_memory_info){
            .time_ns = record->time_ns,
            .free_bytes = record->size,
            .total_bytes = record->value,
            .requested_bytes = figures->requested.current,
            .allocated_bytes = figures->allocated.current,
            .reserved_bytes = figures->reserved.current,
            .driver_bytes = figures->driver.current};
}

/** Of these there are few, and the report cannot do without them. */
static bool kind_is_rare(uint16_t kind)
{
    return kind == TRACE_EVENT_PROCESS || kind == TRACE_EVENT_RANK || kind == TRACE_EVENT_DEVICE ||
           kind == TRACE_EVENT_CONTEXT || kind == TRACE_EVENT_COUNTER ||
           kind == TRACE_EVENT_OPTIONS || kind == TRACE_EVENT_CUPTI_STATE ||
           kind == TRACE_EVENT_BACKING;
}

/** A record that is kept as it is. Of a counter, the last one of its name and context. */
static void record_keep(struct trace_fold *fold, const struct trace_record *record)
{
    struct trace_fold_store *store = fold->store;

    for (size_t i = 0; record->kind == TRACE_EVENT_COUNTER && i < store->records; i++)
        if (store->record[i].kind == TRACE_EVENT_COUNTER && store->record[i].api == record->api &&
            store->record[i].context == record->context) {
            store->record[i] = *record;
            return;
        }
    if (store->records < (kind_is_rare(record->kind) ? TRACE_FOLD_RECORDS : FREQUENT_RECORDS))
        store->record[store->records++] = *record;
    else
        fold->figures.forgotten++;
}

static int event_add(struct trace_fold *fold, const struct trace_record *record)
{
    switch (record->kind) {
    case TRACE_EVENT_ALLOCATE: return allocate_add(fold, record);
    case TRACE_EVENT_FREE: return free_add(fold, record);
    case TRACE_EVENT_INVALID_FREE: return invalid_free_add(fold, record);
    case TRACE_EVENT_SEGMENT_ALLOCATE: return segment_add(fold, record);
    case TRACE_EVENT_SEGMENT_FREE: segment_remove(fold, record); break;
    case TRACE_EVENT_CONTEXT:
        if (!record->value)
            return context_end(fold, record->context, record->time_ns);
        record_keep(fold, record);
        break;
    case TRACE_EVENT_FENCE:
        fold->figures.fences++;
        fold->figures.calls_driver++;
        break;
    case TRACE_EVENT_WAIT:
        fold->figures.epoch_waits++;
        fold->figures.calls_driver++;
        break;
    case TRACE_EVENT_TRIM: trim_add(fold, record); break;
    case TRACE_EVENT_FAILURE: postmortem_add(fold, record, 0); break;
    case TRACE_EVENT_POSTMORTEM:
        postmortem_add(fold, record, record->value);
        record_keep(fold, record);
        break;
    case TRACE_EVENT_MEMORY_INFO: memory_info_add(fold, record); break;
    case TRACE_EVENT_ROOM:
    case TRACE_EVENT_FENCE_QUERY:
    case TRACE_EVENT_REFUSAL:
    case TRACE_EVENT_REQUEST:
    case TRACE_EVENT_MAP: /* how many there were is a figure of the pool */
    case TRACE_EVENT_UNMAP:
    case TRACE_EVENT_STITCH:
    case TRACE_EVENT_BREAK:
    case TRACE_EVENT_DRIVER_ALLOCATE:
    case TRACE_EVENT_DRIVER_FREE:
    case TRACE_EVENT_DRIVER_POOL:
    case TRACE_EVENT_DRIVER_CONTEXT: fold->figures.forgotten++; break;
    default: record_keep(fold, record);
    }
    return 0;
}

int trace_fold_init(struct trace_fold *ret_fold, const uint32_t *module_of)
{
    memset(ret_fold, 0, sizeof *ret_fold);
    ret_fold->module_of = module_of;
    ret_fold->store = pages_map(sizeof *ret_fold->store);
    return ret_fold->store ? 0 : -ENOMEM;
}

int trace_fold_add(struct trace_fold *fold, const struct trace_record *record)
{
    uint64_t order_ns = trace_record_order_ns(record);
    int r;

    if (record->time_ns > fold->figures.duration_ns)
        fold->figures.duration_ns = record->time_ns;
    if (order_ns > fold->figures.cut_ns)
        fold->figures.cut_ns = order_ns;
    fold->figures.folded++;
    r = event_add(fold, record);
    fold->figures.peak_order = fold->addresses.peak_order;
    return r == 0 && fold->addresses.short_of_memory ? -ENOMEM : r;
}

size_t trace_carry_row_bytes(enum trace_carry_section section)
{
    static const size_t bytes[] = {
#define SECTION(NAME, type) [TRACE_CARRY_##NAME] = sizeof(type),
        TRACE_CARRY_SECTIONS(SECTION)
#undef SECTION
    };

    return bytes[section];
}

static size_t at_most(uint64_t rows, size_t most)
{
    return rows < most ? (size_t)rows : most;
}

size_t trace_fold_rows(const struct trace_fold *fold, enum trace_carry_section section)
{
    switch (section) {
#define TALLIES(name, NAME)                                                                        \
    case TRACE_CARRY_##NAME: return fold->name.rows;
        TRACE_FOLD_TALLIES(TALLIES)
#undef TALLIES
    case TRACE_CARRY_LIVE: return fold->ledger.used;
    case TRACE_CARRY_GONE_AT_PEAK: return fold->addresses.gone[ADDRESS_AT_PEAK].count;
    case TRACE_CARRY_GONE_AT_END: return fold->addresses.gone[ADDRESS_AT_END].count;
    case TRACE_CARRY_FAILURES: return at_most(fold->figures.total.failures, TRACE_FOLD_FAILURES);
    case TRACE_CARRY_RECORDS: return fold->store->records;
    case TRACE_CARRY_INVALID_FREES:
        return at_most(fold->figures.total.invalid_frees, TRACE_FOLD_FREES);
    case TRACE_CARRY_POSTMORTEMS: return fold->store->postmortems;
    case TRACE_CARRY_TRIMS: return fold->store->trims;
    default: return 0;
    }
}

size_t trace_fold_bytes(const struct trace_fold *fold, size_t progress_rows)
{
    size_t bytes = sizeof(struct trace_carry_header) +
                   progress_rows * trace_carry_row_bytes(TRACE_CARRY_PROGRESS);

    for (int i = 0; i < TRACE_CARRY_SECTION_COUNT; i++)
        bytes += trace_fold_rows(fold, i) * trace_carry_row_bytes(i);
    return bytes;
}

void trace_fold_write(const struct trace_fold *fold, uint64_t next_sequence,
                      const struct trace_fold_progress *progress, size_t progress_rows,
                      void (*put)(void *context, const void *data, size_t bytes), void *context)
{
    const void *rows[TRACE_CARRY_SECTION_COUNT] = {
        [TRACE_CARRY_GONE_AT_PEAK] = fold->addresses.gone[ADDRESS_AT_PEAK].block,
        [TRACE_CARRY_GONE_AT_END] = fold->addresses.gone[ADDRESS_AT_END].block,
        [TRACE_CARRY_FAILURES] = fold->store->failure,
        [TRACE_CARRY_RECORDS] = fold->store->record,
        [TRACE_CARRY_INVALID_FREES] = fold->store->invalid_free,
        [TRACE_CARRY_POSTMORTEMS] = fold->store->postmortem,
        [TRACE_CARRY_TRIMS] = fold->store->trim,
#define TALLIES(name, NAME) [TRACE_CARRY_##NAME] = fold->name.row,
        TRACE_FOLD_TALLIES(TALLIES)
#undef TALLIES
    };
    uint64_t counts[TRACE_CARRY_SECTION_COUNT] = {[TRACE_CARRY_PROGRESS] = progress_rows};
    const struct ledger_block *block;
    size_t position = 0;

    for (int i = 0; i < TRACE_CARRY_SECTION_COUNT; i++)
        counts[i] += trace_fold_rows(fold, i);
    put(context, &next_sequence, sizeof next_sequence);
    put(context, counts, sizeof counts);
    put(context, &fold->figures, sizeof fold->figures);
    put(context, progress, progress_rows * sizeof *progress);
    for (int i = TRACE_CARRY_STACKS; i < TRACE_CARRY_SECTION_COUNT; i++) {
        if (i != TRACE_CARRY_LIVE)
            put(context, rows[i], counts[i] * trace_carry_row_bytes(i));
        while (i == TRACE_CARRY_LIVE && (block = ledger_next(&fold->ledger, &position)))
            put(context, block, sizeof *block);
    }
}
