/* SPDX-License-Identifier: MIT */
/*
 * Fills many ranges of memory with patterns, or finds in each the first byte that differs from its
 * pattern, in one launch. The pattern restarts at the beginning of each range.
 *
 * A launcher enqueues one kernel on a stream and does not wait. Lay the ranges out by
 * fill_layout(), and keep them accessible to the device until the kernel is done. It makes no call
 * that is unsafe while other streams capture.
 *
 * Threading: no shared state.
 */
#ifndef KERNELS_FILL_FILL_H
#define KERNELS_FILL_FILL_H

#include "kernels/device/grid.h"

#define FILL_PATTERN_MAX 16u
/** Ranges that travel with the launch itself. */
#define FILL_FEW 4u

/** A range of memory and its pattern. Any address, any length. */
struct fill_range {
    uint64_t address, bytes;
    uint64_t first_tile; /* by fill_layout() */
    uint32_t period;     /* bytes of the pattern, 1 to FILL_PATTERN_MAX */
    uint32_t unused;
    uint64_t pattern[4]; /* repeated over its whole length */
};

/** Of a range that is as it should be. */
#define FILL_MATCHES UINT64_MAX

/** Arguments of the kernels. Addresses of arrays in device memory, as numbers. */
struct fill_arguments {
    uint64_t ranges;     /* struct fill_range[count] */
    uint64_t mismatches; /* uint64_t[count] */
    uint64_t tiles;
    uint32_t count;
    uint32_t unused;
};

/** A few ranges with their launch. */
struct fill_few_arguments {
    uint64_t tiles;
    uint32_t count;
    uint32_t unused;
    struct fill_range ranges[FILL_FEW];
};

#ifndef __CUDACC__

#include "kernels/device/kernel_set.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Makes a range with a pattern of `period` bytes. -EINVAL: a period out of range. */
int fill_range_init(struct fill_range *ret_range, uint64_t address, uint64_t bytes,
                    const void *pattern, uint32_t period);

/** Lays ranges out for one launch; returns its number of tiles. */
uint64_t fill_layout(struct fill_range *ranges, uint32_t count);

/** Writes the patterns. `ranges` is the device's address of ranges laid out by fill_layout(). */
int fill_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                CUstream stream, uint64_t ranges, uint32_t count, uint64_t tiles);

/** Writes the patterns of at most FILL_FEW ranges in host memory, which are copied before it
 * returns. */
int fill_launch_few(const struct driver_table *driver, const struct kernel_set *kernels,
                    CUstream stream, const struct fill_range *ranges, uint32_t count);

/**
 * Compares. `mismatches` is the device's address of one word for each range, initially
 * FILL_MATCHES; a range that differs gets fill_mismatch_pack() of its first difference.
 */
int verify_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                  CUstream stream, uint64_t ranges, uint64_t mismatches, uint32_t count,
                  uint64_t tiles);

/* Run the kernels on the host, in a grid of this many warps. */
void cupool_fill_host(const struct fill_arguments *arguments, uint32_t warps);
void cupool_fill_few_host(const struct fill_few_arguments *arguments, uint32_t warps);
void cupool_verify_host(const struct fill_arguments *arguments, uint32_t warps);

/** Offset of a mismatch from the beginning of its range, and the byte found. */
static inline uint64_t fill_mismatch_offset(uint64_t mismatch)
{
    return mismatch >> 8;
}

static inline uint8_t fill_mismatch_value(uint64_t mismatch)
{
    return (uint8_t)mismatch;
}

#ifdef __cplusplus
}
#endif

#endif

#endif
