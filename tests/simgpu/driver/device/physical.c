/* SPDX-License-Identifier: MIT */
/*
 * One file for all memory of a device would be enough, were it not for export: a file descriptor
 * gives the whole file away. Guarded by driver_lock.
 */
#include "tests/simgpu/driver/device/physical.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/simgpu/driver/device/device.h"

/* Managed and host memory need a file too, which belongs to no device. */
static struct {
    int fd;
    uint64_t next;
} shared_file = {.fd = -1};

/* Memory with a separate file, as an import may be. */
static LIST_HEAD(, physical) with_file = LIST_HEAD_INITIALIZER(with_file);

static struct handle_cache physical_cache = {
    HANDLE_PHYSICAL, sizeof(struct physical), {NULL}, {NULL}};

static struct physical *physical_take(struct device *device, size_t bytes)
{
    struct physical *made = handle_take(&physical_cache);

    if (!made)
        return NULL;
    made->device = device;
    made->counted = false;
    made->fd = -1;
    made->owns_fd = false;
    made->offset = 0;
    made->bytes = bytes;
    made->handles = made->mappings = made->imports = 0;
    made->origin = NULL;
    made->listed = false;
    made->prop = (CUmemAllocationProp){.type = CU_MEM_ALLOCATION_TYPE_PINNED};
    if (device) {
        made->prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
        made->prop.location.id = device->ordinal;
    }
    return made;
}

/* Numbers from this one on are none that a program may get; -1: it may get all. */
static int descriptors_begin(struct rlimit *ret_limit)
{
    if (getrlimit(RLIMIT_NOFILE, ret_limit) || ret_limit->rlim_cur >= ret_limit->rlim_max ||
        ret_limit->rlim_cur > INT_MAX)
        return -1;
    return (int)ret_limit->rlim_cur;
}

/*
 * A device holds no descriptor for its memory; here a file stands for it, and each piece that may
 * be exported has one of its own. So that a program has all of its descriptors for itself, the
 * file's is above its limit, which is higher only for that moment.
 */
static int descriptor_create(const char *name)
{
    struct rlimit limit, most;
    int begin = descriptors_begin(&limit), low, fd;

    if (begin < 0)
        return memfd_create(name, MFD_CLOEXEC);
    most = (struct rlimit){limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &most))
        return memfd_create(name, MFD_CLOEXEC);
    low = memfd_create(name, MFD_CLOEXEC);
    fd = low < 0 || low >= begin ? low : fcntl(low, F_DUPFD_CLOEXEC, begin);
    if (fd >= 0 && fd != low)
        close(low);
    setrlimit(RLIMIT_NOFILE, &limit);
    return fd < 0 ? low : fd;
}

static int file_create(const char *name, uint64_t bytes)
{
    int fd = descriptor_create(name);

    if (fd >= 0 && ftruncate(fd, (off_t)bytes)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* A stretch never used before of a file that is sparse: offsets need no allocator. */
static bool stretch_take(int *fd, uint64_t *next, size_t bytes, struct physical *ret)
{
    if (*fd < 0)
        *fd = file_create("simgpu", (uint64_t)1 << 62);
    if (*fd < 0)
        return false;
    ret->fd = *fd;
    ret->offset = *next;
    *next += bytes;
    return true;
}

static bool backing_take(struct physical *physical, bool own_fd)
{
    struct device *device = physical->device;
    char name[32];

    if (own_fd) {
        /* The name identifies the owner of the memory to an importer. */
        snprintf(name, sizeof name, "simgpu-shared-%d", device ? (int)device->physical : -1);
        physical->fd = file_create(name, physical->bytes);
        if (physical->fd < 0)
            return false;
        physical->owns_fd = true;
        physical->listed = true;
        LIST_INSERT_HEAD(&with_file, physical, link);
        return true;
    }
    if (device)
        return stretch_take(&device->memory_fd, &device->memory_next, physical->bytes, physical);
    return stretch_take(&shared_file.fd, &shared_file.next, physical->bytes, physical);
}

CUresult physical_create(struct device *device, size_t bytes, bool own_fd, struct physical **ret)
{
    if (device && bytes > device->capacity - device->used)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct physical *physical = physical_take(device, bytes);
    if (!physical)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!backing_take(physical, own_fd)) {
        handle_give(&physical_cache, physical);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (device) {
        device->used += bytes;
        physical->counted = true;
    }
    physical->handles = 1;
    *ret = physical;
    return CUDA_SUCCESS;
}

static struct physical *with_file_find(int fd)
{
    struct physical *each;
    struct stat wanted, found;

    if (fstat(fd, &wanted))
        return NULL;
    LIST_FOREACH(each, &with_file, link)
        if (!fstat(each->fd, &found) && found.st_dev == wanted.st_dev &&
            found.st_ino == wanted.st_ino)
            return each;
    return NULL;
}

CUresult physical_import(struct device *device, int fd, uint64_t offset, size_t bytes,
                         struct physical **ret)
{
    struct physical *physical = physical_take(device, bytes);

    if (!physical)
        return CUDA_ERROR_OUT_OF_MEMORY;
    physical->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (physical->fd < 0) {
        handle_give(&physical_cache, physical);
        return CUDA_ERROR_INVALID_VALUE;
    }
    physical->owns_fd = true;
    physical->offset = offset;
    physical->handles = 1;
    physical->origin = with_file_find(fd);
    if (physical->origin)
        physical->origin->imports++;
    *ret = physical;
    return CUDA_SUCCESS;
}

void physical_check(struct physical *physical)
{
    struct physical *origin = physical->origin;

    if (physical->handles || physical->mappings || physical->imports)
        return;
    if (physical->counted)
        physical->device->used -= physical->bytes;
    if (physical->listed)
        LIST_REMOVE(physical, link);
    if (physical->owns_fd)
        close(physical->fd);
    else
        fallocate(physical->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)physical->offset,
                  (off_t)physical->bytes);
    handle_give(&physical_cache, physical);
    if (origin) {
        origin->imports--;
        physical_check(origin);
    }
}

CUresult physical_map(struct physical *physical, uintptr_t address, size_t offset, size_t bytes,
                      int protection)
{
    void *at = mmap((void *)address, bytes, protection, MAP_SHARED | MAP_FIXED, physical->fd,
                    (off_t)(physical->offset + offset));

    if (at == MAP_FAILED) {
        if (errno == ENOMEM)
            fprintf(stderr, "simgpu: too many mappings for the host; see vm.max_map_count\n");
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    madvise(at, bytes, MADV_DONTFORK);
    physical->mappings++;
    return CUDA_SUCCESS;
}

void physical_unmap(struct physical *physical, uintptr_t address, size_t bytes)
{
    void *at = mmap((void *)address, bytes, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    if (at != MAP_FAILED)
        madvise(at, bytes, MADV_DONTFORK);
    physical->mappings--;
    physical_check(physical);
}
