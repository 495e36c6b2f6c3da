/* SPDX-License-Identifier: MIT */
/*
 * A trace is read twice, once to verify it and once for its events; progress counts both. A trace
 * that is still written is cut at the time of its latest event. It is opened again if a block was
 * filled between the reading of two others, which looks like damage.
 */
#include "tools/trace/trace_open.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/base/progress.h"
#include "tools/base/file/regular_file.h"
#include "tools/trace/packed.h"
#include "tools/trace/snapshot.h"

#define RUNNING_TRIES 8

/** A source with progress of its reading. */
struct watched {
    struct trace_source source;
    struct progress progress;
};

static int64_t watched_read(void *context, void *buffer, size_t bytes, uint64_t offset)
{
    struct watched *watched = context;
    int64_t got = trace_source_read(&watched->source, buffer, bytes, offset);

    if (got > 0)
        progress_add(&watched->progress, (uint64_t)got);
    if (watched->progress.done_bytes >= watched->progress.total_bytes)
        progress_end(&watched->progress);
    return got;
}

static uint64_t watched_data(void *context, uint64_t offset)
{
    const struct watched *watched = context;

    return watched->source.data(watched->source.context, offset);
}

static void watched_close(void *context)
{
    struct watched *watched = context;

    progress_end(&watched->progress);
    watched->source.close(watched->source.context);
    free(watched);
}

/** Replaces the source of a trace that is still written and of limited size. */
static int snapshot_take(int fd, struct trace_source *source, bool *ret_running, char *ret_why,
                         size_t why_bytes)
{
    bool limited = false;
    uint64_t until_ns;
    int error;

    *ret_running = snapshot_is_needed(fd, &limited);
    if (!*ret_running)
        return 0;
    until_ns = trace_source_latest_ns(source);
    error = limited ? snapshot_copy(fd, source) : trace_source_file(fd, source);
    source->until_ns = until_ns;
    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s",
                 error == -EAGAIN ? "the program writes it faster than it can be read; a larger "
                                    "trace_max helps"
                                  : strerror(-error));
        return error;
    }
    if (limited)
        close(fd);
    return 0;
}

static int source_open(const char *path, struct trace_source *ret_source, bool *ret_running,
                       char *ret_why, size_t why_bytes)
{
    int fd = regular_file_open(path), error = fd;
    struct trace_source file;

    if (error == -EISDIR || error == -EINVAL)
        error = -EBADMSG;
    else if (error >= 0)
        error = trace_source_file(fd, &file);
    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s",
                 error == -EBADMSG ? "not a cupool trace: not a regular file at byte 0"
                                   : strerror(-error));
        if (fd >= 0)
            close(fd);
        return error;
    }
    *ret_running = false;
    if (!packed_is(&file)) {
        error = snapshot_take(fd, &file, ret_running, ret_why, why_bytes);
        *ret_source = file;
    } else {
        error = packed_open(&file, ret_source, ret_why, why_bytes);
    }
    if (error < 0)
        close(fd);
    return error;
}

int trace_source_open(const char *path, struct trace_source *ret_source, char *ret_why,
                      size_t why_bytes)
{
    bool running;

    return source_open(path, ret_source, &running, ret_why, why_bytes);
}

static int reader_open(const char *path, struct trace_reader **ret_reader, bool *ret_running,
                       char *ret_why, size_t why_bytes)
{
    struct watched *watched = malloc(sizeof *watched);
    struct trace_source source = {.read = watched_read, .close = watched_close, .context = watched};
    int error = watched ? source_open(path, &watched->source, ret_running, ret_why, why_bytes)
                        : -ENOMEM;

    if (error < 0) {
        if (!watched)
            snprintf(ret_why, why_bytes, "out of memory");
        free(watched);
        return error;
    }
    source.bytes = watched->source.bytes;
    source.until_ns = watched->source.until_ns;
    source.data = watched->source.data ? watched_data : NULL;
    progress_begin(&watched->progress, path, 2 * source.bytes);
    error = trace_reader_open_source(&source, ret_reader, ret_why, why_bytes);
    if (error < 0)
        watched_close(watched);
    else if (*ret_running)
        trace_reader_set_running(*ret_reader);
    return error;
}

int trace_open(const char *path, struct trace_reader **ret_reader, char *ret_why, size_t why_bytes)
{
    bool running = false;
    int error = -EBADMSG;

    for (int i = 0; i < RUNNING_TRIES && error == -EBADMSG && (!i || running); i++)
        error = reader_open(path, ret_reader, &running, ret_why, why_bytes);
    return error;
}
