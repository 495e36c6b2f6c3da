/* SPDX-License-Identifier: MIT */
/*
 * Copies many fragments in one launch: gathers them into one piece, scatters a piece into them, or
 * copies any list of pairs. Sources and destinations must not overlap.
 *
 * Each fragment is copied 16 bytes a lane if both addresses agree modulo 16, else 8, 4 or 1. The
 * launcher enqueues one kernel on a stream and does not wait. Lay the fragments out by one of the
 * functions below, and keep them accessible to the device until the kernel is done. It makes no
 * call that is unsafe while other streams capture.
 *
 * Threading: no shared state.
 */
#ifndef KERNELS_COPY_COPY_H
#define KERNELS_COPY_COPY_H

#include "kernels/device/grid.h"

/** Any addresses, any length. */
struct copy_fragment {
    uint64_t from, to, bytes;
    uint64_t first_tile; /* by copy_layout() */
};

/** What the kernel gets. */
struct copy_arguments {
    uint64_t fragments; /* struct copy_fragment[count] in device memory */
    uint64_t tiles;
    uint32_t count;
    uint32_t unused;
};

#ifndef __CUDACC__

#include "kernels/device/kernel_set.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A piece of memory in many. */
struct copy_piece {
    uint64_t address, bytes;
};

/** Lays fragments out for one launch; returns its number of tiles. */
uint64_t copy_layout(struct copy_fragment *fragments, uint32_t count);

/** Lays out a copy of pieces into one place, one after another. Returns the tiles. */
uint64_t copy_gather(const struct copy_piece *pieces, uint32_t count, uint64_t to,
                     struct copy_fragment *ret_fragments);

/** Lays out a copy from one place to pieces. Returns the tiles. */
uint64_t copy_scatter(uint64_t from, const struct copy_piece *pieces, uint32_t count,
                      struct copy_fragment *ret_fragments);

/** `fragments` is the device's address of the laid-out fragments. */
int copy_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                CUstream stream, uint64_t fragments, uint32_t count, uint64_t tiles);

/** Copies without kernels, fragments in host memory: one copy by the driver for each. */
int copy_by_driver(const struct driver_table *driver, CUstream stream,
                   const struct copy_fragment *fragments, uint32_t count);

/* Runs the kernel on the host, in a grid of this many warps. */
void cupool_copy_host(const struct copy_arguments *arguments, uint32_t warps);

#ifdef __cplusplus
}
#endif

#endif

#endif
