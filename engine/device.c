/* SPDX-License-Identifier: MIT */
/*
 * Opens devices, and provides the calls that all parts of the engine use.
 */
#include "engine/device.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CUPOOL_VERSION
#error CUPOOL_VERSION comes from the build
#endif

#define HOST_ALIGNMENT 4096

const char *cupool_engine_version(void)
{
    return CUPOOL_VERSION;
}

const char *cupool_device_error(const struct cupool_device *device)
{
    const char *text = atomic_load(&device->error);

    return text ? text : "";
}

int device_fail(struct cupool_device *device, int error, const char *text)
{
    atomic_store(&device->error, text);
    return error;
}

int device_enter(struct cupool_device *device)
{
    if (!device->driver)
        return 0;
    return driver_error(device->driver->context_push(device->context)) == 0
               ? 0
               : device_fail(device, -EIO, "the context cannot be made current");
}

void device_leave(struct cupool_device *device)
{
    CUcontext context;

    if (device->driver)
        device->driver->context_pop(&context);
}

int device_enter_relaxed(struct cupool_device *device, CUstreamCaptureMode *ret_mode)
{
    int error = device_enter(device);

    *ret_mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    if (error == 0 && device->driver && device->driver->capture_mode)
        device->driver->capture_mode(ret_mode);
    return error;
}

void device_leave_relaxed(struct cupool_device *device, CUstreamCaptureMode mode)
{
    if (device->driver && device->driver->capture_mode)
        device->driver->capture_mode(&mode);
    device_leave(device);
}

static struct cupool_device *device_new(void)
{
    struct cupool_device *device = calloc(1, sizeof(*device));

    if (!device)
        return NULL;
    pthread_mutex_init(&device->events_lock, NULL);
    pthread_mutex_init(&device->memory_lock, NULL);
    work_marks_init(&device->marks);
    pthread_mutex_init(&device->host_lock, NULL);
    device->index = -1;
    /* The preload exports the functions of cupool.h; nothing else does. */
    device->preloaded = dlsym(RTLD_DEFAULT, "cupool_phase_begin") != NULL;
    return device;
}

static int context_choose(struct cupool_device *device)
{
    const struct driver_table *driver = device->driver;
    CUdevice current;

    if (driver->context_current(&device->context) == CUDA_SUCCESS && device->context &&
        driver->context_device(&current) == CUDA_SUCCESS && current == device->device)
        return 0;
    if (driver->primary_retain(&device->context, device->device) != CUDA_SUCCESS)
        return -EIO;
    device->retained = true;
    return 0;
}

int cupool_device_open(int index, struct cupool_device **ret_device)
{
    const struct driver_table *driver;
    const char *missing;
    int error = driver_open(&driver, &missing);

    if (error < 0 || !ret_device)
        return error < 0 ? error : -EINVAL;
    struct cupool_device *device = device_new();
    if (!device)
        return -ENOMEM;
    device->kind = CUPOOL_DEVICE_GPU;
    device->index = index;
    device->driver = driver;
    error = driver_error(driver->init(0));
    if (error == 0)
        error = index < 0 || driver->device_get(&device->device, index) != CUDA_SUCCESS ? -ENODEV
                                                                                        : 0;
    if (error == 0)
        error = context_choose(device);
    if (error == 0)
        error = device_enter(device);
    if (error == 0) {
        error = driver_error(driver->stream_create(&device->own, CU_STREAM_NON_BLOCKING));
        device_leave(device);
    }
    if (error < 0) {
        cupool_device_close(device);
        return error;
    }
    *ret_device = device;
    return 0;
}

int cupool_device_host(struct cupool_device **ret_device)
{
    struct cupool_device *device;

    if (!ret_device)
        return -EINVAL;
    device = device_new();
    if (!device)
        return -ENOMEM;
    device->kind = CUPOOL_DEVICE_HOST;
    *ret_device = device;
    return 0;
}

void cupool_device_close(struct cupool_device *device)
{
    if (!device)
        return;
    memory_manager_end(device);
    work_marks_done(device);
    host_regions_end(device);
    if (device->driver && device->context && device_enter(device) == 0) {
        while (device->event_count > 0)
            device->driver->event_destroy(device->events[--device->event_count]);
        if (device->own)
            device->driver->stream_destroy(device->own);
        device_leave(device);
    }
    if (device->retained)
        device->driver->primary_release(device->device);
    pthread_mutex_destroy(&device->events_lock);
    pthread_mutex_destroy(&device->memory_lock);
    pthread_mutex_destroy(&device->host_lock);
    free(device);
}

