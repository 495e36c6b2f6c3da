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
#ifndef SHIM_LEDGER_H
#define SHIM_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/trace_format.h"

struct ledger_entry {
    uint64_t address;
    enum trace_memory memory;
    uint32_t context; /* number; 0: none */
    int device;
    size_t requested_bytes;
    size_t allocated_bytes;
};

/** Adds or replaces. Lost when host memory is out: a later free is then of unknown size. */
void ledger_put(const struct ledger_entry *entry);

/** Removes the entry at an address of the same space as `memory`. False when there is none. */
bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry);

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
