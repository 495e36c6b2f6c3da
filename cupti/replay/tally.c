/* SPDX-License-Identifier: MIT */
/*
 * Tallies by key, and levels that know their value at the overall peak.
 *
 * A level is not updated at every new peak. It saves its value before its first change since the
 * last peak: until then, the value is that of the peak.
 */
#include "cupti/replay/tally.h"

#include <string.h>

#include "cupti/base/pages.h"
#include "cupti/format/trace_record.h"

#define FIRST_ROWS 64

void level_move(struct level *level, int64_t change, uint64_t serial)
{
    if (level->serial != serial) {
        level->at_peak = level->current;
        level->serial = serial;
    }
    if (change < 0 && (uint64_t)-change > level->current)
        level->current = 0;
    else
        level->current += (uint64_t)change;
}

void level_add(struct level *level, int64_t change, uint64_t serial)
{
    level_move(level, change, serial);
    if (level->current > level->peak)
        level->peak = level->current;
}

uint64_t level_at_peak(const struct level *level, uint64_t serial)
{
    return level->serial == serial ? level->at_peak : level->current;
}

static int tallies_grow(struct tallies *tallies)
{
    size_t room = tallies->room ? tallies->room * 2 : FIRST_ROWS;
    struct tally *row = pages_map(room * sizeof *row);

    if (!row)
        return -1;
    if (tallies->rows)
        memcpy(row, tallies->row, tallies->rows * sizeof *row);
    pages_unmap(tallies->row, tallies->room * sizeof *tallies->row);
    tallies->row = row;
    tallies->room = room;
    return 0;
}

struct tally *tallies_get(struct tallies *tallies, uint64_t key)
{
    uint32_t row;

    if (tallies->rows == tallies->room && tallies_grow(tallies) < 0)
        return NULL;
    row = key_index_get(&tallies->index, key, (uint32_t)tallies->rows);
    if (row == KEY_INDEX_NONE)
        return NULL;
    if (row == tallies->rows)
        tallies->row[tallies->rows++] = (struct tally){.key = key};
    return &tallies->row[row];
}

void tallies_done(struct tallies *tallies)
{
    pages_unmap(tallies->row, tallies->room * sizeof *tallies->row);
    key_index_done(&tallies->index);
    *tallies = (struct tallies){0};
}

void tally_latency(struct tally *row, const struct trace_record *record)
{
    uint64_t latency_ns = trace_latency_ns(record->latency);

    row->latency_ns = tally_sum(row->latency_ns, latency_ns);
    if (latency_ns > row->latency_max_ns)
        row->latency_max_ns = latency_ns;
}

void tally_allocation(struct tally *row, const struct trace_record *record, uint64_t bytes)
{
    tally_latency(row, record);
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

void tally_lifetime(struct tally *row, uint64_t lived_ns, uint64_t bytes, bool temporary)
{
    row->lifetime_ns = tally_sum(row->lifetime_ns, lived_ns);
    row->temporaries += temporary;
    row->temporary_bytes += temporary ? bytes : 0;
}

int tally_compare(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    const uint64_t order[][2] = {
        {right->live_bytes.at_peak, left->live_bytes.at_peak},
        {right->leaked_bytes, left->leaked_bytes},
        {right->requested_bytes, left->requested_bytes},
        {left->key, right->key},
    };

    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i][0] != order[i][1])
            return order[i][0] < order[i][1] ? -1 : 1;
    return 0;
}