enum cupool_device_kind cupool_device_kind(const struct cupool_device *device)
{
    return device->kind;
}

static void count_allocation(struct cupool_device *device, size_t bytes)
{
    uint64_t now = atomic_fetch_add(&device->current_bytes, bytes) + bytes;
    uint64_t peak = atomic_load(&device->peak_bytes);

    atomic_fetch_add(&device->allocations, 1);
    while (now > peak && !atomic_compare_exchange_weak(&device->peak_bytes, &peak, now))
        ;
}

int device_memory_allocate(struct cupool_device *device, size_t bytes, uint64_t *ret_address)
{
    int error;

    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return bytes == 0 ? -EINVAL : -ENOMEM;
    if (!device->driver) {
        void *memory = aligned_alloc(HOST_ALIGNMENT, (bytes + HOST_ALIGNMENT - 1) / HOST_ALIGNMENT *
                                                         HOST_ALIGNMENT);

        if (!memory)
            return device_fail(device, -ENOMEM, "the system does not have that much memory");
        *ret_address = (uintptr_t)memory;
        count_allocation(device, bytes);
        return 0;
    }
    CUstreamCaptureMode mode;
    error = device_enter_relaxed(device, &mode);
    if (error < 0)
        return error;
    CUdeviceptr address;
    error = driver_error(device->driver->memory_allocate(&address, bytes));
    device_leave_relaxed(device, mode);
    if (error < 0)
        return device_fail(device, error, "the driver could not allocate memory");
    *ret_address = address;
    count_allocation(device, bytes);
    return 0;
}

int device_memory_free(struct cupool_device *device, uint64_t address, size_t bytes)
{
    int error = 0;

    if (!device->driver) {
        free((void *)(uintptr_t)address);
    } else {
        CUstreamCaptureMode mode;

        error = device_enter_relaxed(device, &mode);
        if (error < 0)
            return error;
        error = driver_error(device->driver->memory_free(address));
        device_leave_relaxed(device, mode);
        if (error < 0)
            return device_fail(device, error, "the driver failed to free the memory");
    }
    atomic_fetch_add(&device->frees, 1);
    atomic_fetch_sub(&device->current_bytes, bytes);
    return error;
}

int device_event_take(struct cupool_device *device, CUevent *ret_event)
{
    CUevent event = NULL;

    pthread_mutex_lock(&device->events_lock);
    if (device->event_count > 0)
        event = device->events[--device->event_count];
    pthread_mutex_unlock(&device->events_lock);
    if (!event && device->driver->event_create(&event, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS)
        return -EIO;
    *ret_event = event;
    return 0;
}

void device_event_give(struct cupool_device *device, CUevent event)
{
    pthread_mutex_lock(&device->events_lock);
    if (device->event_count < DEVICE_EVENTS) {
        device->events[device->event_count++] = event;
        event = NULL;
    }
    pthread_mutex_unlock(&device->events_lock);
    if (event && device_enter(device) == 0) {
        device->driver->event_destroy(event);
        device_leave(device);
    }
}

int cupool_device_stats(struct cupool_device *device, struct cupool_device_statistics *ret_stats)
{
    size_t free_bytes = 0, total_bytes = 0;

    if (!device->driver) {
        long page = sysconf(_SC_PAGESIZE);

        free_bytes = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)page;
        total_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)page;
    } else {
        int error = device_enter(device);

        if (error < 0)
            return error;
        error = driver_error(device->driver->memory_info(&free_bytes, &total_bytes));
        device_leave(device);
        if (error < 0)
            return device_fail(device, error, "the driver does not report its memory");
    }
    *ret_stats = (struct cupool_device_statistics){
        .kind = device->kind,
        .index = device->index,
        .preloaded = device->preloaded,
        .free_bytes = free_bytes,
        .total_bytes = total_bytes,
        .allocations = atomic_load(&device->allocations),
        .frees = atomic_load(&device->frees),
        .current_bytes = atomic_load(&device->current_bytes),
        .peak_bytes = atomic_load(&device->peak_bytes),
    };
    return 0;
}

