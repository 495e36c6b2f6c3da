/* SPDX-License-Identifier: MIT */
/*
 * Memory that the program got from the driver itself: the request, by address, so that a free can
 * be recorded with its size and a limit knows what is taken.
 *
 * Addresses of different kinds may coincide (a reservation and the mapping in it, a handle and an
 * address), so a key is an address and an address space. Kept only while there is a trace, a limit
 * or a live page.
 *
 * Invariant: the totals are the sums over all entries, by kind and, for device memory, by device,
 * where segments of the pools and room held for requests are added; nothing is ever summed on
 * demand. Memory that ends with a context is on a list of that context,
 * so the end of a context touches only its own memory. All other costs are independent of the
 * number of entries.
 *
 * Threading: every function from any thread; one lock, on paths that call the driver anyway. Totals
 * are atomic; they can be read and counted without the lock.
 */
#ifndef SHIM_MEMORY_LEDGER_H
#define SHIM_MEMORY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"

#define LEDGER_DEVICES 64 /* devices with totals */
#define LEDGER_HOST    -1 /* the device of memory that takes none of any */

struct ledger_entry {
    uint64_t address;
    enum trace_memory memory;
    uint32_t context; /* number of the context it ends with; 0: it outlives contexts */
    int device;       /* where it lies, or LEDGER_HOST */
    size_t requested_bytes;
    size_t allocated_bytes;
    uint32_t references; /* frees still to come before the one that counts */
};

/** Adds or replaces an entry. Without host memory the entry is lost: the size of a later free is
 * then unknown. */
void ledger_put(const struct ledger_entry *entry);

/** Adds a reference: one more free until the memory is gone. False when there is no entry. */
bool ledger_retain(enum trace_memory memory, uint64_t address);

/**
 * Removes the entry at an address of the same space as `memory`, or one of its references; then
 * `references` of the result is not 0. False when there is none.
 */
bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry);

/** Undoes ledger_take. */
void ledger_return(const struct ledger_entry *entry);

/** Finds the entry at an address of the same space as `memory`. False when there is none. */
bool ledger_look_up(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry);

/** Counts memory that another list keeps: it begins (+1) or ends (-1) to exist. Memory that begins
 * takes the place of the room that the thread holds for it. */
void ledger_count(const struct ledger_entry *entry, int sign);

/** Removes what ended with a context. */
void ledger_forget_context(uint32_t context);

/**
 * Counts bytes of a device that no entry has: a pool's segment, or memory that is still to come.
 * False, and nothing counted, where the device's total would exceed `limit`. Of concurrent callers
 * as many succeed as there is room for.
 */
bool ledger_device_add(int device, size_t bytes, size_t limit);
/** Undoes ledger_device_add. */
void ledger_device_remove(int device, size_t bytes);

/** As ledger_device_add; the thread holds the room for the memory that it counts next on the
 * device. */
bool ledger_hold(int device, size_t bytes, size_t limit);
/** Gives back what the thread still holds. */
void ledger_hold_end(void);

/** Returns the device memory that this process has taken, or holds room for. */
uint64_t ledger_device_bytes(int device);

#define LEDGER_KINDS 16 /* of enum trace_memory */

/** Bytes of each kind in the ledger. */
struct ledger_total {
    uint64_t blocks, bytes;
};

void ledger_totals(struct ledger_total ret_totals[LEDGER_KINDS]);

/** Sums over the kinds that count as requested device memory: now, and at most so far. */
struct ledger_level {
    uint64_t bytes, peak_bytes;
};

struct ledger_level ledger_requested(void);

/** In the child after fork: the parent's memory is not the child's. */
void ledger_fork_child(void);

#endif
