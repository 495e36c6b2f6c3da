/* SPDX-License-Identifier: MIT */
/*
 * Starts the analysis of a trace of limited size from the figures, rows and live blocks that the
 * writer kept of discarded events. The result is the state of a full analysis at that moment,
 * except for the timeline, the phases and the driver's own view, which start there.
 *
 * The writer knows stacks, not the sites that a lens joins them to. The peaks of stacks are added,
 * which gives an upper bound for the site. If the lens leaves stacks out, the sums are those of the
 * others, and the peak is at most the sum of theirs.
 */
#include <errno.h>
#include <string.h>

#include "cupti/read/trace_carry.h"
#include "tools/analysis/analysis_parts.h"

#define SECTION_ROWS(carry, NAME) ((size_t)(carry)->header->rows[TRACE_CARRY_##NAME])

typedef int event_add_fn(struct analysis *analysis, const struct trace_record *record);

static bool site_exists(const struct analysis *analysis, uint64_t site)
{
    struct trace_site place;

    return !site || trace_reader_site(analysis->reader, site, &place) == 0;
}

static bool text_exists(const struct analysis *analysis, uint64_t text)
{
    return !text || trace_reader_string(analysis->reader, text);
}

/** The site to count under. False: the lens leaves it out. */
static bool site_map(const struct analysis *analysis, uint64_t site, uint64_t *ret_site)
{
    *ret_site = site;
    return !analysis->lens || analysis->lens->map(analysis->lens->context, site, ret_site);
}

static void level_join(struct level *level, const struct level *other, uint64_t serial)
{
    uint64_t at_peak = level_at_peak(level, serial) + level_at_peak(other, serial);

    level->current += other->current;
    level->peak += other->peak;
    level->at_peak = at_peak;
    level->serial = serial;
}

static void tally_join(struct tally *row, const struct tally *other, uint64_t serial)
{
    const uint64_t longest = row->latency_max_ns > other->latency_max_ns ? row->latency_max_ns
                                                                         : other->latency_max_ns;

    row->allocations += other->allocations;
    row->frees += other->frees;
    row->failures += other->failures;
    row->requested_bytes += other->requested_bytes;
    row->hits += other->hits;
    row->misses += other->misses;
    row->waits += other->waits;
    row->passed += other->passed;
    row->leaked_blocks += other->leaked_blocks;
    row->leaked_bytes += other->leaked_bytes;
    row->invalid_frees += other->invalid_frees;
    row->latency_ns = tally_sum(row->latency_ns, other->latency_ns);
    row->latency_max_ns = longest;
    row->lifetime_ns = tally_sum(row->lifetime_ns, other->lifetime_ns);
    row->temporaries += other->temporaries;
    row->temporary_bytes += other->temporary_bytes;
    level_join(&row->live_bytes, &other->live_bytes, serial);
    level_join(&row->live_blocks, &other->live_blocks, serial);
}

/** Returns the key of a carried row in this analysis. False: none, or left out. */
static bool key_find(const struct analysis *analysis, enum trace_carry_section section,
                     uint64_t key, uint64_t *ret_key)
{
    *ret_key = key;
    switch (section) {
    case TRACE_CARRY_STACKS: return site_exists(analysis, key);
    case TRACE_CARRY_LIBRARIES:
        *ret_key = (uint64_t)(uintptr_t)trace_reader_string(analysis->reader, key);
        return text_exists(analysis, key);
    case TRACE_CARRY_APIS: return text_exists(analysis, key);
    case TRACE_CARRY_KINDS: return key < MEMORY_KINDS && memory_kind((unsigned)key);
    default: return key < 64;
    }
}

/** `mapped`: stacks as the lens joins them. */
static int tallies_load(struct analysis *analysis, const struct trace_carry *carry,
                        enum trace_carry_section section, struct tallies *tallies, bool mapped)
{
    const struct tally *row = carry->rows[section];
    size_t rows = (size_t)carry->header->rows[section];

    for (size_t i = 0; i < rows; i++) {
        size_t before = tallies->rows;
        struct tally *joined;
        uint64_t key;

        if (!key_find(analysis, section, row[i].key, &key) ||
            (mapped && !site_map(analysis, row[i].key, &key)))
            continue;
        joined = tallies_get(tallies, key);
        if (!joined)
            return -ENOMEM;
        if (mapped &&
            key_index_get(&analysis->site_of_stack, row[i].key, (uint32_t)key) == KEY_INDEX_NONE)
            return -ENOMEM;
        if (tallies->rows > before) {
            *joined = row[i];
            joined->key = key;
        } else {
            analysis->carried.joined |= mapped && joined->live_bytes.peak && row[i].live_bytes.peak;
            tally_join(joined, &row[i], carry->header->figures.peak_serial);
        }
    }
    return 0;
}

