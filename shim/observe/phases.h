/* SPDX-License-Identifier: MIT */
/*
 * Phases, steps and marks of the program, on their way into the trace: include/cupool.h, NVTX,
 * signals.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_OBSERVE_PHASES_H
#define SHIM_OBSERVE_PHASES_H

#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"

struct trace_writer;

#define PHASE_NAME_BYTES 256

/** The text id of a name; 0 when there are too many. */
uint32_t phases_name(struct trace_writer *writer, const char *name);

/** One record. `time_ns` 0: now. A name of 0 is dropped. */
void phases_emit(struct trace_writer *writer, enum trace_phase kind, enum trace_phase_source source,
                 uint32_t name, uint64_t time_ns);

/** In the child after fork: names get ids of its own record. */
void phases_fork_child(void);

#endif
