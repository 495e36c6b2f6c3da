/* SPDX-License-Identifier: MIT */
/*
 * What the pool does with its segments and fences is recorded.
 */
#include "shim/backend/context_pool.h"

#include "shim/backend/backend_driver.h"
#include "shim/observe/record.h"
#include "shim/options/mode.h"
#include "shim/options/options_pool.h"

static void observe_pool(void *state, const struct pool_event *event)
{
    record_pool_event(state, event);
}

struct pool *context_pool_make(struct context *context, const struct driver_functions *driver)
{
    struct pool_config config;
    if (mode_now() != SHIM_POOL)
        return NULL;
    pool_config_init(&config);
    options_pool_configure(shim_options(), &config);
    if (config.reuse == POOL_REUSE_DEFERRED && !backend_driver_has_fences(driver))
        config.reuse = POOL_REUSE_SYNC;
    config.observe = observe_pool;
    config.observe_state = context;

    struct pool_backend backend;
    struct pool *pool;
    backend_driver_init(&backend, context);
    return pool_create(&config, &backend, &pool) == 0 ? pool : NULL;
}
