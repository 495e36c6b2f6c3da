/* SPDX-License-Identifier: MIT */
/*
 * What the pool does with its segments and fences is recorded.
 */
#include "shim/backend/context_pool.h"

#include "shim/backend/backend_driver.h"
#include "shim/observe/record.h"
#include "shim/options/mode.h"

static void observe_pool(void *state, const struct pool_event *event)
{
    record_pool_event(state, event);
}

struct pool *context_pool_make(struct context *context, const struct driver_functions *driver)
{
    const struct options *options = shim_options();
    static const enum pool_reuse reuse[] = {
        [OPTION_REUSE_DEFERRED] = POOL_REUSE_DEFERRED,
        [OPTION_REUSE_SYNC] = POOL_REUSE_SYNC,
        [OPTION_REUSE_IMMEDIATE] = POOL_REUSE_IMMEDIATE,
    };
    static const enum pool_fill fill[] = {
        [OPTION_FILL_NONE] = POOL_FILL_NONE,
        [OPTION_FILL_ZERO] = POOL_FILL_ZERO,
        [OPTION_FILL_POISON] = POOL_FILL_POISON,
    };
    struct pool_config config;
    if (mode_now() != SHIM_POOL)
        return NULL;
    pool_config_init(&config);
    config.reuse = reuse[options->reuse];
    if (config.reuse == POOL_REUSE_DEFERRED && !backend_driver_has_fences(driver))
        config.reuse = POOL_REUSE_SYNC;
    config.fill = fill[options->fill];
    config.scrub = fill[options->scrub];
    config.quarantine_max = options->quarantine_max.bytes;
    config.large_waste_percent = (uint32_t)options->large_waste;
    config.cache_max = options->cache_max.bytes;
    config.observe = observe_pool;
    config.observe_state = context;

    struct pool_backend backend;
    struct pool *pool;
    backend_driver_init(&backend, context);
    return pool_create(&config, &backend, &pool) == 0 ? pool : NULL;
}
