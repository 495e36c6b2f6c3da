/* SPDX-License-Identifier: MIT */
/*
 * A trace is read twice, once to verify it and once for its events; progress
 * counts both.
 */
#include "tools/trace/trace_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/trace/packed.h"
#include "tools/base/progress.h"

/** A source whose reading is watched. */
struct watched {
    struct trace_source source;
    struct progress progress;
};

static int64_t watched_read(void *context, void *buffer, size_t bytes, uint64_t offset)
{
    struct watched *watched = context;
    int64_t got = watched->source.read(watched->source.context, buffer, bytes, offset);

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

int trace_source_open(const char *path, struct trace_source *ret_source, char *ret_why,
                      size_t why_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
    struct trace_source file;

    if (fd < 0) {
        snprintf(ret_why, why_bytes, "%s", strerror(errno));
        return -errno;
    }
    r = trace_source_file(fd, &file);
    if (r < 0) {
        snprintf(ret_why, why_bytes, "%s",
                 r == -EBADMSG ? "no cupool trace: not a regular file at byte 0" : strerror(-r));
        close(fd);
        return r;
    }
    if (!packed_is(&file)) {
        *ret_source = file;
        return 0;
    }
    r = packed_open(&file, ret_source, ret_why, why_bytes);
    if (r < 0)
        close(fd);
    return r;
}

#define LINE_BYTES (PATH_MAX + 128)

/** Whether a process has the file of a path mapped: one that records there has. */
static bool is_mapped(uint32_t pid, const char *path)
{
    char name[64], *line = malloc(LINE_BYTES);
    unsigned major_number, minor_number;
    unsigned long long inode;
    struct stat status;
    bool found = false;
    FILE *maps;

    snprintf(name, sizeof name, "/proc/%u/maps", pid);
    maps = line && stat(path, &status) == 0 ? fopen(name, "re") : NULL;
    while (maps && !found && fgets(line, LINE_BYTES, maps))
        found = sscanf(line, "%*x-%*x %*s %*x %x:%x %llu", &major_number, &minor_number, &inode) ==
                    3 &&
                inode == status.st_ino && makedev(major_number, minor_number) == status.st_dev;
    if (maps)
        fclose(maps);
    free(line);
    return found;
}

int trace_open(const char *path, struct trace_reader **ret_reader, char *ret_why, size_t why_bytes)
{
    struct watched *watched = malloc(sizeof *watched);
    struct trace_source source = {.read = watched_read, .close = watched_close, .context = watched};
    int r = watched ? trace_source_open(path, &watched->source, ret_why, why_bytes) : -ENOMEM;

    if (r < 0) {
        if (!watched)
            snprintf(ret_why, why_bytes, "out of memory");
        free(watched);
        return r;
    }
    source.bytes = watched->source.bytes;
    source.data = watched->source.data ? watched_data : NULL;
    progress_begin(&watched->progress, path, 2 * source.bytes);
    r = trace_reader_open_source(&source, ret_reader, ret_why, why_bytes);
    if (r < 0)
        watched_close(watched);
    else if (is_mapped(trace_reader_summary(*ret_reader)->pid, path))
        trace_reader_running(*ret_reader);
    return r;
}
