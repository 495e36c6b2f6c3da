/* SPDX-License-Identifier: MIT */
/*
 * Enumerates the statistics of a pool by name, for every writer of them.
 *
 * Threading: from any thread that may use the pool.
 */
#ifndef SHIM_OBSERVE_POOL_FIGURES_H
#define SHIM_OBSERVE_POOL_FIGURES_H

#include <stdbool.h>

#include "pool/pool.h"

/** `total`: a counter that only grows; it has a current value and no peak. */
typedef void pool_figure_visit(void *state, const char *name, bool total, struct pool_gauge value);

void pool_figures_visit(struct pool *pool, pool_figure_visit *visit, void *state);

#endif
