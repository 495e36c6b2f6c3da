/* SPDX-License-Identifier: MIT */
/*
 * Per-thread state of the shim. Initial-exec thread-local storage, so that an access never
 * allocates and never enters the loader.
 */
#ifndef SHIM_CONTEXT_THREAD_STATE_H
#define SHIM_CONTEXT_THREAD_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct context;
struct gate_slot;

struct thread_state {
    unsigned depth; /* hooks entered; only the outermost one serves and records */
    bool gate_shared;
    struct gate_slot *gate; /* NULL before the first pool operation */
    void *context_handle;   /* of the context seen last */
    uint64_t context_generation;
    int64_t unpublished_bytes; /* taken less given back since the live page was last due */
    struct context *context;   /* valid while handle and generation are the current ones */
};

extern _Thread_local struct thread_state thread_state __attribute__((visibility("hidden")));

#endif
