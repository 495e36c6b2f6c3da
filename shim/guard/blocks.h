/* SPDX-License-Identifier: MIT */
/*
 * What is known of guarded blocks: those that are live, and freed memory that is known to hold
 * poison.
 *
 * Poison stays known until the driver takes a segment back: whatever is handed out and freed in
 * between is poisoned again by its own free. A free that could not poison ends all that is known.
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

extern pthread_mutex_t guard_lock;

/** A block, live or freed. */
struct guarded_block {
    uint64_t address;       /* the program's */
    size_t requested_bytes; /* the program's */
    size_t allocated_bytes; /* with redzones, from `address - GUARDED_ZONE_BYTES` */
    uint32_t context;
    uint32_t allocation_site, free_site;
    bool zoned; /* its redzones hold the pattern */
    bool freed; /* by the program: what is found is not mended */
};

/** A node of either list, in the order of allocation, or of the free. */
struct guarded_node {
    struct table_node node; /* key: the address */
    struct guarded_block block;
    struct guarded_node *next, *previous;
    uint64_t generation; /* of a freed one */
};

/** The first of the live blocks, and of freed ones. */
struct guarded_node *blocks_live_first(void);
struct guarded_node *blocks_freed_first(void);

void blocks_live_add(const struct guarded_block *block);
/** Takes a live block out. False: there is none at this address. */
bool blocks_live_take(uint64_t address, struct guarded_block *ret_block);
/** A freed block holds poison from end to end. */
void blocks_freed_add(const struct guarded_block *block);
/** The freed block that began at an address, if poison is still known there. */
bool blocks_freed_take(uint64_t address, struct guarded_block *ret_block);
/** Nothing is known of freed memory any more. */
void blocks_freed_forget(void);
bool blocks_freed_known(const struct guarded_node *node);

void blocks_forget_context(uint32_t context);
void blocks_fork_child(void);

#endif