int cupool_device_stream_create(struct cupool_device *device, cupool_stream *ret_stream)
{
    CUstream stream = NULL;
    int error = 0;

    if (device->driver) {
        error = device_enter(device);
        if (error < 0)
            return error;
        error = driver_error(device->driver->stream_create(&stream, CU_STREAM_NON_BLOCKING));
        device_leave(device);
    }
    if (error < 0)
        return device_fail(device, error, "the driver could not create a stream");
    *ret_stream = stream;
    return 0;
}

int cupool_device_stream_destroy(struct cupool_device *device, cupool_stream stream)
{
    int error = device_enter(device);

    if (error < 0 || !device->driver)
        return error;
    error = driver_error(device->driver->stream_destroy(stream));
    device_leave(device);
    return error < 0 ? device_fail(device, error, "the driver failed to destroy the stream") : 0;
}

int cupool_device_wait(struct cupool_device *device, cupool_stream stream)
{
    int error = device_enter(device);

    if (error < 0 || !device->driver)
        return error;
    error = driver_error(stream == CUPOOL_STREAM_NONE ? device->driver->context_wait()
                                                      : device->driver->stream_wait(stream));
    device_leave(device);
    return error < 0 ? device_fail(device, error, "waiting for the device failed") : 0;
}

/* Work goes to the caller's stream, or to the device's own stream and is waited for. */
static int work_end(struct cupool_device *device, cupool_stream stream, CUresult result)
{
    int error = driver_error(result);

    if (error == 0 && stream == CUPOOL_STREAM_NONE)
        error = driver_error(device->driver->stream_wait(device->own));
    device_leave(device);
    return error < 0 ? device_fail(device, error, "the driver rejected the work") : 0;
}

static CUstream work_stream(const struct cupool_device *device, cupool_stream stream)
{
    return stream == CUPOOL_STREAM_NONE ? device->own : (CUstream)stream;
}

/* Enters the device for work on bytes. Returns 1: go on; 0: there is nothing to do. */
static int work_begin(struct cupool_device *device, size_t bytes)
{
    int error = device_enter(device);

    if (error < 0 || bytes > 0)
        return error < 0 ? error : 1;
    device_leave(device);
    return 0;
}

int cupool_device_copy(struct cupool_device *device, void *to, const void *from, size_t bytes,
                       cupool_stream stream)
{
    int error = work_begin(device, bytes);

    if (error <= 0)
        return error;
    if (!device->driver) {
        memmove(to, from, bytes);
        return 0;
    }
    return work_end(device, stream,
                    device->driver->copy_async((uintptr_t)to, (uintptr_t)from, bytes,
                                               work_stream(device, stream)));
}

int cupool_device_fill(struct cupool_device *device, void *address, uint8_t value, size_t bytes,
                       cupool_stream stream)
{
    int error = work_begin(device, bytes);

    if (error <= 0)
        return error;
    if (!device->driver) {
        memset(address, value, bytes);
        return 0;
    }
    return work_end(
        device, stream,
        device->driver->fill_async((uintptr_t)address, value, bytes, work_stream(device, stream)));
}

int cupool_device_host_allocate(struct cupool_device *device, size_t bytes, void **ret_memory)
{
    int error = 0;

    if (bytes == 0)
        return -EINVAL;
    if (bytes > SIZE_MAX / 2)
        return device_fail(device, -ENOMEM, "no system has that much memory");
    if (!device->driver) {
        void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

        if (!memory)
            return device_fail(device, -ENOMEM, "the system does not have that much memory");
        *ret_memory = memory;
        return 0;
    }
    CUstreamCaptureMode mode;
    error = device_enter_relaxed(device, &mode);
    if (error < 0)
        return error;
    error = driver_error(
        device->driver->host_allocate(ret_memory, bytes, CU_MEMHOSTALLOC_PORTABLE));
    device_leave_relaxed(device, mode);
    return error < 0
               ? device_fail(device, error, "the driver could not allocate page-locked memory")
               : 0;
}

int cupool_device_host_free(struct cupool_device *device, void *memory)
{
    int error;

    if (!device->driver || !memory) {
        free(memory);
        return 0;
    }
    CUstreamCaptureMode mode;
    error = device_enter_relaxed(device, &mode);
    if (error < 0)
        return error;
    error = driver_error(device->driver->host_free(memory));
    device_leave_relaxed(device, mode);
    return error < 0 ? device_fail(device, error, "not page-locked memory of this device") : 0;
}
