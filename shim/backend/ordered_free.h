/* SPDX-License-Identifier: MIT */
/*
 * Whether the driver accepts a stream-ordered free of ordinary memory, which the headers leave
 * open. It is tested once, with a block from the driver. A block that the driver refuses so can
 * only be freed by a call that waits for the device, so it is kept until the device is idle.
 *
 * Threading: every function from any thread, outside the gate.
 */
#ifndef SHIM_BACKEND_ORDERED_FREE_H
#define SHIM_BACKEND_ORDERED_FREE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "shim/resolve/real.h"

/**
 * True when the driver accepts such frees, and when there is no memory to test it with: then the
 * pool's free is right if it does, and loses nothing if it does not. Inside a hook. Device work is
 * not waited for, beyond the moment in which an idle device says that it is.
 */
bool ordered_free_accepted(const struct driver_functions *driver, CUstream stream);

#define ORDERED_FREE_ANYWHERE (-1)

extern atomic_bool ordered_free_kept;
bool ordered_free_return_slow(int device);

/** Gives blocks of tests on a device back to the driver if it is idle. True when there was one. */
static inline bool ordered_free_return(int device)
{
    return atomic_load_explicit(&ordered_free_kept, memory_order_relaxed) &&
           ordered_free_return_slow(device);
}

#endif
