/* SPDX-License-Identifier: MIT */
/*
 * What an observer learns of an object: its fields as they are now.
 */
#include "tests/simgpu/driver/context/observed_objects.h"

#include "tests/simgpu/driver/base/thread.h"
#include "tests/simgpu/driver/memory/pool.h"

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

static void memory_event(enum observer_kind kind, const struct allocation *allocation,
                         CUcontext context, struct observer_event event)
{
    event.kind = kind;
    event.memory = allocation->pool && !allocation->device ? OBSERVER_PINNED /* of the host */
                                                           : memory_of(allocation->kind);
    event.address = allocation->base;
    event.bytes = allocation->bytes;
    event.pc = observed_pc;
    event.device = allocation->device ? (uint32_t)allocation->device->ordinal : 0;
    event.context = context;
    event.context_id = context ? (uint32_t)context->id : 0;
    if (allocation->pool)
        pool_describe(allocation->pool, &event);
    observed_tell(&event);
}

void observed_memory(enum observer_kind kind, const struct allocation *allocation, const char *name)
{
    if (observed)
        memory_event(kind, allocation, allocation->ctx ? allocation->ctx : thread_context(),
                     (struct observer_event){.name = name});
}

void observed_ordered(enum observer_kind kind, const struct allocation *allocation,
                      CUcontext context, CUstream stream, uint64_t stream_id)
{
    if (observed)
        memory_event(kind, allocation, context,
                     (struct observer_event){
                         .stream = stream, .stream_id = (uint32_t)stream_id, .is_async = true});
}

static struct observer_event life_event(enum observer_kind kind, CUcontext context, CUstream stream,
                                        uint64_t stream_id)
{
    return (struct observer_event){.kind = kind,
                                   .device = (uint32_t)context->device->ordinal,
                                   .context = context,
                                   .context_id = (uint32_t)context->id,
                                   .stream = stream,
                                   .stream_id = (uint32_t)stream_id};
}

void observed_made(enum observer_kind kind, CUcontext context, CUstream stream, uint64_t stream_id)
{
    if (!observed)
        return;
    struct observer_event event = life_event(kind, context, stream, stream_id);
    observed_tell_later(&event);
}

void observed_ends(enum observer_kind kind, CUcontext context, CUstream stream, uint64_t stream_id)
{
    if (!observed)
        return;
    struct observer_event event = life_event(kind, context, stream, stream_id);
    observed_tell_before(&event);
}
