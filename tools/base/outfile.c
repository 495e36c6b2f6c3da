/* SPDX-License-Identifier: MIT */
#include "tools/base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/base/outplace.h"

#define DRAFT_TRIES 16
#define READER_MS   1000 /* how long a pipe may be without a reader */

static int stream_begin(struct outfile *file, int fd)
{
    file->stream = fdopen(fd, "wb");
    if (file->stream)
        return 0;
    close(fd);
    return -ENOMEM;
}

/** Gives the draft an unpredictable name beside the destination. */
static int draft_name(struct outfile *file)
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -EAGAIN;
    snprintf(file->draft, sizeof file->draft, ".cupool-%016" PRIx64 ".part", number);
    return 0;
}

/** Creates a file without a name, of which nothing is left if this process is killed; else, where
 * the system has none or could not name it later, one with a name beside the destination. */
static int draft_create(struct outfile *file, mode_t mode)
{
    int fd = faccessat(AT_FDCWD, "/proc/self/fd", X_OK, 0) < 0
                 ? -1
                 : openat(file->directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);

    for (int i = 0; i < DRAFT_TRIES && fd < 0; i++) {
        if (draft_name(file) < 0)
            return -EAGAIN;
        fd = openat(file->directory, file->draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST)
            return -errno;
    }
    return fd < 0 ? -EEXIST : fd;
}

/** Names a draft without a name. Errors: -EEXIST the name is taken; others from the system. */
static int draft_link(const struct outfile *file, const char *name)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file->stream));
    return linkat(AT_FDCWD, path, file->directory, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static void draft_remove(const struct outfile *file)
{
    if (*file->draft)
        unlinkat(file->directory, file->draft, 0);
}

/** Returns the mode of the user's own earlier file, for its replacement. */
static mode_t mode_keep(int fd, const struct stat *earlier)
{
    struct stat status;
    mode_t mode = earlier->st_mode & 0777;

    /* What its group might do is not for another group. */
    if (fstat(fd, &status) < 0 ||
        (status.st_gid != earlier->st_gid && fchown(fd, (uid_t)-1, earlier->st_gid) < 0))
        mode &= ~(mode_t)070;
    return mode;
}

static int regular_open(struct outfile *file, const struct outplace *place, mode_t mode)
{
    bool own = place->exists && place->status.st_uid == geteuid();
    int fd;

    if (place->exists && !file->replace)
        return -EEXIST;
    memcpy(file->name, place->name, sizeof file->name);
    fd = draft_create(file, own ? 0600 : mode);
    if (fd < 0)
        return fd;
    if (own)
        file->mode = mode_keep(fd, &place->status);
    fd = stream_begin(file, fd);
    if (fd < 0)
        draft_remove(file);
    return fd;
}

/** A pipe gets some time to be opened by a reader; nothing waits for one that never comes. */
static int pipe_open(const struct outplace *place)
{
    static const struct timespec pause = {.tv_nsec = 10000000};
    int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(place->directory, place->name, flags);

    for (int i = 0;
         fd < 0 && errno == ENXIO && S_ISFIFO(place->status.st_mode) && i < READER_MS / 10; i++) {
        nanosleep(&pause, NULL);
        fd = openat(place->directory, place->name, flags);
    }
    return fd < 0 ? -errno : fd;
}

static int special_open(struct outfile *file, const struct outplace *place)
{
    struct stat status;
    int fd, flags;

    if (!S_ISFIFO(place->status.st_mode) && !S_ISCHR(place->status.st_mode))
        return S_ISDIR(place->status.st_mode) ? -EISDIR : -EINVAL;
    if (S_ISFIFO(place->status.st_mode) && place->status.st_uid != geteuid() &&
        outplace_is_shared(place->directory))
        return -EACCES;
    fd = pipe_open(place);
    if (fd < 0)
        return fd;
    flags = fcntl(fd, F_GETFL);
    if (fstat(fd, &status) < 0 || status.st_ino != place->status.st_ino ||
        status.st_dev != place->status.st_dev || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        close(fd);
        return -EINVAL; /* exchanged meanwhile */
    }
    return stream_begin(file, fd);
}

static int descriptor_open(struct outfile *file, int descriptor)
{
    int fd = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);

    return fd < 0 ? -errno : stream_begin(file, fd);
}

