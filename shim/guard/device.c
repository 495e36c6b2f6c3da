/* SPDX-License-Identifier: MIT */
/*
 * The pattern contains no byte twice, so that any single value written over a redzone is detected.
 * Where the driver fills the redzone, the pattern is one byte.
 */
#include "shim/guard/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cupti/base/pages.h"
#include "shim/backend/backend_driver.h"
#include "shim/backend/scope.h"
#include "shim/context/capture.h"
#include "shim/resolve/real.h"

/* A fill takes microseconds; a busy device is polled less often. */
#define FILL_SPINS    16
#define FILL_PAUSE_NS 20000
#define FINISH_ROUNDS 2500 /* of such pauses */

static const uint8_t pattern[FILL_PATTERN_MAX] = {0xc7, 0x1d, 0x8b, 0xf2, 0x36, 0xe9, 0x54, 0xad,
                                                  0x7a, 0xd3, 0x45, 0x9e, 0x61, 0xbc, 0x0f, 0x28};
static const uint8_t poison_pattern[1] = {POOL_POISON_BYTE};

atomic_bool guard_work;
static struct guard_device *devices; /* guarded by guard_lock */

struct guard_device *guard_device_of(const struct context *context)
{
    struct guard_device *device = devices;

    while (device && device->context != context)
        device = device->next;
    return device;
}

struct guard_device *guard_device_first(void)
{
    return devices;
}

struct guard_device *guard_device_add(struct context *context)
{
    struct guard_device *device = pages_map(sizeof(*device));

    if (!device)
        return NULL;
    device->context = context;
    device->number = context->number;
    device->next = devices;
    devices = device;
    return device;
}

/* Stream, events and memory end with the context. */
void guard_device_forget(uint32_t number)
{
    struct guard_device **place = &devices;

    while (*place && (*place)->number != number)
        place = &(*place)->next;
    struct guard_device *device = *place;
    if (!device)
        return;
    *place = device->next;
    for (uint32_t at = 0; at < BATCHES_MAX; at++)
        if (device->batches[at].of)
            pages_unmap(device->batches[at].of, BATCH_BLOCKS * sizeof(struct guarded_block));
    pages_unmap(device, sizeof(*device));
}

void guard_devices_fork_child(void)
{
    devices = NULL;
}

/* ---- opening ---- */

static void *find(void *unused, const char *name)
{
    return real_driver_symbol(name);
}

static bool driver_find(struct guard_device *device)
{
    return !driver_table_fill(&device->driver, find, NULL);
}

