/* SPDX-License-Identifier: MIT */
/*
 * How often the program holds the primary context of each device, as far as its calls were seen.
 * While it holds one further use, a release ends nothing: programs that retain and release around
 * every use must not pay for an end each time.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_CONTEXT_PRIMARY_USES_H
#define SHIM_CONTEXT_PRIMARY_USES_H

#include <stdbool.h>

#include "shim/resolve/real.h"

/** After a retain. */
void primary_uses_add(CUdevice device);

/** Before a release: whether another use is left, so that it ends nothing. If not, the releases
 * that left one are over. */
bool primary_uses_begin(CUdevice device);

/** After such a release. */
void primary_uses_finish(CUdevice device, bool released);

/** After a reset: none is known. */
void primary_uses_forget(CUdevice device);

/** In the child after fork. */
void primary_uses_fork_child(void);

#endif
