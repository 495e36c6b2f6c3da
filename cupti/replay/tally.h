/* SPDX-License-Identifier: MIT */
/*
 * Statistics of groups by key, and levels that know their value at a peak.
 *
 * Memory comes from separate pages, never from malloc: the traced process also keeps tallies
 * (trace_fold.h).
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_REPLAY_TALLY_H
#define CUPTI_REPLAY_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/key_index.h"

struct trace_record;

/** A level: now, highest, and at the peak of requested device memory. */
struct level {
    uint64_t current, peak, at_peak;
    uint64_t serial; /* of the overall peak at_peak belongs to */
};

/** Statistics of a group of allocations. */
struct tally {
    uint64_t key;
    uint64_t allocations, frees, failures;
    uint64_t requested_bytes; /* sum of all allocations */
    uint64_t hits, misses, waits, passed;
    uint64_t leaked_blocks, leaked_bytes;
    uint64_t invalid_frees;
    uint64_t latency_ns, latency_max_ns; /* sum and highest, of allocations and frees */
    uint64_t lifetime_ns;                /* sum, of the blocks that were freed */
    uint64_t temporaries, temporary_bytes;
    struct level live_bytes;
    struct level live_blocks;
};

/** Tallies by key. */
struct tallies {
    struct tally *row;
    size_t rows, room;
    struct key_index index;
};

/** Sizes above this are damage or a refused request; they would overflow sums. */
#define TALLY_BYTES_MOST (UINT64_C(1) << 56)

static inline uint64_t tally_bytes(uint64_t bytes)
{
    return bytes < TALLY_BYTES_MOST ? bytes : TALLY_BYTES_MOST;
}

/** A sum of times, clamped to INT64_MAX: a damaged trace may contain anything. */
static inline uint64_t tally_sum(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) || sum > INT64_MAX ? INT64_MAX : sum;
}

/** Key of a size in a tally by size: the next power of two, from 512 bytes. */
static inline uint64_t tally_size_class(uint64_t bytes)
{
    return bytes <= 512 ? 9 : 64 - (uint64_t)__builtin_clzll(bytes - 1);
}

/** Returns the row of a key, created when new. NULL: out of memory. Earlier rows may move. */
struct tally *tallies_get(struct tallies *tallies, uint64_t key);
void tallies_done(struct tallies *tallies);

/** Moves a level without looking at its peak. */
void level_move(struct level *level, int64_t change, uint64_t serial);

/** Adds to a level; `serial` numbers the overall peak so far. */
void level_add(struct level *level, int64_t change, uint64_t serial);

/** at_peak of a level when `serial` is the last. */
uint64_t level_at_peak(const struct level *level, uint64_t serial);

/** Counts an allocation call, its requested bytes and its latency. */
void tally_allocation(struct tally *row, const struct trace_record *record, uint64_t bytes);

/** Counts the time a call took. */
void tally_latency(struct tally *row, const struct trace_record *record);

/** Counts a block that was freed after so long. */
void tally_lifetime(struct tally *row, uint64_t lived_ns, uint64_t bytes, bool temporary);

/** Orders by bytes live at the peak, then leaked bytes, then all bytes, then key. For qsort of
 * rows. */
int tally_compare(const void *a, const void *b);

#endif
