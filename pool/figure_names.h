/* SPDX-License-Identifier: MIT */
/*
 * Indices of the pool's statistics, from the table that declares them.
 */
#ifndef POOL_FIGURE_NAMES_H
#define POOL_FIGURE_NAMES_H

enum figure_gauge {
#define POOL_GAUGE(name, unit, help) GAUGE_##name,
#define POOL_COUNTER(name, unit, help)
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    GAUGE_COUNT
};

enum figure_counter {
#define POOL_GAUGE(name, unit, help)
#define POOL_COUNTER(name, unit, help) COUNTER_##name,
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    COUNTER_COUNT
};

#endif
