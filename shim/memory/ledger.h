/* SPDX-License-Identifier: MIT */
/*
 * Memory that the program got from the driver itself: what it asked for, by address, so that a free
 * can be recorded with its size and a limit knows what is taken.
 *
 * Addresses of different kinds may coincide (a reservation and what is mapped in it, a handle and
 * an address), so a key is an address and a space of addresses. Kept only while there is a trace,
 * a limit or a live page.
 *
 * Threading: every function from any thread; one lock, on paths that call the driver anyway.
 */
#ifndef SHIM_MEMORY_LEDGER_H
#define SHIM_MEMORY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"

struct ledger_entry {
    uint64_t address;
    enum trace_memory memory;
    uint32_t context; /* number; 0: none */
    int device;
    size_t requested_bytes;
    size_t allocated_bytes;
    uint32_t references; /* frees still to come before the one that counts */
};

/** Adds or replaces. Lost when host memory is out: a later free is then of unknown size. */
void ledger_put(const struct ledger_entry *entry);

/** One more free has to come before the entry's memory is gone. False when there is no entry. */
bool ledger_retain(enum trace_memory memory, uint64_t address);

/**
 * Removes the entry at an address of the same space as `memory`, or one of its references: then
 * what is left in `references` is not 0. False when there is none.
 */
bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry);

/** Undoes ledger_take. */
void ledger_return(const struct ledger_entry *entry);

/** Entries that lie one behind the other. */
struct ledger_chain {
    struct ledger_node *first;
};

/** Removes the entries that begin at an address and follow each other without a hole. */
void ledger_take_chain(enum trace_memory memory, uint64_t address, uint64_t bytes,
                       struct ledger_chain *ret_chain);

/** The next entry of a chain, which gives it up. False at the end. */
bool ledger_chain_pop(struct ledger_chain *chain, struct ledger_entry *ret_entry);

/** Removes what belonged to a context that ended. */
void ledger_forget_context(uint32_t context);

/** Device memory of this process that the ledger knows, on one device. */
uint64_t ledger_device_bytes(int device);

#define LEDGER_KINDS 16 /* of enum trace_memory */

/** What the ledger holds of each kind. */
struct ledger_total {
    uint64_t blocks, bytes;
};

void ledger_totals(struct ledger_total ret_totals[LEDGER_KINDS]);

/** True for kinds that occupy device memory. */
bool ledger_memory_is_device(enum trace_memory memory);

#endif
