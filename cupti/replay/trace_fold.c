/* SPDX-License-Identifier: MIT */
/*
 * Replays each event, and keeps separately what cannot be summed up. tests/scale/rotated.py
 * compares the figures with those of a whole trace.
 */
#include "cupti/replay/trace_fold.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cupti/base/pages.h"
#include "cupti/format/trace_record.h"

/* Files hold these structures as they are in memory: changing one requires a new version of the
 * trace format. */
static_assert(sizeof(struct replay_block) == 64 && offsetof(struct replay_block, thread) == 60,
              "the carry's rows of blocks");
static_assert(sizeof(struct tally) == 200, "the carry's rows of breakdowns");
static_assert(sizeof(struct replay_figures) == 8664 && sizeof(struct trace_carry_header) == 8816 &&
                  offsetof(struct trace_carry_header, figures) ==
                      (1 + TRACE_CARRY_SECTION_COUNT) * sizeof(uint64_t),
              "the carry's header");

/** Room that records of frequent kinds leave to the rare ones. */
#define FREQUENT_RECORDS (TRACE_FOLD_RECORDS - 1024)

/** Keeps the first refused allocations. */
static void failure_add(struct trace_fold *fold, const struct trace_record *record)
{
    uint64_t row = fold->replay.total.failures - 1;

    if (row < TRACE_FOLD_FAILURES)
        fold->store->failure[row] = (struct trace_fold_failure){
            .time_ns = record->time_ns, .request_bytes = record->size, .site = record->site};
}

static void invalid_free_add(struct trace_fold *fold, const struct trace_record *record)
{
    uint64_t row = fold->replay.total.invalid_frees - 1;

    if (row < TRACE_FOLD_FREES)
        fold->store->invalid_free[row] = *record;
}

static void trim_add(struct trace_fold *fold, const struct trace_record *record)
{
    if (fold->store->trims < TRACE_FOLD_TRIMS)
        fold->store->trim[fold->store->trims++] = (struct trace_fold_trim){
            .time_ns = record->time_ns, .bytes = tally_bytes(record->size)};
}

/** Keeps the levels at a failure of the pool, or (`number`) at a refusal. */
static void postmortem_add(struct trace_fold *fold, const struct trace_record *record,
                           uint64_t number)
{
    struct replay_figures *figures = &fold->replay.figures;
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
    figures->postmortems += !number;
}

/** These are few, and the report needs them. */
static bool kind_is_rare(uint16_t kind)
{
    return kind == TRACE_EVENT_PROCESS || kind == TRACE_EVENT_RANK || kind == TRACE_EVENT_DEVICE ||
           kind == TRACE_EVENT_CONTEXT || kind == TRACE_EVENT_COUNTER ||
           kind == TRACE_EVENT_OPTIONS || kind == TRACE_EVENT_CUPTI_STATE ||
           kind == TRACE_EVENT_BACKING;
}

/** Keeps a record unchanged. Of a counter, only the last record of its name and context. */
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
        fold->forgotten++;
}

/** Keeps what the replay of an event does not. */
static void event_keep(struct trace_fold *fold, const struct trace_record *record)
{
    switch (record->kind) {
    case TRACE_EVENT_ALLOCATE:
        if (replay_is_failure(record))
            failure_add(fold, record);
        break;
    case TRACE_EVENT_FREE:
    case TRACE_EVENT_SEGMENT_ALLOCATE:
    case TRACE_EVENT_SEGMENT_FREE:
    case TRACE_EVENT_FENCE:
    case TRACE_EVENT_WAIT:
    case TRACE_EVENT_MEMORY_INFO: break;
    case TRACE_EVENT_INVALID_FREE: invalid_free_add(fold, record); break;
    case TRACE_EVENT_CONTEXT:
        if (record->value)
            record_keep(fold, record);
        break;
    case TRACE_EVENT_TRIM: trim_add(fold, record); break;
    case TRACE_EVENT_FAILURE: postmortem_add(fold, record, 0); break;
    case TRACE_EVENT_POSTMORTEM:
        postmortem_add(fold, record, record->value);
        record_keep(fold, record);
        break;
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
    case TRACE_EVENT_DRIVER_CONTEXT: fold->forgotten++; break;
    default: record_keep(fold, record);
    }
}

