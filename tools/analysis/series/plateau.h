/* SPDX-License-Identifier: MIT */
/*
 * Finds the steady state of a level: a program loads, warms up, and then runs.
 *
 * The axis is not time but the program's allocations and frees, which are the same in every run. It
 * has at most 512 cells with equal numbers of calls; each keeps its lowest, highest and last level.
 * The steady state is the longest run of cells with levels that differ by at most an eighth of the
 * overall peak and reach at least half of it; of equally long ones the first. It must be a fifth of
 * the whole and have 16 calls. It begins only where the level stays: a part lower than everything
 * after it belongs to the load. The load ends when the level first reaches the minimum of the
 * steady state; the part in between is the warm-up.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_PLATEAU_H
#define TOOLS_ANALYSIS_SERIES_PLATEAU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/series/timeline.h"

#define PLATEAU_CELLS 512

struct plateau_cell {
    uint64_t lowest_bytes, highest_bytes;
    uint64_t first_ns;
    struct timeline_point last;
};

struct plateau_series {
    struct plateau_cell cell[PLATEAU_CELLS];
    size_t cells;
    uint64_t stride; /* calls of a cell; 0: none yet */
    uint64_t used;   /* calls of the last cell */
};

/** Cells; the load ends at `load`, the warm-up at `begin`. */
struct plateau {
    size_t load, begin, end;
};

/** After an allocation or a free. */
void plateau_series_add(struct plateau_series *series, const struct timeline_point *point);

/** False: there is no steady state. */
bool plateau_find(const struct plateau_series *series, struct plateau *ret_plateau);

/** The levels before a cell. */
struct timeline_point plateau_before(const struct plateau_series *series, size_t cell);

#endif