/** A truth value must be 0 or 1; any other value is rejected before use. */
static bool truth_is_sound(const bool *value)
{
    unsigned char byte;

    memcpy(&byte, value, sizeof byte);
    return byte <= 1;
}

/** The space of a carried block must match its kind of memory. */
static bool block_is_sound(const struct analysis *analysis, const struct replay_block *block)
{
    const struct memory_kind *kind = memory_kind(block->memory);

    if (!truth_is_sound(&block->passed) || !truth_is_sound(&block->counted))
        return false;
    if (block->space != BLOCK_SPACE_SEGMENT && (!kind || block->space != (uint8_t)kind->space))
        return false;
    return site_exists(analysis, block->stack) && text_exists(analysis, block->api) &&
           block->requested_bytes <= TALLY_BYTES_MOST && block->allocated_bytes <= TALLY_BYTES_MOST;
}

/** Takes a live block that the lens leaves out from the levels that rows of stacks do not have. */
static void block_leave_out(struct analysis *analysis, const struct replay_block *block)
{
    const struct memory_kind *kind = memory_kind(block->memory);
    const int64_t change = -(int64_t)block->allocated_bytes;

    if (!kind->on_device)
        return;
    level_move(&analysis->allocated, change, analysis->peak_serial);
    if (block->passed)
        level_move(&analysis->driver, change, analysis->peak_serial);
}

static int live_load(struct analysis *analysis, const struct trace_carry *carry)
{
    const struct replay_block *row = carry->rows[TRACE_CARRY_LIVE];

    for (size_t i = 0; i < SECTION_ROWS(carry, LIVE); i++) {
        struct replay_block block;
        uint64_t site = 0;

        if (!block_is_sound(analysis, &row[i]))
            return -EBADMSG;
        block = row[i];
        if (block_table_find(&analysis->block_table, block.space, block.address))
            continue;
        if (block.space != BLOCK_SPACE_SEGMENT && !site_map(analysis, block.stack, &site)) {
            block_leave_out(analysis, &block);
            continue;
        }
        block.site = (uint32_t)site;
        block.counted = !analysis->outside;
        block.thread = 0; /* as its path */
        if (block_table_add(&analysis->block_table, &block) < 0)
            return -ENOMEM;
        replay_device_add(&analysis->replay, &block, 1);
    }
    return 0;
}

/** Records that were kept as they were. */
static int records_load(struct analysis *analysis, const struct trace_carry *carry,
                        enum trace_carry_section section, event_add_fn *add)
{
    const struct trace_record *row = carry->rows[section];
    int error = 0;

    for (uint64_t i = 0; i < carry->header->rows[section] && error == 0; i++) {
        struct trace_record record = row[i];
        bool wanted = section == TRACE_CARRY_INVALID_FREES
                          ? record.kind == TRACE_EVENT_INVALID_FREE
                          : record.kind != TRACE_EVENT_ALLOCATE && record.kind != TRACE_EVENT_FREE;

        if (record.memory >= MEMORY_KINDS || !memory_kind(record.memory) || !wanted)
            return -EBADMSG;
        if (!text_exists(analysis, record.api))
            record.api = 0;
        if (record.kind != TRACE_EVENT_DEVICE && !site_exists(analysis, record.site))
            record.site = 0;
        analysis->stack = record.site;
        if (record.kind == TRACE_EVENT_CUPTI_STATE)
            error = driver_view_add(analysis, &record);
        else
            error = add(analysis, &record);
    }
    return error;
}

static int gone_load(struct analysis *analysis, const struct trace_carry *carry,
                     enum trace_carry_section section, enum address_moment moment)
{
    const struct replay_block *row = carry->rows[section];

    for (uint64_t i = 0; i < carry->header->rows[section]; i++) {
        if (!block_is_sound(analysis, &row[i]))
            return -EBADMSG;
        if (!address_gone_add(&analysis->addresses.gone[moment], &row[i]))
            return -ENOMEM;
    }
    return 0;
}

