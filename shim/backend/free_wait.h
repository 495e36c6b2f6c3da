/* SPDX-License-Identifier: MIT */
/*
 * Waits for a device by a free of the driver. While a stream captures nothing may ask whether the
 * device is done, nor synchronize it, but a free waits for it all the same.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_BACKEND_FREE_WAIT_H
#define SHIM_BACKEND_FREE_WAIT_H

#include <stdint.h>

struct context;

/** Waits for all work of the device, without a bound, as a free of the program. */
int free_wait(struct context *context);

/**
 * The same, but no longer than `most_ns`, on a thread of its own: if the work does not end,
 * that thread is left to the driver. 1: done; 0: not yet; an error of the driver.
 */
int free_wait_most(struct context *context, uint64_t most_ns);

/** Before the real call that ends a context, or may, after context_end_begin(): waits for a thread
 * that was left in the driver with it, a few seconds at most. */
void free_wait_end(const struct context *context);

#endif
