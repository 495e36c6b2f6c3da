/* SPDX-License-Identifier: MIT */
#include "tools/base/file/regular_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int kind_check(int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) ? 0 : S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
}

/* The path is looked up once, without opening what is there. */
int regular_file_open(const char *path)
{
    int place = open(path, O_PATH | O_CLOEXEC), fd, error;
    char link[40];

    if (place < 0)
        return -errno;
    error = kind_check(place);
    if (error < 0) {
        close(place);
        return error;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", place);
    fd = open(link, FLAGS);
    if (fd < 0 && errno == ENOENT) /* there is no /proc */
        fd = open(path, FLAGS);
    error = fd < 0 ? -errno : kind_check(fd);
    if (error == 0 && dup3(fd, place, O_CLOEXEC) < 0) /* leave no gap in the numbers */
        error = -errno;
    if (fd >= 0)
        close(fd);
    if (error == 0)
        return place;
    close(place);
    return error;
}
