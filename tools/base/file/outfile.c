/* SPDX-License-Identifier: MIT */
#include "tools/base/file/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/outplace.h"
#include "tools/base/shortage.h"

#define READER_MS 1000 /* how long a pipe may be without a reader */

static int stream_begin(struct outfile *file, int fd)
{
    file->stream = fdopen(fd, "wb");
    if (file->stream)
        return 0;
    close(fd);
    return -ENOMEM;
}

static int regular_open(struct outfile *file, const struct outplace *place, mode_t mode)
{
    bool own = place->exists && place->status.st_uid == geteuid();
    bool private = own && place->status.st_nlink == 1;
    int error;

    if (place->exists && !file->replace)
        return -EEXIST;
    memcpy(file->name, place->name, sizeof file->name);
    error = outdraft_begin(place->directory, private ? 0600 : mode, &file->draft);
    if (error < 0)
        return error;
    if (own)
        outdraft_rights_keep(&file->draft, place->name);
    error = stream_begin(file, file->draft.fd);
    if (error < 0)
        outdraft_remove(&file->draft);
    return error;
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
    int flags = fcntl(descriptor, F_GETFL), fd;

    if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    fd = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : stream_begin(file, fd);
}

int outfile_open(const char *path, enum outfile_way way, mode_t mode, struct outfile *ret_file)
{
    struct outfile file = {.draft.directory = -1, .replace = way == OUTFILE_REPLACE};
    struct outplace place;
    int error = outplace_find(path, &place);

    if (error < 0)
        return error;
    if (place.descriptor >= 0) {
        error = descriptor_open(&file, place.descriptor);
    } else if (place.exists && !S_ISREG(place.status.st_mode)) {
        error = special_open(&file, &place);
    } else {
        error = regular_open(&file, &place, mode);
    }
    if (error < 0 || file.draft.directory < 0)
        close(place.directory);
    if (error == 0)
        *ret_file = file;
    return error;
}

/** Passes on what is still in the stream's memory. */
static int stream_flush(struct outfile *file)
{
    errno = 0;
    if (fflush(file->stream) != EOF && !ferror(file->stream))
        return 0;
    return errno ? -errno : -EIO;
}

int outfile_close(struct outfile *file, int error)
{
    int directory = file->draft.directory;

    if (error >= 0)
        error = stream_flush(file);
    if (error == 0)
        error = shortage_error(); /* not whole */
    if (error == 0 && directory >= 0)
        error = outdraft_place(&file->draft, file->name, file->replace);
    if (fclose(file->stream) == EOF && error == 0)
        error = -errno;
    if (directory < 0)
        return error;
    if (error < 0)
        outdraft_remove(&file->draft);
    close(directory);
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
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE: return strerror(-error);
    case -ENXIO: return "this pipe has no reader: start the reader first";
    case -EINVAL: return "not a regular file, pipe or terminal: give another path";
    default: snprintf(text, sizeof text, "%s: give another path", strerror(-error)); return text;
    }
}
