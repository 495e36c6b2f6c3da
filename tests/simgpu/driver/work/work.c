/* SPDX-License-Identifier: MIT */
/*
 * Executing units of work: moving and filling memory, calling twins and host functions.
 */
#include "tests/simgpu/driver/work/work.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/simgpu/driver/memory/pool.h"
#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/work/access.h"
#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/graph.h"
#include "tests/simgpu/driver/work/launch.h"

struct work *work_create(enum work_kind kind)
{
    struct work *made = calloc(1, sizeof *made);

    if (made)
        made->kind = kind;
    return made;
}

struct work *work_clone(const struct work *work)
{
    struct work *made = malloc(sizeof *made);

    if (!made)
        return NULL;
    *made = *work;
    made->waits = NULL;
    made->wait_count = 0;
    made->staging = NULL;
    switch (work->kind) {
    case WORK_KERNEL:
        if (!launch_clone_arguments(&made->launch, &work->launch))
            goto drop;
        break;
    case WORK_RECORD:
    case WORK_WAIT: event_ref(made->event.event); break;
    case WORK_ALLOC:
    case WORK_FREE: graph_memory_ref(made->memory.memory); break;
    case WORK_CHILD:
        made->child = graph_clone(work->child);
        if (!made->child)
            goto drop;
        break;
    default: break;
    }
    return made;
drop:
    free(made);
    return NULL;
}

void work_destroy(struct work *work)
{
    if (!work)
        return;
    for (size_t i = 0; i < work->wait_count; i++)
        if (work->waits[i].event)
            event_unref(work->waits[i].event);
    switch (work->kind) {
    case WORK_KERNEL: free(work->launch.arguments); break;
    case WORK_RECORD:
    case WORK_WAIT: event_unref(work->event.event); break;
    case WORK_ALLOC:
    case WORK_FREE: graph_memory_unref(work->memory.memory); break;
    case WORK_GRAPH: body_unref(work->body); break;
    case WORK_CHILD: graph_destroy(work->child); break;
    default: break;
    }
    free(work->waits);
    free(work->staging);
    free(work);
}

bool work_wait_for(struct work *work, struct point point)
{
    struct point *grown = realloc(work->waits, (work->wait_count + 1) * sizeof *grown);

    if (!grown)
        return false;
    work->waits = grown;
    grown[work->wait_count++] = point;
    if (point.event)
        event_ref(point.event);
    return true;
}

bool work_is_instant(const struct work *work)
{
    return work->kind == WORK_EMPTY || work->kind == WORK_RECORD || work->kind == WORK_WAIT ||
           work->kind == WORK_ALLOC || work->kind == WORK_FREE;
}

static void copy_run(void *argument)
{
    const struct copy *copy = argument;

    for (size_t z = 0; z < copy->depth; z++)
        for (size_t y = 0; y < copy->height; y++)
            memmove((char *)copy->target + z * copy->target_slice + y * copy->target_pitch,
                    (const char *)copy->source + z * copy->source_slice + y * copy->source_pitch,
                    copy->width_bytes);
}

static void fill_run(void *argument)
{
    const struct fill *fill = argument;

    for (size_t y = 0; y < fill->height; y++) {
        char *row = (char *)fill->target + y * fill->pitch;

        if (fill->element_bytes == 1)
            memset(row, (int)fill->value, fill->width);
        else if (fill->element_bytes == 2)
            for (size_t x = 0; x < fill->width; x++)
                ((uint16_t *)row)[x] = (uint16_t)fill->value;
        else
            for (size_t x = 0; x < fill->width; x++)
                ((uint32_t *)row)[x] = fill->value;
    }
}

static void value_write(void *argument)
{
    const struct work *work = argument;

    if (work->value.bytes == 4)
        __atomic_store_n((uint32_t *)work->value.address, (uint32_t)work->value.value,
                         __ATOMIC_SEQ_CST);
    else
        __atomic_store_n((uint64_t *)work->value.address, work->value.value, __ATOMIC_SEQ_CST);
}

static bool value_reached(const struct work *work)
{
    bool narrow = work->value.bytes == 4;
    uint64_t now = narrow ? __atomic_load_n((uint32_t *)work->value.address, __ATOMIC_SEQ_CST)
                          : __atomic_load_n((uint64_t *)work->value.address, __ATOMIC_SEQ_CST);

    switch (work->value.flags & 3) {
    case CU_STREAM_WAIT_VALUE_GEQ:
        return narrow ? (int32_t)((uint32_t)now - (uint32_t)work->value.value) >= 0
                      : (int64_t)(now - work->value.value) >= 0;
    case CU_STREAM_WAIT_VALUE_EQ: return now == work->value.value;
    case CU_STREAM_WAIT_VALUE_AND: return (now & work->value.value) != 0;
    default: return ~(now | work->value.value) & (narrow ? UINT32_MAX : UINT64_MAX);
    }
}

static void value_wait(void *argument)
{
    struct timespec pause = {0, 50000};

    while (!value_reached(argument))
        nanosleep(&pause, NULL);
}

/* Drops `const` for the sake of one signature; none of the functions writes to its unit. */
static void run_guarded(void (*function)(void *), const void *argument, CUcontext ctx)
{
    if (!guarded_run(function, (void *)argument))
        context_break(ctx, CUDA_ERROR_ILLEGAL_ADDRESS);
}

void work_execute(const struct work *work, CUcontext ctx)
{
    CUresult broken = ctx->sticky;

    if (work->kind == WORK_CALLBACK)
        work->host.callback(work->host.stream, broken, work->host.data);
    if (broken != CUDA_SUCCESS)
        return;
    if (!access_granted(work, ctx)) {
        context_break(ctx, CUDA_ERROR_ILLEGAL_ADDRESS);
        return;
    }
    switch (work->kind) {
    case WORK_COPY: run_guarded(copy_run, &work->copy, ctx); break;
    case WORK_FILL: run_guarded(fill_run, &work->fill, ctx); break;
    case WORK_KERNEL: run_guarded(launch_run, &work->launch, ctx); break;
    case WORK_HOST: work->host.function(work->host.data); break;
    case WORK_WRITE_VALUE: run_guarded(value_write, work, ctx); break;
    case WORK_WAIT_VALUE: run_guarded(value_wait, work, ctx); break;
    case WORK_GRAPH: body_run(work->body, ctx); break;
    default: break;
    }
}

void work_settle(const struct work *work, uint64_t now_ns)
{
    switch (work->kind) {
    case WORK_RECORD: event_complete(work->event.event, work->event.generation, now_ns); break;
    case WORK_ALLOC: graph_memory_use(work->memory.memory); break;
    case WORK_FREE:
        if (work->memory.memory)
            graph_memory_free(work->memory.memory);
        else
            pool_free(work->memory.allocation);
        break;
    default: break;
    }
}

uint64_t work_virtual_ns(const struct work *work)
{
    switch (work->kind) {
    case WORK_COPY:
        return work->copy.width_bytes * work->copy.height * work->copy.depth *
               (work->copy.between_host ? profile.copy_host_ns_per_mib
                                        : profile.copy_device_ns_per_mib) /
               MIB;
    case WORK_FILL:
        return work->fill.width * work->fill.element_bytes * work->fill.height *
               profile.fill_ns_per_mib / MIB;
    case WORK_KERNEL: return profile.kernel_ns;
    case WORK_GRAPH: return body_virtual_ns(work->body);
    default: return 0;
    }
}
