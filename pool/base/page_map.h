/* SPDX-License-Identifier: MIT */
/*
 * Maps an address to its segment: a process-wide table over every 2 MiB of a 48-bit space.
 *
 * Two levels, indexed by address >> 21; leaves are mapped on first use and stay. An entry is a
 * tagged pointer to the struct segment (buddy) or struct run (large) that owns the 2 MiB, or 0.
 * A leaf covers 1 GiB. The leaves inside of a range with one owner may be one shared leaf, so that
 * a range takes two or three leaves, however large it is.
 * Readers take no lock: three dependent loads find the owner, if any. Writers are serialised by one
 * lock. The target of an entry is type-stable (metadata.h), so a reader that raced with a removal
 * finds a valid object, and re-reads the entry under that object's lock.
 */
#ifndef POOL_BASE_PAGE_MAP_H
#define POOL_BASE_PAGE_MAP_H

#include "pool/base/base.h"

#define PAGE_MAP_PAGE_BITS    21
#define PAGE_MAP_LEAF_BITS    9
#define PAGE_MAP_ADDRESS_BITS 48
#define PAGE_MAP_ROOT_BITS    (PAGE_MAP_ADDRESS_BITS - PAGE_MAP_PAGE_BITS - PAGE_MAP_LEAF_BITS)
#define PAGE_MAP_LEAF_COUNT   (1u << PAGE_MAP_LEAF_BITS)
#define PAGE_MAP_ROOT_COUNT   (1u << PAGE_MAP_ROOT_BITS)

/** Owner of a 2 MiB page: a struct segment, or with PAGE_ENTRY_RUN set a struct run; 0: none. */
typedef uintptr_t page_entry;
#define PAGE_ENTRY_RUN ((page_entry)1)

typedef _Atomic page_entry page_map_leaf[PAGE_MAP_LEAF_COUNT];

extern _Atomic(page_map_leaf *) page_map_root[PAGE_MAP_ROOT_COUNT];

static inline page_entry page_map_get(uint64_t address)
{
    if (unlikely(address >> PAGE_MAP_ADDRESS_BITS))
        return 0;
    page_map_leaf *leaf = atomic_load_explicit(
        &page_map_root[address >> (PAGE_MAP_PAGE_BITS + PAGE_MAP_LEAF_BITS)], memory_order_acquire);
    if (unlikely(!leaf))
        return 0;
    return atomic_load_explicit(
        &(*leaf)[(address >> PAGE_MAP_PAGE_BITS) & (PAGE_MAP_LEAF_COUNT - 1)],
        memory_order_acquire);
}

/**
 * Sets the owner of the pages of [address, address + bytes), both multiples of 2 MiB. Errors:
 * -EEXIST a page has another owner already; -ERANGE beyond 48 bits; -ENOMEM no host memory.
 * Nothing changes on error.
 */
int page_map_insert(uint64_t address, size_t bytes, page_entry entry);

/**
 * The same for a range that is replaced as a whole only. Takes constant memory beside the root, and
 * time by GiB.
 */
int page_map_insert_whole(uint64_t address, size_t bytes, page_entry entry);

/** Changes the owner of pages that have one; 0 removes it. */
void page_map_replace(uint64_t address, size_t bytes, page_entry entry);

/** Empties the table: no address is known in the child. */
void page_map_fork_child(void);

#endif
