/* SPDX-License-Identifier: MIT */
/*
 * Links in /proc belong to the kernel: no text describes their target, so the kernel opens them. A
 * descriptor of this process is used directly.
 */
#include "cupti/base/outplace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cupti/base/pages.h"

#define LINKS_MOST 40
#define ID_OUTSIDE 65534

/**
 * What is known of an owner. The kernel shows all users outside of a user namespace by one id,
 * which may also be that of a user in it.
 */
enum owner { OWNER_KNOWN, OWNER_UNSURE, OWNER_OUTSIDE };

/** A walk along a path. It is too large for the stacks of some threads. */
struct walk {
    int directory;
    int links;
    int descriptor;
    bool last_link_stays;
    char rest[PATH_MAX]; /* path still to be walked */
    char name[NAME_MAX + 1];
    char target[PATH_MAX], whole[2 * PATH_MAX]; /* of a link */
    struct outplace place;
};

static int directory_enter(struct walk *walk, const char *name, int flags)
{
    int next = openat(walk->directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC | flags);

    if (next < 0)
        return -errno;
    close(walk->directory);
    walk->directory = next;
    return 0;
}

bool outplace_is_shared(int directory)
{
    struct stat status;

    return fstatat(directory, "", &status, AT_EMPTY_PATH) == 0 && status.st_mode & S_ISVTX &&
           status.st_mode & S_IWOTH;
}

