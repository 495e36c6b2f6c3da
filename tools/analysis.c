/* SPDX-License-Identifier: MIT */
/*
 * Replays a trace: what each event does to the levels, the ledger and the tallies.
 *
 * The trace is not trusted and may be incomplete, so nothing here relies on pairs: a free of an
 * unknown address is counted, an allocation at a live address replaces the block there, and levels
 * never go below zero.
 */
#include "tools/analysis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>

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
                                   .driver_bytes = analysis->driver.current};
}

/** Changes all levels at once; a new highest requested begins a new peak. */
static void levels_add(struct analysis *analysis, const struct timeline_point *change, int sign,
                       uint64_t time_ns)
{
    uint64_t serial = analysis->peak_serial, highest = analysis->requested.peak;
    struct timeline_point now;

    level_add(&analysis->requested, sign * (int64_t)change->requested_bytes, serial);
    level_add(&analysis->allocated, sign * (int64_t)change->allocated_bytes, serial);
    level_add(&analysis->reserved, sign * (int64_t)change->reserved_bytes, serial);
    level_add(&analysis->driver, sign * (int64_t)change->driver_bytes, serial);
    if (analysis->requested.peak > highest) {
        analysis->peak_serial++;
        analysis->peak_time_ns = time_ns;
        address_history_peak(&analysis->addresses, analysis->total.allocations);
    }
    now = analysis_levels_now(analysis, time_ns);
    timeline_add(&analysis->timeline, &now);
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].open &&
            now.requested_bytes > analysis->phase[i].peak_requested_bytes)
            analysis->phase[i].peak_requested_bytes = now.requested_bytes;
}

/** The rows an allocation belongs to. */
enum { ROW_TOTAL, ROW_SITE, ROW_STACK, ROW_SIZE, ROW_LIBRARY, ROW_API, ROW_KIND, ROWS };

static uint64_t library_of(const struct analysis *analysis, uint64_t site)
{
    struct trace_site place;

    /* Modules are told apart by their path, which is interned: its address is its identity. */
    if (trace_reader_site(analysis->reader, site, &place) < 0 || !place.module)
        return 0;
    return (uint64_t)(uintptr_t)place.module;
}

/** Rows of a block; those that do not apply are NULL. Only device memory is broken down. */
static int rows_get(struct analysis *analysis, const struct ledger_block *block,
                    struct tally *ret_rows[ROWS])
{
    bool on_device = memory_kind(block->memory)->on_device;

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
                                            library_of(analysis, block->stack));
        ret_rows[ROW_API] = tallies_get(&analysis->apis, block->api);
    }
    for (int i = 0; i < ROWS; i++)
        if (!ret_rows[i] && (on_device || i == ROW_KIND))
            return -ENOMEM;
    return 0;
}

static void row_live(struct tally *row, const struct ledger_block *block, int sign, uint64_t serial)
{
    level_add(&row->live_bytes, sign * (int64_t)block->requested_bytes, serial);
    level_add(&row->live_blocks, sign, serial);
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
        if (rows[i])
            row_live(rows[i], block, sign, serial);
    if (memory_kind(block->memory)->on_device) {
        const struct timeline_point change = {.requested_bytes = block->requested_bytes,
                                              .allocated_bytes = block->allocated_bytes,
                                              .driver_bytes = block->passed ? block->allocated_bytes
                                                                            : 0};

        levels_add(analysis, &change, sign, time_ns);
    }
    return 0;
}

static void row_latency(struct tally *row, const struct trace_record *record)
{
    row->latency_ns += record->latency_ns;
    if (record->latency_ns > row->latency_max_ns)
        row->latency_max_ns = record->latency_ns;
}

static void row_allocation(struct tally *row, const struct trace_record *record, uint64_t bytes)
{
    row_latency(row, record);
    if (record->outcome == TRACE_OUTCOME_FAILED) {
        row->failures++;
        return;
    }
    row->allocations++;
    row->requested_bytes += bytes;
    row->hits += record->outcome == TRACE_OUTCOME_HIT;
    row->misses += record->outcome == TRACE_OUTCOME_MISS;
    row->waits += record->outcome == TRACE_OUTCOME_WAITED;
    row->passed += record->outcome == TRACE_OUTCOME_PASSED;
}

