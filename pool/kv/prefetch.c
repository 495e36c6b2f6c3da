/* SPDX-License-Identifier: MIT */
/*
 * Loads a sequence's blocks from a lower tier.
 *
 * Cached blocks get references, the others are reserved, all or none. Then the lower tier is asked,
 * outside every lock, and its loads begin. A load owns its block until it ends: cancelling releases
 * all other blocks at once, and each loading one when its load is over.
 */
#include <errno.h>
#include <string.h>

#include "pool/kv/kv.h"

#define LOOKUP_CHUNK 128u
#define ENDING       255u /* a source: the load has ended, but not yet what follows from it */

int cupool_kv_set_lower(struct cupool_kv *pool, const struct cupool_kv_lower *lower)
{
    int error;

    if (lower && (!lower->lookup || !lower->load))
        return kv_fail(pool, -EINVAL, "a lower tier needs look_up and load");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    pool->lower = lower ? *lower : (struct cupool_kv_lower){0};
    kv_unlock(pool);
    return 0;
}

/* Reserves a block for each hash that is not cached. All or none. */
static int missing_reserve(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                           cupool_kv_handle *handles, uint8_t *sources)
{
    int error = 0;

    for (uint32_t at = 0; at < count && error == 0; at++) {
        if (handles[at] != 0)
            continue;
        uint32_t run = 1;
        while (at + run < count && handles[at + run] == 0)
            run++;
        error = cupool_kv_allocate(pool, run, stream, &handles[at]);
        for (uint32_t next = at; error < 0 && next < count; next++)
            if (sources[next] != CUPOOL_KV_PRESENT)
                handles[next] = 0;
        at += run - 1;
    }
    if (error == 0)
        return 0;
    for (uint32_t at = count; at > 0; at--)
        if (handles[at - 1] != 0)
            kv_release_one(pool, handles[at - 1], CUPOOL_STREAM_NONE);
    return error;
}

/* The last participant ends the request. Takes the lock; it is free on return. */
static void load_leave(struct cupool_kv *pool, cupool_kv_ticket ticket)
{
    bool last = false, cancelled = false;

    pthread_mutex_lock(&pool->lock);
    struct kv_request *request = kv_request_find(pool, ticket);
    if (request) {
        request->loads--;
        last = request->loads == 0;
        cancelled = request->cancelled;
    }
    pthread_mutex_unlock(&pool->lock);
    if (last)
        kv_request_finish(pool, ticket, cancelled ? -ECANCELED : 0);
}

/* The hash before a block of the prefetch. */
static const struct cupool_kv_hash *parent_of(const struct kv_request *request, uint32_t index)
{
    if (index > 0)
        return &request->hashes[index - 1];
    return request->has_parent ? &request->parent : NULL;
}

static enum cupool_kv_source loaded_register(struct cupool_kv *pool, struct kv_request *request,
                                             uint32_t index)
{
    cupool_kv_handle *handle = &request->handles[index];

    if (cupool_kv_complete(pool, handle, 1) == 0 &&
        cupool_kv_register(pool, handle, &request->hashes[index], 1, parent_of(request, index),
                           CUPOOL_KV_ANSWER_FIRST, request->stream, handle) == 0)
        return CUPOOL_KV_LOADED;
    return CUPOOL_KV_COMPUTE;
}

/* A handle that is still there afterwards is the caller's: the stream is captured. */
static void handle_return(struct cupool_kv *pool, cupool_kv_handle *handle, cupool_stream stream)
{
    if (kv_release_one(pool, *handle, stream) == 0)
        *handle = 0;
}

int cupool_kv_prefetch_loaded(struct cupool_kv *pool, cupool_kv_ticket ticket, uint32_t index,
                              int load_error)
{
    enum cupool_kv_source source = CUPOOL_KV_COMPUTE;
    bool cancelled = false;
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    struct kv_request *request = kv_request_find(pool, ticket);
    if (!request || request->kind != KV_REQUEST_PREFETCH || index >= request->count ||
        request->sources[index] != CUPOOL_KV_LOADING) {
        error = kv_fail(pool, -ESTALE, "no such load");
    } else {
        cancelled = request->cancelled;
        request->sources[index] = ENDING; /* nobody else ends it, nor releases its block */
    }
    kv_unlock(pool);
    if (error < 0)
        return error;
    /* The request lives until load_leave(), because this load is counted in it. */
    if (!cancelled && load_error == 0)
        source = loaded_register(pool, request, index);
    pthread_mutex_lock(&pool->lock);
    cancelled = request->cancelled;
    if (!cancelled)
        request->sources[index] = (uint8_t)source;
    pthread_mutex_unlock(&pool->lock);
    if (cancelled) {
        handle_return(pool, &request->handles[index], request->stream);
        pthread_mutex_lock(&pool->lock);
        request->sources[index] = CUPOOL_KV_COMPUTE;
        pthread_mutex_unlock(&pool->lock);
    }
    load_leave(pool, ticket);
    return 0;
}

/* Returns the blocks of a look-up that were found; none if the request was cancelled meanwhile.
 * They count in the request, so that it lives until they have ended. */
