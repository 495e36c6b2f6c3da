/* SPDX-License-Identifier: MIT */
/*
 * A device as the backend of its transfers: the driver's copies, its batched call, the copy kernel.
 *
 * Every call runs with the thread's capture mode relaxed: a transfer beside a capture of the
 * program neither joins nor breaks it.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/device.h"
#include "engine/transfer_device.h"
#include "kernels/copy/copy.h"
#include "pool/base/clock.h"
#include "pool/transfer/queue.h"

#define IDENTITY_BYTES 96

struct transfer_device {
    struct cupool_device *device;
    struct kernel_set kernels;
    char identity[IDENTITY_BYTES];
};

/* A call of the driver in the device's context. */
#define WITH_DEVICE(device, error, call)                                                           \
    do {                                                                                           \
        CUstreamCaptureMode mode_;                                                                 \
        (error) = device_enter_relaxed(device, &mode_);                                            \
        if ((error) == 0) {                                                                        \
            (error) = driver_error(call);                                                          \
            device_leave_relaxed(device, mode_);                                                   \
        }                                                                                          \
    } while (0)

static struct cupool_device *device_of(void *state)
{
    return ((struct transfer_device *)state)->device;
}

static const struct driver_table *driver_of(void *state)
{
    return device_of(state)->driver;
}

static int transfer_place(void *state, uint64_t address, enum transfer_place *ret_place,
                          uint64_t *ret_end)
{
    CUpointer_attribute attributes[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE,    CU_POINTER_ATTRIBUTE_CONTEXT,
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
        CU_POINTER_ATTRIBUTE_RANGE_SIZE,
    };
    CUmemorytype type = 0;
    CUcontext context = NULL;
    int ordinal = -1, error;
    CUdeviceptr start = 0;
    size_t bytes = 0;
    void *values[] = {&type, &context, &ordinal, &start, &bytes};

    WITH_DEVICE(device_of(state), error,
                driver_of(state)->pointer_attributes(5, attributes, values, address));
    if (error < 0)
        return error;
    *ret_end = start != 0 && bytes != 0 && start + bytes > address ? start + bytes : UINT64_MAX;
    if (type == CU_MEMORYTYPE_HOST)
        *ret_place = TRANSFER_PINNED;
    else if (type != CU_MEMORYTYPE_DEVICE && type != CU_MEMORYTYPE_UNIFIED)
        *ret_place = TRANSFER_PAGEABLE;
    else if ((context && context != device_of(state)->context) ||
             (!context && ordinal != device_of(state)->index))
        *ret_place = TRANSFER_FOREIGN;
    else
        *ret_place = TRANSFER_DEVICE;
    if (*ret_place == TRANSFER_PAGEABLE)
        *ret_end = UINT64_MAX;
    return 0;
}

static int transfer_stream_make(void *state, transfer_stream *ret_stream)
{
    CUstream stream = NULL;
    int error;

    WITH_DEVICE(device_of(state), error,
                driver_of(state)->stream_create(&stream, CU_STREAM_NON_BLOCKING));
    if (error == 0)
        *ret_stream = stream;
    return error;
}

static void transfer_stream_end(void *state, transfer_stream stream)
{
    int error;

    WITH_DEVICE(device_of(state), error, driver_of(state)->stream_destroy(stream));
}

static int transfer_stream_drain(void *state, transfer_stream stream)
{
    int error;

    WITH_DEVICE(device_of(state), error, driver_of(state)->stream_wait(stream));
    return error;
}

static int transfer_copy(void *state, transfer_stream stream, uint64_t to, uint64_t from,
                         size_t bytes)
{
    int error;

    WITH_DEVICE(device_of(state), error, driver_of(state)->copy_async(to, from, bytes, stream));
    return error;
}

static int transfer_copy_batch(void *state, transfer_stream stream, uint64_t *to, uint64_t *from,
                               size_t *bytes, size_t count)
{
    CUmemcpyAttributes attributes = {.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM};
    size_t first = 0, failed;
    int error;

    static_assert(sizeof(CUdeviceptr) == sizeof(*to), "addresses are passed as they are");
    if (driver_of(state)->copy_batch)
        WITH_DEVICE(device_of(state), error,
                    driver_of(state)->copy_batch((CUdeviceptr *)to, (CUdeviceptr *)from, bytes,
                                                 count, &attributes, &first, 1, stream));
    else
        WITH_DEVICE(device_of(state), error,
                    driver_of(state)->copy_batch_12((CUdeviceptr *)to, (CUdeviceptr *)from, bytes,
                                                    count, &attributes, &first, 1, &failed,
                                                    stream));
    return error;
}

