/* SPDX-License-Identifier: MIT */
/*
 * Live blocks while a trace is replayed, by address and by context.
 *
 * Blocks lie in rows, in an order that depends only on the calls. Two tables, both with a seed
 * (key_index.h), lead to the rows: one by address, and chains of blocks with colliding contexts, so
 * that the end of a context costs in proportion to its blocks.
 *
 * Addresses, handles, reserved ranges, mappings and pool segments may coincide; each of these
 * spaces has separate keys.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_REPLAY_BLOCK_TABLE_H
#define CUPTI_REPLAY_BLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/key_index.h"

enum block_space {
    BLOCK_SPACE_ADDRESS = 1,
    BLOCK_SPACE_HANDLE,
    BLOCK_SPACE_RANGE,
    BLOCK_SPACE_MAPPING,
    BLOCK_SPACE_SEGMENT
};

struct replay_block {
    uint64_t address;
    uint64_t requested_bytes;
    uint64_t allocated_bytes;
    uint64_t time_ns;
    uint64_t order; /* allocations of device memory until it was there, itself one of them */
    uint32_t stack; /* site id of the whole stack */
    uint32_t site;
    uint32_t context;
    uint16_t api;
    uint8_t memory; /* enum trace_memory */
    uint8_t space;  /* enum block_space; 0: a free place of the table */
    bool passed;    /* by the driver itself */
    bool counted;   /* allocated where figures are taken */
    uint16_t device;
    uint32_t thread; /* that allocated it; 0: not known */
};

/** Rows are named by their number + 1; 0: none. */
struct block_row {
    struct replay_block block;
    uint32_t next, previous; /* of the chain; `next` alone of a free row */
    bool chained;
};

struct block_table {
    struct block_row *row;
    size_t room, rows, used; /* rows: once used; used: now */
    uint32_t free;           /* first free row among those once used */
    uint32_t *address;       /* open-addressed, twice the room */
    uint32_t *context;       /* first rows of the chains, as many as the room */
    struct hash_seed seed;
};

/** The block that begins at an address, or NULL. */
struct replay_block *block_table_find(const struct block_table *block_table, enum block_space space,
                                      uint64_t address);

/** Adds a block with a new key. Errors: -ENOMEM. */
int block_table_add(struct block_table *block_table, const struct replay_block *block);

/** Removes a block from the table. */
void block_table_remove(struct block_table *block_table, struct replay_block *block);

/**
 * Returns another block of a context, which stays in the table: the caller removes it, or it
 * outlives its context. Its address may change with the next addition. NULL: no more.
 */
struct replay_block *block_table_context_take(struct block_table *block_table, uint32_t context);

/** Returns the first block at or after a position in row order; NULL after the last. */
struct replay_block *block_table_next(const struct block_table *block_table, size_t *position);

void block_table_done(struct block_table *block_table);

#endif
