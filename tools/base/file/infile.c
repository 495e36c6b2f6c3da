/* SPDX-License-Identifier: MIT */
/*
 * Reads an input file. A file of 0 bytes, as in /proc, is read as empty: it may have no end.
 */
#include "tools/base/file/infile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/base/file/regular_file.h"

static int file_open(const char *path, size_t *ret_bytes)
{
    int fd = regular_file_open(path);
    struct stat status;

    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    *ret_bytes = (size_t)status.st_size;
    return fd;
}

/** Reads this many bytes, or up to the end. Returns the number. */
static ssize_t bytes_read(int fd, char *ret_text, size_t bytes)
{
    size_t used = 0;

    while (used < bytes) {
        ssize_t got = read(fd, ret_text + used, bytes - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

int infile_read(const char *path, size_t most_bytes, char **ret_text, size_t *ret_bytes)
{
    size_t bytes = 0;
    int fd = file_open(path, &bytes);
    char *text;
    ssize_t got;

    if (fd < 0)
        return fd;
    text = bytes <= most_bytes ? malloc(bytes + 1) : NULL;
    got = text ? bytes_read(fd, text, bytes) : bytes <= most_bytes ? -ENOMEM : -EFBIG;
    close(fd);
    if (got < 0) {
        free(text);
        return (int)got;
    }
    text[got] = '\0';
    *ret_text = text;
    *ret_bytes = (size_t)got;
    return 0;
}

int infile_open(const char *path, FILE **ret_file, size_t *ret_bytes)
{
    int fd = file_open(path, ret_bytes);

    if (fd < 0)
        return fd;
    *ret_file = fdopen(fd, "r");
    if (*ret_file)
        return 0;
    close(fd);
    return -ENOMEM;
}

int infile_line(FILE *file, char *ret_line, size_t bytes, size_t *ret_length)
{
    size_t length = 0;
    int byte = 0;

    while (byte != '\n' && (byte = getc_unlocked(file)) != EOF) {
        if (length + 1 == bytes)
            return -EMSGSIZE;
        if (!byte)
            return -EBADMSG;
        ret_line[length++] = (char)byte;
    }
    ret_line[length] = '\0';
    *ret_length = length;
    return length > 0;
}

int infile_peek(const char *path, char *ret_bytes, size_t bytes)
{
    size_t size = 0;
    int fd = file_open(path, &size);
    ssize_t got;

    if (fd < 0)
        return fd;
    got = bytes_read(fd, ret_bytes, size < bytes ? size : bytes);
    close(fd);
    return (int)got;
}

const char *infile_reason(int error)
{
    switch (error) {
    case -EINVAL: return "not a regular file";
    case -EFBIG: return "too long";
    default: return strerror(-error);
    }
}
