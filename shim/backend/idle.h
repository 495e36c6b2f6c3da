/* SPDX-License-Identifier: MIT */
/*
 * The option idle_trim for a program that no longer allocates or frees: waits for the device,
 * queries of streams and events, copies to the host and MemGetInfo check the time. A program that
 * calls none of these keeps its memory, because the library has no thread for it.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_BACKEND_IDLE_H
#define SHIM_BACKEND_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti/base/likely.h"

/* Whether any pool has the option; never reset. */
extern bool idle_watched;

/** Registers the idle time of a new pool; 0: it never trims. */
void idle_watch(uint64_t idle_trim_ns);

/** Checks now and then whether pools have been idle long enough. */
void idle_look_slow(void);

/** Called at the end of a call of the program, outside every hook. */
static inline void idle_look(void)
{
    if (unlikely(__atomic_load_n(&idle_watched, __ATOMIC_RELAXED)))
        idle_look_slow();
}

#endif
