/* SPDX-License-Identifier: MIT */
/*
 * Mappings of physical memory, ordered by address: one call may end many of them, and any address
 * inside identifies the handle.
 *
 * A skip list that derives its levels from a hash of the address, so runs are reproducible.
 * Mappings never overlap; the driver ensures it.
 *
 * Threading: not thread-safe; shim/memory/physical.c holds its lock around every function.
 */
#ifndef SHIM_MEMORY_MAPPING_H
#define SHIM_MEMORY_MAPPING_H

#include <stdint.h>

#define MAPPING_LEVELS 12 /* each has a quarter of the level below */

struct physical;

struct mapping {
    struct mapping *next[MAPPING_LEVELS]; /* [0] also links a chain that was taken */
    uint64_t address, bytes;
    struct physical *physical; /* NULL: of nothing we know */
};

/** Errors: -ENOMEM. */
int mapping_add(uint64_t address, uint64_t bytes, struct physical *physical);

/** The mapping around an address, or NULL. */
struct mapping *mapping_at(uint64_t address);

/** Removes all mappings that overlap a range; linked by next[0], in address order. */
struct mapping *mapping_take(uint64_t address, uint64_t bytes);

/** Puts one back that was taken out. */
void mapping_return(struct mapping *mapping);

/** Ends one that was taken out. */
void mapping_drop(struct mapping *mapping);

/** Forgets all mappings and their memory, in whatever state they are. */
void mapping_forget_all(void);

#endif
