/* SPDX-License-Identifier: MIT */
/*
 * The device files of the simulated device, for LD_PRELOAD: a program that detects a GPU by
 * /dev/nvidia0 and similar files, as JAX does, finds one. Queries about such a path get the answer
 * for /dev/null, a character device that anybody may open; all others go to the kernel.
 *
 * Opening them is not intercepted: only NVIDIA's driver could use one. Threading: from any thread;
 * no state.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

static bool is_device(const char *path)
{
    static const char folder[] = "/dev/nvidia";
    const char *devices = getenv("SIMGPU_DEVICES"), *rest;
    char *end;
    long index;

    if (!path || strncmp(path, folder, sizeof folder - 1) != 0)
        return false;
    rest = path + sizeof folder - 1;
    if (!strcmp(rest, "ctl") || !strcmp(rest, "-uvm"))
        return true;
    index = *rest >= '0' && *rest <= '9' ? strtol(rest, &end, 10) : -1;
    return index >= 0 && !*end && index < (devices && atoi(devices) > 0 ? atoi(devices) : 1);
}

/** The path that the kernel is asked about. A path of NULL is its affair. */
static const char *stand_in(const char *path)
{
    return is_device(path) ? "/dev/null" : path;
}

static int stat_at(int folder, const char *path, struct stat *ret_status, int flags)
{
    return (int)syscall(SYS_newfstatat, folder, stand_in(path), ret_status, flags);
}

#define STAT(name, structure, ...)                                                                 \
    API int name(const char *path, struct structure *ret_status)                                   \
    {                                                                                              \
        return stat_at(AT_FDCWD, path, (struct stat *)ret_status, __VA_ARGS__);                    \
    }
STAT(stat, stat, 0)
STAT(stat64, stat64, 0)
STAT(lstat, stat, AT_SYMLINK_NOFOLLOW)
STAT(lstat64, stat64, AT_SYMLINK_NOFOLLOW)

/* Of programs that were linked before glibc 2.33. */
#define XSTAT(name, structure, ...)                                                                \
    API int name(int version, const char *path, struct structure *ret_status)                      \
    {                                                                                              \
        (void)version;                                                                             \
        return stat_at(AT_FDCWD, path, (struct stat *)ret_status, __VA_ARGS__);                    \
    }
XSTAT(__xstat, stat, 0)
XSTAT(__xstat64, stat64, 0)
XSTAT(__lxstat, stat, AT_SYMLINK_NOFOLLOW)
XSTAT(__lxstat64, stat64, AT_SYMLINK_NOFOLLOW)

API int fstatat(int folder, const char *path, struct stat *ret_status, int flags)
{
    return stat_at(folder, path, ret_status, flags);
}

API int fstatat64(int folder, const char *path, struct stat64 *ret_status, int flags)
{
    return stat_at(folder, path, (struct stat *)ret_status, flags);
}

API int statx(int folder, const char *path, int flags, unsigned mask, struct statx *ret_status)
{
    return (int)syscall(SYS_statx, folder, stand_in(path), flags, mask, ret_status);
}

API int access(const char *path, int mode)
{
    return (int)syscall(SYS_faccessat, AT_FDCWD, stand_in(path), mode);
}
