/* SPDX-License-Identifier: MIT */
#include "cupti/base/file_space.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "cupti/base/uncancelled.h"

/* A file system that always reports an interruption must not block the program: it counts as
 * full. */
#define INTERRUPTIONS_MAX 8

int file_space_reserve(int fd, uint64_t from, uint64_t end)
{
    struct rlimit limit;
    int error = EINTR;

    UNCANCELLED;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        end > limit.rlim_cur)
        return -EFBIG;
    for (int tries = 0; error == EINTR && tries < INTERRUPTIONS_MAX; tries++)
        error = posix_fallocate(fd, (off_t)from, (off_t)(end - from));
    return -error;
}
