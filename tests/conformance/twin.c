/* SPDX-License-Identifier: MIT */
/* The host twin of the kernel in programs/reuse_work.c, for the simulated device. */
#include <string.h>

#include "tests/simgpu/twin.h"

static void fill(const struct simgpu_launch *launch)
{
    void *to = *(void **)launch->arguments[0];

    memset(to, (int)*(uint32_t *)launch->arguments[1], *(uint32_t *)launch->arguments[2]);
}

__attribute__((visibility("default"))) const struct simgpu_twin *simgpu_twins(size_t *ret_count)
{
    static const uint32_t bytes[] = {8, 4, 4};
    static const struct simgpu_twin twin = {"conformance_fill", 3, bytes, fill};

    *ret_count = 1;
    return &twin;
}