static uint64_t library_of(void *context, uint64_t stack)
{
    const struct trace_fold *fold = context;

    return fold->module_of[stack];
}

int trace_fold_init(struct trace_fold *ret_fold, const uint32_t *module_of)
{
    memset(ret_fold, 0, sizeof *ret_fold);
    ret_fold->module_of = module_of;
    ret_fold->replay.watch = (struct replay_watch){.library_of = library_of, .context = ret_fold};
    ret_fold->store = pages_map(sizeof *ret_fold->store);
    return ret_fold->store ? 0 : -ENOMEM;
}

int trace_fold_add(struct trace_fold *fold, const struct trace_record *record)
{
    uint64_t order_ns = trace_record_order_ns(record);
    int error;

    if (record->time_ns > fold->replay.duration_ns)
        fold->replay.duration_ns = record->time_ns;
    if (order_ns > fold->cut_ns)
        fold->cut_ns = order_ns;
    fold->folded++;
    error = replay_add(&fold->replay, record, record->site);
    if (error == 0)
        event_keep(fold, record);
    return error == 0 && fold->replay.addresses.short_of_memory ? -ENOMEM : error;
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
    case TRACE_CARRY_##NAME: return fold->replay.name.rows;
        REPLAY_TALLIES(TALLIES)
#undef TALLIES
    case TRACE_CARRY_LIVE: return fold->replay.block_table.used;
    case TRACE_CARRY_GONE_AT_PEAK: return fold->replay.addresses.gone[ADDRESS_AT_PEAK].count;
    case TRACE_CARRY_GONE_AT_END: return fold->replay.addresses.gone[ADDRESS_AT_END].count;
    case TRACE_CARRY_FAILURES: return at_most(fold->replay.total.failures, TRACE_FOLD_FAILURES);
    case TRACE_CARRY_RECORDS: return fold->store->records;
    case TRACE_CARRY_INVALID_FREES:
        return at_most(fold->replay.total.invalid_frees, TRACE_FOLD_FREES);
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
        [TRACE_CARRY_GONE_AT_PEAK] = fold->replay.addresses.gone[ADDRESS_AT_PEAK].block,
        [TRACE_CARRY_GONE_AT_END] = fold->replay.addresses.gone[ADDRESS_AT_END].block,
        [TRACE_CARRY_FAILURES] = fold->store->failure,
        [TRACE_CARRY_RECORDS] = fold->store->record,
        [TRACE_CARRY_INVALID_FREES] = fold->store->invalid_free,
        [TRACE_CARRY_POSTMORTEMS] = fold->store->postmortem,
        [TRACE_CARRY_TRIMS] = fold->store->trim,
#define TALLIES(name, NAME) [TRACE_CARRY_##NAME] = fold->replay.name.row,
        REPLAY_TALLIES(TALLIES)
#undef TALLIES
    };
    uint64_t counts[TRACE_CARRY_SECTION_COUNT] = {[TRACE_CARRY_PROGRESS] = progress_rows};
    const uint64_t marks[] = {fold->replay.addresses.peak_order, fold->folded, fold->forgotten,
                              fold->cut_ns};
    const struct replay_block *block;
    size_t position = 0;

    for (int i = 0; i < TRACE_CARRY_SECTION_COUNT; i++)
        counts[i] += trace_fold_rows(fold, i);
    put(context, &next_sequence, sizeof next_sequence);
    put(context, counts, sizeof counts);
    put(context, &fold->replay.figures, sizeof fold->replay.figures);
    put(context, marks, sizeof marks);
    put(context, progress, progress_rows * sizeof *progress);
    for (int i = TRACE_CARRY_STACKS; i < TRACE_CARRY_SECTION_COUNT; i++) {
        if (i != TRACE_CARRY_LIVE)
            put(context, rows[i], counts[i] * trace_carry_row_bytes(i));
        while (i == TRACE_CARRY_LIVE &&
               (block = block_table_next(&fold->replay.block_table, &position)))
            put(context, block, sizeof *block);
    }
}
