/* SPDX-License-Identifier: MIT */
/*
 * Copies many fragments in one launch: gathers them into one piece, scatters a piece into them, or
 * takes any list of pairs. What a fragment is read from and what any is written to must not
 * overlap.
 *
 * Each fragment is copied 16 bytes a lane where both its addresses agree modulo 16, else 8, 4 or 1.
 * The launcher enqueues one kernel on a stream and waits for nothing. The fragments must be laid
 * out by one of the functions below and lie where the device can read them until the kernel is
 * done. May be called while other streams capture, as no call of it is unsafe then.
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

/** Lays fragments out for one launch; returns the tiles that it has. */
uint64_t copy_layout(struct copy_fragment *fragments, uint32_t count);

/** Lays out a copy of pieces to one place, one behind another. Returns the tiles. */
uint64_t copy_gather(const struct copy_piece *pieces, uint32_t count, uint64_t to,
                     struct copy_fragment *ret_fragments);

/** Lays out a copy from one place to pieces. Returns the tiles. */
uint64_t copy_scatter(uint64_t from, const struct copy_piece *pieces, uint32_t count,
                      struct copy_fragment *ret_fragments);

/** `fragments` is the device's address of what was laid out. */
int copy_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                CUstream stream, uint64_t fragments, uint32_t count, uint64_t tiles);

/** The same without kernels: one copy by the driver for each fragment, in host memory. */
int copy_by_driver(const struct driver_table *driver, CUstream stream,
                   const struct copy_fragment *fragments, uint32_t count);

/* The kernel on the host, in a grid of so many warps. */
void cupool_copy_host(const struct copy_arguments *arguments, uint32_t warps);

#ifdef __cplusplus
}
#endif

#endif

#endif
