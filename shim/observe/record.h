/* SPDX-License-Identifier: MIT */
/*
 * Records calls, contexts, devices and pools. Everything here does nothing without a trace.
 *
 * The first call opens the trace; if that fails, one line on stderr says so. Whichever thread calls
 * records the pools' statistics about once a second, and at the end.
 *
 * Threading: every function from any thread; record_close once.
 */
#ifndef SHIM_OBSERVE_RECORD_H
#define SHIM_OBSERVE_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/likely.h"
#include "cupti/write/trace_writer.h"
#include "pool/pool.h"
#include "shim/resolve/hooks.h"

struct call;
struct context;

extern _Atomic(struct trace_writer *) record_trace;
extern atomic_bool record_opened;
void record_open(void);

/** Returns the trace, or NULL. The first call opens it. */
static inline struct trace_writer *record_writer(void)
{
    if (unlikely(!atomic_load_explicit(&record_opened, memory_order_acquire)))
        record_open();
    return atomic_load_explicit(&record_trace, memory_order_acquire);
}

/** One piece of memory as a call sees it. */
struct record_block {
    enum trace_memory memory;
    enum trace_outcome outcome;
    uint64_t address;
    size_t requested_bytes;
    size_t allocated_bytes;
    const void *stream;
    uint32_t context; /* number of the one it ends with; 0: the thread's, if with any */
    int place;        /* see shim/memory/place.h */
    bool instant;     /* by a call that did something else: it took no time of its own */
};

void record_allocate(const struct call *call, const struct record_block *block);
void record_free(const struct call *call, const struct record_block *block);
/** Records a refused allocation; out of memory also leaves a post-mortem. */
void record_allocate_refused(const struct call *call, const struct record_block *block, int error);
/** Records a refused free: the memory stays as it was. */
void record_free_refused(const struct call *call, const struct record_block *block, int error);
/** Records a free of an address that is no memory, or no longer. */
void record_invalid_free(const struct call *call, uint64_t address, int error,
                         uint64_t allocation_site, uint64_t free_site);
void record_memory_info(const struct call *call, size_t free_bytes, size_t total_bytes);
void record_mempool_trim(const struct call *call, const void *pool, size_t returned_bytes);

void record_device(int ordinal);
void record_context(const struct context *context, bool created);
/** Records the backing of a context's pool, and the reason for it. */
void record_backing(const struct context *context, struct pool *pool, bool frees_wait,
                    const char *reason);
/** Records an event of the pool; `memory` MAPPING: with the memory that it maps. */
void record_pool_event_of(const struct context *context, enum trace_memory memory,
                          const struct pool_event *event);
void record_pool_event(const struct context *context, const struct pool_event *event);
void record_counters(const struct context *context);

/** Updates the live page now: more has changed than one block. */
void record_publish(void);

/** Updates the live page ten times a second of activity, and records the pools' statistics once
 * a second. */
void record_tick(uint64_t now_ns);
extern _Atomic uint64_t record_next_tick_ns;

void record_close(void);
void record_fork_child(void);

/** Returns the size of the driver allocation at an address; 0 when the driver does not say. */
size_t record_range_bytes_at(uint64_t address);
#define record_range_bytes(address) record_range_bytes_at((uint64_t)(uintptr_t)(address))

#endif
