/* SPDX-License-Identifier: MIT */
/*
 * Entry points for a program's own phases: include/cupool.h, NVTX.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_HOOKS_PHASE_API_H
#define SHIM_HOOKS_PHASE_API_H

#include "shim/observe/record.h"
#include "shim/shim.h"

/** Returns the trace when phases are recorded, else NULL. */
static inline struct trace_writer *phases_writer(void)
{
    return shim_mode() == SHIM_OFF ? NULL : record_writer();
}

#endif
