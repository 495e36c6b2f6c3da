/* SPDX-License-Identifier: MIT */
/*
 * Which form it is.
 */
#include "tools/replay/input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/base/file/infile.h"

#define PEEK_BYTES 256

static bool begins(const char *bytes, int count, const char *with, size_t length)
{
    return (size_t)count >= length && !memcmp(bytes, with, length);
}

static int form_read(const char *path, const char *first, int count,
                     const struct input_request *request, struct replay_trace *trace, char *ret_why,
                     size_t why_bytes)
{
    if (begins(first, count, "\x01.cupool", 8) || begins(first, count, "\x28\xb5\x2f\xfd", 4))
        return input_cupool_read(path, request, trace, ret_why, why_bytes);
    if (begins(first, count, "\x80", 1))
        return input_snapshot_read(path, request, trace, ret_why, why_bytes);
    if (begins(first, count, "Thread,Time,Action,Pointer,Size,Stream", 38))
        return input_rmm_read(path, trace, ret_why, why_bytes);
    if (begins(first, count, "id,lower,upper,size", 19))
        return input_lifetimes_read(path, request, trace, ret_why, why_bytes);
    snprintf(ret_why, why_bytes,
             "%s: unknown trace format: give a trace of cupool, lifetimes "
             "(id,lower,upper,size), an RMM log or a PyTorch memory snapshot",
             path);
    return -EINVAL;
}

int input_read(const char *path, const struct input_request *request,
               struct replay_trace *ret_trace, char *ret_why, size_t why_bytes)
{
    struct replay_trace trace = {.name = path};
    char first[PEEK_BYTES];
    int error = infile_peek(path, first, sizeof first);

    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(error));
        return error;
    }
    options_init(&trace.options);
    *ret_why = '\0';
    error = form_read(path, first, error, request, &trace, ret_why, why_bytes);
    if (error == 0)
        error = replay_trace_finish(&trace);
    if (error == 0 && trace.operations == 0) {
        snprintf(ret_why, why_bytes, "%s: no allocation to replay", path);
        error = -EINVAL;
    }
    if (error < 0) {
        if (!*ret_why)
            snprintf(ret_why, why_bytes, "%s: %s", path, strerror(-error));
        replay_trace_done(&trace);
        return error;
    }
    *ret_trace = trace;
    return 0;
}
