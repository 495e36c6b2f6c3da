/* SPDX-License-Identifier: MIT */
/*
 * Creates the pool of a context as the options say.
 *
 * Threading: from any thread, once for each context.
 */
#ifndef SHIM_BACKEND_CONTEXT_POOL_H
#define SHIM_BACKEND_CONTEXT_POOL_H

#include "shim/context/context.h"

/** Hook called before a pool is created, with its configuration; NULL, or set before the first
 * pool. */
extern void (*context_pool_watch)(struct context *context, struct pool_config *config,
                                  struct pool_backend *backend);

/** NULL: the mode has no pools, or there is no host memory. */
struct pool *context_pool_make(struct context *context, const struct driver_functions *driver);

#endif
