/* SPDX-License-Identifier: MIT */
/*
 * Addresses of blocks with a redzone around each (option `guard`).
 *
 * The pool's block includes the redzones; the program knows only what lies between them. Every
 * query to the pool about an address of the program goes through here. To the program a redzone is
 * like a hole in a segment. Without guards the two addresses are the same.
 *
 * With `guard:page`, blocks above a size are isolated instead (pool_allocate_isolated): they end at
 * addresses without memory.
 *
 * Threading: the widths are set once, before the first pool is made.
 */
#ifndef SHIM_MEMORY_GUARDED_H
#define SHIM_MEMORY_GUARDED_H

#include <errno.h>

#include "pool/pool.h"

/** Least widths before and behind a block: the alignment of a block is kept. */
#define GUARDED_ZONE_BYTES 512u

extern size_t guarded_zone_bytes; /* GUARDED_ZONE_BYTES, or 0 without guards */
extern size_t guarded_page_bytes; /* from this size on blocks are isolated; 0: none is */

/** Translates the pool's description of a block to the program's view. An isolated block has no
 * redzones that the pool knows of. */
static inline void guarded_inside(struct pool_block *block)
{
    if (block->isolated)
        return;
    block->address += guarded_zone_bytes;
    if (block->requested_bytes > 2 * guarded_zone_bytes)
        block->requested_bytes -= 2 * guarded_zone_bytes;
}

/** pool_find */
static inline int guarded_find(uint64_t address, struct pool_block *ret_block,
                               struct pool **ret_pool)
{
    int error = pool_find(address, ret_block, ret_pool);

    if (error == 0 && ret_block)
        guarded_inside(ret_block);
    return error;
}

/** pool_range_get */
static inline int guarded_range_get(uint64_t address, struct pool_block *ret_block)
{
    struct pool_block block;
    int error = pool_range_get(address, &block);

    if (error < 0)
        return error;
    guarded_inside(&block);
    if (address - block.address >= block.requested_bytes)
        return -EINVAL;
    *ret_block = block;
    return 0;
}

#endif
