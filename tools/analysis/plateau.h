/* SPDX-License-Identifier: MIT */
/*
 * Finds the steady state in a level over time: a program loads, warms up, and then runs.
 *
 * Time is cut into 256 equal slices; a slice's level is the highest in it. The steady state is the
 * longest run of slices whose levels differ by at most an eighth of the overall peak and reach at
 * least half of it; of equally long ones the first. It must be a fifth of the whole; its last slice
 * is left out, for the level may begin to fall in it. The load ends
 * when the level first reaches the lowest of the steady state; what is between is the warm-up.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_ANALYSIS_PLATEAU_H
#define TOOLS_ANALYSIS_PLATEAU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/timeline.h"

struct plateau {
    uint64_t load_end_ns; /* where the warm-up begins */
    uint64_t steady_begin_ns, steady_end_ns;
};

/** False: there is no steady state. `point` is in the order of time; between two the first holds.
 */
bool plateau_find(const struct timeline_point *point, size_t points, uint64_t end_ns,
                  struct plateau *ret_plateau);

#endif