int outfile_open(const char *path, enum outfile_way way, mode_t mode, struct outfile *ret_file)
{
    struct outfile file = {.directory = -1, .replace = way == OUTFILE_REPLACE};
    struct outplace place;
    int error = outplace_find(path, &place);

    if (error < 0)
        return error;
    if (place.descriptor >= 0) {
        error = descriptor_open(&file, place.descriptor);
    } else if (place.exists && !S_ISREG(place.status.st_mode)) {
        error = special_open(&file, &place);
    } else {
        file.directory = place.directory;
        error = regular_open(&file, &place, mode);
    }
    if (error < 0 || file.directory < 0)
        close(place.directory);
    if (error == 0)
        *ret_file = file;
    return error;
}

/** Moves the draft to a free name; a file that appeared meanwhile stays. */
static int draft_place_new(const struct outfile *file)
{
    int directory = file->directory, claim;

    if (renameat2(directory, file->draft, directory, file->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return -errno;
    if (linkat(directory, file->draft, directory, file->name, 0) == 0)
        return unlinkat(directory, file->draft, 0) < 0 ? -errno : 0;
    if (errno == EEXIST)
        return -EEXIST;
    /* For a file system that supports neither: claims the name by an empty file first. */
    claim = openat(directory, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   0600);
    if (claim < 0)
        return -errno;
    close(claim);
    return renameat(directory, file->draft, directory, file->name) < 0 ? -errno : 0;
}

static int draft_place(struct outfile *file)
{
    int error = -EEXIST;

    if (!*file->draft && !file->replace)
        return draft_link(file, file->name);
    for (int i = 0; i < DRAFT_TRIES && !*file->draft && error == -EEXIST; i++) {
        error = draft_name(file);
        if (error == 0)
            error = draft_link(file, file->draft);
        if (error < 0)
            *file->draft = '\0';
    }
    if (!*file->draft)
        return error;
    if (!file->replace)
        return draft_place_new(file);
    return renameat(file->directory, file->draft, file->directory, file->name) < 0 ? -errno : 0;
}

static int stream_end(struct outfile *file)
{
    int fd = fileno(file->stream), error = 0;

    errno = 0;
    if (fflush(file->stream) == EOF || ferror(file->stream))
        error = errno ? -errno : -EIO;
    if (error == 0 && file->mode && fchmod(fd, file->mode) < 0)
        error = -errno;
    if (error == 0 && fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
        error = -errno;
    return error;
}

int outfile_close(struct outfile *file, int error)
{
    if (error >= 0)
        error = stream_end(file);
    if (error == 0 && file->directory >= 0)
        error = draft_place(file);
    if (fclose(file->stream) == EOF && error == 0)
        error = -errno;
    if (file->directory < 0)
        return error;
    if (error < 0)
        draft_remove(file);
    close(file->directory);
    return error;
}

int outfile_write(const char *path, const char *text, size_t bytes)
{
    struct outfile file;
    int error = outfile_open(path, OUTFILE_REPLACE, 0666, &file);

    if (error < 0)
        return error;
    errno = 0;
    if (fwrite(text, 1, bytes, file.stream) != bytes)
        error = errno ? -errno : -EIO;
    return outfile_close(&file, error);
}

const char *outfile_reason(int error)
{
    static char text[256];

    switch (error) {
    case -EEXIST: return "exists: overwrite it with --force";
    case -ENOLINK: return "passes through another user's symbolic link: give another path";
    case -ENXIO: return "this pipe has no reader: start the reader first";
    case -EINVAL: return "not a regular file, pipe or terminal: give another path";
    default: snprintf(text, sizeof text, "%s: give another path", strerror(-error)); return text;
    }
}