static bool is_proc(int directory)
{
    struct statfs system;

    return fstatfs(directory, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

/** Whether a directory is the one of this process's descriptors. */
static bool is_own_descriptors(int directory)
{
    struct stat one, other;

    return fstatat(directory, "", &one, AT_EMPTY_PATH) == 0 && stat("/proc/self/fd", &other) == 0 &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/** Reads the user ids of this user namespace. False: they are not known. */
static bool ids_read(char *ret_text, size_t bytes)
{
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0 && used + 1 < bytes) {
        got = read(fd, ret_text + used, bytes - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    ret_text[used] = '\0';
    if (fd >= 0)
        close(fd);
    return got == 0;
}

/** Uses the room for a link's target. */
static enum owner owner_find(struct walk *walk, uid_t uid)
{
    char *text = walk->whole, *end;
    enum owner owner = OWNER_OUTSIDE;

    if (uid == 0 || !ids_read(text, sizeof walk->whole))
        return OWNER_KNOWN;
    for (; *text; text = end + (*end == '\n')) {
        unsigned long first = strtoul(text, &end, 10), count;

        strtoul(end, &end, 10);
        count = strtoul(end, &end, 10);
        if (end == text || (first == 0 && count == UINT32_MAX))
            return OWNER_KNOWN;
        if (uid >= first && uid - first < count)
            owner = uid == ID_OUTSIDE ? OWNER_UNSURE : OWNER_KNOWN;
        end += strcspn(end, "\n");
    }
    return owner;
}

static bool link_is_trusted(struct walk *walk, const struct stat *link, bool is_last)
{
    enum owner owner = owner_find(walk, link->st_uid);
    uid_t self = geteuid();
    struct stat status;

    if (owner == OWNER_KNOWN && (link->st_uid == self || link->st_uid == 0))
        return true;
    /* Root of a user namespace has no more rights than others over what is outside of it. */
    if (is_last || (self == 0 && owner != OWNER_OUTSIDE))
        return false;
    return !outplace_is_shared(walk->directory) ||
           (owner == OWNER_KNOWN && fstatat(walk->directory, "", &status, AT_EMPTY_PATH) == 0 &&
            status.st_uid == link->st_uid);
}

/** Puts where a link leads in front of the rest. */
static int link_follow(struct walk *walk, const char *name)
{
    char *target = walk->target;
    ssize_t length = readlinkat(walk->directory, name, target, sizeof walk->target - 1);

    if (length < 0)
        return -errno;
    target[length] = '\0';
    snprintf(walk->whole, sizeof walk->whole, "%s%s%s", target, *walk->rest ? "/" : "", walk->rest);
    if (++walk->links > LINKS_MOST || strlen(walk->whole) >= sizeof walk->rest)
        return walk->links > LINKS_MOST ? -ELOOP : -ENAMETOOLONG;
    strcpy(walk->rest, walk->whole);
    return *target == '/' ? directory_enter(walk, "/", 0) : 0;
}

static int link_step(struct walk *walk, const struct stat *status)
{
    bool is_last = !*walk->rest;

    if (is_proc(walk->directory)) {
        if (!is_last)
            return directory_enter(walk, walk->name, 0);
        walk->descriptor = is_own_descriptors(walk->directory) ? atoi(walk->name) : -1;
        return walk->descriptor >= 0 ? 0 : -EINVAL;
    }
    if (!link_is_trusted(walk, status, is_last))
        return -ENOLINK;
    return link_follow(walk, walk->name);
}

/** Takes the next name off the rest. */
static int name_take(struct walk *walk)
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");

    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    snprintf(walk->name, sizeof walk->name, "%.*s", (int)length, start);
    start += length;
    /* A slash after the last name requires a directory, which "." is. */
    if (*start && !start[strspn(start, "/")])
        strcpy(walk->rest, ".");
    else
        memmove(walk->rest, start + strspn(start, "/"), strlen(start + strspn(start, "/")) + 1);
    return 0;
}

/** Resolves one name. 1: it is the last, and `ret_place` describes it. */
static int step(struct walk *walk, struct outplace *ret_place)
{
    struct stat status;
    int error = name_take(walk);

    if (error < 0)
        return error;
    if (!*walk->name || !strcmp(walk->name, ".") || !strcmp(walk->name, ".."))
        return *walk->rest ? directory_enter(walk, *walk->name ? walk->name : ".", 0) : -EISDIR;
    if (fstatat(walk->directory, walk->name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        ret_place->exists = false;
        return errno == ENOENT && !*walk->rest ? 1 : -errno;
    }
    if (S_ISLNK(status.st_mode) && !(walk->last_link_stays && !*walk->rest)) {
        error = link_step(walk, &status);
        return error == 0 && walk->descriptor >= 0 ? 1 : error;
    }
    if (*walk->rest)
        return directory_enter(walk, walk->name, O_NOFOLLOW);
    if (is_proc(walk->directory) && !S_ISDIR(status.st_mode) && !walk->last_link_stays)
        return -EINVAL; /* a file of the kernel: it cannot be replaced */
    ret_place->exists = true;
    ret_place->status = status;
    return 1;
}

static int path_walk(const char *path, struct walk *walk, struct outplace *ret_place)
{
    int error = 0;

    if (!*path || strlen(path) >= sizeof walk->rest)
        return *path ? -ENAMETOOLONG : -ENOENT;
    strcpy(walk->rest, path);
    walk->directory = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk->directory < 0)
        return -errno;
    while (error == 0)
        error = step(walk, &walk->place);
    if (error < 0) {
        close(walk->directory);
        return error;
    }
    walk->place.directory = walk->directory;
    walk->place.descriptor = walk->descriptor;
    memcpy(walk->place.name, walk->name, sizeof walk->place.name);
    *ret_place = walk->place;
    return 0;
}

static int find(const char *path, bool last_link_stays, struct outplace *ret_place)
{
    struct walk *walk = pages_map(sizeof *walk);
    int error = -ENOMEM;

    if (walk) {
        walk->descriptor = -1;
        walk->last_link_stays = last_link_stays;
        error = path_walk(path, walk, ret_place);
    }
    pages_unmap(walk, sizeof *walk);
    return error;
}

int outplace_find(const char *path, struct outplace *ret_place)
{
    return find(path, false, ret_place);
}

int outplace_find_itself(const char *path, struct outplace *ret_place)
{
    return find(path, true, ret_place);
}

int outplace_open(const char *path, int flags, mode_t mode)
{
    struct outplace place;
    int fd = outplace_find_itself(path, &place);

    if (fd < 0)
        return fd;
    fd = openat(place.directory, place.name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        fd = -errno;
    close(place.directory);
    return fd;
}

int outplace_remove(const char *path)
{
    struct outplace place;
    int error = outplace_find_itself(path, &place);

    if (error < 0)
        return error;
    if (unlinkat(place.directory, place.name, 0) < 0)
        error = -errno;
    close(place.directory);
    return error;
}
