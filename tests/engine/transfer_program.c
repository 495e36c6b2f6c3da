/* SPDX-License-Identifier: MIT */
/*
 * Uses the tensor cache and transfers on a device as an engine does. Runs on any CUDA device, real
 * or simulated, bare or preloaded, and on host memory (--host); exits 0 and prints "ok" when
 * everything holds.
 *
 * With --faults every call of the library may fail: what succeeded must have the right content, and
 * at the end nothing may be left with the driver.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/cupool/memory.h"
#include "include/cupool/tensor.h"
#include "include/cupool/transfer.h"

#define KIB   ((size_t)1024)
#define BYTES (256 * KIB)
#define SMALL 64u

static struct cupool_device *device;
static int faults, host;

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,                    \
                    device ? cupool_device_error(device) : "");                                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* A call that succeeds, or fails because of a fault. */
#define WORKS(call) works(call, #call, __LINE__)

static int works(int error, const char *call, int line)
{
    if (error < 0 && !faults) {
        fprintf(stderr, "%s:%d: %s: %d (%s)\n", __FILE__, line, call, error,
                device ? cupool_device_error(device) : "");
        exit(1);
    }
    return error >= 0;
}

static void fill(void *memory, size_t bytes, uint32_t seed)
{
    uint8_t *to = memory;

    for (size_t at = 0; at < bytes; at++) {
        seed = seed * 1664525 + 1013904223;
        to[at] = (uint8_t)(seed >> 24);
    }
}

/* Compares device memory with host memory, without the transfers. */
static int same(const void *on_device, const void *want, size_t bytes)
{
    static uint8_t read[BYTES];

    return cupool_device_copy(device, read, on_device, bytes, CUPOOL_STREAM_NONE) < 0
               ? faults
               : memcmp(read, want, bytes) == 0;
}

/* Ends a transfer; 1 if it ended well. */
static int ended(struct cupool_transfers *transfers, cupool_transfer transfer)
{
    int error = cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER);

    HOLDS(error == 0 || faults);
    return error == 0;
}

static void tensors_run(cupool_stream stream, cupool_stream other)
{
    struct cupool_tensors_config config;
    struct cupool_tensor_shape shape = {
        .rank = 3, .type = CUPOOL_TENSOR_F16, .dimensions = {1, 64, 128}};
    struct cupool_tensors_statistics stats;
    struct cupool_tensors *cache;
    cupool_tensor tensor;
    void *memory, *again;
    char why[160] = "";

    cupool_tensors_config_init(&config);
    config.devices = &device;
    config.device_count = 1;
    if (!WORKS(cupool_tensors_create(&config, &cache)))
        return;
    for (unsigned at = 0; at < 4; at++) {
        if (!WORKS(cupool_tensors_acquire(cache, &shape, stream, CUPOOL_TENSOR_EXACT, &tensor,
                                          &memory)))
            continue;
        WORKS(cupool_device_fill(device, memory, (uint8_t)at, 16 * KIB, stream));
        if (!WORKS(cupool_tensors_release(cache, tensor, at == 2 ? other : stream)))
            HOLDS(cupool_tensors_release(cache, tensor, stream) == 0 || faults);
    }
    if (!faults) {
        HOLDS(cupool_tensors_stats(cache, 0, &stats) == 0);
        HOLDS(stats.hits == 3 && stats.misses == 1 && stats.cached_bytes == 16 * KIB);
        /* Other shapes in an order; (64, 128) is not (128, 64). */
        struct cupool_tensor_shape turned = {
            .rank = 3, .type = CUPOOL_TENSOR_F16, .dimensions = {1, 128, 64}};
        HOLDS(cupool_tensors_acquire(cache, &turned, stream, CUPOOL_TENSOR_EXACT, &tensor,
                                     &again) == 0);
        HOLDS(again != memory);
        HOLDS(cupool_tensors_release(cache, tensor, stream) == 0);
        /* More than the device has: trimmed, repeated, refused. */
        turned.dimensions[0] = UINT64_C(1) << 30;
        HOLDS(cupool_tensors_acquire(cache, &turned, stream, CUPOOL_TENSOR_EXACT, &tensor,
                                     &again) == -ENOMEM);
        HOLDS(cupool_tensors_stats(cache, 0, &stats) == 0);
        HOLDS(stats.cached == 0 && stats.retries == 1 && stats.failures == 1);
    }
    WORKS(cupool_tensors_reserve(cache, &shape, CUPOOL_STREAM_NONE, 3));
    WORKS(cupool_tensors_trim(cache, 0, 0, NULL));
    HOLDS(cupool_tensors_check(cache, why, sizeof(why)) == 0);
    cupool_tensors_destroy(cache);
}

