/* SPDX-License-Identifier: MIT */
/*
 * Green contexts. As a CUcontext one is another handle in the address space of the device's primary
 * context, which outlives it; so its blocks are of the primary context's pool, whose fences cover
 * the work of green contexts, too.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_CONTEXT_GREEN_H
#define SHIM_CONTEXT_GREEN_H

#include <stdbool.h>

#include "shim/resolve/real.h"

/** True while any is known. */
bool green_any(void);

/** Notes that a handle stands for a green context of this primary one. */
void green_add(CUcontext handle, CUcontext primary);

/** Forgets one that was destroyed. */
void green_remove(CUcontext handle);

/** The primary context behind a green one's handle, or the handle itself. */
CUcontext green_owner(CUcontext handle);

#endif
