/* SPDX-License-Identifier: MIT */
/*
 * Events of the simulated driver for the simulated CUPTI: memory operations and the life of
 * contexts, streams and pools. As in the real pair, they go through a table that cuGetExportTable
 * returns for one UUID, so that no name is exported and no program finds it by accident.
 *
 * Memory and pool events are sent under driver_lock, in their order: the observer must not call the
 * driver. Events of contexts and streams are sent without it, on the calling thread: creation
 * before the call returns, destruction before it begins.
 */
#ifndef SIMGPU_DRIVER_BASE_OBSERVER_H
#define SIMGPU_DRIVER_BASE_OBSERVER_H

#include <stddef.h>
#include <stdint.h>

/* Only names of types are taken from cuda.h: either spelling of its versions will do. */
#include <cuda.h>
#include <stdbool.h>

#define OBSERVER_TABLE_ID "simgpu-observer1" /* 16 bytes, a CUuuid */

enum observer_kind {
    OBSERVER_ALLOCATE,
    OBSERVER_FREE,
    OBSERVER_POOL_CREATED,
    OBSERVER_POOL_DESTROYED,
    OBSERVER_POOL_TRIMMED,
    OBSERVER_CONTEXT_CREATED,
    OBSERVER_CONTEXT_ENDS,
    OBSERVER_STREAM_CREATED,
    OBSERVER_STREAM_ENDS,
};

enum observer_memory {
    OBSERVER_DEVICE,
    OBSERVER_MANAGED,
    OBSERVER_PINNED,
    OBSERVER_ARRAY,
    OBSERVER_STATIC,
};

struct observer_event {
    enum observer_kind kind;
    enum observer_memory memory;
    uint64_t address, bytes;
    const char *name; /* of a module's variable */
    uint64_t pc;      /* behind the call of the driver */
    uint32_t device, context_id, stream_id;
    bool is_async;
    CUcontext context;
    CUstream stream;
    /* Of the pool, for events of a pool and memory from one. */
    uint64_t pool, pool_bytes, pool_used_bytes, pool_threshold_bytes;
    uint64_t keep_bytes; /* asked for by a trim */
};

struct observer_table {
    size_t bytes;
    /** One observer; NULL takes it away. */
    void (*observe)(void (*observer)(const struct observer_event *event));
    /** 0 for a handle that is none. */
    uint32_t (*context_id)(CUcontext context);
    uint32_t (*stream_id)(CUcontext context, CUstream stream, bool per_thread);
};

#endif
