/* SPDX-License-Identifier: MIT */
/*
 * Tensors and transfers beside what else a process does with its GPUs: captures, other contexts, a
 * second device, a driver of CUDA 12.8, a calibration kept for the next run. Links the library's
 * inner functions; needs a device, real or simulated. Its argument is a folder to keep the
 * calibration in; without one it makes one and removes it.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/device.h"
#include "include/cupool/memory.h"
#include "include/cupool/tensor.h"
#include "include/cupool/transfer.h"
#include "tests/check.h"

#define BYTES 65536u

static struct cupool_device *device;
static void *library;

#define DRIVER(name, type) ((type)dlsym(library, name))

typedef CUresult (*begin_call)(CUstream stream, CUstreamCaptureMode mode);
typedef CUresult (*end_call)(CUstream stream, CUgraph *graph);
typedef CUresult (*context_call)(CUcontext *context, unsigned flags, CUdevice device);
typedef CUresult (*context_end_call)(CUcontext context);
typedef CUresult (*device_count_call)(int *count);
typedef CUresult (*host_call)(CUstream stream, CUhostFn function, void *state);

static CUstream capture_begin(void)
{
    cupool_stream stream;

    CHECK(cupool_device_stream_create(device, &stream) == 0);
    CHECK(device_enter(device) == 0);
    CHECK(DRIVER("cuStreamBeginCapture_v2", begin_call)(stream, CU_STREAM_CAPTURE_MODE_GLOBAL) ==
          CUDA_SUCCESS);
    device_leave(device);
    return stream;
}

/* A capture that something broke cannot be ended well. */
static void capture_end(CUstream stream)
{
    CUgraph graph = NULL;

    CHECK(device_enter(device) == 0);
    CHECK(DRIVER("cuStreamEndCapture", end_call)(stream, &graph) == CUDA_SUCCESS);
    device_leave(device);
    CHECK(graph);
    CHECK(cupool_device_stream_destroy(device, stream) == 0);
}

static void transfers_beside_a_capture(void)
{
    struct cupool_transfer_options options;
    struct cupool_transfers *transfers;
    static uint8_t bytes[BYTES];
    cupool_transfer transfer;
    void *on_device, *pinned;

    CUstream captured = capture_begin();
    memset(bytes, 9, sizeof(bytes));
    CHECK(cupool_transfers_create(device, NULL, &transfers) == 0);
    CHECK(cupool_memory_allocate(device, BYTES, CUPOOL_STREAM_NONE, &on_device) == 0);
    CHECK(cupool_host_allocate(device, BYTES, NULL, &pinned) == 0);
    const struct cupool_copy copy = {on_device, bytes, BYTES};
    const struct cupool_copy back = {pinned, on_device, BYTES};
    cupool_transfer_options_init(&options);
    options.after_stream = captured;
    CHECK(cupool_transfers_submit(transfers, CUPOOL_TO_DEVICE, &copy, 1, &options, &transfer) ==
          -EBUSY);
    CHECK(strstr(cupool_transfers_error(transfers), "captured") != NULL);
    CHECK(cupool_transfers_submit(transfers, CUPOOL_TO_DEVICE, &copy, 1, NULL, &transfer) == 0);
    CHECK(cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER) == 0);
    CHECK(cupool_transfers_submit(transfers, CUPOOL_FROM_DEVICE, &back, 1, NULL, &transfer) == 0);
    CHECK(cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER) == 0);
    CHECK(memcmp(pinned, bytes, BYTES) == 0);
    CHECK(cupool_host_free(device, pinned) == 0);
    cupool_transfers_destroy(transfers);
    capture_end(captured);
    CHECK(cupool_memory_free(device, on_device, CUPOOL_STREAM_NONE) == 0);
}

#define LARGE ((size_t)96 << 20)

static void large_allocate(cupool_stream stream, void **ret_block)
{
    CHECK(cupool_memory_allocate(device, LARGE, stream, ret_block) == 0);
}

/* Frees a block that is more than streams may keep, a quarter of the peak. */
static void large_free(void *block, cupool_stream stream)
{
    struct cupool_memory_statistics stats;

    CHECK(cupool_memory_stats(device, &stats) == 0);
    CHECK(stats.peak_bytes / 4 < LARGE);
    CHECK(cupool_memory_free(device, block, stream) == 0);
}

