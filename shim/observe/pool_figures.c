/* SPDX-License-Identifier: MIT */
/*
 * Takes one snapshot and enumerates it by the table that declares its fields.
 */
#include "shim/observe/pool_figures.h"

#include <stddef.h>

#include "cupti/base/pages.h"

#define FIGURE(figure, kind)                                                                       \
    {                                                                                              \
        .name = #figure, .offset = offsetof(struct pool_statistics, figure), kind                  \
    }

static const struct pool_figure figures_all[] = {
#define POOL_GAUGE(name, unit, help)   FIGURE(name, .peaked = true),
#define POOL_COUNTER(name, unit, help) FIGURE(name, .total = true),
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    FIGURE(largest_free_bytes, .peaked = false),
    FIGURE(metadata_bytes, .peaked = false),
    FIGURE(peak_time_ns, .peaked = false),
};

void pool_figures_visit(struct pool *pool, pool_figure_visit *visit, void *state)
{
    struct pool_statistics *figures = pages_map(sizeof(*figures));

    if (!figures)
        return;
    pool_statistics_get(pool, figures);
    for (size_t i = 0; i < sizeof(figures_all) / sizeof(figures_all[0]); i++) {
        const void *figure = (const char *)figures + figures_all[i].offset;
        struct pool_gauge value = {0};

        if (figures_all[i].peaked)
            value = *(const struct pool_gauge *)figure;
        else
            value.current = *(const uint64_t *)figure;
        visit(state, &figures_all[i], value);
    }
    pages_unmap(figures, sizeof(*figures));
}
