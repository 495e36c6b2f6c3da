/* SPDX-License-Identifier: MIT */
/*
 * Frees a block for both runtime and driver: back to the pool, or by the real function, which then
 * gives the program its result.
 *
 * Threading: any thread.
 */
#ifndef SHIM_HOOKS_RELEASE_H
#define SHIM_HOOKS_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/hooks/call.h"

/** One of the real free functions, with all arguments bound except the pointer. */
struct release {
    /** Calls the real function; returns an error where it is missing. */
    int (*native)(const struct release *release, uint64_t address);
    /** Makes a context current as the real function does, or returns its error. */
    int (*establish)(const struct release *release);
    enum hook_id hook;
    CUstream stream; /* of a stream-ordered free */
    bool stream_ordered;
    unsigned library; /* that was called; release_address notes it */
};

/** Frees an address for a call from `code`. Returns what the real function would: 0 for success. */
int release_address(struct release *release, const void *code, uint64_t address);

#endif
