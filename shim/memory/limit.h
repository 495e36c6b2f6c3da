/* SPDX-License-Identifier: MIT */
/*
 * A smaller device: what this process may take of a device, by option, in bytes or as a part of it.
 *
 * Counted are the pools' segments and the device memory that the program got from the driver
 * itself, each on the device it lies on; both as totals that are kept, whatever there is. The check
 * stands where the driver is entered, so however a request arrived,
 * it is refused with the driver's own error and the runtime makes its own of that.
 *
 * Threading: every function from any thread. Two requests at once may both pass a limit that only
 * one of them fits.
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

/** Device memory this process has taken, as far as it is counted. */
size_t limit_used_bytes(int device);

/** False when a request on this device has no room. */
bool limit_admits(const struct driver_functions *driver, int device, size_t bytes);

/** The same for a request of some kind of memory in a place (shim/memory/place.h). */
bool limit_admits_at(const struct driver_functions *driver, enum trace_memory memory, int place,
                     size_t bytes);

/** The same in the current context. */
bool limit_admits_here(const struct driver_functions *driver, enum trace_memory memory,
                       size_t bytes);

#endif
