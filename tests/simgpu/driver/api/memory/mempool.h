/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered memory. An allocation has its address at once; a free is work on its stream, and
 * what it frees stays with the pool, to be handed out again, until the pool is trimmed or a
 * synchronisation finds more than the release threshold.
 */
#ifndef SIMGPU_DRIVER_API_MEMORY_MEMPOOL_H
#define SIMGPU_DRIVER_API_MEMORY_MEMPOOL_H

#include "tests/simgpu/driver/work/stream.h"

/** Bodies for mempool_api.c. `pool` NULL: the current pool of the stream's device. */
CUresult pool_allocate(CUdeviceptr *ret, size_t bytes, CUmemoryPool pool, bool pool_given,
                       CUstream given, bool per_thread);
CUresult pool_free_async(CUdeviceptr address, CUstream given, bool per_thread);

#endif
