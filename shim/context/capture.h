/* SPDX-License-Identifier: MIT */
/*
 * Which streams capture, and what that forbids.
 *
 * While a stream captures, recording an event on its context would invalidate the capture, and a
 * thread may be forbidden the calls that cudaMalloc and cudaFree stand for. The driver hooks for
 * the beginning and end of captures keep the list; a capture counts from before the driver is told
 * of it until after it ended, so the list errs on the careful side only.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_CONTEXT_CAPTURE_H
#define SHIM_CONTEXT_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "shim/resolve/real.h"

extern atomic_int capture_count;

/** True while any stream of the process captures. */
static inline bool capture_is_active(void)
{
    return atomic_load_explicit(&capture_count, memory_order_acquire) != 0;
}

/** A stream is about to capture; undone by capture_end when the driver refuses. */
void capture_begin(CUstream stream, bool per_thread, CUstreamCaptureMode mode);

/** A stream no longer captures, or is destroyed. Streams that do not capture are accepted. */
void capture_end(CUstream stream, bool per_thread);

/** Forgets the captures of a context that ends. */
void capture_forget_context(CUcontext context);

/**
 * Gives the thread back the interaction mode that an exchange took. A driver that refuses is asked
 * again: a thread left in another mode would be allowed what it must not do.
 */
void capture_mode_restore(const struct driver_functions *driver, CUstreamCaptureMode mode);

/** True when the driver would refuse this thread an allocation or a free now. */
bool capture_forbids_here(const struct driver_functions *driver);

/** True when work given to this stream now would be captured, or refused because of a capture. */
bool capture_includes(const struct driver_functions *driver, CUstream stream);

/**
 * Keeps captures from beginning. True when no stream of the context captures; then the caller may
 * record an event on it. Paired with capture_allow in either case.
 */
bool capture_hold(CUcontext context);
void capture_allow(void);

#endif
