/* SPDX-License-Identifier: MIT */
/*
 * The option idle_trim where a program allocates and frees nothing any more: its waits for the
 * device, its queries and its questions about memory say that time has passed. A program that calls
 * nothing keeps its memory, as the library has no thread.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_BACKEND_IDLE_H
#define SHIM_BACKEND_IDLE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether any pool has the option; it is never taken back. */
extern bool idle_watched;

/** A pool is made that gives back after so long; 0: it never does. */
void idle_watch(uint64_t idle_trim_ns);

/** Looks, now and then, whether pools have been idle for long enough. */
void idle_look_slow(void);

/** At the end of a call of the program, outside of every hook. */
static inline void idle_look(void)
{
    if (__builtin_expect(__atomic_load_n(&idle_watched, __ATOMIC_RELAXED), 0))
        idle_look_slow();
}

#endif
