/* SPDX-License-Identifier: MIT */
#include "tools/base/file/outdraft.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DRAFT_TRIES 16
#define COPY_BYTES  ((size_t)1 << 16)
#define ACL_ACCESS  "system.posix_acl_access"

/** Gives the draft an unpredictable name. */
static int name_choose(struct outdraft *draft)
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -EAGAIN;
    snprintf(draft->name, sizeof draft->name, ".cupool-%016" PRIx64 ".part", number);
    return 0;
}

/** Creates a draft with a name. Returns its descriptor. */
static int named_create(struct outdraft *draft)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, error = -EEXIST;

    for (int i = 0; i < DRAFT_TRIES && error == -EEXIST; i++) {
        int fd = -1;

        error = name_choose(draft);
        if (error == 0)
            fd = openat(draft->directory, draft->name, flags, draft->mode);
        if (fd >= 0)
            return fd;
        if (error == 0)
            error = -errno;
    }
    *draft->name = '\0';
    return error;
}

int outdraft_begin(int directory, mode_t mode, struct outdraft *ret_draft)
{
    struct outdraft draft = {.directory = directory, .fd = -1, .mode = mode};

    /* Without /proc it could not be named later. */
    if (faccessat(AT_FDCWD, "/proc/self/fd", X_OK, 0) == 0)
        draft.fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (draft.fd < 0)
        draft.fd = named_create(&draft);
    if (draft.fd < 0)
        return draft.fd;
    *ret_draft = draft;
    return 0;
}

