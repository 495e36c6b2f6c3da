/* SPDX-License-Identifier: MIT */
/*
 * One module for each context; the grid of a launch.
 */
#include "kernels/device/kernel_set.h"

#include <errno.h>

#include "kernels/device/grid.h"

/* Enough blocks to keep the largest device busy: 160 multiprocessors with 16 blocks of 4 warps. */
#define BLOCKS_MAX 2560u

static const struct kernel_row rows[] = {
#define KERNEL(field, name) {name, offsetof(struct kernel_set, field)},
#include "kernels/device/kernels.def"
};

static int load_error(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_INVALID_IMAGE:
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
    case CUDA_ERROR_JIT_COMPILATION_DISABLED: return -ENOTSUP;
    default: return driver_error(result);
    }
}

int kernel_module_load(const struct driver_table *driver, const struct kernel_image *image,
                       const struct kernel_row *functions, size_t count, CUmodule *ret_module,
                       void *set)
{
    CUmodule module = NULL;

    if (image->bytes == 0)
        return -ENOTSUP;
    CUresult result = driver->module_load(&module, image->data);
    for (size_t at = 0; at < count && result == CUDA_SUCCESS; at++)
        result = driver->module_function((CUfunction *)((char *)set + functions[at].offset), module,
                                         functions[at].name);
    if (result != CUDA_SUCCESS) {
        if (module)
            driver->module_unload(module);
        return load_error(result);
    }
    *ret_module = module;
    return 0;
}

int kernel_set_load(const struct driver_table *driver, struct kernel_set *ret_kernels)
{
    const struct kernel_image image = {kernel_image, kernel_image_bytes};
    struct kernel_set made = {0};
    int error = kernel_module_load(driver, &image, rows, sizeof(rows) / sizeof(*rows), &made.module,
                                   &made);

    if (error == 0)
        *ret_kernels = made;
    return error;
}

void kernel_set_unload(const struct driver_table *driver, struct kernel_set *kernels)
{
    if (kernels->module)
        driver->module_unload(kernels->module);
    *kernels = (struct kernel_set){0};
}

int kernel_launch(const struct driver_table *driver, CUfunction function, CUstream stream,
                  uint64_t tiles, const void *arguments)
{
    const uint64_t warps = KERNEL_THREADS / KERNEL_WARP;
    uint64_t blocks = (tiles + warps - 1) / warps;
    void *parameters[] = {(void *)(uintptr_t)arguments};

    if (tiles == 0)
        return 0;
    return driver_error(driver->launch(function,
                                       (unsigned)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX), 1, 1,
                                       KERNEL_THREADS, 1, 1, 0, stream, parameters, NULL));
}
