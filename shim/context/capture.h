/* SPDX-License-Identifier: MIT */
/*
 * Tracks which streams capture, and what that forbids.
 *
 * While a stream captures, recording an event on its context would invalidate the capture, and a
 * thread may be forbidden the driver calls behind cudaMalloc and cudaFree. The hooks on the
 * beginning and end of captures keep the list. A capture is listed from before the driver begins it
 * until after it has ended, so the list errs on the safe side.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_CONTEXT_CAPTURE_H
#define SHIM_CONTEXT_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/resolve/real.h"

extern atomic_int capture_count;

/** True while any stream of the process captures. */
static inline bool capture_is_active(void)
{
    return atomic_load_explicit(&capture_count, memory_order_acquire) != 0;
}

/** Enters a stream that is about to capture; returns a number for capture_undo(). */
uint64_t capture_begin(CUstream stream, bool per_thread, CUstreamCaptureMode mode);

/** After the driver has refused: an earlier capture of the same stream goes on. */
void capture_undo(uint64_t number);

/** Removes a stream that no longer captures, or is destroyed. Accepts streams that do not
 * capture. */
void capture_end(CUstream stream, bool per_thread);

/** Forgets the captures of a context that ends. */
void capture_forget_context(CUcontext context);

/** Relaxes the thread's interaction mode, for calls of our own. False when nothing was changed, so
 * that nothing is to be restored. */
bool capture_mode_relax(const struct driver_functions *driver, CUstreamCaptureMode *ret_mode);

/**
 * Restores the thread's interaction mode after an exchange. Repeats the call if the driver
 * refuses: left in the other mode, the thread would be allowed what it must not do.
 */
void capture_mode_restore(const struct driver_functions *driver, CUstreamCaptureMode mode);

/** True when the driver would refuse this thread an allocation or a free now. */
bool capture_forbids_here(const struct driver_functions *driver);

/** True when work given to this stream now would be captured, or refused because of a capture. */
bool capture_includes(const struct driver_functions *driver, CUstream stream);

/**
 * Keeps captures from beginning. True when no stream of the context captures; then the caller may
 * record an event on it. Always pair it with capture_allow().
 */
bool capture_hold(CUcontext context);
void capture_allow(void);

/** In the child after fork: the parent's captures are not the child's. */
void capture_fork_child(void);

#endif