/** Reads the access control list. False: it may have one that cannot be read. */
static bool acl_read(int directory, const char *name, int fd, struct outrights *rights)
{
    int readable = openat(directory, name,
                          O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat one, other;
    char path[40];
    ssize_t got;

    if (readable >= 0 && fstat(readable, &one) == 0 && fstat(fd, &other) == 0 &&
        one.st_ino == other.st_ino && one.st_dev == other.st_dev) {
        got = fgetxattr(readable, ACL_ACCESS, rights->acl, sizeof rights->acl);
    } else {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        got = getxattr(path, ACL_ACCESS, rights->acl, sizeof rights->acl);
    }
    rights->acl_bytes = got > 0 ? (size_t)got : 0;
    got = got < 0 && errno != ENODATA && errno != ENOTSUP ? -1 : 0;
    if (readable >= 0)
        close(readable);
    return got == 0;
}

/** To those that a new file has, too. */
static void rights_narrow(int fd, struct outrights *rights)
{
    struct stat status;
    bool known = fstat(fd, &status) == 0;

    rights->acl_bytes = 0;
    rights->mode &= known ? status.st_mode & 0777 : 0600;
    if (known && status.st_gid != rights->group) {
        rights->group = status.st_gid;
        rights->mode &= ~(mode_t)070;
    }
}

void outdraft_rights_keep(struct outdraft *draft, const char *name)
{
    int fd = openat(draft->directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct outrights *rights = &draft->rights;
    struct stat status;

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid()) {
        rights->given = true;
        rights->mode = status.st_mode & 0777;
        rights->group = status.st_gid;
        if (!acl_read(draft->directory, name, fd, rights))
            rights->mode &= ~(mode_t)070;
        /* Others may have put a link to any of the user's files here, also of another group. */
        if (status.st_nlink > 1)
            rights_narrow(draft->fd, rights);
    }
    close(fd);
}

/** Gives a list, or removes one that comes from the directory. */
static bool acl_give(int fd, const struct outrights *rights)
{
    if (rights->acl_bytes)
        return fsetxattr(fd, ACL_ACCESS, rights->acl, rights->acl_bytes, 0) == 0;
    return fremovexattr(fd, ACL_ACCESS) == 0 || errno == ENODATA || errno == ENOTSUP;
}

/** The bits of the group also bound a list of others; they are the last to be given. */
static int rights_give(int fd, const struct outrights *rights)
{
    mode_t mode = rights->mode;
    struct stat status;

    if (!rights->given)
        return 0;
    /* What its group might do is not for another group. */
    if (fstat(fd, &status) < 0 ||
        (status.st_gid != rights->group && fchown(fd, (uid_t)-1, rights->group) < 0))
        mode &= ~(mode_t)070;
    if (!acl_give(fd, rights))
        mode &= ~(mode_t)070;
    return fchmod(fd, mode) < 0 ? -errno : 0;
}

/** Gives the rights, and writes the file to the disk. */
static int file_settle(int fd, const struct outrights *rights)
{
    int error = rights_give(fd, rights);

    if (error == 0 && fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
        error = -errno;
    return error;
}

static int bytes_copy(int from, int to)
{
    char *buffer = malloc(COPY_BYTES);
    off_t at = 0;
    int error = buffer ? 0 : -ENOMEM;

    while (error == 0) {
        ssize_t got = pread(from, buffer, COPY_BYTES, at), done = 0;

        if (got == 0)
            break;
        while (got > 0 && done < got) {
            ssize_t written = pwrite(to, buffer + done, (size_t)(got - done), at + done);

            if (written < 0 && errno != EINTR)
                break;
            done += written > 0 ? written : 0;
        }
        if ((got < 0 && errno != EINTR) || done < got)
            error = -errno;
        at += done;
    }
    free(buffer);
    return error;
}

/** Copies a draft that may not be named to one with a name. */
static int named_copy(struct outdraft *draft)
{
    int fd = named_create(draft), error;

    if (fd < 0)
        return fd;
    error = bytes_copy(draft->fd, fd);
    if (error == 0)
        error = file_settle(fd, &draft->rights);
    if (close(fd) < 0 && error == 0)
        error = -errno;
    return error;
}

/** Names a draft without a name. Errors: -EEXIST the name is taken; others from the system. */
static int nameless_link(const struct outdraft *draft, const char *name)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", draft->fd);
    return linkat(AT_FDCWD, path, draft->directory, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/** Gives the draft an unpredictable name, to be moved from there. */
static int nameless_name(struct outdraft *draft)
{
    int error = -EEXIST;

    for (int i = 0; i < DRAFT_TRIES && error == -EEXIST; i++) {
        error = name_choose(draft);
        if (error == 0)
            error = nameless_link(draft, draft->name);
    }
    if (error < 0)
        *draft->name = '\0';
    return error;
}

/** For a file system, or a filter, that allows neither a link nor a rename that replaces nothing:
 * claims the name by an empty file first. */
static int name_claim(const struct outdraft *draft, const char *name)
{
    int directory = draft->directory;
    int claim = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error;

    if (claim < 0)
        return -errno;
    close(claim);
    if (renameat(directory, draft->name, directory, name) == 0)
        return 0;
    error = -errno;
    unlinkat(directory, name, 0);
    return error;
}

/** Moves the draft to a free name; a file that appeared meanwhile stays. */
static int named_move_new(const struct outdraft *draft, const char *name)
{
    int directory = draft->directory;

    if (renameat2(directory, draft->name, directory, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EEXIST)
        return -EEXIST;
    if (linkat(directory, draft->name, directory, name, 0) == 0)
        return unlinkat(directory, draft->name, 0) < 0 ? -errno : 0;
    return errno == EEXIST ? -EEXIST : name_claim(draft, name);
}

int outdraft_place(struct outdraft *draft, const char *name, bool replace)
{
    int error = file_settle(draft->fd, &draft->rights);

    if (error < 0)
        return error;
    if (!*draft->name) {
        error = replace ? nameless_name(draft) : nameless_link(draft, name);
        if (error == -EEXIST || (error == 0 && !replace))
            return error;
        if (error < 0)
            error = named_copy(draft);
        if (error < 0)
            return error;
    }
    if (!replace)
        return named_move_new(draft, name);
    return renameat(draft->directory, draft->name, draft->directory, name) < 0 ? -errno : 0;
}

void outdraft_remove(struct outdraft *draft)
{
    if (*draft->name)
        unlinkat(draft->directory, draft->name, 0);
    *draft->name = '\0';
}