/** Memory of every kind, and copies over it. */
struct scene {
    struct cupool_transfers *transfers;
    uint8_t *on_device, *pinned, *pageable;
};

static void scene_large(struct scene *scene)
{
    const struct cupool_copy to = {scene->on_device, scene->pinned, BYTES};
    const struct cupool_copy from = {scene->pageable, scene->on_device, BYTES};
    cupool_transfer transfer;

    fill(scene->pinned, BYTES, 1);
    memset(scene->pageable, 0, BYTES);
    if (!WORKS(
            cupool_transfers_submit(scene->transfers, CUPOOL_TO_DEVICE, &to, 1, NULL, &transfer)) ||
        !ended(scene->transfers, transfer))
        return;
    HOLDS(same(scene->on_device, scene->pinned, BYTES));
    if (WORKS(cupool_transfers_submit(scene->transfers, CUPOOL_FROM_DEVICE, &from, 1, NULL,
                                      &transfer)) &&
        ended(scene->transfers, transfer))
        HOLDS(memcmp(scene->pageable, scene->pinned, BYTES) == 0);
}

/* Odd places and sizes; through pageable or page-locked memory there and back. */
static void scene_small(struct scene *scene, uint8_t *memory, cupool_stream stream)
{
    struct cupool_copy there[SMALL], back[SMALL];
    struct cupool_transfer_options options;
    cupool_transfer transfer;

    fill(memory, BYTES, 2);
    for (unsigned at = 0; at < SMALL; at++) {
        size_t bytes = at * 37 % 1990;

        there[at] = (struct cupool_copy){scene->on_device + at * 2048 + at % 16,
                                         memory + at * 2000 + at % 7, bytes};
        back[at] = (struct cupool_copy){memory + BYTES / 2 + at * 2000 + at % 5,
                                        scene->on_device + at * 2048 + at % 16, bytes};
    }
    cupool_transfer_options_init(&options);
    options.after_stream = stream;
    if (!WORKS(cupool_transfers_submit(scene->transfers, CUPOOL_TO_DEVICE, there, SMALL, &options,
                                       &transfer)) ||
        !ended(scene->transfers, transfer))
        return;
    for (unsigned at = 0; at < SMALL; at++)
        HOLDS(there[at].bytes == 0 || same(there[at].to, there[at].from, there[at].bytes));
    if (!WORKS(cupool_transfers_submit(scene->transfers, CUPOOL_FROM_DEVICE, back, SMALL, NULL,
                                       &transfer)) ||
        !ended(scene->transfers, transfer))
        return;
    for (unsigned at = 0; at < SMALL; at++)
        HOLDS(memcmp(back[at].to, there[at].from, back[at].bytes) == 0);
}

/* Each alignment of one side with each of the other, there and back, through each kind of memory.
 */
static void scene_alignments(struct scene *scene, uint8_t *memory, size_t bytes)
{
    static struct cupool_copy there[256], back[256];
    cupool_transfer transfer;

    fill(memory, BYTES, (uint32_t)bytes);
    for (unsigned at = 0; at < 256; at++) {
        there[at] = (struct cupool_copy){scene->on_device + at * 1024 + at / 16,
                                         memory + at * 480 + at % 16, bytes};
        back[at] = (struct cupool_copy){memory + BYTES / 2 + at * 480 + at / 16 % 7, there[at].to,
                                        bytes};
    }
    HOLDS(cupool_transfers_submit(scene->transfers, CUPOOL_TO_DEVICE, there, 256, NULL,
                                  &transfer) == 0);
    HOLDS(ended(scene->transfers, transfer));
    HOLDS(cupool_transfers_submit(scene->transfers, CUPOOL_FROM_DEVICE, back, 256, NULL,
                                  &transfer) == 0);
    HOLDS(ended(scene->transfers, transfer));
    for (unsigned at = 0; at < 256; at++)
        HOLDS(memcmp(back[at].to, there[at].from, bytes) == 0);
}

/* Memory registered in chunks: a copy must not span two of them, so it is cut there. */
static void scene_chunks(struct scene *scene)
{
    const struct cupool_host_options options = {.chunk_bytes = 64 * KIB};
    struct cupool_transfer_statistics before, after;
    cupool_transfer transfer;
    void *memory;

    if (!WORKS(cupool_host_allocate(device, BYTES, &options, &memory)))
        return;
    fill(memory, BYTES, 6);
    const struct cupool_copy copy = {scene->on_device, (uint8_t *)memory + 7, BYTES - 14};
    HOLDS(cupool_transfers_stats(scene->transfers, CUPOOL_TO_DEVICE, &before) == 0);
    if (WORKS(cupool_transfers_submit(scene->transfers, CUPOOL_TO_DEVICE, &copy, 1, NULL,
                                      &transfer)) &&
        ended(scene->transfers, transfer))
        HOLDS(same(scene->on_device, copy.from, copy.bytes));
    HOLDS(cupool_transfers_stats(scene->transfers, CUPOOL_TO_DEVICE, &after) == 0);
    if (!faults && !host)
        HOLDS(after.copies - before.copies == 4 && after.pieces == before.pieces);
    WORKS(cupool_host_free(device, memory));
}