static bool reached_driver(const struct trace_record *record)
{
    return record->outcome == TRACE_OUTCOME_PASSED || record->outcome == TRACE_OUTCOME_FAILED;
}

static void call_count(struct analysis *analysis, const struct trace_record *record)
{
    analysis->calls_asked++;
    analysis->calls_driver += reached_driver(record);
    histogram_add(&analysis->latency, record->latency_ns);
}

static void phases_count(struct analysis *analysis, const struct trace_record *record)
{
    for (size_t i = 0; i < analysis->phases; i++) {
        struct analysis_phase *phase = &analysis->phase[i];

        phase->allocations += phase->open && record->kind == TRACE_EVENT_ALLOCATE;
        phase->frees += phase->open && record->kind == TRACE_EVENT_FREE;
    }
}

/** A block leaves the ledger; `ended`: with its context. */
static void block_leave(struct analysis *analysis, struct ledger_block *block, bool ended)
{
    address_history_leave(&analysis->addresses, block, ended);
    ledger_remove(&analysis->ledger, block);
}

/** A block was freed: how long it lived, and whether it was temporary. */
static void block_lived(struct analysis *analysis, const struct ledger_block *block,
                        struct tally *const rows[ROWS], uint64_t time_ns)
{
    uint64_t lived_ns = time_ns > block->time_ns ? time_ns - block->time_ns : 0;
    bool temporary = analysis->total.allocations - block->order < LIFETIME_TEMPORARY;

    if (!memory_kind(block->memory)->on_device)
        return;
    lifetimes_add(&analysis->lifetimes, lived_ns, block->requested_bytes);
    for (int i = 0; i < ROWS; i++) {
        rows[i]->lifetime_ns += lived_ns;
        rows[i]->temporaries += temporary;
        rows[i]->temporary_bytes += temporary ? block->requested_bytes : 0;
    }
}

static void failure_add(struct analysis *analysis, const struct trace_record *record)
{
    if (analysis->total.failures && analysis->total.failures <= ANALYSIS_FAILURES)
        analysis->failure[analysis->total.failures - 1] = (struct analysis_failure){
            .time_ns = record->time_ns, .request_bytes = record->size, .site = record->site};
}

static int allocate_add(struct analysis *analysis, const struct trace_record *record)
{
    const struct memory_kind *kind = memory_kind(record->memory);
    struct ledger_block *old = ledger_find(&analysis->ledger, kind->space, record->address);
    struct ledger_block block = {.address = record->address,
                                 .requested_bytes = tally_bytes(record->size),
                                 .allocated_bytes = tally_bytes(record->value),
                                 .time_ns = record->time_ns,
                                 .stack = (uint32_t)analysis->stack,
                                 .order = analysis->total.allocations + 1,
                                 .site = (uint32_t)record->site,
                                 .context = record->context,
                                 .api = record->api,
                                 .memory = record->memory,
                                 .space = (uint8_t)kind->space,
                                 .passed = record->outcome == TRACE_OUTCOME_PASSED};
    struct tally *rows[ROWS];
    int r;

    if (!block.allocated_bytes || record->outcome == TRACE_OUTCOME_FAILED)
        block.allocated_bytes = block.requested_bytes;
    r = rows_get(analysis, &block, rows);
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i])
            row_allocation(rows[i], record, block.requested_bytes);
    if (kind->on_device) {
        call_count(analysis, record);
        phases_count(analysis, record);
        if (record->outcome == TRACE_OUTCOME_FAILED)
            failure_add(analysis, record);
    }
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

static int free_add(struct analysis *analysis, const struct trace_record *record)
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
    if (memory_kind(block.memory)->on_device) {
        call_count(analysis, record);
        phases_count(analysis, record);
    }
    block_leave(analysis, found, false);
    r = block_live(analysis, &block, -1, trace_record_order_ns(record));
    if (r == 0)
        r = rows_get(analysis, &block, rows);
    if (r == 0)
        block_lived(analysis, &block, rows, trace_record_order_ns(record));
    if (r == 0 && rows[ROW_API]) /* the function called, not the one that allocated */
        rows[ROW_API] = tallies_get(&analysis->apis, record->api);
    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i]) {
            rows[i]->frees++;
            row_latency(rows[i], record);
        }
    return r;
}

