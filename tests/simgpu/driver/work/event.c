/* SPDX-License-Identifier: MIT */
/*
 * The bookkeeping of events: references, generations, completion. Entry points are in
 * event_calls.c.
 */
#include "tests/simgpu/driver/work/event.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/simgpu/driver/work/work.h"

static struct handle_cache event_cache = {HANDLE_EVENT, sizeof(struct CUevent_st), {NULL}, {NULL}};
static LIST_HEAD(, CUevent_st) events;

CUresult event_create(CUcontext ctx, unsigned flags, CUevent *ret)
{
    CUevent made = handle_take(&event_cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->ctx = ctx;
    made->flags = flags;
    made->own.recorded = made->own.completed = made->own.time_ns = 0;
    made->state = &made->own;
    made->remote = false;
    made->shared_fd = -1;
    made->refs = 1;
    made->capture_id = 0;
    made->capture_node = NULL;
    made->capture_deps = NULL;
    made->capture_dep_count = 0;
    LIST_INSERT_HEAD(&events, made, link);
    *ret = made;
    return CUDA_SUCCESS;
}

void event_ref(CUevent event)
{
    event->refs++;
}

void event_unref(CUevent event)
{
    if (--event->refs)
        return;
    LIST_REMOVE(event, link);
    free(event->capture_deps);
    if (event->state != &event->own)
        munmap(event->state, sizeof *event->state);
    if (event->shared_fd >= 0)
        close(event->shared_fd);
    event->state = &event->own;
    handle_give(&event_cache, event);
}

void events_drop(CUcontext ctx)
{
    CUevent event = LIST_FIRST(&events);

    while (event) {
        CUevent next = LIST_NEXT(event, link);

        if (event->ctx == ctx && event->handle.magic == HANDLE_EVENT) {
            event->handle.magic = HANDLE_FREE;
            event_unref(event);
        }
        event = next;
    }
}

void event_complete(CUevent event, uint64_t generation, uint64_t now_ns)
{
    struct event_state *state = event->state;

    if (!generation)
        generation = state->completed + 1;
    state->time_ns = now_ns;
    if (state->completed < generation)
        state->completed = generation;
}

CUresult event_record(CUevent event, CUstream stream)
{
    struct work *work = work_create(WORK_RECORD);

    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->event.event = event;
    event_ref(event);
    work->event.generation = ++event->state->recorded;
    event->capture_id = 0;
    return stream_submit(stream, work, false);
}

CUresult stream_wait_event(CUstream stream, CUevent event)
{
    struct point point = {&event->state->completed, event->state->recorded, event};

    if (event_is_complete(event))
        return CUDA_SUCCESS;
    struct work *work = work_create(WORK_WAIT);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->event.event = event;
    event_ref(event);
    if (!work_wait_for(work, point)) {
        work_destroy(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return stream_submit(stream, work, false);
}
