/* SPDX-License-Identifier: MIT */
/*
 * Limits what this process may take of a device, by option, in bytes or as a fraction: the device
 * appears smaller.
 *
 * The limit counts the pools' segments, and the device memory that the program got from the driver
 * itself, on the device where they lie; both are in one maintained total, so a check takes constant
 * time. Every request passes the check on its way into the driver, and then holds its room until it
 * is counted or has failed: concurrent requests never exceed the limit together. A refused request
 * gets the driver's own error, which the runtime translates.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_MEMORY_LIMIT_H
#define SHIM_MEMORY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"
#include "shim/resolve/real.h"

struct context;

/** True when the option is set. */
bool limit_is_set(void);

/** The limit of a device in bytes; SIZE_MAX without one. */
size_t limit_bytes(const struct driver_functions *driver, int device);

/** Device memory that this process has taken, as far as it counts. */
size_t limit_used_bytes(int device);

/** False when a request on this device has no room now. */
bool limit_admits(const struct driver_functions *driver, int device, size_t bytes);

/**
 * Checks a request on this device; with room for it, the thread holds that until the outermost hook
 * ends (limit_hold_end()) or the memory is in the ledger.
 */
bool limit_hold(const struct driver_functions *driver, int device, size_t bytes);

/** The same for a kind of memory in a place (shim/memory/place.h). */
bool limit_hold_at(const struct driver_functions *driver, enum trace_memory memory, int place,
                   size_t bytes);

/** The same in the current context. */
bool limit_hold_here(const struct driver_functions *driver, enum trace_memory memory, size_t bytes);

/** Gives back what the thread still holds, after a request has failed. */
void limit_hold_end(void);

/** Counts a segment that a pool is about to take; false, and nothing counted, without room. */
bool limit_take_segment(const struct driver_functions *driver, struct context *context,
                        size_t bytes);
/** Counts a segment as gone, or as not taken. */
void limit_give_segment(struct context *context, size_t bytes);
/** Counts all segments of a context that ended as gone. */
void limit_forget_context(struct context *context);

#endif
