/* SPDX-License-Identifier: MIT */
/*
 * The path of a call that the simulated driver has no body for.
 */
#ifndef SIMGPU_DRIVER_API_UNSUPPORTED_H
#define SIMGPU_DRIVER_API_UNSUPPORTED_H

#include "tests/simgpu/driver/base/call_id.h"

/** Says so once per function; the CUresult to return. */
int unsupported(enum call_id id, const char *name);
/** Counts and logs it; the CUresult to return. */
int unsupported_leave(enum call_id id);

#endif
