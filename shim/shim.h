/* SPDX-License-Identifier: MIT */
/*
 * The state of the preload library in this process: mode and options, found out at the first
 * look-up or call that concerns CUDA, never before.
 *
 * Threading: every function from any thread. While one thread finds the mode out, a look-up made by
 * the same thread from inside sees SHIM_OFF instead of waiting for itself.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <stdatomic.h>

#include "shim/options/options.h"

enum shim_mode {
    SHIM_UNKNOWN, /* nothing has asked yet */
    SHIM_OFF,     /* every hook forwards: by option, or in a child after fork */
    SHIM_OBSERVE, /* forwarded and recorded */
    SHIM_POOL,    /* device allocations are served from pools */
};

extern atomic_int shim_mode_now;
enum shim_mode shim_start(void);

static inline enum shim_mode shim_mode(void)
{
    int mode = atomic_load_explicit(&shim_mode_now, memory_order_acquire);
    return __builtin_expect(mode != SHIM_UNKNOWN, 1) ? (enum shim_mode)mode : shim_start();
}

/** Immutable once shim_mode has answered something else than SHIM_OFF. */
const struct options *shim_options(void);

#endif
