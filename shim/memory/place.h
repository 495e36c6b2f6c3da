/* SPDX-License-Identifier: MIT */
/*
 * Location of memory: the device named by its properties, its pool or its stream, or the host.
 * Memory without any of these lies on the current context's device.
 *
 * A place is one number: PLACE_HERE, PLACE_DEVICE(ordinal), or one that stands for no device
 * memory.
 *
 * Threading: every function from any thread. The driver is asked only where the answer may differ
 * from the current device.
 */
#ifndef SHIM_MEMORY_PLACE_H
#define SHIM_MEMORY_PLACE_H

#include <stdbool.h>

#include "cupti/format/trace_format.h"
#include "shim/resolve/real.h"

enum {
    PLACE_GRAPH = -3,   /* nowhere before its graph is launched */
    PLACE_MANAGED = -2, /* moves between devices and host */
    PLACE_HOST = -1,
    PLACE_HERE = 0,
};
#define PLACE_DEVICE(ordinal) ((ordinal) + 1)

/** Returns the kind of memory in a place: memory on no device has a kind of its own. */
enum trace_memory place_memory(enum trace_memory memory, int place);

/** Derives a place from properties: `type` and `id` of a location, `allocation` of a pool or of
 * memory. */
int place_of(int allocation, int type, int id);

/** Returns the device of a place; LEDGER_HOST where it is none, or unknown. */
int place_device(int place);

/**
 * Returns the place of a stream-ordered allocation, from a pool or from the current pool of the
 * stream's device. `per_thread`: stream 0 is the thread's own.
 */
int place_of_work(CUstream stream, bool per_thread);
int place_of_pool_work(CUmemoryPool pool, CUstream stream, bool per_thread);

/** Remembers the place of a pool that was created or imported. */
void place_pool_made(CUmemoryPool pool, int place);

/** Forgets a pool that is about to be destroyed; its handle may be reused next. */
int place_pool_forget(CUmemoryPool pool);

/** In the child after fork: the parent's pools are not the child's. */
void place_fork_child(void);

#endif