static int invalid_free_add(struct analysis *analysis, const struct trace_record *record)
{
    struct tally *site = tallies_get(&analysis->sites, record->site);
    struct tally *stack = tallies_get(&analysis->stacks, analysis->stack);
    struct tally *api = tallies_get(&analysis->apis, record->api);

    if (!site || !stack || !api)
        return -ENOMEM;
    site->invalid_frees++;
    stack->invalid_frees++;
    api->invalid_frees++;
    if (analysis->total.invalid_frees < ANALYSIS_INVALID_FREES)
        analysis->invalid_free[analysis->total.invalid_frees] = (struct analysis_invalid_free){
            .time_ns = record->time_ns,
            .address = record->address,
            .error = record->value,
            .site = record->site,
            .allocation_site = record->size,
            .first_free_site = record->stream,
            .api = record->api};
    analysis->total.invalid_frees++;
    return 0;
}

static void segment_reserve(struct analysis *analysis, uint64_t bytes, int sign, uint64_t time_ns)
{
    const struct timeline_point change = {.reserved_bytes = bytes, .driver_bytes = bytes};

    levels_add(analysis, &change, sign, time_ns);
}

static int segment_add(struct analysis *analysis, const struct trace_record *record)
{
    struct ledger_block segment = {.address = record->address,
                                   .allocated_bytes = tally_bytes(record->size),
                                   .order = analysis->total.allocations + 1,
                                   .context = record->context,
                                   .space = LEDGER_SEGMENT};

    analysis->calls_driver++;
    analysis->segment_allocations++;
    if (record->value || ledger_find(&analysis->ledger, LEDGER_SEGMENT, record->address))
        return 0;
    segment_reserve(analysis, segment.allocated_bytes, 1, record->time_ns);
    return ledger_add(&analysis->ledger, &segment);
}

static void segment_remove(struct analysis *analysis, const struct trace_record *record)
{
    struct ledger_block *segment = ledger_find(&analysis->ledger, LEDGER_SEGMENT, record->address);

    analysis->calls_driver++;
    analysis->segment_frees++;
    if (record->value || !segment)
        return;
    segment_reserve(analysis, segment->allocated_bytes, -1, trace_record_order_ns(record));
    block_leave(analysis, segment, false);
}

static int leak_add(struct analysis *analysis, const struct ledger_block *block)
{
    struct tally *rows[ROWS];
    int r = rows_get(analysis, block, rows);

    for (int i = 0; i < ROWS && r == 0; i++)
        if (rows[i]) {
            rows[i]->leaked_blocks++;
            rows[i]->leaked_bytes += block->requested_bytes;
        }
    return r;
}

/** A context ends: what it still held was never freed by the program, and is gone. */
static int context_end(struct analysis *analysis, uint32_t context, uint64_t time_ns)
{
    struct ledger_block *block;
    size_t position = 0;
    int r = 0;

    while (r == 0 && (block = ledger_next(&analysis->ledger, &position))) {
        struct ledger_block gone = *block;

        if (gone.context != context ||
            (gone.space != LEDGER_SEGMENT && !memory_kind(gone.memory)->on_device))
            continue;
        if (gone.space == LEDGER_SEGMENT) {
            segment_reserve(analysis, gone.allocated_bytes, -1, time_ns);
        } else {
            r = block_live(analysis, &gone, -1, time_ns);
            r = r < 0 ? r : leak_add(analysis, &gone);
        }
        block_leave(analysis, block, true);
        position--; /* another block may have moved here */
    }
    return r;
}

static int leaks_find(struct analysis *analysis)
{
    struct ledger_block *block;
    size_t position = 0;
    int r = 0;

    while (r == 0 && (block = ledger_next(&analysis->ledger, &position)))
        if (block->space != LEDGER_SEGMENT)
            r = leak_add(analysis, block);
    return r;
}

