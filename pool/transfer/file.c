/* SPDX-License-Identifier: MIT */
/*
 * The thresholds of a device in a file of its user: five lines of text, replaced as a whole.
 * Anything that others could have written is rejected: folder and file must belong to this user
 * alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/transfer/queue.h"

#define PATH_BYTES     1024u
#define IDENTITY_BYTES 96u
#define FILE_BYTES     512u
#define VALUE_MOST     (UINT64_C(1) << 40)

static const char file_format[] = "cupool transfer calibration 1\ndevice %s\nkernel_below %" PRIu64
                                  "\nkernel_from %" PRIu64 "\nbatch_from %" PRIu64 "\n";

int transfer_folder(const char *folder, char *ret_path, size_t room)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int bytes;

    if (folder)
        bytes = snprintf(ret_path, room, "%s", folder);
    else if (cache && cache[0] == '/')
        bytes = snprintf(ret_path, room, "%s/cupool", cache);
    else if (home && home[0] == '/')
        bytes = snprintf(ret_path, room, "%s/.cache/cupool", home);
    else
        return -ENOENT;
    return bytes < 0 || (size_t)bytes >= room ? -ENAMETOOLONG : 0;
}

/* Letters, digits and hyphens only, because it becomes a file name. */
static bool identity_good(const char *identity)
{
    size_t bytes = strlen(identity);

    return bytes > 0 && bytes < IDENTITY_BYTES &&
           strspn(identity, "abcdefghijklmnopqrstuvwxyz0123456789-") == bytes;
}

static int file_name(const char *identity, const char *ending, char *ret_name, size_t room)
{
    int bytes = snprintf(ret_name, room, "transfer-%s%s", identity, ending);

    return bytes < 0 || (size_t)bytes >= room ? -ENAMETOOLONG : 0;
}

static bool owned(const struct stat *stat, mode_t forbidden)
{
    return stat->st_uid == geteuid() && (stat->st_mode & forbidden) == 0;
}

/* Opens the folder; `make` creates it, but its parent must exist. */
static int folder_open(const char *folder, bool make)
{
    struct stat stat;
    int error;

    if (make && mkdir(folder, 0700) != 0 && errno != EEXIST)
        return -errno;
    int opened = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0)
        return -errno;
    error = fstat(opened, &stat) != 0 ? -errno : owned(&stat, S_IWGRP | S_IWOTH) ? 0 : -EPERM;
    if (error < 0) {
        close(opened);
        return error;
    }
    return opened;
}

static int text_read(int folder, const char *name, char text[FILE_BYTES])
{
    struct stat stat;
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = 0;

    if (file < 0)
        return errno == ELOOP ? -EPERM : -errno;
    if (fstat(file, &stat) != 0)
        error = -errno;
    else if (!S_ISREG(stat.st_mode) || stat.st_nlink != 1 || !owned(&stat, S_IRWXG | S_IRWXO))
        error = -EPERM;
    ssize_t bytes = error == 0 ? read(file, text, FILE_BYTES) : 0;
    close(file);
    if (error < 0 || bytes < 0)
        return error < 0 ? error : -EIO;
    if (bytes == FILE_BYTES || memchr(text, '\0', (size_t)bytes))
        return -EINVAL;
    text[bytes] = '\0';
    return 0;
}

static int number_after(const char **at, const char *name, uint64_t *ret_number)
{
    size_t bytes = strlen(name);
    char *end;

    if (strncmp(*at, name, bytes) != 0 || (*at)[bytes] < '0' || (*at)[bytes] > '9')
        return -EINVAL;
    errno = 0;
    *ret_number = strtoull(*at + bytes, &end, 10);
    if (errno != 0 || *ret_number > VALUE_MOST || *end != '\n')
        return -EINVAL;
    *at = end + 1;
    return 0;
}

static int text_parse(const char *text, const char *identity,
                      struct cupool_transfer_thresholds *ret_thresholds)
{
    struct cupool_transfer_thresholds found;
    char head[FILE_BYTES];
    int bytes = snprintf(head, sizeof(head), "cupool transfer calibration 1\ndevice %s\n",
                         identity);

    if (bytes < 0 || strncmp(text, head, (size_t)bytes) != 0)
        return -EINVAL;
    text += bytes;
    if (number_after(&text, "kernel_below ", &found.kernel_below) < 0 ||
        number_after(&text, "kernel_from ", &found.kernel_from) < 0 ||
        number_after(&text, "batch_from ", &found.batch_from) < 0 || *text != '\0')
        return -EINVAL;
    *ret_thresholds = found;
    return 0;
}

int transfer_file_read(const char *folder, const char *identity,
                       struct cupool_transfer_thresholds *ret_thresholds)
{
    char path[PATH_BYTES], name[PATH_BYTES], text[FILE_BYTES];
    int error = identity_good(identity) ? transfer_folder(folder, path, sizeof(path)) : -EINVAL;

    if (error == 0)
        error = file_name(identity, ".txt", name, sizeof(name));
    if (error < 0)
        return error;
    int opened = folder_open(path, false);
    if (opened < 0)
        return opened;
    error = text_read(opened, name, text);
    close(opened);
    return error < 0 ? error : text_parse(text, identity, ret_thresholds);
}

static int text_write(int folder, const char *name, const char *text, size_t bytes)
{
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error = 0;

    if (file < 0)
        return -errno;
    ssize_t written = write(file, text, bytes);
    if (written != (ssize_t)bytes)
        error = written < 0 ? -errno : -ENOSPC;
    if (close(file) != 0 && error == 0)
        error = -errno;
    return error;
}

int transfer_file_write(const char *folder, const char *identity,
                        const struct cupool_transfer_thresholds *thresholds)
{
    char path[PATH_BYTES], name[PATH_BYTES], part[PATH_BYTES], text[FILE_BYTES], ending[32];
    int error = identity_good(identity) ? transfer_folder(folder, path, sizeof(path)) : -EINVAL;

    snprintf(ending, sizeof(ending), ".%ld.part", (long)getpid());
    if (error == 0)
        error = file_name(identity, ".txt", name, sizeof(name));
    if (error == 0)
        error = file_name(identity, ending, part, sizeof(part));
    if (error < 0)
        return error;
    int bytes = snprintf(text, sizeof(text), file_format, identity, thresholds->kernel_below,
                         thresholds->kernel_from, thresholds->batch_from);
    int opened = folder_open(path, true);
    if (opened < 0)
        return opened;
    unlinkat(opened, part, 0);
    error = text_write(opened, part, text, (size_t)bytes);
    if (error == 0 && renameat(opened, part, opened, name) != 0)
        error = -errno;
    if (error < 0)
        unlinkat(opened, part, 0);
    close(opened);
    return error;
}
