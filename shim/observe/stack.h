/* SPDX-License-Identifier: MIT */
/*
 * Takes the stack of a call: native frames from the caller of the hook upwards, then Python frames
 * where the thread runs Python. It omits the frames of this library, and those of its callers
 * underneath a hook.
 *
 * Threading: any thread; without malloc.
 */
#ifndef SHIM_OBSERVE_STACK_H
#define SHIM_OBSERVE_STACK_H

#include <stdint.h>

struct caller;
struct trace_writer;

/** Returns the id of the calling stack, or of the caller alone where there is no more. 0: it
 * cannot be kept. */
uint32_t stack_record(struct caller *caller, struct trace_writer *writer);

#endif
