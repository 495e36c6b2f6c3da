/* SPDX-License-Identifier: MIT */
/*
 * Writes a trace inside the traced process. Writing a record takes no lock shared between threads
 * and no malloc, and written records survive the death of the process.
 *
 * A failure (full disk, read-only directory) stops the recording. It is stored in the file header
 * if there is one, reported once by the result of trace_writer_open() or trace_writer_error(), and
 * never disturbs the program. In a child after fork the writer is inert.
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
 * Creates the file of an already expanded path (see trace_path_expand). Never overwrites a file:
 * appends ".PID" (and then ".PID.N") to the name instead. Errors: -EINVAL the path is a device, a
 * pipe or a directory; -ENOLINK it passes through another user's symbolic link (outplace.h); the
 * negative errno of the failing call.
 */
int trace_writer_open(const char *path, struct trace_writer **ret_writer);

/**
 * Creates the file with a maximum size of at least TRACE_LIMIT_LEAST bytes; 0: none. At the limit
 * the oldest events make room for the newest, but their figures remain (trace_ring.h). Errors:
 * -EINVAL for a limit that is too low.
 */
int trace_writer_open_limited(const char *path, uint64_t most_bytes,
                              struct trace_writer **ret_writer);

/** Why a trace could not be created: the words for an error of trace_writer_open(). */
const char *trace_writer_reason(int error);

/** Expands %p pid, %e program, %h host, %n counter of files, %q{VAR} environment, %%. */
int trace_path_expand(const char *pattern, char *ret_path, size_t ret_path_bytes);

/** The path in use. */
const char *trace_writer_path(const struct trace_writer *writer);

/**
 * Appends one record. Fills in `thread` and, when 0, `time_ns`. Wait-free except for a new block
 * every 1,023 records. A NULL writer is accepted and does nothing.
 */
void trace_writer_emit(struct trace_writer *writer, const struct trace_record *record);

/** Returns the id of a string; the same string gives the same id. 0 when it cannot be kept. */
uint32_t trace_writer_string(struct trace_writer *writer, const char *text);

/** Converts a string id for the field `api`: 0 if it does not fit, never another string's id. */
static inline uint16_t trace_api_id(uint32_t text_id)
{
    return text_id <= UINT16_MAX ? (uint16_t)text_id : 0;
}

/**
 * Returns the id of a code address. The first time, its module (path, build-id) and offset are
 * written; later look-ups are lock-free.
 */
uint32_t trace_writer_site(struct trace_writer *writer, const void *code_address);

/** Returns the id of a known stack, 0 when it is new. Lock-free; one look-up for the whole
 * stack.
 */
uint32_t trace_writer_stack_find(struct trace_writer *writer, const struct trace_stack *stack);

/**
 * Returns the id of a stack, and writes its new frames. At a limit the outer frames are left out,
 * which the file header counts.
 */
uint32_t trace_writer_stack(struct trace_writer *writer, const struct trace_stack *stack);

#define TRACE_SCRATCH_BYTES 131072 /* committed as they are touched */

/**
 * Returns scratch memory for what the calling thread is about to record, to spare its stack: the
 * same memory with its content at each call, until the thread ends; zeroed at first. NULL: there
 * is none.
 */
void *trace_writer_scratch(struct trace_writer *writer);

/** Nanoseconds since the trace began; monotonic, cheap (TSC where it is invariant). */
uint64_t trace_writer_now(const struct trace_writer *writer);

/** Returns the errno of the failure that stopped the recording, 0 while it continues. */
int trace_writer_error(const struct trace_writer *writer);

/** Seals all blocks, writes END, truncates the file. NULL is accepted. Records emitted later are
 * lost.
 */
void trace_writer_close(struct trace_writer *writer);

/** In the child after fork: forgets the file, and does not touch the parent's mapping. */
void trace_writer_fork_child(struct trace_writer *writer);

/** Appends an EXIT record to the closed or abandoned file of another process. */
int trace_file_append_exit(const char *path, int wait_status);

#ifdef __cplusplus
}
#endif

#endif
