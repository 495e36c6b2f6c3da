/* SPDX-License-Identifier: MIT */
/*
 * What is around a call that ends a context, or may.
 *
 * During the call its pool calls no driver, so that no pool call uses a context under destruction;
 * the pool goes when the call has succeeded. After a call that may end it (a detach, the release of
 * a primary context) the driver is asked whether it did; if not, the pool is in use again.
 *
 * Threading: every function from any thread, which keeps its errno.
 */
#ifndef SHIM_HOOKS_ENDING_H
#define SHIM_HOOKS_ENDING_H

#include <stdbool.h>

#include "shim/context/context.h"

/** Before the real call. `certain`: unless it is refused, it ends the context. With handle NULL or
 * `mode:off` nothing is done, and `end` has no handle. */
void ending_begin(struct context_end *end, CUcontext handle, bool certain);

/** After the real call: it has ended the context, or not. */
void ending_finish(struct context_end *end, bool ended);

/** After contexts were found to have ended: mapped memory does not end with them. */
void ending_settle(void);

#endif
