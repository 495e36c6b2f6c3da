/* SPDX-License-Identifier: MIT */
/*
 * The file that tuning writes: options as CUPOOL_CONF reads them, and before them, as comments, the
 * evidence: which traces, which device, what was tried, the figures before and after. The lines
 * `# promise` can be read back, so that a run can be held against them.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_TUNE_CONF_H
#define TOOLS_TUNE_CONF_H

#include <stdio.h>

#include "tools/tune/tune.h"

/** Figures that the file promises for a trace, by its hash. */
struct promise {
    uint64_t hash, operations;
    uint64_t peak_reserved_bytes, peak_allocated_bytes, driver_calls;
    /* What the record leaves open: the same where it says everything. */
    uint64_t reserved_least, reserved_most, calls_least, calls_most;
};

/** Writes the file. Errors: -EIO. */
int conf_write(const struct tune_request *request, const struct tune_result *result, FILE *out);

/** Reads the promises of a file; free() them. Errors: -ENOENT there are none; as infile_read. */
int conf_promises_read(const char *path, struct promise **ret_promises, size_t *ret_count);

/** How a recorded run compares with what was promised. */
struct promise_verdict {
    const struct promise *promise; /* of the same requests; else the one with the most bytes */
    bool same_requests;
    bool open; /* by when the device was done */
    bool reserved_kept, calls_kept;
};

/**
 * The same requests: reserved bytes must be equal, calls within 1 % (or one call); where they
 * depend on when the device is done, at most 1/16 above the most that was promised. Other requests:
 * neither may be more than 1/16 above the largest promise, calls for each operation.
 */
void promise_judge(const struct promise *promises, size_t count, const struct replay_trace *trace,
                   struct promise_verdict *ret_verdict);

#endif
