/* SPDX-License-Identifier: MIT */
#include "tools/analysis/site_sets.h"

#include "cupti/read/trace_carry.h"
#include "tools/analysis/analysis.h"

/** The first member of a stack, as row + 1. */
static uint32_t member_first(const struct site_sets *sets, uint64_t stack)
{
    return sets->first[stack < sets->stacks ? stack : 0];
}

#define FOR_SETS(sets, stack, set_of)                                                              \
    for (uint32_t at = member_first(sets, stack), set_of;                                          \
         at && (set_of = (sets)->member[at - 1].set, true); at = (sets)->member[at - 1].next)

static void set_enter(struct site_set *set, const struct analysis *analysis)
{
    if (set->openings != analysis->openings && set->current_bytes > set->peak_bytes)
        set->peak_bytes = set->current_bytes;
    set->openings = analysis->openings;
}

void site_sets_change(struct site_sets *sets, const struct analysis *analysis,
                      const struct tally *stack, bool done)
{
    uint64_t before = sets->before_bytes;

    sets->before_bytes = stack->live_bytes.current;
    if (!done)
        return;
    sets->visits_most += SITE_SETS_EACH;
    FOR_SETS(sets, stack->key, number)
    {
        struct site_set *set = &sets->set[number];

        sets->spent |= sets->visits >= SITE_SETS_FIRST + sets->visits_most;
        if (sets->spent)
            return;
        sets->visits++;
        set_enter(set, analysis);
        set->current_bytes += stack->live_bytes.current - before;
        if (!analysis->outside && set->current_bytes > set->peak_bytes)
            set->peak_bytes = set->current_bytes;
    }
}

/** Peaks of stacks are added, as analysis_carry.c does for those that a lens selects. */
static void rows_add(struct site_sets *sets, const struct tally *row, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        FOR_SETS(sets, row[i].key, number)
        {
            struct site_set *set = &sets->set[number];

            set->current_bytes += row[i].live_bytes.current;
            set->peak_bytes += row[i].live_bytes.peak;
            set->peak_bound += row[i].live_bytes.peak != 0; /* their number, for now */
            set->carried++;
        }
}

void site_sets_carry(struct site_sets *sets, const struct analysis *analysis)
{
    const struct trace_carry *carry = trace_reader_carry(analysis->reader);
    size_t rows = carry ? (size_t)carry->header->rows[TRACE_CARRY_STACKS] : 0;

    if (!carry)
        return;
    rows_add(sets, carry->rows[TRACE_CARRY_STACKS], rows);
    for (size_t i = 0; i < sets->sets; i++) {
        struct site_set *set = &sets->set[i];
        const struct replay_figures *whole = &carry->header->figures;
        bool is_whole = set->carried == rows;

        if (set->peak_bytes > whole->total.live_bytes.peak)
            set->peak_bytes = whole->total.live_bytes.peak;
        if (is_whole)
            set->peak_bytes = whole->requested.peak;
        if (analysis->outside)
            set->peak_bytes = 0;
        set->peak_bound = !is_whole && set->peak_bound > 1 ? set->peak_bytes : 0;
    }
}

void site_sets_finish(struct site_sets *sets, const struct analysis *analysis)
{
    for (size_t i = 0; i < sets->sets; i++)
        set_enter(&sets->set[i], analysis);
    for (size_t i = 0; i < analysis->stacks.rows; i++)
        FOR_SETS(sets, analysis->stacks.row[i].key, number)
    sets->set[number].leaked_bytes += analysis->stacks.row[i].leaked_bytes;
}
