/* SPDX-License-Identifier: MIT */
/*
 * Green contexts. As a CUcontext one is another handle in the address space of the device's primary
 * context, which outlives it; so its blocks are of the primary context's pool, whose fences cover
 * the work of green contexts, too.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_HOOKS_GREEN_H
#define SHIM_HOOKS_GREEN_H

#include "shim/resolve/real.h"

/** The primary context behind a green one's handle, or the handle itself. */
CUcontext green_owner(CUcontext handle);

#endif
