/* SPDX-License-Identifier: MIT */
/*
 * Records phases, steps and marks of the program in the trace, from include/cupool.h, NVTX and
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

/** Writes one record. `time_ns` 0: now. A record with name 0 is dropped. */
void phases_emit(struct trace_writer *writer, enum trace_phase kind, enum trace_phase_source source,
                 uint32_t name, uint64_t time_ns);

/** In the child after fork: names get new ids for the child's own trace. */
void phases_fork_child(void);

#endif
