/* SPDX-License-Identifier: MIT */
/*
 * See observer.h. What was made under the lock waits, per thread, until the call has released it.
 */
#include "tests/simgpu/driver/base/observed.h"

#include <string.h>

#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/memory/memory.h"
#include "tests/simgpu/driver/memory/pool_object.h"
#include "tests/simgpu/driver/stream/stream.h"
#include "tests/simgpu/driver/base/thread.h"

#define WAITING_MAX 4 /* one call makes a context or a stream, hardly both */

_Atomic bool observed;
__thread uint64_t observed_pc;
__thread unsigned observed_waiting;

static void (*_Atomic observer)(const struct observer_event *event);
static __thread struct observer_event waiting[WAITING_MAX];

static void tell(const struct observer_event *event)
{
    void (*function)(const struct observer_event *) = observer;
    if (function)
        function(event);
}

static enum observer_memory memory_of(enum memory_kind kind)
{
    switch (kind) {
    case MEMORY_MANAGED: return OBSERVER_MANAGED;
    case MEMORY_HOST: return OBSERVER_PINNED;
    case MEMORY_ARRAY: return OBSERVER_ARRAY;
    case MEMORY_GLOBAL: return OBSERVER_STATIC;
    default: return OBSERVER_DEVICE;
    }
}

static void pool_describe(struct observer_event *event, CUmemoryPool pool)
{
    event->pool = (uintptr_t)pool;
    event->pool_bytes = pool_reserved(pool);
    event->pool_used_bytes = pool->used;
    event->pool_threshold_bytes = pool->threshold;
}

void observed_memory(enum observer_kind kind, const struct allocation *allocation, const char *name,
                     CUstream stream)
{
    CUcontext context = stream ? stream->ctx : allocation->ctx ? allocation->ctx : thread_context();
    if (!observed)
        return;
    struct observer_event event = {
        .kind = kind,
        .memory = allocation->pool && !allocation->device ? OBSERVER_PINNED /* of the host */
                                                          : memory_of(allocation->kind),
        .address = allocation->base,
        .bytes = allocation->bytes,
        .name = name,
        .pc = observed_pc,
        .device = allocation->device ? (uint32_t)allocation->device->ordinal : 0,
        .context = context,
        .context_id = context ? (uint32_t)context->id : 0,
        .stream = stream,
        .stream_id = stream ? (uint32_t)stream->id : 0,
        .is_async = stream != NULL};
    if (allocation->pool)
        pool_describe(&event, allocation->pool);
    tell(&event);
}

void observed_pool(enum observer_kind kind, CUmemoryPool pool, uint64_t keep_bytes)
{
    if (!observed)
        return;
    struct observer_event event = {.kind = kind,
                                   .device = pool->device ? (uint32_t)pool->device->ordinal : 0,
                                   .keep_bytes = keep_bytes};
    pool_describe(&event, pool);
    tell(&event);
}

static struct observer_event life_event(enum observer_kind kind, CUcontext context, CUstream stream)
{
    return (struct observer_event){.kind = kind,
                                   .device = (uint32_t)context->device->ordinal,
                                   .context = context,
                                   .context_id = (uint32_t)context->id,
                                   .stream = stream,
                                   .stream_id = stream ? (uint32_t)stream->id : 0};
}

void observed_made(enum observer_kind kind, CUcontext context, CUstream stream)
{
    if (observed && observed_waiting < WAITING_MAX)
        waiting[observed_waiting++] = life_event(kind, context, stream);
}

void observed_tell_made(void)
{
    struct observer_event events[WAITING_MAX];
    unsigned count = observed_waiting;
    memcpy(events, waiting, sizeof events);
    observed_waiting = 0;
    for (unsigned i = 0; i < count; i++)
        tell(&events[i]);
}

void observed_ends(enum observer_kind kind, CUcontext context, CUstream stream)
{
    if (!observed)
        return;
    struct observer_event event = life_event(kind, context, stream);
    pthread_mutex_unlock(&driver_lock);
    tell(&event);
    pthread_mutex_lock(&driver_lock);
}

static void observe(void (*function)(const struct observer_event *event))
{
    observer = function;
    observed = function != NULL;
}

static uint32_t context_id(CUcontext context)
{
    return handle_is(context, HANDLE_CONTEXT) && context->alive ? (uint32_t)context->id : 0;
}

static uint32_t stream_id(CUcontext context, CUstream stream, bool per_thread)
{
    CUstream found;
    uint32_t id = 0;
    pthread_mutex_lock(&driver_lock);
    if (!stream && handle_is(context, HANDLE_CONTEXT) && context->alive && !per_thread)
        id = (uint32_t)context->legacy->id;
    else if (stream_resolve(stream, per_thread, &found) == CUDA_SUCCESS)
        id = (uint32_t)found->id;
    pthread_mutex_unlock(&driver_lock);
    return id;
}

CUresult observed_table(const void **ret, const CUuuid *id)
{
    static const struct observer_table table = {sizeof table, observe, context_id, stream_id};
    if (!ret || !id || memcmp(id, OBSERVER_TABLE_ID, sizeof *id))
        return CUDA_ERROR_NOT_SUPPORTED;
    *ret = &table;
    return CUDA_SUCCESS;
}
