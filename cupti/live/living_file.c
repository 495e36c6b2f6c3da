/* SPDX-License-Identifier: MIT */
/*
 * Reads the directory by the system call itself, because readdir allocates.
 */
#include "cupti/live/living_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Numbers of places. */
enum { PLACE_GIVEN, PLACE_RUNTIME, PLACE_OF_USER, PLACE_OTHERS, PLACES = PLACE_OTHERS + 8 };

static bool is_private(const struct stat *status, mode_t type)
{
    return (status->st_mode & S_IFMT) == type && status->st_uid == geteuid() &&
           !(status->st_mode & 077);
}

/** A directory of the user: its name within an existing one. */
struct place {
    const char *parent;
    char user[32]; /* room for a parent */
    char name[32];
};

/**
 * Returns one of the places a directory of this user may have, in the order they are tried:
 * another user may have taken the first names. Errors: -ENOENT there are no more; -EAGAIN there is
 * none of this number.
 */
static int place_find(const char *where, unsigned number, struct place *ret_place)
{
    const char *runtime = number == PLACE_RUNTIME ? getenv("XDG_RUNTIME_DIR") : NULL;

    if (number >= PLACES)
        return -ENOENT;
    if (number == PLACE_RUNTIME && (!runtime || *runtime != '/'))
        return -EAGAIN;
    snprintf(ret_place->user, sizeof ret_place->user, "/run/user/%u", geteuid());
    ret_place->parent = number == PLACE_OF_USER ? ret_place->user : runtime ? runtime : where;
    if (number < PLACE_OTHERS)
        snprintf(ret_place->name, sizeof ret_place->name, "cupool-%u", geteuid());
    else
        snprintf(ret_place->name, sizeof ret_place->name, "cupool-%u.%u", geteuid(),
                 number - PLACE_OTHERS + 1);
    return 0;
}

static int place_open_at(int parent, const char *name, bool create)
{
    struct stat status;
    int directory;

    if (create && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return errno == ENOTDIR || errno == ELOOP ? -EACCES : -errno;
    if (fstat(directory, &status) == 0 && is_private(&status, S_IFDIR))
        return directory;
    close(directory);
    return -EACCES;
}

/** Opens the directory of a place. Errors: -EACCES the name is taken; others from the system. */
static int place_open(const char *where, unsigned number, bool create)
{
    struct place place;
    int error = place_find(where, number, &place), parent;

    if (error < 0)
        return error;
    parent = open(place.parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -errno;
    error = place_open_at(parent, place.name, create);
    close(parent);
    return error;
}

int living_directory_open(const char *where, bool create)
{
    int first = 0;

    for (unsigned number = 0; number < PLACES; number++) {
        int error = place_open(where, number, create);

        if (error >= 0)
            return error;
        if (number == 0)
            first = error;
        /* Further places are for a name that is taken, not for a directory that cannot be
         * created. */
        if (create && first != -EACCES)
            break;
    }
    return first;
}

int living_directory_next(const char *where, unsigned *number)
{
    while (*number < PLACES) {
        int error = place_open(where, (*number)++, false);

        if (error >= 0)
            return error;
    }
    return -ENOENT;
}

bool living_directory_is_taken(const char *where, char *ret_path, size_t path_bytes,
                               uid_t *ret_owner)
{
    struct stat status;
    int length = snprintf(ret_path, path_bytes, "%s/cupool-%u", where, geteuid());

    if ((size_t)length >= path_bytes || lstat(ret_path, &status) < 0 ||
        is_private(&status, S_IFDIR))
        return false;
    *ret_owner = status.st_uid;
    return true;
}

/** Returns a locked file that is still in the directory: a sweep may remove it in between. */
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
    int error = file_space_reserve(file, 0, bytes);

    if (error < 0)
        return error;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        return -errno;
    if (madvise(map, bytes, MADV_DONTFORK) < 0) {
        error = -errno;
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
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
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

int living_file_find(const char *where, const char *name)
{
    unsigned number = 0;
    int directory, file = -ENOENT;

    while (file < 0 && (directory = living_directory_next(where, &number)) >= 0) {
        file = living_file_open(directory, name);
        close(directory);
    }
    return file;
}

void living_file_remove(const char *where, const char *name)
{
    unsigned number = 0;
    int directory;

    while ((directory = living_directory_next(where, &number)) >= 0) {
        unlinkat(directory, name, 0);
        close(directory);
    }
}

struct visit {
    int directory;
    const char *prefix;
    void (*each)(const struct visit *visit, const char *name);
    void (*call)(void *state, int file, const char *name);
    void *state;
};

static void visit_file(const struct visit *visit, const char *name)
{
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

        if (strncmp(each->name, visit->prefix, strlen(visit->prefix)) == 0)
            visit->each(visit, each->name);
        at += each->bytes;
    }
}

static void directory_visit(const struct visit *visit)
{
    int directory = visit->directory;
    char *buffer = pages_map(VISIT_BYTES);
    long bytes = buffer && lseek(directory, 0, SEEK_SET) == 0 ? 1 : 0;

    for (int i = 0; i < VISIT_BUFFERS && bytes > 0; i++) {
        bytes = syscall(SYS_getdents64, directory, buffer, VISIT_BYTES);
        visit_entries(visit, buffer, bytes);
    }
    pages_unmap(buffer, VISIT_BYTES);
}

void living_files_visit(int directory, const char *prefix,
                        void (*visit)(void *state, int file, const char *name), void *state)
{
    directory_visit(&(struct visit){directory, prefix, visit_file, visit, state});
}

/* Removes a file whose owner no longer lives; `state` is the prefix of the owners' files. */
static void visit_companion(const struct visit *visit, const char *name)
{
    const char *of_prefix = visit->state;
    char other[NAME_MAX + 1];
    int length = snprintf(other, sizeof other, "%s%s", of_prefix, name + strlen(visit->prefix));
    int file = (size_t)length < sizeof other ? living_file_open(visit->directory, other) : -ENOENT;

    if (file == -ENOENT)
        unlinkat(visit->directory, name, 0);
    if (file >= 0)
        close(file);
}

void living_companions_sweep(int directory, const char *prefix, const char *of_prefix)
{
    directory_visit(
        &(struct visit){directory, prefix, visit_companion, NULL, (void *)(uintptr_t)of_prefix});
}
