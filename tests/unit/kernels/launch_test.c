/* SPDX-License-Identifier: MIT */
/*
 * The launchers through the driver, as the engine and the guards use them: the image is loaded into
 * a context, ranges and fragments lie in device memory, and the results are compared. On the
 * simulated device the kernels run by their host twins; on hardware the image itself runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/copy/copy.h"
#include "kernels/fill/fill.h"
#include "tests/check.h"

#define BLOCKS 600u
#define BYTES  (1u << 20)

static const struct driver_table *driver;
static struct kernel_set kernels;
static CUstream stream;

static CUdeviceptr device_make(size_t bytes, const void *from)
{
    CUdeviceptr made;

    CHECK(driver->memory_allocate(&made, bytes) == CUDA_SUCCESS);
    if (from)
        CHECK(driver->copy_async(made, (CUdeviceptr)(uintptr_t)from, bytes, stream) ==
              CUDA_SUCCESS);
    return made;
}

static void device_read(void *to, CUdeviceptr from, size_t bytes)
{
    CHECK(driver->copy_async((CUdeviceptr)(uintptr_t)to, from, bytes, stream) == CUDA_SUCCESS);
    CHECK(driver->stream_wait(stream) == CUDA_SUCCESS);
}

static void fills_and_verifies(void)
{
    static struct fill_range ranges[BLOCKS];
    static uint64_t mismatches[BLOCKS];
    static uint8_t memory[BYTES];
    static const uint8_t pattern[3] = {1, 2, 3};
    CUdeviceptr device = device_make(BYTES, memory);

    for (uint32_t at = 0; at < BLOCKS; at++) {
        CHECK(fill_range_init(&ranges[at], device + at * 1700 + at % 16, at * 2, pattern, 3) == 0);
        mismatches[at] = FILL_MATCHES;
    }
    uint64_t tiles = fill_layout(ranges, BLOCKS);
    CUdeviceptr list = device_make(sizeof(ranges), ranges);
    CUdeviceptr found = device_make(sizeof(mismatches), mismatches);
    CHECK(fill_launch(driver, &kernels, stream, list, BLOCKS, tiles) == 0);
    device_read(memory, device, BYTES);
    for (uint32_t at = 0; at < BLOCKS; at++)
        for (uint32_t byte = 0; byte < at * 2; byte++)
            CHECK(memory[at * 1700 + at % 16 + byte] == pattern[byte % 3]);
    CHECK(driver->fill_async(device + 599 * 1700 + 599 % 16 + 1000, 77, 1, stream) == CUDA_SUCCESS);
    CHECK(verify_launch(driver, &kernels, stream, list, found, BLOCKS, tiles) == 0);
    device_read(mismatches, found, sizeof(mismatches));
    for (uint32_t at = 0; at + 1 < BLOCKS; at++)
        CHECK(mismatches[at] == FILL_MATCHES);
    CHECK(fill_mismatch_offset(mismatches[599]) == 1000);
    CHECK(fill_mismatch_value(mismatches[599]) == 77);
    CHECK(fill_launch_few(driver, &kernels, stream, &ranges[599], 1) == 0);
    CHECK(fill_launch_few(driver, &kernels, stream, ranges, FILL_FEW + 1) == -EINVAL);
    mismatches[599] = FILL_MATCHES;
    found = device_make(sizeof(mismatches), mismatches);
    CHECK(verify_launch(driver, &kernels, stream, list, found, BLOCKS, tiles) == 0);
    device_read(mismatches, found, sizeof(mismatches));
    CHECK(mismatches[599] == FILL_MATCHES);
}

static void gathers_and_scatters(void)
{
    static struct copy_piece pieces[BLOCKS];
    static struct copy_fragment fragments[BLOCKS];
    static uint8_t memory[BYTES], packed[BYTES], again[BYTES];

    for (uint32_t at = 0; at < BYTES; at++)
        memory[at] = (uint8_t)(at * 31 >> 3);
    CUdeviceptr device = device_make(BYTES, memory), into = device_make(BYTES, packed);
    uint32_t total = 0;
    for (uint32_t at = 0; at < BLOCKS; at++) {
        pieces[at] = (struct copy_piece){device + at * 1700 + at % 16, at * 2};
        total += at * 2;
    }
    uint64_t tiles = copy_gather(pieces, BLOCKS, into, fragments);
    CUdeviceptr list = device_make(sizeof(fragments), fragments);
    CHECK(copy_launch(driver, &kernels, stream, list, BLOCKS, tiles) == 0);
    device_read(packed, into, total);
    for (uint32_t at = 0, place = 0; at < BLOCKS; place += at * 2, at++)
        CHECK(memcmp(packed + place, memory + at * 1700 + at % 16, at * 2) == 0);
    CHECK(driver->fill_async(device, 0, BYTES, stream) == CUDA_SUCCESS);
    CHECK(copy_scatter(into, pieces, BLOCKS, fragments) == tiles);
    CHECK(copy_by_driver(driver, stream, fragments, BLOCKS) == 0);
    device_read(again, device, BYTES);
    for (uint32_t at = 0; at < BLOCKS; at++)
        CHECK(memcmp(again + at * 1700 + at % 16, memory + at * 1700 + at % 16, at * 2) == 0);
}

int main(void)
{
    const char *missing;
    CUcontext context;
    CUdevice device;

    if (driver_open(&driver, &missing) < 0) {
        printf("skip: no driver\n");
        return 77;
    }
    CHECK(driver->init(0) == CUDA_SUCCESS);
    CHECK(driver->device_get(&device, 0) == CUDA_SUCCESS);
    CHECK(driver->primary_retain(&context, device) == CUDA_SUCCESS);
    CHECK(driver->context_push(context) == CUDA_SUCCESS);
    CHECK(driver->stream_create(&stream, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
    int error = kernel_set_load(driver, &kernels);
    if (kernel_image_bytes == 0) {
        CHECK(error == -ENOTSUP);
        printf("skip: built without nvcc, there is no device code\n");
        return 77;
    }
    CHECK(error == 0);
    fills_and_verifies();
    gathers_and_scatters();
    kernel_set_unload(driver, &kernels);
    kernel_set_unload(driver, &kernels); /* nothing is left to unload */
    return 0;
}
