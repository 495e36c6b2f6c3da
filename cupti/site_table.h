/* SPDX-License-Identifier: MIT */
/*
 * Code address to site id: an open-addressed table that is read without a lock.
 *
 * An entry's key is stored after its id and never changes, so a reader sees none or all of it.
 * The table has room for 98,304 sites; further ones have no id. An address whose library was
 * unloaded and replaced by another keeps the site it had first.
 *
 * Threading: find from any thread; insert under the caller's lock.
 */
#ifndef CUPTI_SITE_TABLE_H
#define CUPTI_SITE_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

struct site_entry {
    atomic_ullong address;
    atomic_uint id;
};

struct site_table {
    struct site_entry *entry; /* zeroed pages, committed as used; immutable after init */
    uint32_t used;            /* guarded by the caller's lock */
};

/** Errors: -ENOMEM. */
int site_table_init(struct site_table *ret_table);

/** The id of an address, 0 when it has none. */
uint32_t site_table_find(const struct site_table *table, uint64_t address);

/** Gives a new address an id. Errors: -ENOSPC when the table is full. */
int site_table_insert(struct site_table *table, uint64_t address, uint32_t id);

#endif
