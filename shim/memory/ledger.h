/* SPDX-License-Identifier: MIT */
/*
 * Memory that the program got from the driver itself: what it asked for, by address, so that a free
 * can be recorded with its size and a limit knows what is taken.
 *
 * Addresses of different kinds may coincide (a reservation and what is mapped in it, a handle and
 * an address), so a key is an address and a space of addresses. Kept only while there is a trace,
 * a limit or a live page.
 *
 * Invariant: the totals are the sums over what is there, by kind and, of memory that a device gave,
 * by device; nothing is ever summed up on demand. Memory that ends with a context hangs on a list
 * of that context, so the end of one touches its own memory only. Nothing else costs more when
 * there is more.
 *
 * Threading: every function from any thread; one lock, on paths that call the driver anyway.
 * Totals are atomic and may be read, and counted, without it.
 */
#ifndef SHIM_MEMORY_LEDGER_H
#define SHIM_MEMORY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"

#define LEDGER_DEVICES 64 /* whose totals are kept */
#define LEDGER_HOST    -1 /* the device of memory that takes none of any */

struct ledger_entry {
    uint64_t address;
    enum trace_memory memory;
    uint32_t context; /* number of the context it ends with; 0: it outlives contexts */
    int device;       /* whose memory it is, or LEDGER_HOST */
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

/** The entry at an address of the same space as `memory`. False when there is none. */
bool ledger_look_up(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry);

/** Counts what another list of memory keeps itself: it begins (+1) or ends (-1) to be there. */
void ledger_count(const struct ledger_entry *entry, int sign);

/** Removes what ended with a context. */
void ledger_forget_context(uint32_t context);

/** Memory of a device that this process took and the ledger knows. */
uint64_t ledger_device_bytes(int device);

#define LEDGER_KINDS 16 /* of enum trace_memory */

/** Bytes of each kind in the ledger. */
struct ledger_total {
    uint64_t blocks, bytes;
};

void ledger_totals(struct ledger_total ret_totals[LEDGER_KINDS]);

#endif
