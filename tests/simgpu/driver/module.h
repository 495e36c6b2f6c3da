/* SPDX-License-Identifier: MIT */
/*
 * Modules, libraries and kernels. The image is not executed: a kernel is known by its name, and
 * runs when a host twin of that name exists (twin.h).
 */
#ifndef SIMGPU_MODULE_H
#define SIMGPU_MODULE_H

#include "tests/simgpu/driver/work.h"
#include "tests/simgpu/twin.h"

struct CUfunc_st {
    struct handle handle;
    LIST_ENTRY(CUfunc_st) link; /* in its module */
    CUmodule module;
    char *name;
    const struct simgpu_twin *twin; /* NULL: launches are skipped and counted */
    int max_dynamic_shared_bytes;
};

/** Launches without a twin. No lock. */
uint64_t module_kernels_skipped(void);

void modules_drop(CUcontext ctx);

/** Runs a `struct launch`. No lock. */
void launch_run(void *launch);
/** The kernel's arguments as one block of its own; false without memory. */
bool launch_copy_arguments(struct launch *launch, void **params, void **extra);
bool launch_clone_arguments(struct launch *into, const struct launch *from);

/** Checks and copies what cuLaunchKernel was given. */
CUresult launch_resolve(CUfunction function, const unsigned grid[3], const unsigned block[3],
                        unsigned shared_bytes, void **params, void **extra, struct launch *ret);
CUresult launch_submit(CUfunction function, const unsigned grid[3], const unsigned block[3],
                       unsigned shared_bytes, CUstream given, bool per_thread, void **params,
                       void **extra);

#endif
