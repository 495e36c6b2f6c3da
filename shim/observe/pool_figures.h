/* SPDX-License-Identifier: MIT */
/*
 * Every figure of a pool by its name, for whoever writes them down.
 *
 * Threading: from any thread that may use the pool.
 */
#ifndef SHIM_OBSERVE_POOL_FIGURES_H
#define SHIM_OBSERVE_POOL_FIGURES_H

#include <stdbool.h>

#include "pool/pool.h"

/** `total`: it only grows, and has a current value alone. */
typedef void pool_figure_visit(void *state, const char *name, bool total, struct pool_gauge value);

void pool_figures_visit(struct pool *pool, pool_figure_visit *visit, void *state);

#endif
