/* SPDX-License-Identifier: MIT */
/*
 * The real pool on the modelled device: one for each context, as in the preload.
 *
 * Differs from a program in one way: one thread makes all requests, in trace order. A pool with
 * colliding threads may have more shards than this one.
 */
#include <errno.h>
#include <stdlib.h>

#include "pool/pool.h"
#include "shim/options/options_pool.h"
#include "tools/replay/policy.h"

struct cupool_policy {
    struct device_model *device;
    struct pool_config config;
    struct device_context context[REPLAY_CONTEXTS_MAX];
    struct pool *pool[REPLAY_CONTEXTS_MAX];
    unsigned contexts;    /* the highest one + 1 */
    uint64_t ended_calls; /* of pools that are gone */
    uint64_t allocated[REPLAY_CONTEXTS_MAX], allocated_all, allocated_peak; /* by live blocks */
};

static int policy_make(struct device_model *device, const struct options *options,
                       enum pool_backing backing, void **ret_state)
{
    struct cupool_policy *policy = calloc(1, sizeof *policy);

    if (!policy)
        return -ENOMEM;
    policy->device = device;
    pool_config_init(&policy->config);
    options_pool_configure(options, &policy->config);
    policy->config.backing = backing;
    policy->config.limit_bytes = 0; /* the device itself is smaller then */
    *ret_state = policy;
    return 0;
}

static int cupool_create(struct device_model *device, const struct options *options,
                         void **ret_state)
{
    return policy_make(device, options,
                       options->backing == OPTION_BACKING_DRIVER ? POOL_BACKING_DRIVER
                                                                 : POOL_BACKING_MAPPED,
                       ret_state);
}

static int mapped_create(struct device_model *device, const struct options *options,
                         void **ret_state)
{
    return policy_make(device, options, POOL_BACKING_MAPPED, ret_state);
}

/* A context of the recorded program may have had no mapped memory, whatever the options, or no
 * fences. */
static struct pool_config config_of(const struct cupool_policy *policy, unsigned context)
{
    const struct replay_trace *script = policy->device->script;
    struct pool_config config = policy->config;

    if (!script)
        return config;
    config.idle_trim_ns = 0;
    if (script->backing[context].known && !script->backing[context].range_bytes)
        config.backing = POOL_BACKING_DRIVER;
    if (script->backing[context].frees_wait)
        config.reuse = POOL_REUSE_SYNC;
    return config;
}

static int pool_make(struct cupool_policy *policy, unsigned context)
{
    struct pool_config config = config_of(policy, context);
    struct pool_backend backend;
    int error;

    policy->context[context] = (struct device_context){policy->device, context};
    if (context >= policy->contexts)
        policy->contexts = context + 1;
    backend = device_model_backend(&policy->context[context]);
    error = pool_create(&config, &backend, &policy->pool[context]);
    if (error == -ENOTSUP && config.backing == POOL_BACKING_MAPPED) { /* as the preload does */
        config.backing = POOL_BACKING_DRIVER;
        error = pool_create(&config, &backend, &policy->pool[context]);
    }
    return error;
}

static int cupool_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct cupool_policy *policy = state;
    struct pool_block block;
    int error = policy->pool[request->context] ? 0 : pool_make(policy, request->context);

    if (error == 0)
        error = pool_allocate(policy->pool[request->context], request->bytes, 0, &block);
    if (error < 0)
        return error;
    *ret_token = block.address;
    policy->allocated[request->context] += block.allocated_bytes;
    policy->allocated_all += block.allocated_bytes;
    if (policy->allocated_all > policy->allocated_peak)
        policy->allocated_peak = policy->allocated_all;
    return 0;
}

static void cupool_release(void *state, uint64_t token)
{
    struct cupool_policy *policy = state;
    struct pool_block block;
    struct pool *pool;
    unsigned context = 0;

    if (policy->contexts > 1 && pool_find(token, &block, &pool) == 0)
        while (context + 1 < REPLAY_CONTEXTS_MAX && policy->pool[context] != pool)
            context++;
    if (pool_free(token, 0, &block) < 0)
        return;
    policy->allocated[context] -= block.allocated_bytes;
    policy->allocated_all -= block.allocated_bytes;
}

static int cupool_begin(void *state, unsigned context)
{
    struct cupool_policy *policy = state;

    return policy->pool[context] ? 0 : pool_make(policy, context);
}

/* Whether nothing was allocated for a while: the trace shows it as long as it is followed;
 * afterwards the clock decides. */
static void cupool_request(void *state, unsigned context, enum pool_request request, uint64_t about)
{
    struct cupool_policy *policy = state;
    struct pool *pool = policy->pool[context];
    struct pool_statistics figures;
    uint64_t moved_bytes;
    size_t returned_bytes;

    if (!pool)
        return;
    switch (request) {
    case POOL_REQUEST_TRIM: pool_trim(pool, about, &returned_bytes); break;
    case POOL_REQUEST_DEFRAGMENT: pool_defragment(pool, &moved_bytes); break;
    case POOL_REQUEST_IDLE_TRIM:
        if (policy->device->script)
            pool_idle_return(pool);
        break;
    case POOL_REQUEST_PIN: pool_pin_segment(about); break;
    case POOL_REQUEST_FIGURES: pool_statistics_get(pool, &figures); break;
    }
}

/* The driver takes the memory back without a call. */
static void pool_end(struct cupool_policy *policy, unsigned context)
{
    struct pool_statistics figures;

    if (!policy->pool[context])
        return;
    pool_statistics_get(policy->pool[context], &figures);
    policy->ended_calls += figures.driver_calls;
    policy->allocated_all -= policy->allocated[context];
    policy->allocated[context] = 0;
    device_model_give(policy->device, figures.reserved_bytes.current);
    pool_destroy(policy->pool[context], POOL_END_ABANDON);
    device_model_end(policy->device, context);
    policy->pool[context] = NULL;
}

static void cupool_end(void *state, unsigned context)
{
    pool_end(state, context);
}

static uint64_t cupool_driver_calls(void *state)
{
    struct cupool_policy *policy = state;
    struct pool_statistics figures;
    uint64_t calls = policy->ended_calls;

    for (unsigned i = 0; i < REPLAY_CONTEXTS_MAX; i++)
        if (policy->pool[i]) {
            pool_statistics_get(policy->pool[i], &figures);
            calls += figures.driver_calls;
        }
    return calls;
}

static uint64_t cupool_peak_allocated(void *state)
{
    return ((struct cupool_policy *)state)->allocated_peak;
}

static void cupool_destroy(void *state)
{
    struct cupool_policy *policy = state;

    for (unsigned i = 0; i < REPLAY_CONTEXTS_MAX; i++)
        pool_end(policy, i);
    free(policy);
}

const struct policy_ops policy_cupool = {
    .create = cupool_create,
    .allocate = cupool_allocate,
    .release = cupool_release,
    .begin = cupool_begin,
    .request = cupool_request,
    .end = cupool_end,
    .driver_calls = cupool_driver_calls,
    .peak_allocated = cupool_peak_allocated,
    .destroy = cupool_destroy,
};

const struct policy_ops policy_mapped = {
    .create = mapped_create,
    .allocate = cupool_allocate,
    .release = cupool_release,
    .begin = cupool_begin,
    .request = cupool_request,
    .end = cupool_end,
    .driver_calls = cupool_driver_calls,
    .peak_allocated = cupool_peak_allocated,
    .destroy = cupool_destroy,
};
