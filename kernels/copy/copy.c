/* SPDX-License-Identifier: MIT */
/*
 * Fragments and launches. See copy.h.
 */
#include "kernels/copy/copy.h"

uint64_t copy_layout(struct copy_fragment *fragments, uint32_t count)
{
    uint64_t tiles = 0;

    for (uint32_t at = 0; at < count; at++) {
        fragments[at].first_tile = tiles;
        tiles += KERNEL_TILES(fragments[at].bytes);
    }
    return tiles;
}

uint64_t copy_gather(const struct copy_piece *pieces, uint32_t count, uint64_t to,
                     struct copy_fragment *ret_fragments)
{
    for (uint32_t at = 0; at < count; at++) {
        ret_fragments[at] = (struct copy_fragment){
            .from = pieces[at].address, .to = to, .bytes = pieces[at].bytes};
        to += pieces[at].bytes;
    }
    return copy_layout(ret_fragments, count);
}

uint64_t copy_scatter(uint64_t from, const struct copy_piece *pieces, uint32_t count,
                      struct copy_fragment *ret_fragments)
{
    for (uint32_t at = 0; at < count; at++) {
        ret_fragments[at] = (struct copy_fragment){
            .from = from, .to = pieces[at].address, .bytes = pieces[at].bytes};
        from += pieces[at].bytes;
    }
    return copy_layout(ret_fragments, count);
}

int copy_launch(const struct driver_table *driver, const struct kernel_set *kernels,
                CUstream stream, uint64_t fragments, uint32_t count, uint64_t tiles)
{
    const struct copy_arguments arguments = {
        .fragments = fragments, .tiles = tiles, .count = count};

    return kernel_launch(driver, kernels->copy, stream, tiles, &arguments);
}

int copy_by_driver(const struct driver_table *driver, CUstream stream,
                   const struct copy_fragment *fragments, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        CUresult result = fragments[at].bytes == 0
                              ? CUDA_SUCCESS
                              : driver->copy_async(fragments[at].to, fragments[at].from,
                                                   fragments[at].bytes, stream);

        if (result != CUDA_SUCCESS)
            return driver_error(result);
    }
    return 0;
}
