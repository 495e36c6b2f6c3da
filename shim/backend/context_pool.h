/* SPDX-License-Identifier: MIT */
/*
 * The pool of a context, made as the options say.
 *
 * Threading: from any thread, once for each context.
 */
#ifndef SHIM_BACKEND_CONTEXT_POOL_H
#define SHIM_BACKEND_CONTEXT_POOL_H

#include "shim/context/context.h"

/** NULL: the mode has no pools, or there is no host memory. */
struct pool *context_pool_make(struct context *context, const struct driver_functions *driver);

#endif
