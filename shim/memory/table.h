/* SPDX-License-Identifier: MIT */
/*
 * A hash table that costs the same however much is in it: linear hashing. An insertion that finds
 * less than two buckets for a node splits one, so there is no moment at which everything moves. A
 * bucket's memory comes from the kernel when its segment of the directory begins, a node's from a
 * slab, so nothing here enters malloc.
 *
 * Nodes are of one size per table and begin with struct table_node; the key need not be unique,
 * and what a node is besides its key is the caller's to compare.
 *
 * Invariant: the node with hash h is in bucket h mod 2^(n+1) if there is such a bucket, else in
 * bucket h mod 2^n, where 2^n <= buckets < 2^(n+1).
 *
 * Threading: not thread-safe.
 */
#ifndef SHIM_MEMORY_TABLE_H
#define SHIM_MEMORY_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "shim/memory/slab.h"

#define TABLE_SEGMENTS 32

struct table_node {
    struct table_node *next;
    uint64_t key;
};

/** Begins as TABLE_OF the type of its nodes. */
struct table {
    struct slab nodes;
    size_t count, buckets;
    struct table_node **segment[TABLE_SEGMENTS]; /* of buckets, each as large as all before */
};
#define TABLE_OF(type)                                                                             \
    {                                                                                              \
        .nodes = {.item_bytes = sizeof(type) }                                                     \
    }

/** A new node with this key, the rest of it zero. NULL: out of memory. */
void *table_add(struct table *table, uint64_t key);

/** The first node of a key, and the next one. NULL: there is none. */
void *table_first(const struct table *table, uint64_t key);
void *table_next(const void *node);

/** Removes a node of the table. Its memory holds another one after the next table_add. */
void table_remove(struct table *table, void *node);

#endif
