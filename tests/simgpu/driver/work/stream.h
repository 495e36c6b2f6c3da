/* SPDX-License-Identifier: MIT */
/*
 * Streams: queues of work, each with a worker thread that is made when there is something to wait
 * for. A unit of work has a number in its stream; `completed` reaches it when it is done, so
 * "everything submitted up to now" is a pair of stream and number, a point. Ordering between
 * streams, default streams and events is points that a unit waits for.
 *
 * Streams' memory is never given back and its counters never go back, so a point outlives its
 * stream. All fields are guarded by driver_lock, except `completed`, which may be read without.
 */
#ifndef SIMGPU_DRIVER_WORK_STREAM_H
#define SIMGPU_DRIVER_WORK_STREAM_H

#include "tests/simgpu/driver/context/context.h"

struct work;
struct capture;

enum stream_kind { STREAM_USER, STREAM_LEGACY, STREAM_PER_THREAD, STREAM_MARKER };

struct CUstream_st {
    struct handle handle;
    LIST_ENTRY(CUstream_st) link;
    CUcontext ctx;
    CUgreenCtx green; /* that it was made in, or NULL */
    enum stream_kind kind;
    unsigned flags;
    int priority;
    uint64_t id;
    uint64_t thread_id; /* thread of this default stream */
    TAILQ_HEAD(, work) works;
    uint64_t submitted;
    _Atomic uint64_t completed;
    unsigned held; /* simgpu_hold */
    bool running;  /* somebody executes its first unit */
    bool has_worker;
    bool destroyed;
    bool has_wake;
    pthread_cond_t wake; /* for its worker: work, release, end */
    uint64_t virtual_ns; /* when its last unit ended */
    struct capture *capture;
    CUgraphNode *capture_deps;
    size_t capture_dep_count;
};

/** What to wait for: *counter >= value. */
struct point {
    _Atomic uint64_t *counter;
    uint64_t value;
    CUevent event; /* referenced while the point exists; or NULL */
};

/** A new stream of a context; cannot be NULL-ed by capture. */
CUresult stream_create(CUcontext ctx, enum stream_kind kind, unsigned flags, int priority,
                       CUstream *ret);
/** Finishes queued work, then ends. */
void stream_destroy(CUstream stream);

/** The stream a program means: NULL by `per_thread`, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD. */
CUresult stream_resolve(CUstream given, bool per_thread, CUstream *ret);

/** Queue a unit, or add it to the graph that the stream captures. Takes ownership, also when it
 *  fails. Waits for it if `wait`, with the lock released meanwhile. */
CUresult stream_submit(CUstream stream, struct work *work, bool wait);

/** Also what its context's other streams must not be capturing, for the legacy stream. */
CUresult stream_check_capture(CUstream stream);

bool stream_is_idle(CUstream stream);
bool stream_is_blocking(CUstream stream);

/** Later work of the stream waits for the work recorded in the event. */
CUresult stream_wait_event(CUstream stream, CUevent event);

/** Wait, with the lock released, for all work submitted so far. */
void stream_wait(CUstream stream);
void context_wait(CUcontext ctx);
void device_wait(struct device *device);
bool device_is_busy(struct device *device);

/** Points for all work submitted so far on all streams of a context; malloc'ed. */
CUresult context_points(CUcontext ctx, CUgreenCtx green, struct point **ret_points,
                        size_t *ret_count);

/** Wait on the driver's condition until the counter gets there; polls for `remote` counters. */
void point_wait(const struct point *point, bool remote);

#endif
