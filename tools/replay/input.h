/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace of allocations in any supported format: a trace of cupool, plain or packed;
 * lifetimes as CSV (`id,lower,upper,size`, half-open); the log of RMM's logging adaptor; a memory
 * snapshot of PyTorch. The first bytes decide the format, not the name.
 *
 * Files are not trusted. A pickle is read without executing anything (pickle.h).
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_INPUT_H
#define TOOLS_REPLAY_INPUT_H

#include "tools/replay/replay_trace.h"

struct input_request {
    uint64_t scale; /* of the sizes of lifetimes, which may be in abstract units; 0: 1 */
    int device;     /* ordinal; -1: the one with the most bytes */
};

/**
 * On failure `ret_why` is one line that names the file and the problem. Errors: -EINVAL unknown
 * format, -EBADMSG damage, -ENOMEM, others of the system.
 */
int input_read(const char *path, const struct input_request *request,
               struct replay_trace *ret_trace, char *ret_why, size_t why_bytes);

/* One reader for each format; it opens `path` itself. On failure the caller frees what was
 * added to the trace. */
int input_cupool_read(const char *path, const struct input_request *request,
                      struct replay_trace *trace, char *ret_why, size_t why_bytes);
int input_lifetimes_read(const char *path, const struct input_request *request,
                         struct replay_trace *trace, char *ret_why, size_t why_bytes);
int input_rmm_read(const char *path, struct replay_trace *trace, char *ret_why, size_t why_bytes);
int input_snapshot_read(const char *path, const struct input_request *request,
                        struct replay_trace *trace, char *ret_why, size_t why_bytes);

/** The same from memory, for the fuzzer. */
int input_snapshot_parse(const unsigned char *bytes, size_t length,
                         const struct input_request *request, struct replay_trace *trace,
                         char *ret_why, size_t why_bytes);

#endif
