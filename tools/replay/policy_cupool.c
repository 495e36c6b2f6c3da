/* SPDX-License-Identifier: MIT */
/*
 * The pool itself on the modelled device: one for each context, as in the preload.
 *
 * What differs from a program: one thread makes all requests, in the order of the trace, so a pool
 * of a program whose threads collide may have more shards than this one.
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
    uint64_t ended_calls; /* of pools that are gone */
    uint64_t ended_allocated;
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
    return policy_make(device, options, POOL_BACKING_DRIVER, ret_state);
}

static int mapped_create(struct device_model *device, const struct options *options,
                         void **ret_state)
{
    return policy_make(device, options, POOL_BACKING_MAPPED, ret_state);
}

static int pool_make(struct cupool_policy *policy, unsigned context)
{
    struct pool_backend backend;

    policy->context[context] = (struct device_context){policy->device, context};
    backend = device_model_backend(&policy->context[context]);
    return pool_create(&policy->config, &backend, &policy->pool[context]);
}

static int cupool_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct cupool_policy *policy = state;
    struct pool_block block;
    int r = policy->pool[request->context] ? 0 : pool_make(policy, request->context);

    if (r == 0)
        r = pool_allocate(policy->pool[request->context], request->bytes, 0, &block);
    if (r == 0)
        *ret_token = block.address;
    return r;
}

static void cupool_release(void *state, uint64_t token)
{
    (void)state;
    pool_free(token, 0, NULL);
}

static void cupool_sample(void *state)
{
    struct cupool_policy *policy = state;
    struct pool_statistics figures;

    for (unsigned i = 0; i < REPLAY_CONTEXTS_MAX; i++)
        if (policy->pool[i])
            pool_statistics_get(policy->pool[i], &figures);
}

/* The driver takes the memory back without a call. */
static void pool_end(struct cupool_policy *policy, unsigned context)
{
    struct pool_statistics figures;

    if (!policy->pool[context])
        return;
    pool_statistics_get(policy->pool[context], &figures);
    policy->ended_calls += figures.driver_calls;
    policy->ended_allocated += figures.live_allocated_bytes.peak;
    device_model_give(policy->device, figures.reserved_bytes.current);
    pool_destroy(policy->pool[context], POOL_END_ABANDON);
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
    struct cupool_policy *policy = state;
    struct pool_statistics figures;
    uint64_t bytes = policy->ended_allocated;

    for (unsigned i = 0; i < REPLAY_CONTEXTS_MAX; i++)
        if (policy->pool[i]) {
            pool_statistics_get(policy->pool[i], &figures);
            bytes += figures.live_allocated_bytes.peak;
        }
    return bytes;
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
    .sample = cupool_sample,
    .end = cupool_end,
    .driver_calls = cupool_driver_calls,
    .peak_allocated = cupool_peak_allocated,
    .destroy = cupool_destroy,
};

const struct policy_ops policy_mapped = {
    .create = mapped_create,
    .allocate = cupool_allocate,
    .release = cupool_release,
    .sample = cupool_sample,
    .end = cupool_end,
    .driver_calls = cupool_driver_calls,
    .peak_allocated = cupool_peak_allocated,
    .destroy = cupool_destroy,
};
