/* SPDX-License-Identifier: MIT */
/*
 * Takes one snapshot and enumerates it by the table that declares its fields.
 */
#include "shim/observe/pool_figures.h"

#include <stddef.h>

#include "cupti/base/pages.h"

static const struct {
    const char *name;
    size_t offset; /* in struct pool_statistics */
    bool is_gauge, is_total;
} rows[] = {
#define POOL_GAUGE(name, unit, help)   {#name, offsetof(struct pool_statistics, name), true, false},
#define POOL_COUNTER(name, unit, help) {#name, offsetof(struct pool_statistics, name), false, true},
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    {"largest_free_bytes", offsetof(struct pool_statistics, largest_free_bytes), false, false},
    {"metadata_bytes", offsetof(struct pool_statistics, metadata_bytes), false, false},
    {"peak_time_ns", offsetof(struct pool_statistics, peak_time_ns), false, false},
};

void pool_figures_visit(struct pool *pool, pool_figure_visit *visit, void *state)
{
    struct pool_statistics *figures = pages_map(sizeof(*figures));

    if (!figures)
        return;
    pool_statistics_get(pool, figures);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const void *figure = (const char *)figures + rows[i].offset;
        struct pool_gauge value = {0};

        if (rows[i].is_gauge)
            value = *(const struct pool_gauge *)figure;
        else
            value.current = *(const uint64_t *)figure;
        visit(state, rows[i].name, rows[i].is_total, value);
    }
    pages_unmap(figures, sizeof(*figures));
}