/* Fences of frees, and what is asked of them, must not break a capture. */
static void memory_beside_a_capture(void)
{
    void *blocks[3], *again;
    cupool_stream one;
    size_t returned;

    CHECK(cupool_device_stream_create(device, &one) == 0);
    for (unsigned at = 0; at < 3; at++)
        large_allocate(one, &blocks[at]);
    large_free(blocks[0], CUPOOL_STREAM_NONE);
    CUstream captured = capture_begin();
    large_free(blocks[1], one);
    for (unsigned at = 0; at < 2; at++)
        large_allocate(CUPOOL_STREAM_NONE, &blocks[at]);
    large_free(blocks[0], CUPOOL_STREAM_NONE);
    large_allocate(CUPOOL_STREAM_NONE, &blocks[0]);
    /* What a captured stream frees is its own, however much it is. */
    large_free(blocks[2], captured);
    CHECK(cupool_memory_free(device, blocks[2], captured) < 0);
    large_allocate(one, &again);
    CHECK(again != blocks[2] || device->preloaded);
    large_allocate(captured, &blocks[2]);
    capture_end(captured);
    for (unsigned at = 0; at < 3; at++)
        CHECK(cupool_memory_free(device, blocks[at], CUPOOL_STREAM_NONE) == 0);
    CHECK(cupool_memory_free(device, again, CUPOOL_STREAM_NONE) == 0);
    CHECK(cupool_memory_check(device, (char[160]){""}, 160) == 0);
    CHECK(cupool_memory_trim(device, 0, &returned) == 0);
    CHECK(cupool_device_stream_destroy(device, one) == 0);
}

/* Bounded, so that a check that fails ends the program. */
static void wait_for_leave(void *state)
{
    for (unsigned at = 0; at < 50000 && !atomic_load((atomic_bool *)state); at++)
        usleep(100);
}

/* A block waits for the work that its stream had at the free, and for nothing else. Under the
 * preload memory is the driver's, whose free waits itself. */
static void memory_waits_for_its_stream(void)
{
    atomic_bool leave = false, busy_leave = false;
    cupool_stream one, two, busy;
    void *block, *again;
    size_t returned;

    if (device->preloaded)
        return;
    CHECK(cupool_device_stream_create(device, &one) == 0);
    CHECK(cupool_device_stream_create(device, &two) == 0);
    CHECK(cupool_device_stream_create(device, &busy) == 0);
    CHECK(cupool_memory_trim(device, 0, NULL) == 0);
    large_allocate(one, &block);
    CHECK(device_enter(device) == 0);
    CHECK(DRIVER("cuLaunchHostFunc", host_call)(one, wait_for_leave, &leave) == CUDA_SUCCESS);
    CHECK(DRIVER("cuLaunchHostFunc", host_call)(busy, wait_for_leave, &busy_leave) == CUDA_SUCCESS);
    device_leave(device);
    large_free(block, one);
    large_allocate(two, &again);
    CHECK(again != block);
    large_free(again, CUPOOL_STREAM_NONE);
    atomic_store(&leave, true);
    CHECK(cupool_device_wait(device, one) == 0);
    CHECK(cupool_memory_trim(device, 0, &returned) == 0); /* does not wait for `busy` */
    CHECK(returned == 2 * LARGE);
    atomic_store(&busy_leave, true);
    CHECK(cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0);
    CHECK(cupool_memory_trim(device, 0, NULL) == 0);
    CHECK(cupool_device_stream_destroy(device, one) == 0);
    CHECK(cupool_device_stream_destroy(device, two) == 0);
    CHECK(cupool_device_stream_destroy(device, busy) == 0);
}

static void tensors_beside_a_capture(void)
{
    const struct cupool_tensor_shape shape = {
        .rank = 1, .type = CUPOOL_TENSOR_F32, .dimensions = {4096}};
    struct cupool_tensors_config config;
    struct cupool_tensors *cache;
    cupool_tensor tensors[2];
    cupool_stream one, two;
    void *memory;

    cupool_tensors_config_init(&config);
    config.devices = &device;
    config.device_count = 1;
    CHECK(cupool_tensors_create(&config, &cache) == 0);
    CHECK(cupool_device_stream_create(device, &one) == 0);
    CHECK(cupool_device_stream_create(device, &two) == 0);
    for (unsigned at = 0; at < 2; at++)
        CHECK(cupool_tensors_acquire(cache, &shape, one, CUPOOL_TENSOR_EXACT, &tensors[at],
                                     &memory) == 0);
    CHECK(cupool_tensors_release(cache, tensors[0], two) == 0);
    CUstream captured = capture_begin();
    CHECK(cupool_tensors_release(cache, tensors[1], captured) == -EBUSY);
    CHECK(cupool_tensors_acquire(cache, &shape, one, CUPOOL_TENSOR_EXACT, &tensors[0], &memory) ==
          0);
    cupool_tensor fresh;
    CHECK(cupool_tensors_acquire(cache, &shape, two, CUPOOL_TENSOR_EXACT, &fresh, &memory) == 0);
    capture_end(captured);
    CHECK(cupool_tensors_release(cache, fresh, two) == 0);
    CHECK(cupool_tensors_release(cache, tensors[0], one) == 0);
    CHECK(cupool_tensors_release(cache, tensors[1], one) == 0);
    cupool_tensors_destroy(cache);
    CHECK(cupool_device_stream_destroy(device, one) == 0);
    CHECK(cupool_device_stream_destroy(device, two) == 0);
}

