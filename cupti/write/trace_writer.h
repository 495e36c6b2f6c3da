/* SPDX-License-Identifier: MIT */
/*
 * Writes a trace from inside the traced process, without a lock shared between threads on the way
 * of a record, without malloc, and such that what was written survives the death of the process.
 *
 * A failure (full disk, read-only directory) stops the recording: it is kept in the file header
 * where there is one, told once by trace_writer_open's result or trace_writer_error, and never
 * disturbs the program. In a child after fork the writer is inert.
 *
 * Threading: every function from any thread, except open and close.
 */
#ifndef CUPTI_WRITE_TRACE_WRITER_H
#define CUPTI_WRITE_TRACE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"
#include "cupti/stack/trace_stack.h"

#ifdef __cplusplus
extern "C" {
#endif

struct trace_writer;

#define TRACE_LIMIT_LEAST (UINT64_C(1) << 20)

/**
 * Creates the file of an already expanded path (see trace_path_expand). An existing file is never
 * overwritten: ".PID" (and then ".PID.N") is appended to the name instead.
 * Errors: -EINVAL the name is that of a device, a pipe or a directory; the negative errno of the
 * failing call.
 */
int trace_writer_open(const char *path, struct trace_writer **ret_writer);

/**
 * The same with a limit of the file's size, at least TRACE_LIMIT_LEAST bytes; 0: none. When it is
 * reached the oldest events give way to the newest; their figures stay (trace_ring.h).
 * Errors: -EINVAL for a limit that is too low.
 */
int trace_writer_open_limited(const char *path, uint64_t most_bytes,
                              struct trace_writer **ret_writer);

/** Expands %p pid, %e program, %h host, %n counter of files, %q{VAR} environment, %%. */
int trace_path_expand(const char *pattern, char *ret_path, size_t ret_path_bytes);

/** The path in use. */
const char *trace_writer_path(const struct trace_writer *writer);

/**
 * Appends one record. `thread` and, when 0, `time_ns` are filled in. Wait-free but for a new block
 * every 1,023 records. A NULL writer is accepted and does nothing.
 */
void trace_writer_emit(struct trace_writer *writer, const struct trace_record *record);

/** The id of a text; the same text gives the same id. 0 when it cannot be kept. */
uint32_t trace_writer_string(struct trace_writer *writer, const char *text);

/** A text id as the field `api` holds it: 0 for one that does not fit, never another text's id. */
static inline uint16_t trace_api_id(uint32_t text_id)
{
    return text_id <= UINT16_MAX ? (uint16_t)text_id : 0;
}

/**
 * The id of a code address: module (path, build-id) and offset are written when it is first seen.
 * Later look-ups are lock-free.
 */
uint32_t trace_writer_site(struct trace_writer *writer, const void *code_address);

/** The id of a stack that is known, 0 when it is new. Lock-free; one look-up for the whole stack.
 */
uint32_t trace_writer_stack_find(struct trace_writer *writer, const struct trace_stack *stack);

/**
 * The id of a stack: its frames are written as far as they are new. Where a limit is reached the
 * outer frames are left out, and that is counted in the file header.
 */
uint32_t trace_writer_stack(struct trace_writer *writer, const struct trace_stack *stack);

#define TRACE_SCRATCH_BYTES 131072 /* committed as they are touched */

/**
 * Memory for what the calling thread is about to record, which need not lie on its stack: the same,
 * with what was written there, at each call, until the thread ends; zeroed at first. NULL: there is
 * none.
 */
void *trace_writer_scratch(struct trace_writer *writer);

/** Nanoseconds since the trace began; monotonic, cheap (TSC where it is invariant). */
uint64_t trace_writer_now(const struct trace_writer *writer);

/** Errno of the failure that stopped the recording, 0 while it goes on. */
int trace_writer_error(const struct trace_writer *writer);

/** Seals all blocks, writes END, trims the file. NULL is accepted. Records emitted later are lost.
 */
void trace_writer_close(struct trace_writer *writer);

/** In the child after fork: forget the file, do not touch the parent's mapping. */
void trace_writer_fork_child(struct trace_writer *writer);

/** Appends an EXIT record to the closed or abandoned file of another process. */
int trace_file_append_exit(const char *path, int wait_status);

#ifdef __cplusplus
}
#endif

#endif
