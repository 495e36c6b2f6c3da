/* SPDX-License-Identifier: MIT */
/*
 * Hints about managed memory. They are checked and ordered like the real ones, and move nothing:
 * there is one memory.
 */
#ifndef SIMGPU_DRIVER_API_MEMORY_PREFETCH_H
#define SIMGPU_DRIVER_API_MEMORY_PREFETCH_H

#include "tests/simgpu/driver/work/stream.h"

CUresult managed_prefetch(CUdeviceptr address, size_t bytes, CUstream given, bool per_thread);

#endif
