/* SPDX-License-Identifier: MIT */
/*
 * A device as the backend of a KV pool: cuMemAlloc or mapped pages, events as fences.
 *
 * A fence is an event behind the work of one stream. Events are reused, so a release in the steady
 * state creates none. A stream under capture gets no event: its fence would become part of the
 * graph.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/device.h"
#include "pool/kv/kv.h"

#define HOST_PAGE_BYTES ((size_t)64 << 10)

static int kv_memory_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    return device_memory_allocate(state, bytes, ret_address);
}

static void kv_memory_free(void *state, uint64_t address, size_t bytes)
{
    device_memory_free(state, address, bytes);
}

static void *pointer_of(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static int kv_fill(void *state, uint64_t address, size_t bytes, kv_stream stream)
{
    return cupool_device_fill(state, pointer_of(address), 0, bytes, stream);
}

static int kv_copy(void *state, uint64_t to, uint64_t from, size_t bytes, kv_stream stream)
{
    return cupool_device_copy(state, pointer_of(to), pointer_of(from), bytes, stream);
}

static int kv_host_allocate(void *state, size_t bytes, void **ret_memory)
{
    return cupool_device_host_allocate(state, bytes, ret_memory);
}

static void kv_host_free(void *state, void *memory)
{
    cupool_device_host_free(state, memory);
}

/* The context must be current. */
static int capture_check(struct cupool_device *device, kv_stream stream)
{
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
    int error = driver_error(device->driver->stream_capturing(stream, &capture));

    return error == 0 && capture != CU_STREAM_CAPTURE_STATUS_NONE ? -EBUSY : error;
}

static int kv_stream_check(void *state, kv_stream stream)
{
    int error = device_enter(state);

    if (error < 0)
        return error;
    error = capture_check(state, stream);
    device_leave(state);
    return error;
}

static int kv_fence_record(void *state, kv_stream stream, uint64_t *ret_fence)
{
    struct cupool_device *device = state;
    CUevent event = NULL;
    int error = device_enter(device);

    if (error < 0)
        return error;
    error = capture_check(device, stream);
    if (error == 0)
        error = device_event_take(device, &event);
    if (error == 0)
        error = driver_error(device->driver->event_record(event, stream));
    device_leave(device);
    if (error < 0) {
        if (event)
            device_event_give(device, event);
        return device_fail(device, error, "no event can be recorded on this stream now");
    }
    *ret_fence = (uintptr_t)event;
    return 0;
}

static int kv_fence_query(void *state, uint64_t fence)
{
    struct cupool_device *device = state;
    CUstreamCaptureMode mode;

    if (device_enter_relaxed(device, &mode) < 0)
        return 0;
    CUresult result = device->driver->event_query((CUevent)(uintptr_t)fence);
    device_leave_relaxed(device, mode);
    return result == CUDA_SUCCESS;
}

static void kv_fence_release(void *state, uint64_t fence)
{
    device_event_give(state, (CUevent)(uintptr_t)fence);
}

static int kv_stream_wait(void *state, kv_stream stream, uint64_t fence)
{
    struct cupool_device *device = state;
    int error = device_enter(device);

    if (error < 0)
        return error;
    error = capture_check(device, stream);
    if (error == 0)
        error = driver_error(
            device->driver->stream_wait_event(stream, (CUevent)(uintptr_t)fence, 0));
    device_leave(device);
    return error;
}

static CUmemAllocationProp page_properties(const struct cupool_device *device)
{
    return (CUmemAllocationProp){
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device->device}};
}

