/* SPDX-License-Identifier: MIT */
/*
 * Limits what this process may take of a device, by option, in bytes or as a fraction: the device
 * appears smaller.
 *
 * The limit counts the pools' segments, and the device memory that the program got from the driver
 * itself, on the device where they lie; both are maintained totals, so a check takes constant time.
 * Every request passes the check on its way into the driver. A refused request gets the driver's
 * own error, which the runtime translates.
 *
 * Threading: every function from any thread. Two concurrent requests may both pass a limit that has
 * room for only one.
 */
#ifndef SHIM_MEMORY_LIMIT_H
#define SHIM_MEMORY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"
#include "shim/resolve/real.h"

/** True when the option is set. */
bool limit_is_set(void);

/** The limit of a device in bytes; SIZE_MAX without one. */
size_t limit_bytes(const struct driver_functions *driver, int device);

/** Device memory that this process has taken, as far as it counts. */
size_t limit_used_bytes(int device);

/** False when a request on this device has no room. */
bool limit_admits(const struct driver_functions *driver, int device, size_t bytes);

/** Checks a request for a kind of memory in a place (shim/memory/place.h) likewise. */
bool limit_admits_at(const struct driver_functions *driver, enum trace_memory memory, int place,
                     size_t bytes);

/** The same in the current context. */
bool limit_admits_here(const struct driver_functions *driver, enum trace_memory memory,
                       size_t bytes);

#endif