static int transfer_copy_kernel(void *state, transfer_stream stream, void *descriptors,
                                const uint64_t *to, const uint64_t *from, const size_t *bytes,
                                size_t count)
{
    struct transfer_device *transfer = state;
    struct copy_fragment *fragments = descriptors;
    CUstreamCaptureMode mode;

    for (size_t at = 0; at < count; at++)
        fragments[at] = (struct copy_fragment){.from = from[at], .to = to[at], .bytes = bytes[at]};
    uint64_t tiles = copy_layout(fragments, (uint32_t)count);
    int error = device_enter_relaxed(transfer->device, &mode);
    if (error < 0)
        return error;
    error = copy_launch(transfer->device->driver, &transfer->kernels, stream,
                        (uintptr_t)descriptors, (uint32_t)count, tiles);
    device_leave_relaxed(transfer->device, mode);
    return error;
}

static int transfer_host_allocate(void *state, size_t bytes, void **ret_memory)
{
    return cupool_device_host_allocate(device_of(state), bytes, ret_memory);
}

static void transfer_host_free(void *state, void *memory)
{
    cupool_device_host_free(device_of(state), memory);
}

static int transfer_fence_record(void *state, transfer_stream stream, uint64_t *ret_fence)
{
    return device_kv_backend(device_of(state)).fence_record(device_of(state), stream, ret_fence);
}

static int transfer_fence_query(void *state, uint64_t fence)
{
    int error;

    WITH_DEVICE(device_of(state), error, driver_of(state)->event_query((CUevent)(uintptr_t)fence));
    return error == 0 ? 1 : error == -EINPROGRESS ? 0 : error;
}

static void transfer_fence_release(void *state, uint64_t fence)
{
    device_event_give(device_of(state), (CUevent)(uintptr_t)fence);
}

static int transfer_stream_wait(void *state, transfer_stream stream, uint64_t fence)
{
    int error;

    WITH_DEVICE(device_of(state), error,
                driver_of(state)->stream_wait_event(stream, (CUevent)(uintptr_t)fence, 0));
    return error;
}

static int transfer_memory_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    return device_memory_allocate(device_of(state), bytes, ret_address);
}

static void transfer_memory_free(void *state, uint64_t address, size_t bytes)
{
    device_memory_free(device_of(state), address, bytes);
}

static uint64_t transfer_clock_ns(void *state)
{
    return pool_clock_ns();
}

