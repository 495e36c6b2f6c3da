/* SPDX-License-Identifier: MIT */
/*
 * See outfile.h.
 */
#include "tools/base/outfile.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int stream_finish(FILE *out, const char *text, size_t bytes)
{
    int r = 0;

    errno = 0;
    if (fwrite(text, 1, bytes, out) != bytes || fflush(out) == EOF)
        r = errno ? -errno : -EIO;
    if (r == 0 && fsync(fileno(out)) < 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
        r = -errno;
    if (fclose(out) == EOF && r == 0)
        r = -errno;
    return r;
}

int outfile_write(const char *path, const char *text, size_t bytes)
{
    char real[PATH_MAX], draft[PATH_MAX + 32];
    struct stat status;
    bool exists = stat(path, &status) == 0;
    FILE *out;
    int r;

    if (exists && !S_ISREG(status.st_mode)) {
        out = fopen(path, "we");
        return out ? stream_finish(out, text, bytes) : -errno;
    }
    if (!exists || !realpath(path, real))
        snprintf(real, sizeof real, "%s", path);
    snprintf(draft, sizeof draft, "%s.%d.part", real, (int)getpid());
    out = fopen(draft, "wxe");
    if (!out)
        return -errno;
    if (exists)
        (void)fchmod(fileno(out), status.st_mode & 07777);
    r = stream_finish(out, text, bytes);
    if (r == 0 && rename(draft, real) < 0)
        r = -errno;
    if (r < 0)
        unlink(draft);
    return r;
}
