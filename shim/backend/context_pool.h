/* SPDX-License-Identifier: MIT */
/*
 * The pool of a context, made as the options say.
 *
 * Threading: from any thread, once for each context.
 */
#ifndef SHIM_BACKEND_CONTEXT_POOL_H
#define SHIM_BACKEND_CONTEXT_POOL_H

#include "shim/context/context.h"

/** Called with what a pool is about to be made with; NULL, or set before the first one is. */
extern void (*context_pool_watch)(struct context *context, struct pool_config *config,
                                  struct pool_backend *backend);

/** NULL: the mode has no pools, or there is no host memory. */
struct pool *context_pool_make(struct context *context, const struct driver_functions *driver);

#endif
