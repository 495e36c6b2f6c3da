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

struct pool_figure {
    const char *name;
    size_t offset; /* in struct pool_statistics */
    bool total;    /* it only grows */
    bool peaked;   /* it has a peak; others have a current value alone */
};

typedef void pool_figure_visit(void *state, const struct pool_figure *figure,
                               struct pool_gauge value);

void pool_figures_visit(struct pool *pool, pool_figure_visit *visit, void *state);

#endif