static void device_add(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->value);
    size_t i = 0;

    while (i < analysis->devices && analysis->device[i].index != record->device)
        i++;
    if (i == ANALYSIS_DEVICES)
        return;
    analysis->device[i] = (struct analysis_device){
        .index = record->device,
        .name = name ? name : "",
        .simulated = name && (strcasestr(name, "simulated") || strcasestr(name, "simgpu")),
        .total_bytes = record->size,
        .driver_version = record->address,
        .runtime_version = record->site};
    if (i == analysis->devices)
        analysis->devices++;
}

static void trim_add(struct analysis *analysis, const struct trace_record *record)
{
    if (analysis->trims < ANALYSIS_TRIMS)
        analysis->trim[analysis->trims] = (struct analysis_trim){
            .time_ns = record->time_ns, .bytes = tally_bytes(record->size)};
    analysis->trims++;
    analysis->trimmed_bytes += tally_bytes(record->size);
}

static void postmortem_add(struct analysis *analysis, const struct trace_record *record)
{
    if (analysis->postmortems++ < ANALYSIS_POSTMORTEMS)
        analysis->postmortem[analysis->postmortems - 1] = (struct analysis_postmortem){
            .time_ns = record->time_ns,
            .request_bytes = record->size,
            .held_free_bytes = record->value,
            .levels = analysis_levels_now(analysis, record->time_ns),
            .site = record->site};
}

static int counter_add(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->api);
    struct analysis_counter *counter = analysis->counter, *grown;
    size_t i = 0;

    if (!name)
        return 0;
    if (pool_levels_add(&analysis->pool_levels, name, record->context, record->size,
                        record->time_ns) < 0)
        return -ENOMEM;
    while (i < analysis->counters &&
           (counter[i].name != name || counter[i].context != record->context))
        i++;
    if (i == analysis->counters_room) {
        size_t room = i ? 2 * i : 64;

        grown = room > 65536 ? NULL : realloc(counter, room * sizeof *counter);
        if (!grown)
            return -ENOMEM;
        analysis->counter = counter = grown;
        analysis->counters_room = room;
    }
    analysis->counters += i == analysis->counters;
    counter[i] = (struct analysis_counter){name, record->context, record->size, record->address,
                                           record->value};
    return 0;
}

/** The row of a phase by its name, made when it is new. */
static struct analysis_phase *phase_get(struct analysis *analysis, const char *name)
{
    struct analysis_phase *phase = analysis->phase;

    for (size_t i = 0; i < analysis->phases; i++)
        if (phase[i].name == name)
            return &phase[i];
    if (analysis->phases == analysis->phases_room) {
        size_t room = analysis->phases ? 2 * analysis->phases : 16;

        phase = room > 1024 ? NULL : realloc(phase, room * sizeof *phase);
        if (!phase)
            return NULL;
        analysis->phase = phase;
        analysis->phases_room = room;
    }
    phase[analysis->phases] = (struct analysis_phase){.name = name};
    return &phase[analysis->phases++];
}

enum { PHASE_END, PHASE_BEGIN, PHASE_MARK };

static int phase_add(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->value);
    struct analysis_phase *phase = name ? phase_get(analysis, name) : NULL;

    if (!phase)
        return name ? -ENOMEM : 0;
    if (record->size == PHASE_END) {
        if (phase->open && --phase->open == 0) {
            phase->duration_ns += record->time_ns - phase->begin_ns;
            episodes_add(&analysis->episodes, (size_t)(phase - analysis->phase), phase->begin_ns,
                         record->time_ns);
        }
        return 0;
    }
    phase->count++;
    if (record->size == PHASE_BEGIN && phase->open++ == 0)
        phase->begin_ns = record->time_ns;
    if (phase->open && analysis->requested.current > phase->peak_requested_bytes)
        phase->peak_requested_bytes = analysis->requested.current;
    return 0;
}

static void process_add(struct analysis *analysis, const struct trace_record *record)
{
    analysis->command = trace_reader_string(analysis->reader, record->value);
    analysis->version = trace_reader_string(analysis->reader, record->address);
}