static int addresses_load(struct analysis *analysis, const struct trace_carry *carry)
{
    int error = gone_load(analysis, carry, TRACE_CARRY_GONE_AT_PEAK, ADDRESS_AT_PEAK);

    return error < 0 ? error : gone_load(analysis, carry, TRACE_CARRY_GONE_AT_END, ADDRESS_AT_END);
}

static int failures_load(struct analysis *analysis, const struct trace_carry *carry)
{
    const struct trace_fold_failure *row = carry->rows[TRACE_CARRY_FAILURES];

    if (SECTION_ROWS(carry, FAILURES) > ANALYSIS_FAILURES)
        return -EBADMSG;
    for (size_t i = 0; i < SECTION_ROWS(carry, FAILURES); i++)
        analysis->failure[i] = (struct analysis_failure){
            .time_ns = row[i].time_ns,
            .request_bytes = row[i].request_bytes,
            .site = site_exists(analysis, row[i].site) ? row[i].site : 0};
    return 0;
}

static struct timeline_point postmortem_levels(const struct trace_fold_postmortem *row)
{
    return (struct timeline_point){.time_ns = row->time_ns,
                                   .requested_bytes = row->requested_bytes,
                                   .allocated_bytes = row->allocated_bytes,
                                   .reserved_bytes = row->reserved_bytes,
                                   .driver_bytes = row->driver_bytes};
}

/** Restores the pool's failures, which the refusals among the kept records may belong to. */
static void postmortems_load(struct analysis *analysis, const struct trace_carry *carry)
{
    const struct trace_fold_postmortem *row = carry->rows[TRACE_CARRY_POSTMORTEMS];
    size_t failures = 0;

    for (size_t i = 0; i < SECTION_ROWS(carry, POSTMORTEMS); i++)
        if (!row[i].number && failures < ANALYSIS_POSTMORTEMS)
            analysis->postmortem[failures++] = (struct analysis_postmortem){
                .time_ns = row[i].time_ns,
                .request_bytes = row[i].request_bytes,
                .held_free_bytes = row[i].held_free_bytes,
                .thread = row[i].thread,
                .context = row[i].context,
                .levels = postmortem_levels(&row[i]),
                .site = site_exists(analysis, row[i].site) ? row[i].site : 0};
    if (analysis->postmortems < failures)
        analysis->postmortems = failures;
}

/** Refusals keep the levels of their moment; the sites live at that time are lost. */
static void refusals_correct(struct analysis *analysis, const struct trace_carry *carry)
{
    const struct trace_fold_postmortem *row = carry->rows[TRACE_CARRY_POSTMORTEMS];

    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++) {
        struct analysis_postmortem *postmortem = &analysis->postmortem[i];

        memset(postmortem->sites, 0, sizeof postmortem->sites);
        memset(postmortem->libraries, 0, sizeof postmortem->libraries);
        for (size_t k = 0; k < SECTION_ROWS(carry, POSTMORTEMS); k++)
            if (row[k].number && row[k].number == postmortem->number)
                postmortem->levels = postmortem_levels(&row[k]);
    }
}

static int trims_load(struct analysis *analysis, const struct trace_carry *carry)
{
    const struct trace_fold_trim *trim = carry->rows[TRACE_CARRY_TRIMS];

    if (SECTION_ROWS(carry, TRIMS) > ANALYSIS_TRIMS)
        return -EBADMSG;
    for (size_t i = 0; i < SECTION_ROWS(carry, TRIMS); i++)
        analysis->trim[i] = (struct analysis_trim){trim[i].time_ns, trim[i].bytes};
    return 0;
}

