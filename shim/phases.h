/* SPDX-License-Identifier: MIT */
/*
 * What the program says of itself, on its way into the trace: include/cupool.h, NVTX, signals.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_PHASES_H
#define SHIM_PHASES_H

#include <stddef.h>
#include <stdint.h>

struct trace_writer;

#define PHASE_NAME_BYTES 256

/** `size` and `address` of a PHASE record; part of the file format. */
enum phase_kind { PHASE_END, PHASE_BEGIN, PHASE_MARK, PHASE_STEP };
enum phase_source { PHASE_SOURCE_API, PHASE_SOURCE_NVTX, PHASE_SOURCE_SIGNAL };

/** The trace when phases are recorded at all, else NULL. */
struct trace_writer *phases_writer(void);

/** The text id of a name; 0 when there are too many. */
uint32_t phases_name(struct trace_writer *writer, const char *name);

/** One record. `time_ns` 0: now. A name of 0 is dropped. */
void phases_emit(struct trace_writer *writer, enum phase_kind kind, enum phase_source source,
                 uint32_t name, uint64_t time_ns);

#endif
