/* SPDX-License-Identifier: MIT */
/*
 * Host twins: how a kernel of an nvcc-compiled program runs on the simulated device.
 *
 * The program's .cu file is compiled twice: by nvcc into the program, and as C++ for the host into
 * a shared object in the directory "twins" beside the simulated libcuda. That object exports
 * simgpu_twins(). The driver loads every twins/NAME.so on first use (SIMGPU_TWINS names another
 * directory; twins/kernels.so, of cupool's own kernels, is loaded all the same) and runs a launched
 * kernel through the twin with the same mangled name; a kernel without one is skipped and counted.
 * host_kernel.h generates the table from HOST_TWIN(kernel).
 *
 * Threading: run() is called on stream workers, several at a time; one call runs the whole grid.
 */
#ifndef SIMGPU_TWIN_H
#define SIMGPU_TWIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIMGPU_TWIN_MAX_ARGUMENTS 64

/** One launch: extents in blocks and threads, dynamic shared memory in bytes, argument values. */
struct simgpu_launch {
    uint32_t grid[3];
    uint32_t block[3];
    size_t shared_bytes;
    void **arguments; /* arguments[i] points at argument_bytes[i] bytes, copied at launch */
};

/** A kernel with a body for the host. */
struct simgpu_twin {
    const char *name; /* mangled, as in the device image: "_Z7rmsnormPfPKfi" */
    uint32_t argument_count;
    const uint32_t *argument_bytes;
    void (*run)(const struct simgpu_launch *launch);
};

/** The twins of one shared object; valid until it is unloaded. Thread-safe. */
const struct simgpu_twin *simgpu_twins(size_t *ret_count);

#ifdef __cplusplus
}
#endif

#endif
