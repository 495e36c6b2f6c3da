/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: memory from cuMemCreate lives until every handle is released and every mapping
 * is unmapped, in whatever order and context.
 *
 * The driver may reuse a handle's number while its former memory is still mapped. So memory has an
 * identity: the number of its first handle, changed where that is taken. The identity is its
 * address in the trace. Handles retained by address, or imported from a shareable handle of this
 * process, name the same memory.
 *
 * Threading: every function from any thread; one lock.
 */
#ifndef SHIM_MEMORY_PHYSICAL_H
#define SHIM_MEMORY_PHYSICAL_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"

struct mapping;
struct physical;

/** Record of physical memory. */
struct physical_facts {
    uint64_t id; /* 0: none */
    enum trace_memory memory;
    int device; /* as in the ledger */
    uint64_t bytes;
};

/**
 * A handle came from the driver. It names new memory, memory that was exported under `key` (0: no
 * key), or memory of another process, which accounts for it. True, with the facts, when memory
 * came with it.
 */
bool physical_made(uint64_t handle, const struct physical_facts *facts,
                   struct physical_facts *ret_facts);
bool physical_imported(uint64_t handle, uint64_t key, struct physical_facts *ret_facts);

/** Memory can come back under this key from now on. */
void physical_exported(uint64_t handle, uint64_t key);

/** A handle was asked for by an address. */
void physical_retained(uint64_t handle, uint64_t address);

/** A handle is about to be released. Call it before the real call, because the number may be
 * reused at once. */
struct physical_release {
    uint64_t handle;
    struct physical *physical; /* NULL: the handle is not known */
};
struct physical_release physical_release_begin(uint64_t handle);
/** Returns the facts of memory that this release frees, or that remains after a refusal; id 0:
 * neither. */
struct physical_facts physical_release_end(const struct physical_release *release, bool released);

/** Begins and ends the mapping of a handle, mapped or refused. The end returns the facts of
 * memory that is gone, if any. */
struct physical *physical_map_begin(uint64_t handle, struct physical_facts *ret_facts);
struct physical_facts physical_map_end(struct physical *physical, uint64_t address, uint64_t bytes,
                                       bool mapped);

/** Takes out the mappings that overlap a range, linked by next[0], before the call. */
struct mapping *physical_unmap_begin(uint64_t address, uint64_t bytes);
/** Puts them back: the call was refused. */
void physical_unmap_undo(struct mapping *taken);
/** Ends one of them, except for the parts outside [address, +bytes). Returns the facts of memory
 * that is gone, if any. */
struct physical_facts physical_unmap_end(struct mapping *taken, uint64_t address, uint64_t bytes);

/** Returns the facts of the memory behind a mapping that was taken out. */
struct physical_facts physical_of_mapping(const struct mapping *mapping);

/** In the child after fork: the parent's memory and mappings are not the child's. */
void physical_fork_child(void);

#endif