static void scene_tensors(struct scene *scene, cupool_stream stream)
{
    struct cupool_tensor_source sources[5];
    void *memory, *addresses[5];
    cupool_transfer transfer;

    fill(scene->pageable, BYTES, 3);
    for (unsigned at = 0; at < 5; at++)
        sources[at] = (struct cupool_tensor_source){scene->pageable + at * 20000, at * 5000};
    if (WORKS(cupool_transfers_prefetch(scene->transfers, sources, 5, 0, stream, &memory, addresses,
                                        &transfer))) {
        if (ended(scene->transfers, transfer))
            for (unsigned at = 1; at < 5; at++)
                HOLDS((uintptr_t)addresses[at] % 256 == 0 &&
                      same(addresses[at], sources[at].memory, sources[at].bytes));
        WORKS(cupool_memory_free(device, memory, stream));
    }
    if (WORKS(cupool_transfers_ensure(scene->transfers, scene->pinned, 5000, stream, &memory,
                                      &transfer)) &&
        !host) {
        HOLDS(transfer != 0 && memory != (void *)scene->pinned);
        WORKS(cupool_transfer_order(scene->transfers, transfer, stream));
        if (ended(scene->transfers, transfer))
            HOLDS(same(memory, scene->pinned, 5000));
        WORKS(cupool_memory_free(device, memory, stream));
    }
    if (WORKS(cupool_transfers_ensure(scene->transfers, scene->on_device + 3, 100, stream, &memory,
                                      &transfer)))
        HOLDS(memory == scene->on_device + 3 && transfer == 0);
    HOLDS(cupool_transfers_ensure(scene->transfers, scene->pinned, SIZE_MAX, stream, &memory,
                                  &transfer) == -EOVERFLOW);
}

static uint64_t calls_of(const char *name)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    uint64_t (*calls)(const char *name);

    *(void **)&calls = driver ? dlsym(driver, "simgpu_calls") : NULL;
    return calls ? calls(name) : 0;
}

static void scene_statistics(const struct scene *scene)
{
    struct cupool_transfer_statistics to, from;
    char why[160] = "";

    HOLDS(cupool_transfers_check(scene->transfers, why, sizeof(why)) == 0);
    if (faults || host)
        return;
    HOLDS(cupool_transfers_stats(scene->transfers, CUPOOL_TO_DEVICE, &to) == 0);
    HOLDS(cupool_transfers_stats(scene->transfers, CUPOOL_FROM_DEVICE, &from) == 0);
    HOLDS(to.failed == 0 && to.staged_bytes > 0 && to.copies > 0);
    HOLDS(from.staged_bytes >= BYTES && from.completed == 3);
    HOLDS(to.launches + to.batches > 0);
    if (getenv("CUPOOL_TEST_KERNELS") != NULL)
        HOLDS(to.launches > 0 && from.launches > 0 && calls_of("cuLaunchKernel") > 0);
}

static void transfers_run(cupool_stream stream)
{
    struct cupool_transfers_config config;
    struct scene scene = {.pageable = malloc(BYTES)};
    void *on_device = NULL, *pinned = NULL;

    cupool_transfers_config_init(&config);
    config.piece_bytes = 16 * KIB;
    config.folder = "/nonexistent";
    if (scene.pageable && WORKS(cupool_memory_allocate(device, BYTES, stream, &on_device)) &&
        WORKS(cupool_device_host_allocate(device, BYTES, &pinned)) &&
        WORKS(cupool_transfers_create(device, &config, &scene.transfers))) {
        scene.on_device = on_device;
        scene.pinned = pinned;
        scene_large(&scene);
        scene_small(&scene, scene.pinned, stream);
        scene_small(&scene, scene.pageable, CUPOOL_STREAM_NONE);
        scene_tensors(&scene, stream);
        scene_statistics(&scene);
        scene_chunks(&scene);
        for (size_t bytes = 1; bytes < 460 && !faults; bytes += bytes < 40 ? 1 : 61) {
            scene_alignments(&scene, scene.pinned, bytes);
            scene_alignments(&scene, scene.pageable, bytes);
        }
        cupool_transfers_destroy(scene.transfers);
    }
    if (pinned)
        WORKS(cupool_device_host_free(device, pinned));
    if (on_device)
        WORKS(cupool_memory_free(device, on_device, stream));
    free(scene.pageable);
}

