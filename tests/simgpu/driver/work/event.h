/* SPDX-License-Identifier: MIT */
/*
 * Events. A record opens a generation and queues work that completes it; the event is complete
 * when all generations are. Both counters are atomic, so a query takes no lock; for events shared
 * between processes they live in shared memory.
 */
#ifndef SIMGPU_DRIVER_WORK_EVENT_H
#define SIMGPU_DRIVER_WORK_EVENT_H

#include "tests/simgpu/driver/work/stream.h"

struct event_state {
    _Atomic uint64_t recorded;
    _Atomic uint64_t completed;
    _Atomic uint64_t time_ns; /* virtual, of the last completed record */
};

struct CUevent_st {
    struct handle handle;
    LIST_ENTRY(CUevent_st) link; /* in `events` */
    CUcontext ctx;
    unsigned flags;
    struct event_state own;
    struct event_state *state;
    bool remote; /* others complete it: wait by polling */
    int shared_fd;
    unsigned refs;               /* guarded by driver_lock */
    _Atomic uint64_t capture_id; /* last recorded inside that capture, else 0 */
    CUgraphNode capture_node;
    CUgraphNode *capture_deps; /* what the recording stream depended on */
    size_t capture_dep_count;
};

CUresult event_create(CUcontext ctx, unsigned flags, CUevent *ret);
void event_ref(CUevent event);
void event_unref(CUevent event);
/** All events of a context that is destroyed. */
void events_drop(CUcontext ctx);

/** Close a generation (0: the oldest that is open) at a virtual time. */
void event_complete(CUevent event, uint64_t generation, uint64_t now_ns);
/** Record on a stream that does not capture. */
CUresult event_record(CUevent event, CUstream stream);

static inline bool event_is_complete(CUevent event)
{
    uint64_t recorded = atomic_load_explicit(&event->state->recorded, memory_order_acquire);

    return atomic_load_explicit(&event->state->completed, memory_order_acquire) >= recorded;
}

#endif
