/* SPDX-License-Identifier: MIT */
/*
 * The kernels in a context: the embedded image, loaded when it is first needed.
 *
 * A build without nvcc has no image. Its callers use the driver's own set and copy functions.
 *
 * Threading: a set belongs to its caller, and is constant once it is loaded.
 */
#ifndef KERNELS_DEVICE_KERNEL_SET_H
#define KERNELS_DEVICE_KERNEL_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/device/driver.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kernel_set {
    CUmodule module; /* of the context that was current; ends with it */
#define KERNEL(field, name) CUfunction field;
#include "kernels/device/kernels.def"
};

/** The image, made at build time (kernels/embed.py); no bytes without nvcc. */
extern const unsigned char kernel_image[];
extern const size_t kernel_image_bytes;

struct kernel_image {
    const unsigned char *data;
    size_t bytes;
};

/** The name of a kernel, and the offset of its function in a set. */
struct kernel_row {
    const char *name;
    size_t offset;
};

/** Loads an image and finds its functions; errors as kernel_set_load(). */
int kernel_module_load(const struct driver_table *driver, const struct kernel_image *image,
                       const struct kernel_row *functions, size_t count, CUmodule *ret_module,
                       void *set);

/**
 * Loads the kernels into the current context. Not while anything captures, because loading a
 * module is unsafe then. -ENOTSUP: the build has no image, or the image no code for the device.
 */
int kernel_set_load(const struct driver_table *driver, struct kernel_set *ret_kernels);

/** Unloads the kernels, with their context current; accepts a set that was never loaded. */
void kernel_set_unload(const struct driver_table *driver, struct kernel_set *kernels);

/** Enqueues a kernel of this library with its struct of arguments: a warp for each tile; if
 * there are more tiles than fill a device, each warp takes several. */
int kernel_launch(const struct driver_table *driver, CUfunction function, CUstream stream,
                  uint64_t tiles, const void *arguments);

#ifdef __cplusplus
}
#endif

#endif
