/* SPDX-License-Identifier: MIT */
/*
 * A disk that takes its time, as a preload: a large write comes in halves, and a file gets its name
 * a moment later. So a process that is killed at random is mostly killed in the middle of one.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define LARGE ((size_t)4096)
#define PAUSE 1000 /* microseconds */

ssize_t write(int fd, const void *data, size_t bytes)
{
    static ssize_t (*real)(int, const void *, size_t);

    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "write");

        memcpy(&real, &symbol, sizeof(real));
    }
    if (bytes < LARGE)
        return real(fd, data, bytes);
    usleep(PAUSE);
    return real(fd, data, bytes / 2);
}

int renameat(int from, const char *old, int to, const char *new)
{
    static int (*real)(int, const char *, int, const char *);

    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "renameat");

        memcpy(&real, &symbol, sizeof(real));
    }
    usleep(PAUSE);
    return real(from, old, to, new);
}
