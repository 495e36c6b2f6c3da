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

#include <pthread.h>
#include <stdatomic.h>

#include "shim/options/options.h"

enum shim_mode {
    SHIM_UNKNOWN, /* nothing has asked yet */
    SHIM_OFF,     /* every hook forwards: by option, or in a child of a process with memory */
    SHIM_OBSERVE, /* forwarded and recorded */
    SHIM_POOL,    /* device allocations are served from pools */
};

/**
 * A page that the kernel wipes in every child with memory of its own, also in one that no fork
 * handler sees (_Fork, clone): such a child starts anew at its first look-up or call.
 */
#define SHIM_PAGE_BYTES 65536 /* the largest page of the processors we know */
union shim_page {
    struct {
        atomic_int mode;            /* enum shim_mode */
        pthread_mutex_t start_lock; /* its initial value is zeros */
    } now;
    char bytes[SHIM_PAGE_BYTES];
};

extern union shim_page shim_page;
enum shim_mode shim_start(void);

static inline enum shim_mode shim_mode(void)
{
    int mode = atomic_load_explicit(&shim_page.now.mode, memory_order_acquire);
    return __builtin_expect(mode != SHIM_UNKNOWN, 1) ? (enum shim_mode)mode : shim_start();
}

/** Immutable once shim_mode has answered something else than SHIM_OFF. */
const struct options *shim_options(void);

#endif