static void foreign_is_refused(struct cupool_transfers *transfers, CUdeviceptr address)
{
    static uint8_t bytes[16];
    void *memory = (void *)(uintptr_t)address;
    const struct cupool_copy to = {memory, bytes, 16}, from = {bytes, memory, 16};
    cupool_transfer transfer;

    CHECK(cupool_transfers_submit(transfers, CUPOOL_TO_DEVICE, &to, 1, NULL, &transfer) == -EXDEV);
    CHECK(cupool_transfers_submit(transfers, CUPOOL_FROM_DEVICE, &from, 1, NULL, &transfer) ==
          -EXDEV);
    CHECK(strstr(cupool_transfers_error(transfers), "context") != NULL);
    CHECK(cupool_transfers_ensure(transfers, memory, 16, CUPOOL_STREAM_NONE, &memory, &transfer) ==
          -EXDEV);
}

static void memory_of_another_context(struct cupool_transfers *transfers)
{
    CUcontext context;
    CUdeviceptr address = 0;

    CHECK(DRIVER("cuCtxCreate_v2", context_call)(&context, 0, device->device) == CUDA_SUCCESS);
    CHECK(device->driver->memory_allocate(&address, BYTES) == CUDA_SUCCESS);
    device->driver->context_pop(&context);
    foreign_is_refused(transfers, address);
    CHECK(DRIVER("cuCtxDestroy_v2", context_end_call)(context) == CUDA_SUCCESS);
}

static void two_devices(struct cupool_transfers *transfers)
{
    const struct cupool_tensor_shape shapes[2] = {
        {.rank = 1, .type = CUPOOL_TENSOR_F32, .dimensions = {4096}, .device = 0},
        {.rank = 1, .type = CUPOOL_TENSOR_F32, .dimensions = {4096}, .device = 1}};
    struct cupool_tensors_config config;
    struct cupool_tensors_statistics stats;
    struct cupool_device *devices[2] = {device};
    struct cupool_tensors *cache;
    cupool_tensor tensors[2];
    void *memory[2];
    int count = 0;

    CHECK(DRIVER("cuDeviceGetCount", device_count_call)(&count) == CUDA_SUCCESS);
    if (count < 2)
        return;
    CHECK(cupool_device_open(1, &devices[1]) == 0);
    cupool_tensors_config_init(&config);
    config.devices = devices;
    config.device_count = 2;
    CHECK(cupool_tensors_create(&config, &cache) == 0);
    for (unsigned at = 0; at < 2; at++)
        CHECK(cupool_tensors_acquire(cache, &shapes[at], CUPOOL_STREAM_NONE, CUPOOL_TENSOR_EXACT,
                                     &tensors[at], &memory[at]) == 0);
    foreign_is_refused(transfers, (uintptr_t)memory[1]);
    for (unsigned at = 0; at < 2; at++)
        CHECK(cupool_tensors_release(cache, tensors[at], CUPOOL_STREAM_NONE) == 0);
    CHECK(cupool_tensors_trim(cache, 1, 0, NULL) == 0);
    CHECK(cupool_tensors_stats(cache, 0, &stats) == 0 && stats.cached == 1);
    cupool_tensors_destroy(cache);
    cupool_device_close(devices[1]);
}