/** Puts what the lens makes of a record's site into the record. False: leave the record out. */
static bool lens_apply(const struct analysis *analysis, struct trace_record *record)
{
    const struct analysis_lens *lens = analysis->lens;
    uint64_t site = record->site;

    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_FREE:
        /* Belongs to its block; only one whose block is unknown is judged by itself. */
        if (ledger_find(&analysis->ledger, memory_kind(record->memory)->space, record->address))
            return true;
        return lens->map(lens->context, site, &site);
    case TRACE_EVENT_ALLOCATE:
    case TRACE_EVENT_INVALID_FREE:
    case TRACE_EVENT_FAILURE:
        if (!lens->map(lens->context, site, &site))
            return false;
        record->site = site;
        return true;
    default: return true;
    }
}

static int event_add(struct analysis *analysis, const struct trace_record *record)
{
    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_PROCESS: process_add(analysis, record); break;
    case TRACE_EVENT_DEVICE: device_add(analysis, record); break;
    case TRACE_EVENT_CONTEXT:
        return record->value ? 0 : context_end(analysis, record->context, record->time_ns);
    case TRACE_EVENT_ALLOCATE: return allocate_add(analysis, record);
    case TRACE_EVENT_FREE: return free_add(analysis, record);
    case TRACE_EVENT_INVALID_FREE: return invalid_free_add(analysis, record);
    case TRACE_EVENT_SEGMENT_ALLOCATE: return segment_add(analysis, record);
    case TRACE_EVENT_SEGMENT_FREE: segment_remove(analysis, record); break;
    case TRACE_EVENT_FENCE:
        analysis->fences++;
        analysis->calls_driver++;
        break;
    case TRACE_EVENT_WAIT:
        analysis->epoch_waits++;
        analysis->calls_driver++;
        break;
    case TRACE_EVENT_TRIM: trim_add(analysis, record); break;
    case TRACE_EVENT_FAILURE: postmortem_add(analysis, record); break;
    case TRACE_EVENT_COUNTER: return counter_add(analysis, record);
    case TRACE_EVENT_PHASE: return phase_add(analysis, record);
    case TRACE_EVENT_EXIT:
        analysis->has_exit = true;
        analysis->wait_status = (uint32_t)record->value;
        break;
    default: break; /* definitions, and what driver_view_add takes */
    }
    return 0;
}

static void tallies_finish(struct tallies *tallies, uint64_t serial)
{
    for (size_t i = 0; i < tallies->rows; i++) {
        struct tally *row = &tallies->row[i];

        row->live_bytes.at_peak = level_at_peak(&row->live_bytes, serial);
        row->live_blocks.at_peak = level_at_peak(&row->live_blocks, serial);
    }
}

/** Leaks, and the levels at the peak that nothing changed since. */
static int finish(struct analysis *analysis)
{
    struct tallies *all[] = {&analysis->sites,
                             &analysis->stacks,
                             &analysis->sizes,
                             &analysis->libraries,
                             &analysis->apis,
                             &analysis->kinds,
                             NULL};
    struct level *levels[] = {&analysis->requested, &analysis->allocated, &analysis->reserved,
                              &analysis->driver, NULL};
    int r = leaks_find(analysis);

    for (size_t i = 0; all[i]; i++)
        tallies_finish(all[i], analysis->peak_serial);
    for (size_t i = 0; levels[i]; i++)
        levels[i]->at_peak = level_at_peak(levels[i], analysis->peak_serial);
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].open) {
            analysis->phase[i].duration_ns += analysis->duration_ns - analysis->phase[i].begin_ns;
            episodes_add(&analysis->episodes, i, analysis->phase[i].begin_ns,
                         analysis->duration_ns);
        }
    return r == 0 && analysis->addresses.short_of_memory ? -ENOMEM : r;
}

int analysis_create(struct trace_reader *reader, struct analysis **ret_analysis, char *ret_why,
                    size_t why_bytes)
{
    return analysis_create_through(reader, NULL, ret_analysis, ret_why, why_bytes);
}

