/* SPDX-License-Identifier: MIT */
/*
 * A hash table of memory blocks by address: open addressing, doubled when it grows.
 *
 * Threading: the owner's lock.
 */
#ifndef ENGINE_ADDRESSES_H
#define ENGINE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address_entry {
    uint64_t address; /* 0: empty */
    size_t bytes;     /* asked for */
    size_t room;      /* of its class */
    void *stream;     /* of its free, while it is cached */
    uint64_t next;    /* address of the next cached one of the same stream and class */
    bool live;
    bool leaving; /* being freed: its work is marked without the manager's lock */
};

struct addresses {
    struct address_entry *entries;
    size_t mask, count; /* mask 0: nothing yet */
};

/** Adds an address. NULL: out of host memory. */
struct address_entry *addresses_add(struct addresses *addresses, uint64_t address);
/** Finds an address. NULL: unknown. Valid until the next change. */
struct address_entry *addresses_find(const struct addresses *addresses, uint64_t address);
void addresses_remove(struct addresses *addresses, uint64_t address);
void addresses_done(struct addresses *addresses);

#endif