static void host_memory_run(void)
{
    struct cupool_host_options options = {.chunk_bytes = 64 * KIB, .threads = 3};
    uint8_t *memory, *mapped;
    void *allocated = NULL;

    mapped = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(mapped != MAP_FAILED);
    memory = mapped;
    fill(memory, 5000, 4);
    if (!faults) {
        HOLDS(cupool_host_register(device, memory + 1, BYTES, &options) == -EINVAL);
        HOLDS(cupool_host_register(device, memory, BYTES - 1, &options) == -EINVAL);
        HOLDS(strstr(cupool_device_error(device), "page") != NULL);
        HOLDS(cupool_host_unregister(device, memory) == -EINVAL);
    }
    if (WORKS(cupool_host_register(device, memory, BYTES, &options))) {
        if (!faults && !host)
            HOLDS(cupool_host_register(device, memory + 128 * KIB, 4096, NULL) == -EEXIST);
        uint8_t first[5000];
        fill(first, 5000, 4);
        HOLDS(memcmp(first, memory, 5000) == 0);
        WORKS(cupool_host_unregister(device, memory));
    }
    if (!faults) {
        /* Pages that cannot be written, and partial transfers. */
        HOLDS(mprotect(memory, 4096, PROT_READ) == 0);
        int error = cupool_host_register(device, memory, BYTES, &options);
        HOLDS(error == -EFAULT || error == 0);
        if (error == 0)
            HOLDS(cupool_host_unregister(device, memory) == 0);
        HOLDS(cupool_host_allocate(device, SIZE_MAX / 4, &options, &allocated) == -ENOMEM);
    }
    HOLDS(munmap(mapped, BYTES) == 0);
    options.huge_pages = 1;
    if (WORKS(cupool_host_allocate(device, 40 << 20, &options, &allocated))) {
        ((uint8_t *)allocated)[(40 << 20) - 1] = 7;
        WORKS(cupool_host_free(device, allocated));
    }
    if (!faults)
        HOLDS(cupool_host_free(device, allocated) == -EINVAL);
    /* Remaining memory is released with the device. */
    WORKS(cupool_host_allocate(device, 100000, NULL, &allocated));
}

/* Each kind of object went back as often as it was made. A call that fails counts, too: with
 * faults one of each kind, and what is asked for in vain above. */
static void driver_even(void)
{
    static const struct {
        const char *make, *give;
        int in_vain;
    } pairs[] = {
        {"cuMemHostAlloc", "cuMemFreeHost", 0},
        {"cuMemHostRegister_v2", "cuMemHostUnregister", 1},
        {"cuEventCreate", "cuEventDestroy_v2", 0},
        {"cuStreamCreate", "cuStreamDestroy_v2", 0},
        {"cuModuleLoadData", "cuModuleUnload", 0},
        {"cuMemAlloc_v2", "cuMemFree_v2", 8},
    };

    for (unsigned at = 0; at < sizeof(pairs) / sizeof(*pairs); at++) {
        int64_t made = (int64_t)calls_of(pairs[at].make), gone = (int64_t)calls_of(pairs[at].give);

        if (made - gone <= pairs[at].in_vain + faults && gone - made <= faults)
            continue;
        fprintf(stderr, "%s %lld times, %s %lld times\n", pairs[at].make, (long long)made,
                pairs[at].give, (long long)gone);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    cupool_stream stream = NULL, other = NULL;
    int error;

    for (int at = 1; at < argc; at++) {
        host |= strcmp(argv[at], "--host") == 0;
        faults |= strcmp(argv[at], "--faults") == 0;
    }
    error = host ? cupool_device_host(&device) : cupool_device_open(0, &device);
    if (error < 0) {
        fprintf(stderr, "no device: %d\n", error);
        return faults ? 0 : error == -ENOENT || error == -ENODEV ? 77 : 1;
    }
    if (WORKS(cupool_device_stream_create(device, &stream)) &&
        WORKS(cupool_device_stream_create(device, &other))) {
        tensors_run(stream, other);
        transfers_run(stream);
        host_memory_run();
        WORKS(cupool_device_wait(device, CUPOOL_STREAM_NONE));
        WORKS(cupool_memory_trim(device, 0, NULL));
    }
    if (stream)
        WORKS(cupool_device_stream_destroy(device, stream));
    if (other)
        WORKS(cupool_device_stream_destroy(device, other));
    struct cupool_device_statistics stats;
    if (!faults) {
        HOLDS(cupool_device_stats(device, &stats) == 0);
        HOLDS(stats.current_bytes == 0 && stats.allocations == stats.frees);
    }
    cupool_device_close(device);
    device = NULL;
    if (!dlsym(RTLD_DEFAULT, "cupool_phase_begin")) /* the preload has objects of its own */
        driver_even();
    printf("ok\n");
    return 0;
}
