/* SPDX-License-Identifier: MIT */
/*
 * Creates a context's pool with the backing that the options ask for. The trace records which
 * backing it got and why, and what the pool does with its segments and fences.
 */
#include "shim/backend/context_pool.h"

#include <errno.h>

#include "shim/backend/backend_driver.h"
#include "shim/backend/backend_vmm.h"
#include "shim/backend/idle.h"
#include "shim/observe/record.h"
#include "shim/options/mode.h"
#include "shim/options/options_pool.h"

void (*context_pool_watch)(struct context *context, struct pool_config *config,
                           struct pool_backend *backend);

static void observe_pool(void *state, const struct pool_event *event)
{
    record_pool_event(state, event);
}

static void configure(struct pool_config *config, struct context *context,
                      const struct driver_functions *driver)
{
    pool_config_init(config);
    options_pool_configure(shim_options(), config);
    config->backing = POOL_BACKING_DRIVER;
    if (config->reuse == POOL_REUSE_DEFERRED && !backend_driver_has_fences(driver))
        config->reuse = POOL_REUSE_SYNC;
    config->observe = observe_pool;
    config->observe_state = context;
}

static void watch(struct context *context, struct pool_config *config, struct pool_backend *backend)
{
    if (context_pool_watch)
        context_pool_watch(context, config, backend);
}

static bool wants_mapped(const struct options *options)
{
    return options->backing != OPTION_BACKING_DRIVER || options->guard == OPTION_GUARD_PAGE;
}

static const char *why_mapped(const struct options *options)
{
    switch (options->backing) {
    case OPTION_BACKING_AUTO: return "supported by the device";
    case OPTION_BACKING_VMM: return "by option";
    default: return "needed by guard:page";
    }
}

/* Returns why memory cannot be mapped although the option asks for it; NULL: no objection. */
static const char *ruled_out(const struct options *options)
{
    if (options->ipc_range == OPTION_IPC_RANGE_SEGMENT)
        return "ipc_range:segment needs the driver's allocations";
    return NULL;
}

static const char *failure_of(int error)
{
    switch (error) {
    case -ENOTSUP: return "no addresses could be reserved";
    case -ENOMEM: return "out of memory";
    default: return "the driver failed";
    }
}

/* Creates a pool of mapped memory; NULL, with the reason, if there is none. */
static struct pool *make_mapped(struct pool_config config, struct pool_backend backend,
                                struct context *context, const struct driver_functions *driver,
                                const char **ret_reason)
{
    struct pool *pool;

    *ret_reason = ruled_out(shim_options());
    if (!*ret_reason)
        *ret_reason = backend_vmm_add(&backend, context, driver);
    if (*ret_reason)
        goto drop;
    config.backing = POOL_BACKING_MAPPED;
    watch(context, &config, &backend);
    int error = pool_create(&config, &backend, &pool);
    if (error == 0)
        return pool;
    *ret_reason = failure_of(error);
drop:
    backend_vmm_drop(context);
    return NULL;
}

struct pool *context_pool_make(struct context *context, const struct driver_functions *driver)
{
    struct pool_config config;
    struct pool_backend backend;
    struct pool *pool = NULL;
    const char *reason = "by option";

    if (mode_now() != SHIM_POOL)
        return NULL;
    configure(&config, context, driver);
    idle_watch(config.idle_trim_ns);
    bool frees_wait = config.reuse == POOL_REUSE_SYNC;
    backend_driver_init(&backend, context);
    if (wants_mapped(shim_options()))
        pool = make_mapped(config, backend, context, driver, &reason);
    if (pool) {
        record_backing(context, pool, frees_wait, why_mapped(shim_options()));
        return pool;
    }
    watch(context, &config, &backend);
    if (pool_create(&config, &backend, &pool) < 0)
        return NULL;
    record_backing(context, pool, frees_wait, reason);
    return pool;
}
