/* SPDX-License-Identifier: MIT */
/*
 * A library to preload before cupool that makes libc's functions behave as badly as they may:
 *
 *   DISTURB=errno      calloc and pthread_mutex_lock leave an errno behind, as a call that
 *                      succeeds is free to
 *   DISTURB=interrupt  reserving room for a file is interrupted, however often it is tried
 *
 * Only calls from the library named libcupool are concerned.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_calloc(size_t count, size_t size);

/* The function by its older name: to look it up could take a mutex. */
#ifdef __x86_64__
__asm__(".symver libc_mutex_lock, __pthread_mutex_lock@GLIBC_2.2.5");
#else
__asm__(".symver libc_mutex_lock, __pthread_mutex_lock@GLIBC_2.17");
#endif
extern int libc_mutex_lock(pthread_mutex_t *mutex);

static int is_cupool(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "libcupool");
}

static int is_asked(const char *what)
{
    const char *disturb = getenv("DISTURB");

    return disturb && strcmp(disturb, what) == 0;
}

EXPORT void *calloc(size_t count, size_t size)
{
    void *memory = __libc_calloc(count, size);

    if (is_asked("errno") && is_cupool(__builtin_return_address(0)))
        errno = EDOM;
    return memory;
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int error = libc_mutex_lock(mutex);

    if (is_asked("errno") && is_cupool(__builtin_return_address(0)))
        errno = EDOM;
    return error;
}

EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t bytes)
{
    return is_asked("interrupt") ? EINTR : ENOSPC;
}
