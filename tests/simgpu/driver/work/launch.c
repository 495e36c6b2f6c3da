/* SPDX-License-Identifier: MIT */
/*
 * Launching kernels. Arguments are copied when the launch is made: their sizes come from the twin;
 * without a twin there is nothing to run and nothing to copy.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/work/launch.h"

void launch_run(void *argument)
{
    const struct launch *launch = argument;

    if (!launch->twin) {
        log_kernel_skip();
        return;
    }
    struct simgpu_launch run = {
        .grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
        .block = {launch->block[0], launch->block[1], launch->block[2]},
        .shared_bytes = launch->shared_bytes,
        .arguments = launch->arguments,
    };
    launch->twin->run(&run);
}

/* The array of pointers, then the values at multiples of 16. */
static void **arguments_create(const struct simgpu_twin *twin)
{
    size_t bytes = ROUND_UP(twin->argument_count * sizeof(void *), 16);

    for (uint32_t i = 0; i < twin->argument_count; i++)
        bytes += ROUND_UP(twin->argument_bytes[i], 16);
    void **made = malloc(bytes + 16);
    if (!made)
        return NULL;
    char *at = (char *)made + ROUND_UP(twin->argument_count * sizeof(void *), 16);
    for (uint32_t i = 0; i < twin->argument_count; i++) {
        made[i] = at;
        at += ROUND_UP(twin->argument_bytes[i], 16);
    }
    return made;
}

static bool arguments_copy(struct launch *into, void **from)
{
    const struct simgpu_twin *twin = into->twin;

    into->arguments = NULL;
    if (!twin)
        return true;
    into->arguments = arguments_create(twin);
    if (!into->arguments)
        return false;
    for (uint32_t i = 0; i < twin->argument_count; i++)
        memcpy(into->arguments[i], from[i], twin->argument_bytes[i]);
    return true;
}

bool launch_clone_arguments(struct launch *into, const struct launch *from)
{
    return arguments_copy(into, from->arguments);
}

/* The packed form. The alignment of an argument is not known: the largest power of two that divides
 * its size, up to 16, is right for scalars, vectors and structs of them. */
static bool unpack(const struct simgpu_twin *twin, void **extra, void **ret_values)
{
    char *buffer = NULL;
    size_t bytes = 0, at = 0;

    for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
        if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[1];
        else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            bytes = *(size_t *)extra[1];
        else
            return false;
    }
    for (uint32_t i = 0; i < twin->argument_count; i++) {
        size_t size = twin->argument_bytes[i], align = size & -size;

        at = ROUND_UP(at, align > 16 ? 16 : align);
        ret_values[i] = buffer + at;
        at += size;
    }
    return !twin->argument_count || (buffer && at <= bytes);
}

static bool extents_valid(const unsigned grid[3], const unsigned block[3])
{
    uint64_t threads = (uint64_t)block[0] * block[1] * block[2];

    return grid[0] && grid[1] && grid[2] && threads && threads <= 1024 && block[2] <= 64 &&
           grid[0] <= 2147483647 && grid[1] <= 65535 && grid[2] <= 65535;
}

static void say_skipped(CUfunction function)
{
    if (profile.verbose)
        fprintf(stderr, "simgpu: kernel without a twin is skipped: %s\n", function->name);
}

CUresult launch_resolve(CUfunction function, const unsigned grid[3], const unsigned block[3],
                        unsigned shared_bytes, void **params, void **extra, struct launch *ret)
{
    void *unpacked[SIMGPU_TWIN_MAX_ARGUMENTS];

    if (!handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!extents_valid(grid, block) || (params && extra))
        return CUDA_ERROR_INVALID_VALUE;
    if ((int)shared_bytes > function->max_dynamic_shared_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    const struct simgpu_twin *twin = function->twin;
    if (!twin)
        say_skipped(function);
    else if (extra) {
        if (!unpack(twin, extra, unpacked))
            return CUDA_ERROR_INVALID_VALUE;
        params = unpacked;
    } else if (!params && twin->argument_count)
        return CUDA_ERROR_INVALID_VALUE;
    struct launch launch = {.function = function, .twin = twin, .shared_bytes = shared_bytes};
    memcpy(launch.grid, grid, sizeof launch.grid);
    memcpy(launch.block, block, sizeof launch.block);
    if (!arguments_copy(&launch, params))
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = launch;
    return CUDA_SUCCESS;
}

CUresult launch_submit(CUfunction function, const unsigned grid[3], const unsigned block[3],
                       unsigned shared_bytes, CUstream given, bool per_thread, void **params,
                       void **extra)
{
    CUstream stream;
    struct launch launch;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS)
        result = launch_resolve(function, grid, block, shared_bytes, params, extra, &launch);
    if (result != CUDA_SUCCESS)
        return result;
    struct work *work = work_create(WORK_KERNEL);
    if (!work) {
        free(launch.arguments);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    work->launch = launch;
    return stream_submit(stream, work, false);
}