int analysis_create_through(struct trace_reader *reader, const struct analysis_lens *lens,
                            struct analysis **ret_analysis, char *ret_why, size_t why_bytes)
{
    struct analysis *analysis = calloc(1, sizeof *analysis);
    struct trace_record record;
    int r = analysis ? trace_reader_rewind(reader, TRACE_ORDER_TIME) : -ENOMEM;

    if (r < 0)
        goto out_of_memory;
    analysis->reader = reader;
    analysis->lens = lens;
    analysis->recording = *trace_reader_summary(reader);
    r = analysis_carry_load(analysis, event_add);
    if (r < 0 && r != -ENOMEM)
        snprintf(ret_why, why_bytes, "damaged, or of a newer cupool: what is left of early events");
    if (r < 0 && r != -ENOMEM)
        goto destroy;
    if (r < 0)
        goto out_of_memory;
    while ((r = trace_reader_next(reader, &record, ret_why, why_bytes)) > 0) {
        if (record.time_ns > analysis->duration_ns)
            analysis->duration_ns = record.time_ns;
        analysis->stack = record.site;
        r = driver_view_add(analysis, &record);
        if (r < 0)
            goto out_of_memory;
        r = lens && !lens_apply(analysis, &record) ? 0 : event_add(analysis, &record);
        if (r < 0)
            goto out_of_memory;
    }
    if (r < 0)
        goto destroy;
    r = finish(analysis);
    if (r == 0)
        r = driver_view_finish(analysis);
    if (r < 0)
        goto out_of_memory;
    analysis->lens = NULL;
    *ret_analysis = analysis;
    return 0;
out_of_memory:
    snprintf(ret_why, why_bytes, "out of memory");
destroy:
    analysis_destroy(analysis);
    return r;
}

void analysis_destroy(struct analysis *analysis)
{
    if (!analysis)
        return;
    tallies_done(&analysis->sites);
    tallies_done(&analysis->stacks);
    tallies_done(&analysis->sizes);
    tallies_done(&analysis->libraries);
    tallies_done(&analysis->apis);
    tallies_done(&analysis->kinds);
    ledger_done(&analysis->ledger);
    address_history_done(&analysis->addresses);
    driver_view_done(&analysis->driver_view);
    pool_levels_done(&analysis->pool_levels);
    free(analysis->phase);
    free(analysis->counter);
    free(analysis);
}

int analysis_counter_get(const struct analysis *analysis, const char *name, uint64_t *ret_current)
{
    uint64_t sum = 0;
    bool found = false;

    for (size_t i = 0; i < analysis->counters; i++)
        if (!strcmp(analysis->counter[i].name, name)) {
            sum += analysis->counter[i].current;
            found = true;
        }
    if (!found)
        return -ENOENT;
    *ret_current = sum;
    return 0;
}

uint64_t analysis_driver_calls(const struct analysis *analysis)
{
    uint64_t by_pool, pool_events = analysis->segment_allocations + analysis->segment_frees +
                                    analysis->fences + analysis->epoch_waits;

    if (analysis_counter_get(analysis, "driver_calls", &by_pool) < 0 || by_pool < pool_events)
        return analysis->calls_driver;
    return analysis->calls_driver - pool_events + by_pool;
}

bool analysis_is_simulated(const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->devices; i++)
        if (analysis->device[i].simulated)
            return true;
    return false;
}

bool analysis_has_pool(const struct analysis *analysis)
{
    return analysis->segment_allocations || analysis->total.hits || analysis->total.misses ||
           analysis->total.waits;
}

int analysis_exit_status(const struct analysis *analysis)
{
    int status = (int)analysis->wait_status;

    if (!analysis->has_exit)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static double unused_part(uint64_t used, uint64_t whole)
{
    return whole && used < whole ? 1.0 - (double)used / (double)whole : 0.0;
}

double analysis_overhead(const struct analysis *analysis)
{
    return unused_part(analysis->requested.at_peak, analysis->driver.at_peak);
}

double analysis_internal(const struct analysis *analysis)
{
    return unused_part(analysis->requested.at_peak, analysis->allocated.at_peak);
}
