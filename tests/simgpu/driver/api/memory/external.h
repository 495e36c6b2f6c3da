/* SPDX-License-Identifier: MIT */
/*
 * Memory and semaphores of other APIs, known by file descriptor. Any file that can be mapped stands
 * for memory: what an exporting driver would hand out as an opaque descriptor. A semaphore is a
 * file of at least 24 bytes: a value that grows, and how many signals and waits were submitted, by
 * which a binary semaphore pairs them.
 */
#ifndef SIMGPU_DRIVER_API_MEMORY_EXTERNAL_H
#define SIMGPU_DRIVER_API_MEMORY_EXTERNAL_H

#include "tests/simgpu/driver/work/stream.h"

CUresult external_signal(const CUexternalSemaphore *semaphores,
                         const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *params, unsigned count,
                         CUstream given, bool per_thread);
CUresult external_wait(const CUexternalSemaphore *semaphores,
                       const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *params, unsigned count,
                       CUstream given, bool per_thread);

#endif
