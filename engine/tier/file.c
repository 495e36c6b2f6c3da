/* SPDX-License-Identifier: MIT */
/*
 * Entries as files of one folder.
 *
 *     lock            held by the process that uses the folder
 *     tmp.SERIAL      being written; removed when the folder is opened
 *     HEX-OF-KEY.kv   an entry, whole: written elsewhere, then renamed
 *
 * So a process may be killed at any moment: a file that has its final name is complete. Nothing
 * found in the folder is trusted. A file is opened without following links and without blocking; it
 * must be a regular file of this user with one name. The reader verifies its content. Other files
 * are left alone.
 *
 * Threading: any thread; the system calls synchronize. The index ensures that a key is stored, read
 * and removed by one thread at a time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/tier/entry.h"

#define NAME_BYTES 80
#define ENTRY_MODE 0600
#define ENTRY_FLAG (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

struct folder {
    int fd, lock;
    _Atomic uint64_t serial; /* of temporary names */
};

struct found {
    struct cupool_kv_hash key;
    uint64_t bytes;
    struct timespec changed;
};

static void name_of(const struct cupool_kv_hash *key, char *ret_name)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t at = 0; at < sizeof(key->bytes); at++) {
        *ret_name++ = digits[key->bytes[at] >> 4];
        *ret_name++ = digits[key->bytes[at] & 15];
    }
    memcpy(ret_name, ".kv", 4);
}

static int digit_of(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Whether a name is one that name_of() makes. */
static int key_of(const char *name, struct cupool_kv_hash *ret_key)
{
    for (size_t at = 0; at < sizeof(ret_key->bytes); at++) {
        int high = digit_of(name[2 * at]), low = high < 0 ? -1 : digit_of(name[2 * at + 1]);

        if (low < 0)
            return 0;
        ret_key->bytes[at] = (uint8_t)(high << 4 | low);
    }
    return strcmp(name + 2 * sizeof(ret_key->bytes), ".kv") == 0;
}

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

static int read_all(int fd, uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = read(fd, data, bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) /* shorter than it was a moment ago */
            return got < 0 ? -errno : -EBADMSG;
        data += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static int entry_put(struct folder *folder, const struct cupool_tier_item *item)
{
    char name[NAME_BYTES], temporary[NAME_BYTES];
    int fd, error;

    snprintf(temporary, sizeof(temporary), "tmp.%llu",
             (unsigned long long)atomic_fetch_add(&folder->serial, 1));
    name_of(&item->key, name);
    fd = openat(folder->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | ENTRY_FLAG, ENTRY_MODE);
    if (fd < 0)
        return -errno;
    error = write_all(fd, item->data, item->bytes);
    if (close(fd) != 0 && error == 0)
        error = -errno;
    if (error == 0 && renameat(folder->fd, temporary, folder->fd, name) != 0)
        error = -errno;
    if (error < 0)
        unlinkat(folder->fd, temporary, 0);
    return error == -EDQUOT ? -ENOSPC : error; /* older entries make room in either case */
}

static int folder_put(void *state, struct cupool_tier_item *items, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        items[at].error = entry_put(state, &items[at]);
    return 0;
}

/* Opens a file if it is an entry's. */
static int entry_open(const struct folder *folder, const char *name, struct stat *ret_status)
{
    int fd = openat(folder->fd, name, O_RDONLY | ENTRY_FLAG);

    if (fd < 0)
        return errno == ELOOP ? -EBADMSG : -errno;
    if (fstat(fd, ret_status) == 0 && S_ISREG(ret_status->st_mode) &&
        ret_status->st_uid == geteuid() && ret_status->st_nlink == 1)
        return fd;
    close(fd);
    return -EBADMSG;
}

static int entry_get(const struct folder *folder, struct cupool_tier_item *item)
{
    char name[NAME_BYTES];
    struct stat status;
    int fd, error;

    name_of(&item->key, name);
    fd = entry_open(folder, name, &status);
    if (fd < 0)
        return fd;
    if ((uint64_t)status.st_size > item->bytes) {
        error = -ENOSPC;
    } else {
        error = read_all(fd, item->data, (size_t)status.st_size);
        item->bytes = (size_t)status.st_size;
    }
    close(fd);
    return error;
}

static int folder_get(void *state, struct cupool_tier_item *items, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        items[at].error = entry_get(state, &items[at]);
    return 0;
}

static void folder_remove(void *state, const struct cupool_tier_item *items, uint32_t count)
{
    const struct folder *folder = state;
    char name[NAME_BYTES];

    for (uint32_t at = 0; at < count; at++) {
        name_of(&items[at].key, name);
        unlinkat(folder->fd, name, 0);
    }
}

static int newer_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct found *)a)->changed;
    const struct timespec *y = &((const struct found *)b)->changed;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec > y->tv_sec ? -1 : 1;
    return x->tv_nsec == y->tv_nsec ? 0 : x->tv_nsec > y->tv_nsec ? -1 : 1;
}