static uint32_t loads_choose(struct cupool_kv *pool, struct kv_request *request, uint32_t at,
                             uint32_t run, const uint8_t *found, struct cupool_kv_load *ret_loads)
{
    uint32_t count = 0;

    pthread_mutex_lock(&pool->lock);
    for (uint32_t index = at; index < at + run && !request->cancelled; index++) {
        if (!found[index - at])
            continue;
        request->sources[index] = CUPOOL_KV_LOADING;
        request->loads++;
        ret_loads[count++] = (struct cupool_kv_load){
            .hash = request->hashes[index], .handle = request->handles[index], .index = index};
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}

static void loads_start(struct cupool_kv *pool, const struct cupool_kv_lower *lower,
                        const struct cupool_kv_load *loads, uint32_t count, cupool_kv_ticket ticket,
                        cupool_stream stream)
{
    uint32_t begun = 0;

    if (lower->load_many && count > 0)
        begun = lower->load_many(lower->state, loads, count, ticket, stream);
    for (uint32_t at = begun; at < count; at++)
        if (lower->load_many || lower->load(lower->state, &loads[at].hash, loads[at].handle, ticket,
                                            loads[at].index, stream) < 0)
            cupool_kv_prefetch_loaded(pool, ticket, loads[at].index, -EIO);
}

/* Asks the lower tier for the reserved blocks and begins its loads. */
static void loads_begin(struct cupool_kv *pool, struct kv_request *request, cupool_kv_ticket ticket)
{
    struct cupool_kv_lower lower = pool->lower;
    struct cupool_kv_load loads[LOOKUP_CHUNK];
    uint8_t found[LOOKUP_CHUNK];

    for (uint32_t at = 0, run; at < request->count; at += run) {
        run = 1;
        if (request->sources[at] != CUPOOL_KV_COMPUTE || !lower.lookup)
            continue;
        while (run < LOOKUP_CHUNK && at + run < request->count &&
               request->sources[at + run] == CUPOOL_KV_COMPUTE)
            run++;
        memset(found, 0, run);
        if (lower.lookup(lower.state, &request->hashes[at], run, found) < 0)
            continue;
        uint32_t count = loads_choose(pool, request, at, run, found, loads);
        loads_start(pool, &lower, loads, count, ticket, request->stream);
    }
}

int cupool_kv_prefetch(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                       const struct cupool_kv_hash *parent, cupool_stream stream,
                       cupool_kv_handle *handles, uint8_t *sources,
                       void (*callback)(void *state, cupool_kv_ticket ticket, int error),
                       void *state, cupool_kv_ticket *ret_ticket)
{
    struct kv_request *request = NULL;
    cupool_kv_ticket ticket = 0;
    uint32_t present;
    int error;

    if (count == 0 || !hashes || !handles || !sources || !ret_ticket)
        return kv_fail(pool, -EINVAL, "an array or the number of blocks is missing");
    error = cupool_kv_match_scattered(pool, hashes, count, handles, &present);
    if (error < 0)
        return error;
    for (uint32_t at = 0; at < count; at++)
        sources[at] = handles[at] != 0 ? CUPOOL_KV_PRESENT : CUPOOL_KV_COMPUTE;
    /* Other threads load into the blocks, and can wait only for a stream that they can name. */
    stream = kv_stream_of_all(stream);
    error = missing_reserve(pool, count, stream, handles, sources);
    if (error < 0)
        return error;
    error = kv_lock(pool);
    if (error == 0) {
        error = kv_request_begin(pool, KV_REQUEST_PREFETCH, &request, &ticket);
        kv_unlock(pool);
    }
    if (error < 0) {
        cupool_kv_release(pool, handles, count, CUPOOL_STREAM_NONE); /* nobody has used them */
        return error;
    }
    request->count = count;
    request->stream = stream;
    request->handles = handles;
    request->sources = sources;
    request->hashes = hashes;
    request->has_parent = parent;
    if (parent)
        request->parent = *parent;
    request->callback = callback;
    request->callback_state = state;
    request->state = KV_REQUEST_LOADING;
    request->loads = 1; /* this call: the request cannot end before all loads have begun */
    *ret_ticket = ticket;
    loads_begin(pool, request, ticket);
    load_leave(pool, ticket);
    return 0;
}

/* Releases the blocks that no load owns; each load releases its own, and the last one ends the
 * request. */
void kv_prefetch_cancel(struct cupool_kv *pool, cupool_kv_ticket ticket)
{
    cupool_kv_handle *handles = NULL;
    cupool_stream stream = CUPOOL_STREAM_NONE;
    uint8_t *sources = NULL;
    uint32_t count = 0;
    bool ended = false;

    pthread_mutex_lock(&pool->lock);
    struct kv_request *request = kv_request_find(pool, ticket);
    if (request && !request->cancelled) {
        request->cancelled = true;
        handles = request->handles;
        sources = request->sources;
        stream = request->stream;
        count = request->count;
        ended = request->state == KV_REQUEST_ENDED;
        if (ended)
            kv_request_forget(pool, request);
        else
            request->loads++; /* this call */
    }
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t at = count; at > 0; at--) {
        pthread_mutex_lock(&pool->lock);
        bool loading = sources[at - 1] == CUPOOL_KV_LOADING || sources[at - 1] == ENDING;
        pthread_mutex_unlock(&pool->lock);
        if (loading || handles[at - 1] == 0)
            continue;
        handle_return(pool, &handles[at - 1], stream);
    }
    if (count > 0 && !ended)
        load_leave(pool, ticket);
}