static void transfer_pause(void *state, uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

static int host_copy(void *state, transfer_stream stream, uint64_t to, uint64_t from, size_t bytes)
{
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
    return 0;
}

static int host_drain(void *state, transfer_stream stream)
{
    return 0;
}

static struct transfer_backend transfer_backend(struct transfer_device *transfer)
{
    struct transfer_backend backend = {
        .state = transfer,
        .clock_ns = transfer_clock_ns,
        .pause = transfer_pause,
    };

    if (!transfer->device->driver) {
        backend.host = 1;
        backend.copy = host_copy;
        backend.stream_drain = host_drain;
        return backend;
    }
    backend.place = transfer_place;
    backend.stream_make = transfer_stream_make;
    backend.stream_end = transfer_stream_end;
    backend.stream_drain = transfer_stream_drain;
    backend.copy = transfer_copy;
    backend.host_allocate = transfer_host_allocate;
    backend.host_free = transfer_host_free;
    backend.fence_record = transfer_fence_record;
    backend.fence_query = transfer_fence_query;
    backend.fence_release = transfer_fence_release;
    backend.stream_wait = transfer_stream_wait;
    backend.memory_allocate = transfer_memory_allocate;
    backend.memory_free = transfer_memory_free;
    if (transfer->device->driver->copy_batch || transfer->device->driver->copy_batch_12)
        backend.copy_batch = transfer_copy_batch;
    if (transfer->kernels.copy) {
        backend.copy_kernel = transfer_copy_kernel;
        backend.descriptor_bytes = sizeof(struct copy_fragment);
    }
    return backend;
}

/* The device and the driver that the thresholds apply to. */
static void identity_make(struct transfer_device *transfer)
{
    struct cupool_device *device = transfer->device;
    char *to = transfer->identity;
    CUuuid uuid = {{0}};
    int version = 0, error = -ENOTSUP;

    if (!device->driver)
        return;
    if (device->driver->device_uuid)
        WITH_DEVICE(device, error, device->driver->device_uuid(&uuid, device->device));
    device->driver->driver_version(&version);
    if (error < 0)
        to += snprintf(to, IDENTITY_BYTES, "gpu%d", device->index);
    for (unsigned at = 0; at < sizeof(uuid.bytes) && error == 0; at++)
        to += snprintf(to, 3, "%02x", (unsigned char)uuid.bytes[at]);
    snprintf(to, 32, "-driver%d", version);
}

static int kernels_load(struct transfer_device *transfer)
{
    CUstreamCaptureMode mode;
    int error;

    if (!transfer->device->driver)
        return 0;
    error = device_enter_relaxed(transfer->device, &mode);
    if (error < 0)
        return error;
    error = kernel_set_load(transfer->device->driver, &transfer->kernels);
    device_leave_relaxed(transfer->device, mode);
    return error == -ENOTSUP ? 0 : error;
}

static void transfer_device_end(struct transfer_device *transfer)
{
    CUstreamCaptureMode mode;

    if (transfer->kernels.module && device_enter_relaxed(transfer->device, &mode) == 0) {
        kernel_set_unload(transfer->device->driver, &transfer->kernels);
        device_leave_relaxed(transfer->device, mode);
    }
    free(transfer);
}

static int folder_keep(struct cupool_transfers *transfers, const char *folder)
{
    transfers->folder = folder ? strdup(folder) : NULL;
    return folder && !transfers->folder ? -ENOMEM : 0;
}

int cupool_transfers_create(struct cupool_device *device,
                            const struct cupool_transfers_config *config,
                            struct cupool_transfers **ret_transfers)
{
    struct cupool_transfers_config standard;
    struct cupool_transfer_thresholds found;
    struct cupool_transfers *transfers = NULL;

    if (!device || !ret_transfers)
        return -EINVAL;
    cupool_transfers_config_init(&standard);
    config = config ? config : &standard;
    struct transfer_device *transfer = calloc(1, sizeof(*transfer));
    if (!transfer)
        return -ENOMEM;
    transfer->device = device;
    int error = kernels_load(transfer);
    if (error == 0) {
        const struct transfer_backend backend = transfer_backend(transfer);

        identity_make(transfer);
        error = transfers_create(&backend, config, &transfers);
    }
    if (error == 0)
        error = folder_keep(transfers, config->folder);
    if (error < 0) {
        transfers_destroy(transfers);
        transfer_device_end(transfer);
        return device_fail(device, error, "the queues could not be created");
    }
    if (!config->thresholds && transfer->identity[0] != '\0' &&
        transfer_file_read(transfers->folder, transfer->identity, &found) == 0)
        transfers_thresholds_set(transfers, &found);
    *ret_transfers = transfers;
    return 0;
}

void cupool_transfers_destroy(struct cupool_transfers *transfers)
{
    if (!transfers)
        return;
    struct transfer_device *transfer = transfers->backend.state;
    char *folder = transfers->folder;
    transfers_destroy(transfers);
    transfer_device_end(transfer);
    free(folder);
}

int cupool_transfers_calibrate(struct cupool_transfers *transfers, int keep,
                               struct cupool_transfer_thresholds *ret_thresholds)
{
    struct cupool_transfer_thresholds found;

    if (!transfers)
        return -EINVAL;
    int error = transfers_measure(transfers, &found);
    if (error < 0)
        return error;
    transfers_thresholds_set(transfers, &found);
    if (ret_thresholds)
        *ret_thresholds = found;
    struct transfer_device *transfer = transfers->backend.state;
    if (keep)
        error = transfer_file_write(transfers->folder, transfer->identity, &found);
    return error < 0 ? transfers_fail(transfers, error, "the calibration file could not be written")
                     : 0;
}

struct cupool_device *transfer_device(struct cupool_transfers *transfers)
{
    return device_of(transfers->backend.state);
}
