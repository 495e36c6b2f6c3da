/* SPDX-License-Identifier: MIT */
/*
 * The file that tuning writes: options as CUPOOL_CONF reads them, preceded by the evidence as
 * comments: the traces, the device, the trials, the figures before and after. The lines `# promise`
 * can be read back, so that a run can be compared with them.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_TUNE_CONF_H
#define TOOLS_TUNE_CONF_H

#include <stdio.h>

#include "tools/tune/tune.h"

/** Figures that the file promises for a trace, identified by its hash. */
struct promise {
    uint64_t hash, operations;
    uint64_t peak_reserved_bytes, peak_allocated_bytes, driver_calls;
    /* Range of what the trace leaves open; both ends are equal if it determines everything. */
    uint64_t reserved_least, reserved_most, calls_least, calls_most;
};

/** Writes the file. Errors: -EIO. */
int conf_write(const struct tune_request *request, const struct tune_result *result, FILE *out);

/** Reads the promises of a file; free() them. Errors: -ENODATA there are none; as infile_read(). */
int conf_promises_read(const char *path, struct promise **ret_promises, size_t *ret_count);

/** Result of comparing a recorded run with the promises. */
struct promise_verdict {
    const struct promise *promise; /* of the same requests; else the one with the most bytes */
    bool same_requests;
    bool open; /* by when the device was done */
    bool reserved_kept, calls_kept;
};

/**
 * With the same requests, reserved bytes must be equal and calls within 1 % (or one call); if they
 * depend on the speed of the device, at most 1/16 above the largest promise. With other requests,
 * neither may exceed the largest promise by more than 1/16, calls per operation.
 */
void promise_judge(const struct promise *promises, size_t count, const struct replay_trace *trace,
                   struct promise_verdict *ret_verdict);

#endif
