/* SPDX-License-Identifier: MIT */
/*
 * Addresses of blocks with a redzone around each (option `guard`).
 *
 * The pool knows the block with its redzones, the program what lies between them. Everything that
 * asks the pool about an address of the program's goes through here; a redzone is to the program
 * what a hole in a segment is. Without guards the two are the same.
 *
 * With `guard:page` blocks of some size are isolated instead (pool_allocate_isolated): they end at
 * addresses without memory.
 *
 * Threading: the widths are set once, before the first pool is made.
 */
#ifndef SHIM_MEMORY_GUARDED_H
#define SHIM_MEMORY_GUARDED_H

#include <errno.h>

#include "pool/pool.h"

/** In front of a block and behind it, at least: the alignment of a block is kept. */
#define GUARDED_ZONE_BYTES 512u

extern size_t guarded_zone_bytes; /* GUARDED_ZONE_BYTES, or 0 without guards */
extern size_t guarded_page_bytes; /* from this size on blocks are isolated; 0: none is */

/** What the pool says of a block, as the program knows it. An isolated one has no redzones that the
 * pool knows of. */
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
