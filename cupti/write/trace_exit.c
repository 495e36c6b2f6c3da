/* SPDX-License-Identifier: MIT */
/*
 * Appends the last record of a traced process, from the wrapper that waited for it.
 *
 * The file may be closed, or abandoned with reserved but unused blocks at its end. The record goes
 * into the first block after all used ones; the file is truncated behind it.
 *
 * Threading: the traced process has ended; nobody else writes the file.
 */
#include "cupti/write/trace_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"
#include "cupti/base/file_space.h"
#include "cupti/base/outplace.h"

struct exit_block {
    struct trace_block_header header;
    struct trace_record record;
};

static int read_at(int fd, void *buffer, size_t bytes, off_t offset)
{
    ssize_t got = pread(fd, buffer, bytes, offset);

    return got < 0 ? -errno : (size_t)got == bytes ? 0 : -ENODATA;
}

static int write_at(int fd, const void *buffer, size_t bytes, off_t offset)
{
    ssize_t put = pwrite(fd, buffer, bytes, offset);

    return put < 0 ? -errno : (size_t)put == bytes ? 0 : -ENOSPC;
}

/** A piece of a file between holes. Holes cost nothing and have no bound, so they are not read. */
struct piece {
    int64_t begin, end;
};

/** Advances to the next piece; a file system without holes has one. False: there is none. */
static bool piece_next(int fd, int64_t bytes, struct piece *piece)
{
    off_t begin = lseek(fd, piece->end, SEEK_DATA), end = -1;

    if (begin < 0 && errno == ENXIO)
        return false;
    if (begin >= 0)
        end = lseek(fd, begin, SEEK_HOLE);
    if (end <= begin) {
        begin = piece->end;
        end = bytes;
    }
    *piece = (struct piece){begin, end};
    return begin < end;
}

/** Returns the number of the next block: its position, or more where blocks were reused. */
static uint32_t sequence_next(int fd, const struct trace_file_header *file, uint32_t position)
{
    struct trace_block_header header;
    struct piece piece = {0};
    uint32_t highest = position - 1;
    int64_t bytes = (int64_t)position * TRACE_BLOCK_BYTES;

    while (file->version == TRACE_VERSION_LIMITED && piece.end < bytes &&
           piece_next(fd, bytes, &piece))
        for (int64_t at = piece.begin - piece.begin % TRACE_BLOCK_BYTES;
             at < piece.end && at < bytes; at += TRACE_BLOCK_BYTES)
            if (at > 0 && read_at(fd, &header, sizeof header, at) == 0 &&
                header.magic == TRACE_BLOCK_MAGIC && header.sequence > highest)
                highest = header.sequence;
    return highest + 1;
}

/** Returns the position of the first block after every used one. */
static int free_block_find(int fd, uint32_t *ret_block)
{
    struct trace_block_header header;
    struct piece piece = {0};
    struct stat status;
    int64_t last = 0;

    if (fstat(fd, &status) < 0)
        return -errno;
    while (piece_next(fd, status.st_size, &piece))
        for (int64_t block = (piece.end - 1) / TRACE_BLOCK_BYTES;
             block > last && (block + 1) * TRACE_BLOCK_BYTES > piece.begin; block--)
            if (read_at(fd, &header, sizeof header, block * TRACE_BLOCK_BYTES) == 0 && header.magic)
                last = block;
    if (last >= UINT32_MAX)
        return -EFBIG;
    *ret_block = (uint32_t)last + 1;
    return 0;
}

static uint64_t since_ns(uint64_t realtime_ns)
{
    struct timespec now;
    uint64_t now_ns;

    clock_gettime(CLOCK_REALTIME, &now);
    now_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    return now_ns > realtime_ns ? now_ns - realtime_ns : 0;
}

static int exit_write(int fd, int wait_status)
{
    struct trace_file_header file;
    struct exit_block exit_block = {
        .header = {.magic = TRACE_BLOCK_MAGIC, .count = 1},
        .record = {.kind = TRACE_EVENT_EXIT, .value = (uint32_t)wait_status},
    };
    uint32_t block = 0;
    int error = read_at(fd, &file, sizeof file, 0);

    if (error < 0 || file.magic != TRACE_FILE_MAGIC || file.version < TRACE_VERSION ||
        file.version > TRACE_VERSION_LIMITED)
        return error < 0 ? error : -EBADMSG;
    error = free_block_find(fd, &block);
    if (error < 0)
        return error;
    exit_block.record.time_ns = since_ns(file.start_realtime_ns);
    exit_block.header.sequence = sequence_next(fd, &file, block);
    exit_block.header.checksum = crc32c(&exit_block.record, sizeof exit_block.record);
    if (ftruncate(fd, (off_t)block * TRACE_BLOCK_BYTES) < 0)
        return -errno;
    error = file_space_reserve(fd, (uint64_t)block * TRACE_BLOCK_BYTES,
                               ((uint64_t)block + 1) * TRACE_BLOCK_BYTES);
    if (error < 0)
        return error;
    return write_at(fd, &exit_block, sizeof exit_block, (off_t)block * TRACE_BLOCK_BYTES);
}

int trace_file_append_exit(const char *path, int wait_status)
{
    int fd = outplace_open(path, O_RDWR | O_NONBLOCK | O_NOCTTY, 0), error;
    struct stat status;

    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        error = -errno;
    else if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
        error = -EACCES;
    else
        error = exit_write(fd, wait_status);
    if (close(fd) < 0 && error == 0)
        error = -errno;
    return error;
}
