/* SPDX-License-Identifier: MIT */
/*
 * Allocation and free through the pool, shared by runtime and driver hooks. What the pool cannot or
 * must not do is left to the real function, which then also reports the error.
 *
 * Threading: every function from any thread, inside a call that call_begin opened.
 */
#ifndef SHIM_HOOKS_POOLED_H
#define SHIM_HOOKS_POOLED_H

#include <stddef.h>
#include <stdint.h>

#include "shim/hooks/call.h"

/**
 * Serves a request (>0 bytes) from the pool of the current context and records it.
 * -ENODEV: there is no current context yet. Any other error: ask the real function.
 */
int pooled_allocate(const struct call *call, size_t bytes, uint64_t *ret_address);

/** Outcome of a free. */
enum pooled_free {
    POOLED_FREE_DONE,    /* taken back and recorded: success */
    POOLED_FREE_FOREIGN, /* not the pool's: the real free, then pooled_foreign_freed */
    POOLED_FREE_INVALID, /* no block, and recorded so: the real free of *ret_pointer refuses */
    POOLED_FREE_REFUSED, /* a block that may not be freed now: likewise, then pooled_refused */
};

/** A free as the program asked for it. */
struct pooled_request {
    uint64_t address;
    CUstream stream;     /* of a stream-ordered free */
    bool stream_ordered; /* cudaFreeAsync and its like */
};

/**
 * Frees an address. For POOLED_FREE_INVALID and POOLED_FREE_REFUSED *ret_pointer lies inside
 * the same driver allocation but never at its beginning, so the real free can only refuse it.
 */
enum pooled_free pooled_free(const struct call *call, const struct pooled_request *request,
                             uint64_t *ret_pointer);

/** Whether the address lies in a pool's memory. */
bool pooled_holds(uint64_t address);

/** Records a free of a pooled block that the real free refused. */
void pooled_refused(const struct call *call, const struct pooled_request *request, int result);

/** Records the result of the real allocation function. */
void pooled_native_allocated(const struct call *call, uint64_t address, size_t bytes, int result);

/** Takes the ledger's entry of memory that is about to be passed to a real free; address 0 when
 * unknown. */
struct ledger_entry pooled_foreign_take(const struct call *call, enum trace_memory memory,
                                        uint64_t address);

/** Records a real free, or puts the entry back when the real free refused. */
void pooled_foreign_freed(const struct call *call, enum trace_memory memory, uint64_t address,
                          const void *stream, const struct ledger_entry *entry, int result);

/** Enters memory from a real function in ledger and trace. */
void pooled_foreign_taken(const struct call *call, const struct record_block *block);

/** True when this call tracks memory that is not the pool's. */
bool pooled_accounts(const struct call *call);

/** True when a stream-ordered free is captured: the memory is freed when the graph is launched. */
bool pooled_free_is_captured(const struct pooled_request *request);

/** Records what became of a free that was captured. */
void pooled_free_captured(const struct call *call, uint64_t address, const void *stream,
                          int result);

/**
 * After the driver had no memory for a request of `bytes` (0: unknown): returns the free memory of
 * the current device's pools, unless all of it is too little. True when something was returned, so
 * that the request is worth repeating.
 */
bool pooled_relieve(size_t bytes);

/** Returns free memory likewise, on the device of a place (shim/memory/place.h). */
bool pooled_relieve_at(int place, size_t bytes);

#endif