static int rows_load(struct analysis *analysis, const struct trace_carry *carry)
{
    int error = 0;

    /* The kept records were counted during the replay, and the rows count them again. */
    tallies_done(&analysis->sites);
    tallies_done(&analysis->stacks);
    tallies_done(&analysis->apis);
#define TALLIES(name, NAME)                                                                        \
    if (error == 0)                                                                                \
        error = tallies_load(analysis, carry, TRACE_CARRY_##NAME, &analysis->name, false);
    REPLAY_TALLIES(TALLIES)
#undef TALLIES
    if (error == 0)
        error = tallies_load(analysis, carry, TRACE_CARRY_STACKS, &analysis->sites, true);
    return error;
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

/** The figures of stacks without those that the lens leaves out. */
static void figures_cut(struct analysis *analysis, const struct tally *kept,
                        const struct tally *left)
{
    const struct tally whole = analysis->total;

    analysis->total = *kept;
    analysis->total.live_bytes.peak = at_most(kept->live_bytes.peak, whole.live_bytes.peak);
    analysis->total.live_blocks.peak = at_most(kept->live_blocks.peak, whole.live_blocks.peak);
    analysis->requested = analysis->total.live_bytes;
    analysis->calls_asked -= at_most(left->allocations + left->failures + left->frees,
                                     analysis->calls_asked);
    analysis->calls_driver -= at_most(left->passed + left->failures, analysis->calls_driver);
}

static void figures_load(struct analysis *analysis, const struct trace_carry *carry)
{
    const struct tally *stack = carry->rows[TRACE_CARRY_STACKS];
    const uint64_t serial = carry->header->figures.peak_serial;
    struct tally kept = {0}, left = {0};
    size_t peaks = 0;

    analysis->figures = carry->header->figures;
    for (size_t i = 0; i < SECTION_ROWS(carry, STACKS); i++) {
        uint64_t site;
        bool counts = site_map(analysis, stack[i].key, &site);

        tally_join(counts ? &kept : &left, &stack[i], serial);
        peaks += counts && stack[i].live_bytes.peak;
        analysis->carried.left_out |= !counts;
    }
    if (!analysis->carried.left_out)
        return;
    figures_cut(analysis, &kept, &left);
    analysis->carried.peak_bound = peaks > 1 ? analysis->requested.peak : 0;
}

/** Keeps the live memory of rows, and drops their counts. */
static void tallies_strip(struct tallies *tallies)
{
    for (size_t i = 0; i < tallies->rows; i++)
        tallies->row[i] = (struct tally){
            .key = tallies->row[i].key,
            .live_bytes.current = tallies->row[i].live_bytes.current,
            .live_blocks.current = tallies->row[i].live_blocks.current,
        };
}

/** For figures of a part of the trace, everything carried is before it, so only the levels
 * count. */
static void figures_strip(struct analysis *analysis)
{
    const struct replay_figures none = {
        .duration_ns = analysis->duration_ns,
        .requested.current = analysis->requested.current,
        .allocated.current = analysis->allocated.current,
        .reserved.current = analysis->reserved.current,
        .driver.current = analysis->driver.current,
        .total.live_bytes.current = analysis->total.live_bytes.current,
        .total.live_blocks.current = analysis->total.live_blocks.current,
    };

    analysis->figures = none;
    analysis->carried.joined = analysis->carried.left_out = false;
    analysis->carried.peak_bound = 0;
#define TALLIES(name, NAME) tallies_strip(&analysis->name);
    REPLAY_TALLIES(TALLIES)
#undef TALLIES
    tallies_strip(&analysis->sites);
    address_history_done(&analysis->addresses);
}

static int all_load(struct analysis *analysis, const struct trace_carry *carry, event_add_fn *add)
{
    int error = records_load(analysis, carry, TRACE_CARRY_INVALID_FREES, add);

    if (error == 0)
        error = rows_load(analysis, carry);
    if (error == 0)
        figures_load(analysis, carry);
    if (error == 0)
        error = live_load(analysis, carry);
    if (error == 0)
        error = addresses_load(analysis, carry);
    if (error == 0)
        error = failures_load(analysis, carry);
    if (error == 0)
        error = trims_load(analysis, carry);
    if (error < 0)
        return error;
    analysis->addresses.peak_order = carry->header->peak_order;
    analysis->order = carry->header->figures.total.allocations;
    postmortems_load(analysis, carry);
    error = records_load(analysis, carry, TRACE_CARRY_RECORDS, add);
    refusals_correct(analysis, carry);
    analysis->driver_view.was_on = false; /* its beginning is lost */
    return error;
}

int analysis_carry_load(struct analysis *analysis, event_add_fn *add)
{
    const struct trace_carry *carry = trace_reader_carry(analysis->reader);
    struct timeline_point opening;
    int error = carry ? all_load(analysis, carry, add) : 0;

    if (!carry || error < 0)
        return error;
    if (analysis->outside)
        figures_strip(analysis);
    analysis->has_thread = true; /* 0: which one is not known */
    if (analysis->outside)
        return 0;
    opening = analysis_levels_now(analysis, carry->header->cut_ns);
    timeline_add(&analysis->timeline, &opening);
    return 0;
}
