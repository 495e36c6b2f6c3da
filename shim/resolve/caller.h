/* SPDX-License-Identifier: MIT */
/*
 * Who calls: what is known of a return address. Found once, then a lock-free look-up.
 *
 * An entry describes the module that was loaded at that address when it first called. A module that
 * is unloaded and replaced by another at the same address inherits the entry; that can blur the
 * record but not the program.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_RESOLVE_CALLER_H
#define SHIM_RESOLVE_CALLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct runtime_functions;
struct trace_writer;

struct caller {
    _Atomic(const void *) code;                        /* the return address; 0: empty */
    _Atomic(const struct runtime_functions *) runtime; /* NULL: not asked yet */
    atomic_uint site;                                  /* in the trace; 0: not asked yet */
    bool exempt; /* immutable: its allocations are left to the driver */
};

#define CALLER_SLOTS 4096 /* power of two */

extern struct caller caller_table[CALLER_SLOTS];
struct caller *caller_add(const void *code);
const struct runtime_functions *caller_runtime_find(struct caller *caller);
uint32_t caller_site_find(struct caller *caller, struct trace_writer *writer);

static inline unsigned caller_slot(const void *code)
{
    return (unsigned)((uintptr_t)code * UINT64_C(0x9E3779B97F4A7C15) >> 52) % CALLER_SLOTS;
}

/** The entry of a return address; never NULL. */
static inline struct caller *caller_get(const void *code)
{
    struct caller *first = &caller_table[caller_slot(code)];
    if (__builtin_expect(atomic_load_explicit(&first->code, memory_order_acquire) == code, 1))
        return first;
    return caller_add(code);
}

/** The runtime library that serves this caller; NULL when there is none. */
static inline const struct runtime_functions *caller_runtime(struct caller *caller)
{
    const struct runtime_functions *runtime = atomic_load_explicit(&caller->runtime,
                                                                   memory_order_acquire);
    return runtime ? runtime : caller_runtime_find(caller);
}

/** Its site id in the trace. */
static inline uint32_t caller_site(struct caller *caller, struct trace_writer *writer)
{
    uint32_t site = atomic_load_explicit(&caller->site, memory_order_relaxed);
    return site ? site : caller_site_find(caller, writer);
}

/** In the child after fork. */
void caller_fork_child(void);

#endif
