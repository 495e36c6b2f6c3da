/* SPDX-License-Identifier: MIT */
/*
 * A hash table with constant costs at any size: linear hashing. An insertion that finds fewer than
 * two buckets for a node splits one bucket, so the table never moves as a whole. A bucket's memory
 * comes from the kernel when its segment of the directory begins, a node's from a cache of nodes,
 * so nothing here enters malloc.
 *
 * All nodes of a table have one size and begin with struct table_node. Keys need not be unique; the
 * caller compares the rest of a node.
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

#include "shim/memory/node_cache.h"

#define TABLE_SEGMENTS 32

struct table_node {
    struct table_node *next;
    uint64_t key;
};

/** Begins as TABLE_OF the type of its nodes. */
struct table {
    struct node_cache nodes;
    size_t count, buckets;
    struct table_node **segment[TABLE_SEGMENTS]; /* of buckets, each as large as all before */
};
#define TABLE_OF(type)                                                                             \
    {                                                                                              \
        .nodes = {.item_bytes = sizeof(type) }                                                     \
    }

/** Adds a node with this key, its other fields zero. NULL: out of memory. */
void *table_add(struct table *table, uint64_t key);

/** Returns the first node of a key, and the next one. NULL: none. */
void *table_first(const struct table *table, uint64_t key);
void *table_next(const void *node);

/** Removes a node from the table. The next table_add() may reuse its memory. */
void table_remove(struct table *table, void *node);

#endif
