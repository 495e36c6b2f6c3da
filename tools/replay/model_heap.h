/* SPDX-License-Identifier: MIT */
/*
 * Common parts of the models: memory from the driver (areas), cut into blocks that know their
 * neighbours, and free blocks by size for best fit, lowest address first.
 *
 *   the blocks of an area are adjacent and cover it; each is in a tree, in use, or not mapped
 *
 * Addresses are artificial: areas ascend, with gaps between them.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_MODEL_HEAP_H
#define TOOLS_REPLAY_MODEL_HEAP_H

#include <stdbool.h>

#include "pool/base/size_tree.h"

struct model_area {
    uint64_t address, bytes;
    struct model_block *first, *last;
    struct model_area *next, *prev;
    struct model_area *earlier; /* of the same stream and size, where a model looks for them */
    struct model_area *idle_next, *idle_prev;
    uint32_t stream;
    uint32_t unmapped; /* blocks that are */
    bool small;        /* belongs to the pool for small blocks */
    bool listed;       /* where a model looks for it */
    bool idle;         /* in the list of idle ones */
};

struct model_block {
    struct size_node node; /* size and address; in a tree while free and mapped */
    struct model_block *next, *prev;
    struct model_area *area;
    uint32_t list; /* number of its list of free blocks, in models with several */
    bool used, unmapped;
};

struct model_heap {
    struct model_area *areas;
    struct model_area *idle; /* areas of one block that is free */
    uint64_t next_address;
};

static inline struct model_block *model_block_of(struct size_node *node)
{
    return (struct model_block *)(void *)node;
}

/** Makes an area of one block that is in no tree. NULL: out of memory, or of the 2^64 addresses. */
struct model_area *model_area_create(struct model_heap *heap, uint64_t bytes);

/** Enters an area in the list of idle ones, or removes it. For models that return such areas: after
 * each change of an area's blocks. */
void model_area_note(struct model_heap *heap, struct model_area *area);

/** Frees an area; only its last block is left. */
void model_area_destroy(struct model_heap *heap, struct model_area *area);

/** Frees everything. */
void model_heap_done(struct model_heap *heap);

/** Splits a block that is in no tree; returns the rest, also in no tree. NULL: out of memory. */
struct model_block *model_block_split(struct model_block *block, uint64_t bytes);

/** Joins a block with the next one; neither is in a tree. */
void model_block_join_next(struct model_block *block);

/** Returns how many neighbours model_block_coalesce() joins a block with. */
unsigned model_block_joins(const struct model_block *block);

/** Joins a free block with its free neighbours from the same list, and removes those from the tree.
 * The joined block is in no tree. */
struct model_block *model_block_coalesce(struct size_tree *tree, struct model_block *block);

#endif
