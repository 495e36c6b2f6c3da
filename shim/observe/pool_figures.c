/* SPDX-License-Identifier: MIT */
/*
 * See pool_figures.h. One snapshot, taken apart by the table it is declared in.
 */
#include "shim/observe/pool_figures.h"

void pool_figures_visit(struct pool *pool, pool_figure_visit *visit, void *state)
{
    struct pool_statistics figures;
    pool_statistics_get(pool, &figures);
#define POOL_GAUGE(name, unit, help) visit(state, #name, false, figures.name);
#define POOL_COUNTER(name, unit, help)                                                             \
    visit(state, #name, true, (struct pool_gauge){.current = figures.name});
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    visit(state, "largest_free_bytes", false,
          (struct pool_gauge){.current = figures.largest_free_bytes});
    visit(state, "metadata_bytes", false, (struct pool_gauge){.current = figures.metadata_bytes});
    visit(state, "peak_time_ns", false, (struct pool_gauge){.current = figures.peak_time_ns});
}
