/* SPDX-License-Identifier: MIT */
/*
 * Host twins of cupool's own kernels (kernels/), made of their one source for the host: a launch on
 * the simulated device runs the code that is compiled for a real one, lane by lane.
 */
#include "kernels/codec/tasks.h"
#include "kernels/copy/copy.h"
#include "kernels/fill/fill.h"
#include "tests/simgpu/twin.h"

#include <stddef.h>

static uint32_t warps(const struct simgpu_launch *launch)
{
    return launch->grid[0] * (launch->block[0] / KERNEL_WARP);
}

#define TWIN(name, type)                                                                           \
    static void name##_run(const struct simgpu_launch *launch)                                     \
    {                                                                                              \
        name##_host(launch->arguments[0], warps(launch));                                          \
    }                                                                                              \
    static const uint32_t name##_bytes[] = {sizeof(type)};
TWIN(cupool_fill, struct fill_arguments)
TWIN(cupool_fill_few, struct fill_few_arguments)
TWIN(cupool_verify, struct fill_arguments)
TWIN(cupool_copy, struct copy_arguments)

#define KERNEL(field, name)                                                                        \
    void cupool_##field##_host(const struct codec_arguments *, uint32_t);                          \
    TWIN(cupool_##field, struct codec_arguments)
#include "kernels/codec/kernels.def"
#undef TWIN

#define ROW(name)                                                                                  \
    {                                                                                              \
#name, 1, name##_bytes, name##_run                                                         \
    }

__attribute__((visibility("default"))) const struct simgpu_twin *simgpu_twins(size_t *ret_count)
{
    static const struct simgpu_twin twins[] = {
        ROW(cupool_fill),
        ROW(cupool_fill_few),
        ROW(cupool_verify),
        ROW(cupool_copy),
#define KERNEL(field, name) ROW(cupool_##field),
#include "kernels/codec/kernels.def"
    };

    *ret_count = sizeof(twins) / sizeof(*twins);
    return twins;
}
