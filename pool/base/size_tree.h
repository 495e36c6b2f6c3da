/* SPDX-License-Identifier: MIT */
/*
 * Pieces of memory ordered by size and then address, for best fit: a treap, a binary search tree
 * with the shape of random insertion. So every step is O(log n) expected, whatever the program
 * allocates.
 *
 *   priority of a node ≥ priority of its children; left < node < right by (bytes, address)
 *
 * Nodes are members of the caller's objects; a node in a tree keeps its bytes and address.
 *
 * Threading: the caller's lock guards a tree and its nodes.
 */
#ifndef POOL_BASE_SIZE_TREE_H
#define POOL_BASE_SIZE_TREE_H

#include <stddef.h>
#include <stdint.h>

struct size_node {
    uint64_t bytes, address;
    struct size_node *left, *right;
    uint32_t priority;
};

/** Empty when zeroed. */
struct size_tree {
    struct size_node *root;
    uint32_t random; /* state of the generator of priorities */
};

void size_tree_insert(struct size_tree *tree, struct size_node *node);

/** Takes out a node that is in the tree. */
void size_tree_remove(struct size_tree *tree, struct size_node *node);

/** Returns the first node at or above (bytes, address) in the order; NULL: none. */
struct size_node *size_tree_at_least(const struct size_tree *tree, uint64_t bytes,
                                     uint64_t address);

/** Returns the last node below (bytes, address) in the order; NULL: none. */
struct size_node *size_tree_below(const struct size_tree *tree, uint64_t bytes, uint64_t address);

/** Returns the smallest node of at least `bytes`, the lowest of that size; NULL: none. */
static inline struct size_node *size_tree_best(const struct size_tree *tree, uint64_t bytes)
{
    return size_tree_at_least(tree, bytes, 0);
}

static inline struct size_node *size_tree_largest(const struct size_tree *tree)
{
    return size_tree_below(tree, UINT64_MAX, UINT64_MAX);
}

/** The next smaller node, the highest of its size. */
static inline struct size_node *size_tree_previous(const struct size_tree *tree,
                                                   const struct size_node *node)
{
    return size_tree_below(tree, node->bytes, node->address);
}

/** Returns the violated invariant, or NULL; counts nodes and bytes. */
const char *size_tree_check(const struct size_tree *tree, uint64_t *ret_count, uint64_t *ret_bytes);

#endif
