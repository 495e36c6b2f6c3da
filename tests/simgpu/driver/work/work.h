/* SPDX-License-Identifier: MIT */
/*
 * A unit of work on a stream, or of a graph: what to do, with all arguments copied. A graph's node
 * owns one and every launch executes it again, so executing does not change it.
 */
#ifndef SIMGPU_DRIVER_WORK_WORK_H
#define SIMGPU_DRIVER_WORK_WORK_H

#include "tests/simgpu/driver/work/stream.h"

enum work_kind {
    WORK_EMPTY,
    WORK_COPY,
    WORK_FILL,
    WORK_KERNEL,
    WORK_HOST,
    WORK_CALLBACK,
    WORK_RECORD,
    WORK_WAIT,
    WORK_ALLOC, /* of a graph */
    WORK_FREE,
    WORK_WRITE_VALUE,
    WORK_WAIT_VALUE,
    WORK_GRAPH,
    WORK_CHILD,
};

/** A copy of boxes; addresses are the host's own. */
struct copy {
    uintptr_t source, target;
    size_t source_pitch, target_pitch;
    size_t source_slice, target_slice;
    size_t width_bytes, height, depth;
    bool between_host; /* crosses the bus: costs more */
    CUDA_MEMCPY3D as_given;
};

struct fill {
    uintptr_t target;
    size_t pitch;
    unsigned value;
    unsigned element_bytes;
    size_t width, height;
};

struct simgpu_twin;

struct launch {
    CUfunction function;
    const struct simgpu_twin *twin; /* NULL: skipped */
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    void **arguments; /* one block with the values behind it; NULL without a twin */
};

struct work {
    TAILQ_ENTRY(work) link;
    enum work_kind kind;
    uint64_t number; /* in its stream */
    uint64_t submit_ns;
    struct point *waits;
    size_t wait_count;
    void *staging; /* freed with the unit */
    union {
        struct copy copy;
        struct fill fill;
        struct launch launch;
        struct {
            CUhostFn function;
            CUstreamCallback callback;
            CUstream stream; /* as given, for the callback */
            void *data;
        } host;
        struct {
            CUevent event;       /* referenced */
            uint64_t generation; /* 0: the next one that is open */
            unsigned flags;
        } event;
        struct {
            struct allocation *allocation;
            uintptr_t address;
            CUDA_MEM_ALLOC_NODE_PARAMS params;
            struct graph_memory *memory;
        } memory;
        struct {
            uintptr_t address;
            uint64_t value;
            unsigned bytes;
            unsigned flags;
        } value;
        struct graph_body *body; /* referenced */
        CUgraph child;           /* owned by the node */
    };
};

struct work *work_create(enum work_kind kind);
/** A copy that owns its own arguments; waits are not copied. */
struct work *work_clone(const struct work *work);
/** Accepts NULL. */
void work_destroy(struct work *work);

/** Add a point to wait for, taking a reference on its event; false without memory. */
bool work_wait_for(struct work *work, struct point point);

/** Is there nothing to execute, only to settle? */
bool work_is_instant(const struct work *work);

/** The part that runs without the lock; errors break the context. */
void work_execute(const struct work *work, CUcontext ctx);
/** The part that changes the driver's state, at virtual time `now_ns`. */
void work_settle(const struct work *work, uint64_t now_ns);
/** How long it takes on the device. */
uint64_t work_virtual_ns(const struct work *work);

/** Runs a function; false if it touched memory that is not there. No lock. */
bool guarded_run(void (*function)(void *), void *argument);

#endif
