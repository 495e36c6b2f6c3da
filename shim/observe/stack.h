/* SPDX-License-Identifier: MIT */
/*
 * The stack behind a call: native frames from the caller of the hook upwards, then those of Python
 * where the thread runs it. The frames of this library, and of what calls it from underneath a
 * hook, are never among them.
 *
 * Threading: any thread; without malloc.
 */
#ifndef SHIM_OBSERVE_STACK_H
#define SHIM_OBSERVE_STACK_H

#include <stdint.h>

struct caller;
struct trace_writer;

/** The id of the calling stack; the caller's own where there is no more. 0: it cannot be kept. */
uint32_t stack_record(struct caller *caller, struct trace_writer *writer);

#endif
