/* SPDX-License-Identifier: MIT */
/*
 * The state of the preload library in this process: its mode and its options. Plain state: the
 * first entry (shim/shim.h) determines both; the layers below read what is known by then.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_OPTIONS_MODE_H
#define SHIM_OPTIONS_MODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "shim/options/options.h"

enum shim_mode {
    SHIM_UNKNOWN, /* nothing has asked yet: there is no context, block or trace of ours */
    SHIM_OFF,     /* every hook forwards: by option, or in a child of a process with memory */
    SHIM_OBSERVE, /* forwarded and recorded */
    SHIM_POOL,    /* device allocations are served from pools */
};

/**
 * A page that the kernel wipes in every child with memory of its own, even in one that runs no
 * fork handler (_Fork, clone). Such a child starts anew at its first look-up or call. The page is
 * as large as the largest page that the kernel may have: on x86-64 there is one size.
 */
#ifdef __x86_64__
#define SHIM_PAGE_BYTES 4096
#else
#define SHIM_PAGE_BYTES 65536
#endif
union shim_page {
    struct {
        atomic_int mode;            /* enum shim_mode */
        pthread_mutex_t start_lock; /* its initial value is zeros */
    } now;
    char bytes[SHIM_PAGE_BYTES];
};

extern union shim_page shim_page;
extern struct options mode_options; /* written once, before the mode is published */

/** Returns the mode as far as it is known. A hook that leads here has called shim_mode() before. */
static inline enum shim_mode mode_now(void)
{
    return (enum shim_mode)atomic_load_explicit(&shim_page.now.mode, memory_order_acquire);
}

/** Immutable once the mode is known and not SHIM_OFF; zero before. */
static inline const struct options *shim_options(void)
{
    return &mode_options;
}

#endif
