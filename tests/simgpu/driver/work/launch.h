/* SPDX-License-Identifier: MIT */
/*
 * Launches of kernels as units of work.
 */
#ifndef SIMGPU_DRIVER_WORK_LAUNCH_H
#define SIMGPU_DRIVER_WORK_LAUNCH_H

#include "tests/simgpu/driver/module/module.h"
#include "tests/simgpu/driver/work/work.h"

/** Runs a `struct launch`. No lock. */
void launch_run(void *launch);
/** The kernel's arguments as one block; false without memory. */
bool launch_clone_arguments(struct launch *into, const struct launch *from);

/** Checks and copies what cuLaunchKernel was given. */
CUresult launch_resolve(CUfunction function, const unsigned grid[3], const unsigned block[3],
                        unsigned shared_bytes, void **params, void **extra, struct launch *ret);
CUresult launch_submit(CUfunction function, const unsigned grid[3], const unsigned block[3],
                       unsigned shared_bytes, CUstream given, bool per_thread, void **params,
                       void **extra);

#endif
