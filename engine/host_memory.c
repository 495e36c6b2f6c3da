/* SPDX-License-Identifier: MIT */
/*
 * Page-locked memory in large pieces.
 *
 * Several threads first touch the pages, which takes most of the time. Then the pages are
 * registered chunk by chunk, because the driver holds its locks during a registration. A copy must
 * not span two registrations; the transfers split it there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/device.h"
#include "include/cupool/transfer.h"

#define CHUNK_BYTES    ((size_t)1 << 30)
#define THREADS        8u
#define THREADS_MOST   64u
#define THREAD_BYTES   ((size_t)16 << 20)
#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE, Linux 5.14 */

struct host_region {
    struct host_region *next;
    char *memory;
    size_t bytes, chunk_bytes;
    bool mapped; /* by cupool_host_allocate() */
};

/** A thread's part of the touching. */
struct touch {
    char *memory;
    size_t bytes;
    int error;
};

static void *touch_run(void *state)
{
    struct touch *touch = state;

    /* EINVAL: the system does not know this advice; then the registration touches the pages. */
    if (touch->bytes != 0 && madvise(touch->memory, touch->bytes, POPULATE_WRITE) != 0 &&
        errno != EINVAL)
        touch->error = errno == ENOMEM ? -ENOMEM : -EFAULT;
    return NULL;
}

static int pages_touch(char *memory, size_t bytes, uint32_t threads)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), most = bytes / THREAD_BYTES + 1;
    struct touch touches[THREADS_MOST];
    pthread_t ids[THREADS_MOST];
    bool started[THREADS_MOST] = {false};
    int error = 0;

    threads = threads == 0 ? THREADS : threads;
    threads = threads > THREADS_MOST ? THREADS_MOST : threads;
    threads = threads > most ? (uint32_t)most : threads;
    size_t each = (bytes / threads + page - 1) / page * page;
    for (uint32_t at = 0; at < threads; at++) {
        size_t first = at * each < bytes ? at * each : bytes;

        touches[at] = (struct touch){.memory = memory + first,
                                     .bytes = bytes - first < each ? bytes - first : each};
        started[at] = at > 0 && pthread_create(&ids[at], NULL, touch_run, &touches[at]) == 0;
    }
    for (uint32_t at = 0; at < threads; at++) {
        if (started[at])
            pthread_join(ids[at], NULL);
        else
            touch_run(&touches[at]);
        error = error == 0 ? touches[at].error : error;
    }
    return error;
}

static int register_error(CUresult result)
{
    return result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED ? -EEXIST : driver_error(result);
}

static size_t chunk_at(const struct host_region *region, size_t at)
{
    return region->bytes - at < region->chunk_bytes ? region->bytes - at : region->chunk_bytes;
}

static void chunks_unregister(struct cupool_device *device, const struct host_region *region,
                              size_t end)
{
    CUstreamCaptureMode mode;

    if (!device->driver || device_enter_relaxed(device, &mode) < 0)
        return;
    for (size_t at = 0; at < end; at += region->chunk_bytes)
        device->driver->host_unregister(region->memory + at);
    device_leave_relaxed(device, mode);
}

static int chunks_register(struct cupool_device *device, const struct host_region *region)
{
    CUstreamCaptureMode mode;
    size_t at = 0;
    int error;

    if (!device->driver)
        return 0;
    error = device_enter_relaxed(device, &mode);
    if (error < 0)
        return error;
    for (; at < region->bytes && error == 0; at += error == 0 ? region->chunk_bytes : 0)
        error = register_error(device->driver->host_register(
            region->memory + at, chunk_at(region, at), CU_MEMHOSTREGISTER_PORTABLE));
    device_leave_relaxed(device, mode);
    if (error < 0)
        chunks_unregister(device, region, at);
    return error;
}

static const char *text_of(int error)
{
    switch (error) {
    case -EEXIST: return "part of the memory is already registered";
    case -EFAULT: return "the memory cannot be written";
    case -EBUSY: return "a stream is being captured: memory cannot be registered now";
    case -ENOMEM: return "not enough memory";
    default: return "the driver failed to register the memory";
    }
}