/* Twelve copies beside each other's gaps, by the batched call that there is. */
static void batched(void)
{
    static const struct cupool_transfer_thresholds thresholds = {0, 16, 2};
    static uint8_t bytes[BYTES];
    struct cupool_transfers_config config;
    struct cupool_transfer_statistics stats;
    struct cupool_transfers *transfers;
    struct cupool_copy copies[12];
    cupool_transfer transfer;
    void *on_device, *pinned;

    cupool_transfers_config_init(&config);
    config.thresholds = &thresholds;
    CHECK(cupool_transfers_create(device, &config, &transfers) == 0);
    CHECK(cupool_memory_allocate(device, BYTES, CUPOOL_STREAM_NONE, &on_device) == 0);
    CHECK(cupool_device_host_allocate(device, BYTES, &pinned) == 0);
    for (unsigned at = 0; at < BYTES; at++)
        ((uint8_t *)pinned)[at] = (uint8_t)(at * 7 >> 3);
    for (unsigned at = 0; at < 12; at++)
        copies[at] = (struct cupool_copy){(uint8_t *)on_device + at * 5000,
                                          (uint8_t *)pinned + at * 5001, 4000};
    CHECK(cupool_transfers_submit(transfers, CUPOOL_TO_DEVICE, copies, 12, NULL, &transfer) == 0);
    CHECK(cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER) == 0);
    CHECK(cupool_device_copy(device, bytes, on_device, BYTES, CUPOOL_STREAM_NONE) == 0);
    for (unsigned at = 0; at < 12; at++)
        CHECK(memcmp(bytes + at * 5000, copies[at].from, 4000) == 0);
    CHECK(cupool_transfers_stats(transfers, CUPOOL_TO_DEVICE, &stats) == 0);
    CHECK(stats.batches == 1 && stats.descriptors == 12 && stats.copies == 0);
    cupool_transfers_destroy(transfers);
    CHECK(cupool_device_host_free(device, pinned) == 0);
    CHECK(cupool_memory_free(device, on_device, CUPOOL_STREAM_NONE) == 0);
}

static void drivers_of_both_kinds(void)
{
    const struct driver_table *real = device->driver;
    struct driver_table older = *real;

    if (real->copy_batch)
        batched();
    older.copy_batch = NULL;
    device->driver = &older;
    if (real->copy_batch_12)
        batched();
    device->driver = real;
}

static void calibration_is_kept(const char *folder)
{
    struct cupool_transfer_thresholds measured, found, standard;
    struct cupool_transfers_config config;
    struct cupool_transfers *transfers;

    cupool_transfers_config_init(&config);
    config.folder = folder;
    CHECK(cupool_transfers_create(device, &config, &transfers) == 0);
    CHECK(cupool_transfers_thresholds(transfers, &standard) == 0);
    CHECK(standard.kernel_below == 28 << 10 && standard.kernel_from == 16);
    CHECK(standard.batch_from == 4);
    CHECK(cupool_transfers_calibrate(transfers, 1, &measured) == 0);
    CHECK(measured.kernel_below <= 128 << 10 && measured.kernel_from <= 64);
    cupool_transfers_destroy(transfers);
    CHECK(cupool_transfers_create(device, &config, &transfers) == 0);
    CHECK(cupool_transfers_thresholds(transfers, &found) == 0);
    CHECK(memcmp(&found, &measured, sizeof(found)) == 0);
    CHECK(cupool_transfers_calibrate(transfers, 0, NULL) == 0);
    cupool_transfers_destroy(transfers);
}

static void calibration_goes(void)
{
    char parent[] = "/tmp/cupool-calibration-XXXXXX", folder[64], path[400];
    const struct dirent *entry;

    CHECK(mkdtemp(parent));
    snprintf(folder, sizeof(folder), "%s/cupool", parent);
    calibration_is_kept(folder);
    DIR *opened = opendir(folder);
    CHECK(opened);
    while ((entry = readdir(opened)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(opened);
    CHECK(rmdir(folder) == 0 && rmdir(parent) == 0);
}

int main(int argc, char **argv)
{
    struct cupool_transfers *transfers;
    int error = cupool_device_open(0, &device);

    if (error < 0) {
        fprintf(stderr, "no device: %d\n", error);
        return error == -ENOENT || error == -ENODEV ? 77 : 1;
    }
    library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    CHECK(library);
    transfers_beside_a_capture();
    memory_waits_for_its_stream();
    memory_beside_a_capture();
    tensors_beside_a_capture();
    CHECK(cupool_transfers_create(device, NULL, &transfers) == 0);
    memory_of_another_context(transfers);
    two_devices(transfers);
    cupool_transfers_destroy(transfers);
    drivers_of_both_kinds();
    if (argc > 1)
        calibration_is_kept(argv[1]);
    else
        calibration_goes();
    struct cupool_device_statistics stats;
    CHECK(cupool_memory_trim(device, 0, NULL) == 0);
    CHECK(cupool_device_stats(device, &stats) == 0);
    CHECK(stats.current_bytes == 0);
    cupool_device_close(device);
    printf("ok\n");
    return 0;
}
