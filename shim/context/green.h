/* SPDX-License-Identifier: MIT */
/*
 * Green contexts. Converted to a CUcontext, a green context is another handle in the address space
 * of the device's primary context, which outlives it. So its blocks belong to the primary context's
 * pool, and that pool's fences also cover the work of green contexts.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_CONTEXT_GREEN_H
#define SHIM_CONTEXT_GREEN_H

#include <stdbool.h>

#include "shim/resolve/real.h"

/** True while any is known. */
bool green_any(void);

/** Notes that a handle belongs to a green context of this primary context. */
void green_add(CUcontext handle, CUcontext primary);

/** Forgets one before it is destroyed: from then on a new one may have its handle. Returns its
 * primary context; NULL: it was not known. */
CUcontext green_remove(CUcontext handle);

/** Returns the primary context behind a green context's handle, or the handle itself. */
CUcontext green_owner(CUcontext handle);

/** In the child after fork: the parent's contexts are not the child's. */
void green_fork_child(void);

#endif
