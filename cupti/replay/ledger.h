/* SPDX-License-Identifier: MIT */
/*
 * What is live while a trace is replayed: blocks by address, in one open-addressed table.
 *
 * Addresses, handles, reserved ranges, mappings and pool segments may coincide; each of these
 * spaces has keys of its own.
 *
 * Threading: none of its own.
 */
#ifndef CUPTI_REPLAY_LEDGER_H
#define CUPTI_REPLAY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
};

struct ledger {
    struct ledger_block *block;
    size_t room, used;
};

/** The block that begins at an address, or NULL. */
struct ledger_block *ledger_find(const struct ledger *ledger, enum ledger_space space,
                                 uint64_t address);

/** Adds a block whose key is not in the ledger. Errors: -ENOMEM. */
int ledger_add(struct ledger *ledger, const struct ledger_block *block);

/** Removes a block of the ledger; pointers to others become invalid. */
void ledger_remove(struct ledger *ledger, struct ledger_block *block);

/** The first block at or behind a position of the table, in no order; NULL behind the last. */
struct ledger_block *ledger_next(const struct ledger *ledger, size_t *position);

void ledger_done(struct ledger *ledger);

#endif
