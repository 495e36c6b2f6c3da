/* SPDX-License-Identifier: MIT */
/*
 * Stacks merged to a tree: each node is a frame, and its value is the sum of all stacks through it.
 * So a node has at least the sum of its children.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_FLAME_H
#define TOOLS_ANALYSIS_FLAME_H

#include <stddef.h>
#include <stdint.h>

#include "tools/base/texts.h"

/** Weight of a stack. */
enum flame_measure { FLAME_AT_PEAK, FLAME_LEAKED, FLAME_IN_ALL, FLAME_MEASURES };

#define FLAME_DEPTH 128 /* frames of a stack; deeper ones are left out */

struct flame_node {
    const char *name; /* one of the texts */
    uint64_t bytes[FLAME_MEASURES];
    uint32_t child, sibling; /* index of the first child, of the next sibling; 0: none */
};

/** Node 0 is the root. */
struct flame {
    struct flame_node *node;
    size_t nodes, room;
    struct texts texts;
    struct key_index children; /* by parent and number of the name */
};

/** Makes a tree with a root only. Errors: -ENOMEM. */
int flame_create(const char *root, struct flame *ret_flame);
void flame_done(struct flame *flame);

/** Adds a stack, the outermost frame first. Errors: -ENOMEM. */
int flame_add(struct flame *flame, const char *const *frames, size_t depth,
              const uint64_t bytes[FLAME_MEASURES]);

/** Sorts all children by a measure: the largest first, then by name. Errors: -ENOMEM. */
int flame_sort(struct flame *flame, enum flame_measure measure);

/** Counts the nodes shown when those below `least` are joined, including the joined ones. */
size_t flame_count(const struct flame *flame, enum flame_measure measure, uint64_t least);

#endif
