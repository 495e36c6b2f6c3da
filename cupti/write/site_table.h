/* SPDX-License-Identifier: MIT */
/*
 * Maps two numbers to an id: an open-addressed table that is read without a lock. It holds the
 * nodes of the caller tree (address, id of the calling frame) and whole stacks (two parts of their
 * hash).
 *
 * An entry's key is stored after its id and never changes, so a reader sees none or all of it. A
 * table that is three quarters full is copied into one twice as large. The old table remains for
 * its readers; a look-up there may miss a new entry, and is repeated under the lock. There is room
 * for 786,432 entries; further ones have no id.
 *
 * Threading: find from any thread; insert under the caller's lock.
 */
#ifndef CUPTI_WRITE_SITE_TABLE_H
#define CUPTI_WRITE_SITE_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#define SITE_TABLE_MOST 786432 /* entries */

/** Key of an id; `high` is not 0. */
struct site_key {
    uint64_t high;
    uint32_t low;
};

struct site_entries;

struct site_table {
    _Atomic(struct site_entries *) entries; /* zeroed pages, committed as used */
    uint32_t used;                          /* guarded by the caller's lock */
};

/** Errors: -ENOMEM. */
int site_table_init(struct site_table *ret_table);

/** The id of a key, 0 when it has none. */
uint32_t site_table_find(const struct site_table *table, struct site_key key);

/** Gives a new key an id. Errors: -ENOSPC when the table is full, -ENOMEM. */
int site_table_insert(struct site_table *table, struct site_key key, uint32_t id);

#endif
