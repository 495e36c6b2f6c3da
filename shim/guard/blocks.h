/* SPDX-License-Identifier: MIT */
/*
 * Guarded blocks: the live ones, and freed memory known to hold poison.
 *
 * Poison stays known until the driver takes its memory back: a block handed out and freed in
 * between is poisoned again by its own free. A free that could not poison discards all that is
 * known.
 *
 * Threading: everything under guard_lock.
 */
#ifndef SHIM_GUARD_BLOCKS_H
#define SHIM_GUARD_BLOCKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/memory/table.h"

/** How many freed blocks are remembered; the oldest are forgotten. */
#define BLOCKS_FREED_MAX 4096u

extern pthread_mutex_t guard_lock;

/** A block, live or freed. */
struct guarded_block {
    uint64_t address;       /* the program's */
    size_t requested_bytes; /* the program's */
    size_t allocated_bytes; /* with redzones, from guarded_begin() */
    uint32_t front_bytes;   /* of the redzone in front */
    uint32_t context;
    uint32_t allocation_site, free_site;
    bool zoned;    /* its redzones hold the pattern */
    bool freed;    /* by the program: errors are found but not repaired */
    bool isolated; /* it ends at addresses without memory */
};

static inline uint64_t guarded_begin(const struct guarded_block *block)
{
    return block->address - block->front_bytes;
}

static inline uint64_t guarded_end(const struct guarded_block *block)
{
    return guarded_begin(block) + block->allocated_bytes;
}

/** Returns a node of either list, in the order of allocation or of free. */
struct guarded_node {
    struct table_node node; /* key: the address */
    struct guarded_block block;
    struct guarded_node *next, *previous;
    uint64_t generation; /* of a freed one */
    bool untouched;      /* likewise, by blocks_freed_examine() */
};

/** The first of the live blocks, and of freed ones. */
struct guarded_node *blocks_live_first(void);
struct guarded_node *blocks_freed_first(void);
/** The live block that was added last. */
const struct guarded_node *blocks_live_last(void);

void blocks_live_add(const struct guarded_block *block);
/** Removes a live block. False: there is none at this address. */
bool blocks_live_take(uint64_t address, struct guarded_block *ret_block);
/** A freed block holds poison from end to end. */
void blocks_freed_add(const struct guarded_block *block);
/** Returns the freed block that began at an address, if its poison is still known. */
bool blocks_freed_take(uint64_t address, struct guarded_block *ret_block);
/** Nothing is known of freed memory any more. */
void blocks_freed_forget(void);
/** Forgets freed memory in [address, address + bytes). */
void blocks_freed_forget_in(uint64_t address, size_t bytes);
/** Finds the freed blocks whose memory still holds poison in full: no part was handed out again. */
void blocks_freed_examine(void);

void blocks_forget_context(uint32_t context);
void blocks_fork_child(void);

#endif
