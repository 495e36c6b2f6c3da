/* SPDX-License-Identifier: MIT */
/*
 * See file_space.h.
 */
#include "cupti/base/file_space.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

int file_space_reserve(int fd, uint64_t from, uint64_t end)
{
    struct rlimit limit;
    int r;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        end > limit.rlim_cur)
        return -EFBIG;
    do
        r = posix_fallocate(fd, (off_t)from, (off_t)(end - from));
    while (r == EINTR);
    return -r;
}
