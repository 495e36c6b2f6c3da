/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered memory. An allocation has its address at once; a free is work on its stream, and
 * what it frees stays with the pool, to be handed out again, until the pool is trimmed or a
 * synchronisation finds more than the release threshold.
 */
#ifndef SIMGPU_DRIVER_MEMORY_MEMPOOL_H
#define SIMGPU_DRIVER_MEMORY_MEMPOOL_H

#include "tests/simgpu/driver/stream/stream.h"

/** The free has been reached in its stream. */
void pool_free(struct allocation *allocation);
/** A synchronisation: give back what exceeds the thresholds. */
void pools_trim_at_sync(struct device *device);
/** The device is short of memory: give back all that is not in use. */
void pools_trim_all(struct device *device);
/** cuMemFree of a stream-ordered allocation, after the device is idle. */
void pool_free_now(struct allocation *allocation);

/** Bodies for mempool_api.c. `pool` NULL: the current pool of the stream's device. */
CUresult pool_allocate(CUdeviceptr *ret, size_t bytes, CUmemoryPool pool, bool pool_given,
                       CUstream given, bool per_thread);
CUresult pool_free_async(CUdeviceptr address, CUstream given, bool per_thread);

#endif
