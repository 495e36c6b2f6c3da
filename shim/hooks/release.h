/* SPDX-License-Identifier: MIT */
/*
 * The free of a block, the same for the runtime's and the driver's functions: back to the pool, or
 * on to the real function, whose answer is the program's.
 *
 * Threading: any thread.
 */
#ifndef SHIM_HOOKS_RELEASE_H
#define SHIM_HOOKS_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/hooks/call.h"

/** One of the free functions, bound to everything but the pointer. */
struct release {
    /** The real function, or the error of a function that is missing. */
    int (*native)(const struct release *release, uint64_t address);
    enum hook_id hook;
    CUstream stream; /* of a stream-ordered free */
    bool stream_ordered;
    unsigned library; /* that was called; release_address notes it */
};

/** Frees an address for the program, whose call came from `code`. Returns what the real function
 * would: 0 for success. */
int release_address(struct release *release, const void *code, uint64_t address);

#endif