/* Touches, registers and remembers. */
static int region_make(struct cupool_device *device, char *memory, size_t bytes,
                       const struct cupool_host_options *options, bool mapped)
{
    struct host_region *region = malloc(sizeof(*region));

    if (!region)
        return device_fail(device, -ENOMEM, "no host memory for bookkeeping");
    *region = (struct host_region){.memory = memory,
                                   .bytes = bytes,
                                   .chunk_bytes = options->chunk_bytes != 0 ? options->chunk_bytes
                                                                            : CHUNK_BYTES,
                                   .mapped = mapped};
    int error = pages_touch(memory, bytes, options->threads);
    if (error == 0)
        error = chunks_register(device, region);
    if (error < 0) {
        free(region);
        return device_fail(device, error, text_of(error));
    }
    pthread_mutex_lock(&device->host_lock);
    region->next = device->host_regions;
    device->host_regions = region;
    pthread_mutex_unlock(&device->host_lock);
    return 0;
}

static void region_end(struct cupool_device *device, struct host_region *region)
{
    chunks_unregister(device, region, region->bytes);
    if (region->mapped)
        munmap(region->memory, region->bytes);
    free(region);
}

/* The caller's region out of the list. */
static struct host_region *region_take(struct cupool_device *device, const void *memory,
                                       bool mapped)
{
    struct host_region *found = NULL;

    pthread_mutex_lock(&device->host_lock);
    for (struct host_region **link = &device->host_regions; *link; link = &(*link)->next)
        if ((*link)->memory == memory && (*link)->mapped == mapped) {
            found = *link;
            *link = found->next;
            break;
        }
    pthread_mutex_unlock(&device->host_lock);
    return found;
}

static int options_check(struct cupool_device *device, const struct cupool_host_options *options)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (options->chunk_bytes % page != 0)
        return device_fail(device, -EINVAL, "the chunk is not a multiple of the page size");
    return 0;
}

int cupool_host_register(struct cupool_device *device, void *memory, size_t bytes,
                         const struct cupool_host_options *options)
{
    static const struct cupool_host_options standard = {0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!device || !memory || bytes == 0)
        return -EINVAL;
    if ((uintptr_t)memory % page != 0 || bytes % page != 0)
        return device_fail(device, -EINVAL,
                           "the address or size is not a multiple of the page size");
    options = options ? options : &standard;
    int error = options_check(device, options);
    return error < 0 ? error : region_make(device, memory, bytes, options, false);
}

int cupool_host_unregister(struct cupool_device *device, void *memory)
{
    if (!device)
        return -EINVAL;
    struct host_region *region = region_take(device, memory, false);
    if (!region)
        return device_fail(device, -EINVAL, "no memory was registered at this address");
    region_end(device, region);
    return 0;
}

int cupool_host_allocate(struct cupool_device *device, size_t bytes,
                         const struct cupool_host_options *options, void **ret_memory)
{
    static const struct cupool_host_options standard = {0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!device || bytes == 0 || !ret_memory)
        return -EINVAL;
    options = options ? options : &standard;
    int error = options_check(device, options);
    if (error < 0)
        return error;
    if (bytes > SIZE_MAX / 2)
        return device_fail(device, -ENOMEM, text_of(-ENOMEM));
    bytes = (bytes + page - 1) / page * page;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return device_fail(device, -ENOMEM, text_of(-ENOMEM));
    if (options->huge_pages)
        madvise(memory, bytes, MADV_HUGEPAGE);
    error = region_make(device, memory, bytes, options, true);
    if (error < 0) {
        munmap(memory, bytes);
        return error;
    }
    *ret_memory = memory;
    return 0;
}

int cupool_host_free(struct cupool_device *device, void *memory)
{
    if (!device || !memory)
        return !device ? -EINVAL : 0;
    struct host_region *region = region_take(device, memory, true);
    if (!region)
        return device_fail(device, -EINVAL, "no memory was allocated at this address");
    region_end(device, region);
    return 0;
}

void host_regions_end(struct cupool_device *device)
{
    while (device->host_regions) {
        struct host_region *region = device->host_regions;

        device->host_regions = region->next;
        region_end(device, region);
    }
}