static int range_reserve(void *state, size_t bytes, size_t *page_bytes, uint64_t *ret_address)
{
    struct cupool_device *device = state;
    CUmemAllocationProp properties = page_properties(device);
    CUdeviceptr address = 0;
    size_t grain;
    int error = device_enter(device);

    if (error < 0)
        return error;
    error = driver_error(
        device->driver->page_granularity(&grain, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    if (error == 0) {
        *page_bytes = *page_bytes == 0 ? grain : (*page_bytes + grain - 1) / grain * grain;
        bytes = (bytes + *page_bytes - 1) / *page_bytes * *page_bytes;
        error = driver_error(device->driver->address_reserve(&address, bytes, 0, 0, 0));
    }
    device_leave(device);
    if (error == 0)
        *ret_address = address;
    return error;
}

static void range_release(void *state, uint64_t address, size_t bytes)
{
    struct cupool_device *device = state;

    if (device_enter(device) < 0)
        return;
    device->driver->address_free(address, bytes);
    device_leave(device);
}

static int page_map(void *state, uint64_t address, size_t bytes, uint64_t *ret_page)
{
    struct cupool_device *device = state;
    CUmemAllocationProp properties = page_properties(device);
    CUmemAccessDesc access = {.location = properties.location,
                              .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle page;
    int error = device_enter(device);

    if (error < 0)
        return error;
    error = driver_error(device->driver->page_create(&page, bytes, &properties, 0));
    if (error == 0) {
        error = driver_error(device->driver->page_map(address, bytes, 0, page, 0));
        if (error == 0) {
            error = driver_error(device->driver->page_access(address, bytes, &access, 1));
            if (error < 0)
                device->driver->page_unmap(address, bytes);
        }
        if (error < 0)
            device->driver->page_release(page);
    }
    device_leave(device);
    if (error == 0)
        *ret_page = page;
    return error;
}

static void page_unmap(void *state, uint64_t address, size_t bytes, uint64_t page)
{
    struct cupool_device *device = state;

    if (device_enter(device) < 0)
        return;
    device->driver->page_unmap(address, bytes);
    device->driver->page_release(page);
    device_leave(device);
}

/* The same in host memory: addresses without access, enabled and disabled page by page. */

static int host_range_reserve(void *state, size_t bytes, size_t *page_bytes, uint64_t *ret_address)
{
    *page_bytes = *page_bytes == 0 ? HOST_PAGE_BYTES : (*page_bytes + 4095) / 4096 * 4096;
    bytes = (bytes + *page_bytes - 1) / *page_bytes * *page_bytes;
    void *memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    *ret_address = (uintptr_t)memory;
    return 0;
}

static void host_range_release(void *state, uint64_t address, size_t bytes)
{
    munmap(pointer_of(address), bytes);
}

static int host_page_map(void *state, uint64_t address, size_t bytes, uint64_t *ret_page)
{
    if (mprotect(pointer_of(address), bytes, PROT_READ | PROT_WRITE) != 0)
        return -ENOMEM;
    *ret_page = address;
    return 0;
}

static void host_page_unmap(void *state, uint64_t address, size_t bytes, uint64_t page)
{
    madvise(pointer_of(address), bytes, MADV_DONTNEED);
    mprotect(pointer_of(address), bytes, PROT_NONE);
}

struct kv_backend device_kv_backend(struct cupool_device *device)
{
    struct kv_backend backend = {
        .state = device,
        .memory_allocate = kv_memory_allocate,
        .memory_free = kv_memory_free,
        .memory_fill = kv_fill,
        .memory_copy = kv_copy,
        .host_allocate = kv_host_allocate,
        .host_free = kv_host_free,
    };

    if (!device->driver) {
        backend.range_reserve = host_range_reserve;
        backend.range_release = host_range_release;
        backend.page_map = host_page_map;
        backend.page_unmap = host_page_unmap;
        backend.outlives_fork = 1;
        return backend;
    }
    backend.stream_check = kv_stream_check;
    backend.fence_record = kv_fence_record;
    backend.fence_query = kv_fence_query;
    backend.fence_release = kv_fence_release;
    backend.stream_wait = kv_stream_wait;
    const struct driver_table *driver = device->driver;
    if (driver->address_reserve && driver->address_free && driver->page_create &&
        driver->page_release && driver->page_map && driver->page_unmap && driver->page_access &&
        driver->page_granularity) {
        backend.range_reserve = range_reserve;
        backend.range_release = range_release;
        backend.page_map = page_map;
        backend.page_unmap = page_unmap;
    }
    return backend;
}

int cupool_kv_create(struct cupool_device *device, const struct cupool_kv_config *config,
                     struct cupool_kv **ret_pool)
{
    if (!device || !config || !ret_pool)
        return -EINVAL;
    struct kv_backend backend = device_kv_backend(device);
    int error = kv_create(&backend, config, ret_pool);
    return error < 0 ? device_fail(device, error, "the pool could not be created") : 0;
}
