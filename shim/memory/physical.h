/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: what cuMemCreate made lives until every handle of it was released and every
 * mapping of it unmapped, whichever comes last, in whatever context. Only then is it free.
 *
 * A handle's number may come again while the memory it once named is still mapped, so memory has an
 * identity of its own: the number of its first handle, made another where that is taken. That is
 * its address in the trace. Handles that were asked for by address, or that came back through a
 * shareable handle of this process, name the same memory.
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
 * A handle came from the driver: of new memory; of memory that was exported under `key` (0: of
 * none), or of another process, which pays for it. True and the facts when memory came with it.
 */
bool physical_made(uint64_t handle, const struct physical_facts *facts,
                   struct physical_facts *ret_facts);
bool physical_imported(uint64_t handle, uint64_t key, struct physical_facts *ret_facts);

/** Memory can come back under this key from now on. */
void physical_exported(uint64_t handle, uint64_t key);

/** A handle was asked for by an address. */
void physical_retained(uint64_t handle, uint64_t address);

/** A handle is about to be released: before the call, for its number may come again at once. */
struct physical_release {
    uint64_t handle;
    struct physical *physical; /* NULL: the handle is not known */
};
struct physical_release physical_release_begin(uint64_t handle);
/** The facts of memory that is gone by it, or that stays after all; id 0: it is neither. */
struct physical_facts physical_release_end(const struct physical_release *release, bool released);

/** A handle is about to be mapped, and was or was not: then the facts of what is gone, if any. */
struct physical *physical_map_begin(uint64_t handle, struct physical_facts *ret_facts);
struct physical_facts physical_map_end(struct physical *physical, uint64_t address, uint64_t bytes,
                                       bool mapped);

/** Takes out the mappings that reach into a range, by next[0]: before the call. */
struct mapping *physical_unmap_begin(uint64_t address, uint64_t bytes);
/** Puts them back: the call was refused. */
void physical_unmap_undo(struct mapping *taken);
/** Ends one of them, but for what lies outside [address, +bytes). Facts of what is gone, if any. */
struct physical_facts physical_unmap_end(struct mapping *taken, uint64_t address, uint64_t bytes);

/** Facts of the memory behind a mapping that was taken out. */
struct physical_facts physical_of_mapping(const struct mapping *mapping);

#endif
