/* SPDX-License-Identifier: MIT */
/*
 * For files of entry points that take a stream: they are compiled twice, once as they are and once
 * with CUDA_API_PER_THREAD_DEFAULT_STREAM, with which cuda.h turns every name into its _ptsz or
 * _ptds twin and stream 0 means the per-thread default stream.
 */
#ifndef SIMGPU_DRIVER_BASE_API_H
#define SIMGPU_DRIVER_BASE_API_H

#ifndef SIMGPU_STREAM_API
#error "compiled with -DSIMGPU_STREAM_API only"
#endif

#include "tests/simgpu/driver/base/call.h"

#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
#define PER_THREAD true
#else
#define PER_THREAD false
#endif

#endif
