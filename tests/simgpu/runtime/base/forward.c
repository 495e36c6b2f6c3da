/* SPDX-License-Identifier: MIT */
/*
 * The public calls that are the driver's under another name: the FORWARD rows of calls.def. The
 * toolkit's header type-checks each row's parameters, driver.h its arguments.
 *
 * This file is compiled twice (see runtime.h): once for all rows, once for the per-thread twins.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#pragma GCC visibility push(default)
#include <cuda_profiler_api.h>
#pragma GCC visibility pop

#define FORWARD_BODY(name, ready, driver_function, parameters, arguments)                          \
    cudaError_t name parameters                                                                    \
    {                                                                                              \
        cudaError_t status = ready();                                                              \
                                                                                                   \
        return error_keep(status ?: error_from(driver_function arguments));                        \
    }

/* The slot is pasted here and nowhere deeper: cuda.h has macros of the same names. */
#ifdef RUNTIME_PER_THREAD
#define FORWARD(name, slot, parameters, arguments)
#define FORWARD_DEVICE(name, slot, parameters, arguments)
#define FORWARD_PTSZ(name, slot, parameters, arguments)                                            \
    FORWARD_BODY(name, context_ready, driver_table.slot##_per_thread, parameters, arguments)
#else
#define FORWARD(name, slot, parameters, arguments)                                                 \
    FORWARD_BODY(name, context_ready, driver_table.slot##_slot, parameters, arguments)
#define FORWARD_DEVICE(name, slot, parameters, arguments)                                          \
    FORWARD_BODY(name, driver_ready, driver_table.slot##_slot, parameters, arguments)
#define FORWARD_PTSZ FORWARD
#endif
#define FORWARD_PTDS FORWARD_PTSZ
#define WRITTEN(name)
#define WRITTEN_PTSZ(name)
#define WRITTEN_PTDS(name)
#define MISSING(name)
#define MISSING_PTSZ(name)
#include "tests/simgpu/runtime/base/calls.def"
