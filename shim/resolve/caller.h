/* SPDX-License-Identifier: MIT */
/*
 * Properties of a caller by its return address. Determined once, then found by a lock-free look-up.
 *
 * An entry describes the module that was loaded at that address at its first call. If the module is
 * unloaded, another module at the same address inherits the entry; this may blur the record but not
 * affect the program.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_RESOLVE_CALLER_H
#define SHIM_RESOLVE_CALLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/likely.h"

struct trace_writer;

struct caller {
    _Atomic(const void *) code; /* the return address; 0: empty */
    atomic_uint site;           /* in the trace; 0: not asked yet */
    bool exempt;                /* immutable: its allocations are left to the driver */
    atomic_bool passes;         /* no route is kept here: by a jump, or with mode:off */
    atomic_uint route_key;      /* which call its route is for; 0: none; written once */
    _Atomic(void *) route;      /* where that call leads; NULL: not known; written once */
};

#define CALLER_SLOTS 4096 /* power of two */

extern struct caller caller_table[CALLER_SLOTS];
struct caller *caller_add(const void *code);
uint32_t caller_site_find(struct caller *caller, struct trace_writer *writer);

static inline unsigned caller_slot(const void *code)
{
    return (unsigned)((uintptr_t)code * UINT64_C(0x9E3779B97F4A7C15) >> 52) % CALLER_SLOTS;
}

/** The entry of a return address; never NULL. */
static inline struct caller *caller_get(const void *code)
{
    struct caller *first = &caller_table[caller_slot(code)];

    if (likely(atomic_load_explicit(&first->code, memory_order_acquire) == code))
        return first;
    return caller_add(code);
}

/** Returns the target of a call from here if the target depends on the caller; NULL: not known. */
static inline void *caller_route(struct caller *caller, uint32_t key)
{
    return atomic_load_explicit(&caller->route_key, memory_order_relaxed) == key
               ? atomic_load_explicit(&caller->route, memory_order_acquire)
               : NULL;
}

/** Remembers the target; a call site has one, so only the first is kept. */
void caller_route_set(struct caller *caller, uint32_t key, void *route);

/** Its site id in the trace. */
static inline uint32_t caller_site(struct caller *caller, struct trace_writer *writer)
{
    uint32_t site = atomic_load_explicit(&caller->site, memory_order_relaxed);

    return site ? site : caller_site_find(caller, writer);
}

/** In the child after fork. */
void caller_fork_child(void);

#endif
