/* SPDX-License-Identifier: MIT */
/*
 * A number for every exported function. Included before cuda.h, because its macros would rename the
 * rows of the table.
 */
#ifndef SIMGPU_DRIVER_BASE_CALL_ID_H
#define SIMGPU_DRIVER_BASE_CALL_ID_H

#ifdef __cuda_cuda_h__
#error "call_id.h comes before cuda.h"
#endif

enum call_id {
#define CALL(name, base, since, per_thread) CALL_##name,
#include "tests/simgpu/driver/base/calls.def"
    CALL_COUNT
};

#endif