/* Kernel arguments lie in host memory: the program keeps all device memory. */
static bool batch_prepare(struct guard_device *device, struct batch *batch)
{
    void *host = NULL, *staging = NULL;
    const struct driver_table *driver = &device->driver;

    if (batch->host)
        return true;
    batch->of = pages_map(BATCH_BLOCKS * sizeof(struct guarded_block));
    if (batch->of && driver->event_create(&batch->event, CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS &&
        driver->host_allocate(&host, sizeof(*batch->host), 0) == CUDA_SUCCESS &&
        (device->has_kernels ||
         driver->host_allocate(&staging, BATCH_RANGES * STAGING_BYTES, 0) == CUDA_SUCCESS)) {
        batch->host = host;
        batch->staging = staging;
        return true;
    }
    if (host)
        driver->host_free(host);
    if (batch->event)
        driver->event_destroy(batch->event);
    if (batch->of)
        pages_unmap(batch->of, BATCH_BLOCKS * sizeof(struct guarded_block));
    batch->event = NULL;
    batch->of = NULL;
    return false;
}

/* Tests whether the kernels work: the canary must be found. */
static bool kernels_work(struct guard_device *device)
{
    struct batch *batch = guard_batch_open(device, false);

    if (!batch)
        return false;
    bool works = guard_batch_run_now(device, batch);
    batch->state = BATCH_UNUSED;
    return works;
}

static void batches_drop(struct guard_device *device)
{
    struct batch *batch = &device->batches[0];

    if (batch->host)
        device->driver.host_free(batch->host);
    if (batch->event)
        device->driver.event_destroy(batch->event);
    if (batch->of)
        pages_unmap(batch->of, BATCH_BLOCKS * sizeof(struct guarded_block));
    *batch = (struct batch){0};
}

static void open_now(struct guard_device *device)
{
    const struct driver_table *driver = &device->driver;

    if (!driver_find(device) ||
        driver->stream_create(&device->stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS ||
        driver->stream_create(&device->now_stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS ||
        driver->event_create(&device->fill_event, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS)
        return;
    device->open = true;
    device->has_kernels = kernel_set_load(&device->driver, &device->kernels) == 0;
    if (device->has_kernels && !kernels_work(device)) {
        batches_drop(device);
        kernel_set_unload(&device->driver, &device->kernels);
        device->has_kernels = false;
    }
}

bool guard_device_ready(struct guard_device *device)
{
    struct scope scope;

    if (device->tried || capture_is_active())
        return device->open;
    if (scope_enter(&scope, device->context) < 0)
        return false;
    device->tried = true;
    open_now(device);
    scope_leave(&scope);
    return device->open;
}

/* ---- ranges ---- */

static size_t zone_bytes(const struct guard_device *device, size_t bytes)
{
    size_t most = device->has_kernels ? ZONE_MAX : STAGING_BYTES;

    return bytes < most ? bytes : most;
}

size_t guard_front_bytes(const struct guard_device *device, const struct guarded_block *block)
{
    return zone_bytes(device, block->front_bytes);
}

size_t guard_rear_bytes(const struct guard_device *device, const struct guarded_block *block)
{
    return zone_bytes(device, block->allocated_bytes - block->front_bytes - block->requested_bytes);
}

uint8_t guard_pattern_byte(const struct guard_device *device, bool poison, uint64_t offset)
{
    if (poison)
        return POOL_POISON_BYTE;
    return device->has_kernels ? pattern[offset % FILL_PATTERN_MAX] : pattern[0];
}

static void range_of(const struct guard_device *device, struct fill_range *ret_range,
                     uint64_t address, size_t bytes)
{
    (void)fill_range_init(ret_range, address, bytes, pattern,
                          device->has_kernels ? FILL_PATTERN_MAX : 1);
}

static void zones_of(const struct guard_device *device, const struct guarded_block *block,
                     struct fill_range ret_ranges[2])
{
    size_t front = guard_front_bytes(device, block);

    range_of(device, &ret_ranges[0], block->address - front, front);
    range_of(device, &ret_ranges[1], block->address + block->requested_bytes,
             guard_rear_bytes(device, block));
}

static bool zones_fill(struct guard_device *device, const struct fill_range zones[2])
{
    const struct driver_table *driver = &device->driver;

    if (device->has_kernels)
        return fill_launch_few(driver, &device->kernels, device->now_stream, zones, 2) == 0;
    for (int at = 0; at < 2; at++)
        if (zones[at].bytes && driver->fill_async(zones[at].address, pattern[0], zones[at].bytes,
                                                  device->now_stream) != CUDA_SUCCESS)
            return false;
    return true;
}

/* A write that came before the redzone was filled would not be detected. */
static void fill_wait(struct guard_device *device)
{
    struct timespec begin, now;
    long most_ns = device->late ? FILL_WAIT_BUSY_NS : FILL_WAIT_NS, waited_ns = 0;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int round = 0; waited_ns < most_ns; round++) {
        if (device->driver.stream_query(device->now_stream) != CUDA_ERROR_NOT_READY)
            break;
        if (round >= FILL_SPINS)
            nanosleep(&(struct timespec){.tv_nsec = FILL_PAUSE_NS}, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        waited_ns = (now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec;
    }
    device->late = waited_ns >= most_ns;
}

bool guard_device_fill(struct guard_device *device, const struct guarded_block *block)
{
    struct fill_range zones[2];
    struct scope scope;

    if (!guard_device_ready(device) || scope_enter(&scope, device->context) < 0)
        return false;
    zones_of(device, block, zones);
    bool filled = zones_fill(device, zones);
    if (filled)
        fill_wait(device);
    scope_leave(&scope);
    return filled;
}

/* ---- batches ---- */

static struct batch *batch_unused(struct guard_device *device)
{
    for (uint32_t at = 0; at < BATCHES_MAX; at++)
        if (device->batches[at].state == BATCH_UNUSED)
            return &device->batches[at];
    return NULL;
}

struct batch *guard_batch_open(struct guard_device *device, bool poison)
{
    struct scope scope;
    struct batch *batch = batch_unused(device);

    if (!batch || !device->open || scope_enter(&scope, device->context) < 0)
        return NULL;
    bool prepared = batch_prepare(device, batch);
    scope_leave(&scope);
    if (!prepared)
        return NULL;
    batch->state = BATCH_OPEN;
    batch->blocks = 0;
    batch->poison = poison;
    batch->failed = false;
    batch->sealed = false;
    batch->of_device = device;
    return batch;
}

uint32_t guard_batch_ranges(const struct batch *batch)
{
    return batch->poison ? batch->blocks : 2 * batch->blocks;
}

void guard_batch_add(struct batch *batch, const struct guarded_block *block)
{
    struct fill_range *range = &batch->host->ranges[guard_batch_ranges(batch)];

    if (batch->poison)
        (void)fill_range_init(range, guarded_begin(block), block->allocated_bytes, poison_pattern,
                              1);
    else
        zones_of(batch->of_device, block, range);
    batch->of[batch->blocks++] = *block;
}

uint32_t guard_batch_withdraw(struct batch *batch, uint64_t address, size_t bytes)
{
    const uint32_t ranges = batch->poison ? 1 : 2;
    uint32_t before = batch->blocks;

    for (uint32_t at = batch->blocks; at-- > 0;) {
        if (batch->of[at].address - address >= bytes)
            continue;
        uint32_t last = --batch->blocks;
        batch->of[at] = batch->of[last];
        memmove(&batch->host->ranges[at * ranges], &batch->host->ranges[last * ranges],
                ranges * sizeof(struct fill_range));
    }
    return before - batch->blocks;
}

/* Behind the redzones that are being filled. */
static bool fills_order(struct guard_device *device)
{
    const struct driver_table *driver = &device->driver;

    return driver->event_record(device->fill_event, device->now_stream) == CUDA_SUCCESS &&
           driver->stream_wait_event(device->stream, device->fill_event, 0) == CUDA_SUCCESS;
}

static CUresult batch_launch(struct guard_device *device, struct batch *batch, CUstream stream)
{
    struct batch_memory *host = batch->host;
    uint32_t ranges = guard_batch_ranges(batch);

    memset(host->canary, 0, sizeof(host->canary));
    range_of(device, &host->ranges[ranges], (uint64_t)(uintptr_t)host->canary,
             sizeof(host->canary));
    for (uint32_t at = 0; at <= ranges; at++)
        host->mismatches[at] = FILL_MATCHES;
    uint64_t tiles = fill_layout(host->ranges, ranges + 1);
    return verify_launch(&device->driver, &device->kernels, stream,
                         (uint64_t)(uintptr_t)host->ranges, (uint64_t)(uintptr_t)host->mismatches,
                         ranges + 1, tiles) == 0
               ? CUDA_SUCCESS
               : CUDA_ERROR_UNKNOWN;
}

/* Bytes of a range that the driver copies, at most. */
static size_t staging_bytes(const struct batch *batch)
{
    return batch->poison ? BATCH_RANGES * STAGING_BYTES : STAGING_BYTES;
}

static CUresult batch_copy(struct guard_device *device, struct batch *batch, CUstream stream)
{
    CUresult result = CUDA_SUCCESS;
    size_t most = staging_bytes(batch);

    for (uint32_t at = 0; at < guard_batch_ranges(batch) && result == CUDA_SUCCESS; at++) {
        const struct fill_range *range = &batch->host->ranges[at];

        if (range->bytes == 0)
            continue;
        result = device->driver.copy_async((CUdeviceptr)(uintptr_t)(batch->staging + at * most),
                                           range->address,
                                           range->bytes < most ? range->bytes : most, stream);
    }
    return result;
}

/* The open batch joins no more blocks. */
static void batch_begin(struct guard_device *device, struct batch *batch, uint64_t number)
{
    batch->number = number;
    batch->state = BATCH_RUNNING;
    if (device->open_batch == batch)
        device->open_batch = NULL;
}

static CUresult batch_enqueue(struct guard_device *device, struct batch *batch, CUstream stream)
{
    return device->has_kernels ? batch_launch(device, batch, stream)
                               : batch_copy(device, batch, stream);
}

void guard_batch_run(struct guard_device *device, struct batch *batch, pool_fence fence)
{
    struct scope scope;
    CUresult result = CUDA_ERROR_UNKNOWN;

    batch_begin(device, batch, ++device->last_number);
    if (scope_enter(&scope, device->context) == 0) {
        if (fills_order(device) && backend_driver_fence_order(fence, device->stream))
            result = batch_enqueue(device, batch, device->stream);
        if (result == CUDA_SUCCESS)
            result = device->driver.event_record(batch->event, device->stream);
        scope_leave(&scope);
    }
    batch->failed = result != CUDA_SUCCESS;
}

static bool canary_died(const struct batch *batch)
{
    uint32_t ranges = guard_batch_ranges(batch);

    return batch->host->mismatches[ranges] == 0; /* at offset 0, a zero was found */
}

static void batch_end(struct guard_device *device, struct batch *batch, bool failed)
{
    batch->failed = failed || (device->has_kernels && !canary_died(batch));
    batch->state = BATCH_DONE;
    atomic_store_explicit(&guard_work, true, memory_order_relaxed);
    if (device->done_number < batch->number)
        device->done_number = batch->number;
}

static struct batch *batch_running_oldest(struct guard_device *device)
{
    struct batch *oldest = NULL;

    for (uint32_t at = 0; at < BATCHES_MAX; at++) {
        struct batch *batch = &device->batches[at];

        if (batch->state == BATCH_RUNNING && batch->number &&
            (!oldest || batch->number < oldest->number))
            oldest = batch;
    }
    return oldest;
}

/* A batch that was never enqueued is done, and so is one in a broken context. */
static bool batch_query(struct guard_device *device, struct batch *batch)
{
    CUresult result = batch->failed ? CUDA_ERROR_UNKNOWN : device->driver.event_query(batch->event);

    if (result == CUDA_ERROR_NOT_READY || result == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED ||
        result == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)
        return false;
    batch_end(device, batch, result != CUDA_SUCCESS);
    return true;
}

bool guard_device_poll(struct guard_device *device, uint64_t number)
{
    struct scope scope;

    if (device->done_number >= number)
        return true;
    if (scope_enter(&scope, device->context) < 0)
        return true; /* nothing is left to wait for */
    struct batch *batch = batch_running_oldest(device);
    while (batch && batch->number <= number && batch_query(device, batch))
        batch = batch_running_oldest(device);
    scope_leave(&scope);
    return device->done_number >= number;
}

bool guard_batch_run_now(struct guard_device *device, struct batch *batch)
{
    struct scope scope;
    bool done = false;

    batch_begin(device, batch, 0);
    if (scope_enter(&scope, device->context) == 0) {
        done = batch_enqueue(device, batch, device->now_stream) == CUDA_SUCCESS &&
               device->driver.stream_wait(device->now_stream) == CUDA_SUCCESS;
        scope_leave(&scope);
    }
    batch_end(device, batch, !done);
    return !batch->failed;
}

bool guard_device_finish(struct guard_device *device)
{
    for (int round = 0; round < FINISH_ROUNDS; round++) {
        if (guard_device_poll(device, device->last_number))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = FILL_PAUSE_NS}, NULL);
    }
    return false;
}

static uint64_t staging_compare(const struct batch *batch, uint32_t range)
{
    size_t most = staging_bytes(batch);
    const uint8_t *found = batch->staging + range * most;
    uint64_t bytes = batch->host->ranges[range].bytes;

    for (uint64_t at = 0; at < bytes && at < most; at++)
        if (found[at] != guard_pattern_byte(batch->of_device, batch->poison, at))
            return at << 8 | found[at];
    return FILL_MATCHES;
}

uint64_t guard_batch_result(const struct batch *batch, uint32_t range)
{
    return batch->staging ? staging_compare(batch, range) : batch->host->mismatches[range];
}
