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
#ifndef CUPTI_REPLAY_LEDGER_H
#define CUPTI_REPLAY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/key_index.h"

enum ledger_space {
    LEDGER_ADDRESS = 1,
    LEDGER_HANDLE,
    LEDGER_RANGE,
    LEDGER_MAPPING,
    LEDGER_SEGMENT
};

struct ledger_block {
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
    uint8_t space;  /* enum ledger_space; 0: a free place of the table */
    bool passed;    /* by the driver itself */
    bool counted;   /* allocated where figures are taken */
    uint16_t device;
    uint32_t thread; /* that allocated it; 0: not known */
};

/** Rows are named by their number + 1; 0: none. */
struct ledger_row {
    struct ledger_block block;
    uint32_t next, previous; /* of the chain; `next` alone of a free row */
    bool chained;
};

struct ledger {
    struct ledger_row *row;
    size_t room, rows, used; /* rows: once used; used: now */
    uint32_t free;           /* first free row among those once used */
    uint32_t *address;       /* open-addressed, twice the room */
    uint32_t *context;       /* first rows of the chains, as many as the room */
    struct hash_seed seed;
};

/** The block that begins at an address, or NULL. */
struct ledger_block *ledger_find(const struct ledger *ledger, enum ledger_space space,
                                 uint64_t address);

/** Adds a block with a new key. Errors: -ENOMEM. */
int ledger_add(struct ledger *ledger, const struct ledger_block *block);

/** Removes a block of the ledger. */
void ledger_remove(struct ledger *ledger, struct ledger_block *block);

/**
 * Returns another block of a context, which stays in the ledger: the caller removes it, or it
 * outlives its context. Its address may change with the next addition. NULL: no more.
 */
struct ledger_block *ledger_context_take(struct ledger *ledger, uint32_t context);

/** Returns the first block at or after a position in row order; NULL after the last. */
struct ledger_block *ledger_next(const struct ledger *ledger, size_t *position);

void ledger_done(struct ledger *ledger);

#endif
