/* SPDX-License-Identifier: MIT */
/*
 * The driver's stream-ordered pools, and the option `mempool_release_threshold`: how much a pool
 * keeps when it synchronizes. It applies to a device's default pool from the first stream-ordered
 * allocation there, and to every pool that the program creates. A threshold set by the program,
 * before or after, wins.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_MEMORY_MEMPOOL_H
#define SHIM_MEMORY_MEMPOOL_H

#include <stdint.h>

#include "shim/resolve/real.h"

/** Call it before a stream-ordered allocation in the current context. */
void mempool_prepare(const struct driver_functions *driver);

/** Call it after a pool was created or imported in a place (shim/memory/place.h). */
void mempool_created(const struct driver_functions *driver, CUmemoryPool pool, int place);

/** Device bytes that a pool holds; 0 when the driver does not say. */
uint64_t mempool_reserved_bytes(CUmemoryPool pool);

#endif
