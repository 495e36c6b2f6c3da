/* SPDX-License-Identifier: MIT */
/*
 * Ranges and launches. See fill.h.
 */
#include "kernels/fill/fill.h"

#include <errno.h>
#include <string.h>

int fill_range_init(struct fill_range *ret_range, uint64_t address, uint64_t bytes,
                    const void *pattern, uint32_t period)
{
    uint8_t repeated[sizeof(ret_range->pattern)];

    if (period == 0 || period > FILL_PATTERN_MAX)
        return -EINVAL;
    for (uint32_t at = 0; at < sizeof(repeated); at++)
        repeated[at] = ((const uint8_t *)pattern)[at % period];
    *ret_range = (struct fill_range){.address = address, .bytes = bytes, .period = period};
    memcpy(ret_range->pattern, repeated, sizeof(repeated));
    return 0;
}

uint64_t fill_layout(struct fill_range *ranges, uint32_t count)
{
    uint64_t tiles = 0;

    for (uint32_t at = 0; at < count; at++) {
        ranges[at].first_tile = tiles;
        tiles += KERNEL_TILES(ranges[at].bytes);
    }
    return tiles;
}

int fill_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                CUstream stream, uint64_t ranges, uint32_t count, uint64_t tiles)
{
    const struct fill_arguments arguments = {.ranges = ranges, .tiles = tiles, .count = count};

    return kernel_launch(driver, kernels->fill, stream, tiles, &arguments);
}

int fill_launch_few(const struct driver_table *driver, const struct kernel_set *kernels,
                    CUstream stream, const struct fill_range *ranges, uint32_t count)
{
    struct fill_few_arguments arguments = {.count = count};

    if (count > FILL_FEW)
        return -EINVAL;
    memcpy(arguments.ranges, ranges, count * sizeof(*ranges));
    arguments.tiles = fill_layout(arguments.ranges, count);
    return kernel_launch(driver, kernels->fill_few, stream, arguments.tiles, &arguments);
}

int verify_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                  CUstream stream, uint64_t ranges, uint64_t mismatches, uint32_t count,
                  uint64_t tiles)
{
    const struct fill_arguments arguments = {
        .ranges = ranges, .mismatches = mismatches, .tiles = tiles, .count = count};

    return kernel_launch(driver, kernels->verify, stream, tiles, &arguments);
}
