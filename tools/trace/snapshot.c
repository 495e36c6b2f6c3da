/* SPDX-License-Identifier: MIT */
/*
 * Each use of a block has a sequence number, so comparing the numbers before and after the copy is
 * enough. The copy is a file without a name.
 */
#include "tools/trace/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cupti/format/trace_format.h"
#include "tools/trace/running.h"

#define TRIES    200
#define PAUSE_NS 2000000

bool snapshot_is_needed(int fd, bool *ret_limited)
{
    struct trace_file_header header;

    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        header.magic != TRACE_FILE_MAGIC || (header.flags & TRACE_FLAG_CLOSED) ||
        !running_writes(fd, (pid_t)header.pid))
        return false;
    *ret_limited = header.version == TRACE_VERSION_LIMITED;
    return true;
}

static int block_copy(int from, int to, off_t offset, char *buffer)
{
    ssize_t got = pread(from, buffer, TRACE_BLOCK_BYTES, offset), put;

    if (got < 0)
        return -errno;
    put = pwrite(to, buffer, (size_t)got, offset);
    return put < 0 ? -errno : put < got ? -ENOSPC : 0;
}

/** Whether a block that was in use when copied is still in the same use. */
static bool is_same_use(int from, int to, off_t offset)
{
    struct trace_block_header now, then;

    if (pread(to, &then, sizeof then, offset) != (ssize_t)sizeof then)
        return true; /* behind the end of the copy */
    return pread(from, &now, sizeof now, offset) == (ssize_t)sizeof now &&
           (!then.magic ||
            (now.magic == then.magic && now.sequence == then.sequence && now.carry == then.carry));
}

/** Returns the first block from `offset` on that is no hole; `bytes`: none. A file of another user
 * may have a hole of any length, and the copy would fill the disk. */
static off_t block_next(int from, off_t offset, off_t bytes)
{
    off_t data = offset < bytes ? lseek(from, offset, SEEK_DATA) : bytes;

    if (data < 0)
        return errno == ENXIO ? bytes : offset;
    data -= data % TRACE_BLOCK_BYTES;
    return data > offset ? data : offset;
}

/** 0: copied; -EAGAIN: it changed meanwhile. */
static int copy_try(int from, int to, off_t bytes, char *buffer)
{
    int error = ftruncate(to, bytes) < 0 ? -errno : 0;

    for (off_t at = block_next(from, 0, bytes); at < bytes && error == 0;
         at = block_next(from, at + TRACE_BLOCK_BYTES, bytes))
        error = block_copy(from, to, at, buffer);
    for (off_t at = block_next(to, TRACE_BLOCK_BYTES, bytes); at < bytes && error == 0;
         at = block_next(to, at + TRACE_BLOCK_BYTES, bytes))
        error = is_same_use(from, to, at) ? 0 : -EAGAIN;
    return error;
}

static int nameless_file_in(const char *directory)
{
    char path[4096];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC,
                  0600); /* nothing is left if it is killed */

    if (fd >= 0)
        return fd;
    snprintf(path, sizeof path, "%s/cupool-XXXXXX", directory);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

/** In /tmp if TMPDIR cannot have it. */
static int nameless_file(void)
{
    const char *directory = getenv("TMPDIR");
    int fd = directory && *directory ? nameless_file_in(directory) : -ENOENT;

    return fd < 0 ? nameless_file_in("/tmp") : fd;
}

int snapshot_copy(int fd, struct trace_source *ret_source)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    char *buffer = malloc(TRACE_BLOCK_BYTES);
    int copy = buffer ? nameless_file() : -ENOMEM, error = copy < 0 ? copy : -EAGAIN;
    struct stat status;

    for (int i = 0; i < TRIES && copy >= 0 && error == -EAGAIN; i++) {
        if (i)
            nanosleep(&pause, NULL);
        error = fstat(fd, &status) < 0 || ftruncate(copy, 0) < 0
                    ? -errno
                    : copy_try(fd, copy, status.st_size, buffer);
    }
    if (error == 0)
        error = trace_source_file(copy, ret_source);
    if (error < 0 && copy >= 0)
        close(copy);
    free(buffer);
    return error;
}