/* Lists the names of all entries; removes unfinished files. */
static int folder_scan(const struct folder *folder, struct found **ret_found, size_t *ret_count)
{
    int again = dup(folder->fd), error = 0;
    DIR *names = again >= 0 ? fdopendir(again) : NULL;
    struct found *found = NULL;
    size_t count = 0, room = 0;

    if (!names) {
        if (again >= 0)
            close(again);
        return -errno;
    }
    rewinddir(names);
    for (const struct dirent *name; error == 0 && (name = readdir(names)) != NULL;) {
        struct found one;
        struct stat status;

        if (strncmp(name->d_name, "tmp.", 4) == 0)
            unlinkat(folder->fd, name->d_name, 0);
        if (!key_of(name->d_name, &one.key) ||
            fstatat(folder->fd, name->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (count == room) {
            room = room > 0 ? 2 * room : 256;
            struct found *more = realloc(found, room * sizeof(*found));
            error = !more ? -ENOMEM : 0;
            found = more ? more : found;
        }
        one.bytes = (uint64_t)status.st_size;
        one.changed = status.st_mtim;
        if (error == 0)
            found[count++] = one;
    }
    closedir(names);
    *ret_found = found;
    *ret_count = count;
    return error;
}

static int folder_list(void *state,
                       int (*each)(void *context, const struct cupool_tier_item *item,
                                   const void *header),
                       void *context)
{
    struct folder *folder = state;
    struct found *found = NULL;
    size_t count = 0;
    int error = folder_scan(folder, &found, &count);

    if (error == 0 && count > 0)
        qsort(found, count, sizeof(*found), newer_first);
    for (size_t at = 0; at < count && error == 0; at++) {
        struct entry_header header;
        struct cupool_tier_item item = {.key = found[at].key};
        char name[NAME_BYTES];
        struct stat status;

        name_of(&item.key, name);
        int fd = entry_open(folder, name, &status);
        int taken = -EBADMSG;
        if (fd >= 0 && status.st_size >= (off_t)sizeof(header) &&
            read_all(fd, (uint8_t *)&header, sizeof(header)) == 0) {
            item.bytes = (size_t)status.st_size;
            taken = each(context, &item, &header);
        }
        if (fd >= 0)
            close(fd);
        if (taken != 0)
            unlinkat(folder->fd, name, 0);
    }
    free(found);
    return error;
}

static void folder_close(void *state)
{
    struct folder *folder = state;

    flock(folder->lock, LOCK_UN); /* a child may have the descriptor still */
    close(folder->lock);
    close(folder->fd);
    free(folder);
}

/* Returns the disk space that a file of this length takes. */
static uint64_t folder_charge(void *state, size_t bytes)
{
    return ((uint64_t)bytes + 4095) / 4096 * 4096;
}

/* Opens a folder that nobody else can change, and locks it for this process. */
static int folder_open(const char *path, struct folder *ret_folder)
{
    struct stat status;
    int error = 0;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -errno;
    ret_folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ret_folder->fd < 0)
        return errno == ELOOP ? -ENOTDIR : -errno;
    ret_folder->lock = -1;
    if (fstat(ret_folder->fd, &status) != 0)
        error = -errno;
    else if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        error = -EPERM;
    if (error == 0) {
        ret_folder->lock = openat(ret_folder->fd, "lock", O_RDWR | O_CREAT | ENTRY_FLAG,
                                  ENTRY_MODE);
        if (ret_folder->lock < 0)
            error = -errno;
        else if (flock(ret_folder->lock, LOCK_EX | LOCK_NB) != 0)
            error = errno == EWOULDBLOCK ? -EBUSY : -errno;
    }
    if (error < 0) {
        if (ret_folder->lock >= 0)
            close(ret_folder->lock);
        close(ret_folder->fd);
    }
    return error;
}

int cupool_tier_file(const char *path, struct cupool_tier_store *ret_store)
{
    struct folder *folder;
    int error;

    if (!path || !ret_store || path[0] == '\0')
        return -EINVAL;
    folder = calloc(1, sizeof(*folder));
    if (!folder)
        return -ENOMEM;
    error = folder_open(path, folder);
    if (error < 0) {
        free(folder);
        return error;
    }
    *ret_store = (struct cupool_tier_store){.state = folder,
                                            .put = folder_put,
                                            .get = folder_get,
                                            .remove = folder_remove,
                                            .list = folder_list,
                                            .charge = folder_charge,
                                            .close = folder_close};
    return 0;
}
