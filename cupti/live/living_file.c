/* SPDX-License-Identifier: MIT */
/*
 * See living_file.h. The directory is read by the system call itself, because readdir allocates.
 */
#include "cupti/live/living_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cupti/base/file_space.h"
#include "cupti/base/pages.h"

#define CREATE_TRIES  8
#define VISIT_BYTES   4096
#define VISIT_BUFFERS 256 /* of VISIT_BYTES: directory entries looked at in one visit */

static bool is_private(const struct stat *status, mode_t type)
{
    return (status->st_mode & S_IFMT) == type && status->st_uid == geteuid() &&
           !(status->st_mode & 077);
}

int living_directory_open(const char *where, bool create)
{
    char name[32];
    struct stat status;
    int parent = open(where, O_PATH | O_DIRECTORY | O_CLOEXEC), directory, error = 0;

    if (parent < 0)
        return -errno;
    snprintf(name, sizeof name, "cupool-%u", geteuid());
    if (create && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        error = -errno;
    directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0 && error == 0)
        error = -errno;
    close(parent);
    if (error < 0) {
        if (directory >= 0)
            close(directory);
        return error;
    }
    if (fstat(directory, &status) == 0 && is_private(&status, S_IFDIR))
        return directory;
    close(directory);
    return -EACCES;
}

/** A file with our lock on it that is still in the directory: a sweep may come in between. */
static int locked_file_create(int directory, const char *name)
{
    struct stat status;

    for (int i = 0; i < CREATE_TRIES; i++) {
        int file = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          0600);
        if (file < 0)
            return -errno;
        if (flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &status) == 0 && status.st_nlink)
            return file;
        close(file);
        unlinkat(directory, name, 0);
    }
    return -EAGAIN;
}

static int file_map(int file, size_t bytes, void **ret_map)
{
    int r = file_space_reserve(file, 0, bytes);
    if (r < 0)
        return r;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        return -errno;
    if (madvise(map, bytes, MADV_DONTFORK) < 0) {
        int error = -errno;
        munmap(map, bytes);
        return error;
    }
    *ret_map = map;
    return 0;
}

int living_file_create(int directory, const char *name, size_t bytes, void **ret_map)
{
    int file = locked_file_create(directory, name);

    if (file < 0)
        return file;
    int error = file_map(file, bytes, ret_map);
    if (error < 0)
        unlinkat(directory, name, 0);
    close(file);
    return error;
}

int living_file_open(int directory, const char *name)
{
    struct stat status;
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int error = 0;

    if (file < 0)
        return -errno;
    if (fstat(file, &status) < 0 || !is_private(&status, S_IFREG))
        error = -EACCES;
    else if (flock(file, LOCK_SH | LOCK_NB) == 0) {
        unlinkat(directory, name, 0);
        error = -ENOENT;
    } else if (errno != EWOULDBLOCK) {
        error = -errno;
    }
    if (error == 0)
        return file;
    close(file);
    return error;
}

struct visit {
    int directory;
    const char *prefix;
    void (*call)(void *state, int file, const char *name);
    void *state;
};

static void visit_file(const struct visit *visit, const char *name)
{
    if (strncmp(name, visit->prefix, strlen(visit->prefix)) != 0)
        return;
    int file = living_file_open(visit->directory, name);
    if (file < 0)
        return;
    if (visit->call)
        visit->call(visit->state, file, name);
    close(file);
}

static void visit_entries(const struct visit *visit, const char *buffer, long bytes)
{
    /* As getdents64 fills it. */
    struct entry64 {
        uint64_t inode;
        int64_t offset;
        unsigned short bytes;
        unsigned char type;
        char name[];
    };

    for (long at = 0; at < bytes;) {
        const struct entry64 *each = (const struct entry64 *)(buffer + at);
        visit_file(visit, each->name);
        at += each->bytes;
    }
}

void living_files_visit(int directory, const char *prefix,
                        void (*visit)(void *state, int file, const char *name), void *state)
{
    struct visit request = {directory, prefix, visit, state};
    char *buffer = pages_map(VISIT_BYTES);
    long bytes = buffer && lseek(directory, 0, SEEK_SET) == 0 ? 1 : 0;

    for (int i = 0; i < VISIT_BUFFERS && bytes > 0; i++) {
        bytes = syscall(SYS_getdents64, directory, buffer, VISIT_BYTES);
        visit_entries(&request, buffer, bytes);
    }
    pages_unmap(buffer, VISIT_BYTES);
}
