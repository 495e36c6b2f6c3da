/* SPDX-License-Identifier: MIT */
/*
 * Uses libcupool-engine as an engine does: memory by streams, KV blocks with fences, elastic
 * memory, sequences, fork. Runs on any CUDA device, real or simulated, bare or preloaded; exits 0
 * and prints "ok" when everything holds.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/cupool/memory.h"
#include "include/cupool/sequence.h"

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,                    \
                    cupool_device_error(device));                                                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static struct cupool_device *device;
static cupool_stream one, two;

static void levels_note(void *state, enum cupool_pressure level, double usage)
{
    unsigned *levels = state;

    *levels |= 1u << level;
}

static void memory_run(void)
{
    struct cupool_memory_statistics stats;
    struct cupool_memory_event events[64];
    struct cupool_pressure_thresholds low = {1e-9, 0.99, 0};
    void *first, *second, *blocks[64], *huge;
    unsigned levels = 0;
    uint8_t host[1000], back[1000];
    size_t bytes, returned;
    char why[160];

    HOLDS(cupool_memory_allocate(device, 0, one, &first) == -EINVAL);
    HOLDS(cupool_memory_allocate(device, SIZE_MAX / 2, one, &huge) == -ENOMEM);
    HOLDS(cupool_memory_allocate(device, 1000, one, &first) == 0);
    HOLDS((uintptr_t)first % 512 == 0 || cupool_device_kind(device) == CUPOOL_DEVICE_HOST);
    HOLDS(cupool_memory_size(device, first, &bytes) == 0 && bytes == 1000);
    memset(host, 0x3c, sizeof(host));
    HOLDS(cupool_device_copy(device, first, host, sizeof(host), one) == 0);
    HOLDS(cupool_device_copy(device, back, first, sizeof(back), one) == 0);
    HOLDS(cupool_device_wait(device, one) == 0);
    HOLDS(memcmp(host, back, sizeof(host)) == 0);
    HOLDS(cupool_memory_free(device, (char *)first + 1, one) == -EINVAL);
    HOLDS(cupool_memory_free(device, first, one) == 0);
    HOLDS(cupool_memory_free(device, first, one) < 0);
    HOLDS(cupool_memory_allocate(device, 900, one, &second) == 0);
    HOLDS(cupool_memory_stats(device, &stats) == 0);
    HOLDS(stats.allocations == 2 && stats.frees == 1 && stats.failures == 1);
    HOLDS(stats.current_bytes == 900 && stats.peak_bytes == 1000);
    struct cupool_device_statistics device_stats;
    HOLDS(cupool_device_stats(device, &device_stats) == 0);
    if (device_stats.kind == CUPOOL_DEVICE_GPU && !device_stats.preloaded) {
        HOLDS(second == first); /* the same stream, without a fence */
        HOLDS(stats.stream_hits == 1);
    }
    HOLDS(cupool_memory_free(device, second, one) == 0);
    for (unsigned at = 0; at < 64; at++)
        HOLDS(cupool_memory_allocate(device, 1 + at * 70001, at % 2 ? one : two, &blocks[at]) == 0);
    HOLDS(cupool_memory_pressure(device, &low, levels_note, &levels) == 0);
    HOLDS(levels & 1u << CUPOOL_PRESSURE_NORMAL);
    HOLDS(cupool_memory_pressure(device, NULL, NULL, NULL) == 0);
    for (unsigned at = 0; at < 64; at++)
        HOLDS(cupool_memory_free(device, blocks[at], at % 2 ? one : two) == 0);
    HOLDS(cupool_memory_check(device, why, sizeof(why)) == 0);
    HOLDS(cupool_memory_defragment(NULL, &returned) == -EINVAL);
    HOLDS(cupool_memory_defragment(device, &returned) == 0);
    HOLDS(cupool_memory_trim(device, 0, &returned) == 0);
    HOLDS(cupool_memory_stats(device, &stats) == 0);
    HOLDS(stats.current_bytes == 0 && stats.cached_bytes == 0);
    HOLDS(stats.trims == 2 && !cupool_memory_should_trim(device));
    HOLDS(cupool_memory_history(device, events, 64) == 64);
    HOLDS(events[63].kind == CUPOOL_MEMORY_TRIM && events[63].time_ns >= events[0].time_ns);
    HOLDS(cupool_memory_check(device, why, sizeof(why)) == 0);
}

/* Sizes that no device has, and streams that hide behind one handle. */
static void memory_edges_run(void)
{
    static const size_t sizes[] = {
        ((size_t)1 << 41) - 1, (size_t)1 << 41, ((size_t)1 << 41) + ((size_t)1 << 39),
        (size_t)11 << 38,      SIZE_MAX / 4,    SIZE_MAX / 4 + 1,
        SIZE_MAX - 10,         SIZE_MAX};
    struct cupool_device_statistics stats;
    struct cupool_memory_statistics before, after;
    void *block, *again;

    /* Both streams have something cached. */
    HOLDS(cupool_memory_allocate(device, 512, one, &block) == 0);
    HOLDS(cupool_memory_free(device, block, one) == 0);
    HOLDS(cupool_memory_allocate(device, 512, two, &block) == 0);
    HOLDS(cupool_memory_free(device, block, two) == 0);
    HOLDS(cupool_device_stats(device, &stats) == 0);
    for (unsigned at = 0; at < sizeof(sizes) / sizeof(*sizes); at++) {
        if (stats.kind == CUPOOL_DEVICE_GPU || sizes[at] >= SIZE_MAX / 4)
            HOLDS(cupool_memory_allocate(device, sizes[at], one, &block) == -ENOMEM);
        if (sizes[at] >= SIZE_MAX / 4)
            HOLDS(cupool_device_host_allocate(device, sizes[at], &block) == -ENOMEM);
    }
    HOLDS(cupool_memory_stats(device, &before) == 0);
    HOLDS(cupool_memory_allocate(device, 4096, CUPOOL_STREAM_PER_THREAD, &block) == 0);
    HOLDS(cupool_memory_free(device, block, CUPOOL_STREAM_PER_THREAD) == 0);
    HOLDS(cupool_memory_allocate(device, 4096, CUPOOL_STREAM_PER_THREAD, &again) == 0);
    HOLDS(cupool_memory_stats(device, &after) == 0);
    HOLDS(after.stream_hits == before.stream_hits); /* it may be another thread's */
    HOLDS(cupool_memory_free(device, again, CUPOOL_STREAM_PER_THREAD) == 0);
    HOLDS(cupool_memory_trim(device, 0, NULL) == 0);
}

static struct cupool_kv_config config_make(void)
{
    struct cupool_kv_config config;

    cupool_kv_config_init(&config);
    config.blocks = 32;
    config.null_block = 1;
    config.layers = 2;
    config.kv_heads = 2;
    config.head_dim = 64;
    config.clear = 1;
    return config;
}

static void block_write(struct cupool_kv *pool, cupool_kv_handle handle, uint8_t value)
{
    void *memory;
    size_t bytes;

    HOLDS(cupool_kv_memory(pool, handle, 1, CUPOOL_KV_VALUE, &memory, &bytes) == 0);
    HOLDS(cupool_device_fill(device, memory, value, bytes, one) == 0);
}

static uint8_t block_read(struct cupool_kv *pool, cupool_kv_handle handle)
{
    void *memory;
    uint8_t value;

    HOLDS(cupool_kv_memory(pool, handle, 1, CUPOOL_KV_VALUE, &memory, NULL) == 0);
    HOLDS(cupool_device_copy(device, &value, memory, 1, CUPOOL_STREAM_NONE) == 0);
    return value;
}

static void kv_run(int elastic)
{
    struct cupool_kv_config config = config_make();
    cupool_kv_handle handles[32], copy;
    struct cupool_kv_statistics stats;
    struct cupool_kv *pool;
    char why[160] = "";

    config.elastic = elastic;
    HOLDS(cupool_kv_create(device, &config, &pool) == 0);
    HOLDS(cupool_kv_allocate(pool, 32, one, handles) == 0);
    for (unsigned at = 0; at < 32; at++)
        block_write(pool, handles[at], (uint8_t)(at + 1));
    HOLDS(cupool_device_wait(device, one) == 0);
    for (unsigned at = 0; at < 32; at++)
        HOLDS(block_read(pool, handles[at]) == at + 1);
    HOLDS(cupool_kv_release(pool, handles + 31, 1, two) == 0);
    HOLDS(cupool_kv_retain(pool, handles, 1) == 0);
    HOLDS(cupool_kv_make_writable(pool, handles[0], one, &copy) == 0);
    HOLDS(copy != handles[0]);
    HOLDS(cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0);
    HOLDS(block_read(pool, copy) == 1);
    HOLDS(cupool_kv_release(pool, &copy, 1, one) == 0);
    HOLDS(cupool_kv_release(pool, handles, 31, one) == 0);
    HOLDS(cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0);
    HOLDS(cupool_kv_poll(pool) == 0);
    HOLDS(cupool_kv_stats(pool, &stats) == 0);
    HOLDS(stats.free == 32 && stats.draining == 0);
    HOLDS(cupool_kv_allocate(pool, 32, one, handles) == 0);
    for (unsigned at = 0; at < 32; at++)
        HOLDS(block_read(pool, handles[at]) == 0);
    HOLDS(cupool_kv_check(pool, why, sizeof(why)) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(cupool_kv_release(pool, handles, 1, CUPOOL_STREAM_NONE) ==
                      (cupool_device_kind(device) == CUPOOL_DEVICE_GPU ? -ECHILD : 0)
                  ? 0
                  : 1);
    int status = 1;
    HOLDS(waitpid(child, &status, 0) == child && status == 0);
    HOLDS(cupool_kv_release(pool, handles, 32, CUPOOL_STREAM_NONE) == 0);
    HOLDS(cupool_kv_trim(pool, 0, NULL) == 0);
    if (elastic) {
        HOLDS(cupool_kv_stats(pool, &stats) == 0);
        HOLDS(stats.pages_mapped <= 1);
    }
    cupool_kv_destroy(pool);
}

static void sequences_run(void)
{
    struct cupool_kv_config config = config_make();
    struct cupool_sequences_config sequences_config;
    struct cupool_sequences *set;
    struct cupool_kv *pool;
    cupool_sequence sequence;
    const int32_t *tables, *row;
    int32_t tokens[100] = {1, 2, 3}, copied[8];
    uint32_t width, blocks;

    HOLDS(cupool_kv_create(device, &config, &pool) == 0);
    struct cupool_kv_member member = {pool, 0};
    cupool_sequences_config_init(&sequences_config);
    sequences_config.max_tokens = 128;
    HOLDS(cupool_sequences_create(&member, 1, &sequences_config, &set) == 0);
    HOLDS(cupool_sequence_create(set, NULL, 0, &sequence) == 0);
    for (unsigned at = 0; at < 100; at++) {
        HOLDS(cupool_sequence_append(set, sequence, tokens + at, 1, one) == 0);
        HOLDS(cupool_sequences_tables(set, 0, one, &tables, &width) == 0);
        HOLDS(cupool_device_wait(device, one) == 0);
    }
    HOLDS(cupool_sequence_table(set, sequence, 0, &row, &blocks) == 0);
    HOLDS(blocks == 7);
    HOLDS(cupool_device_copy(device, copied, tables + cupool_sequence_row(sequence) * width,
                             blocks * sizeof(*copied), CUPOOL_STREAM_NONE) == 0);
    HOLDS(memcmp(copied, row, blocks * sizeof(*copied)) == 0);
    HOLDS(cupool_sequence_remove(set, sequence, one) == 0);
    cupool_sequences_destroy(set);
    cupool_kv_destroy(pool);
}

static void torch_run(void)
{
    void *memory = cupool_torch_malloc(1 << 20, 0, one);

    HOLDS(memory);
    HOLDS(!cupool_torch_malloc(16, 77, one));
    cupool_torch_free(memory, 1 << 20, 0, one);
}

int main(int argc, char **argv)
{
    int host = argc > 1 && strcmp(argv[1], "--host") == 0;
    int error = host ? cupool_device_host(&device) : cupool_device_open(0, &device);

    if (error < 0) {
        fprintf(stderr, "no device: %d\n", error);
        return error == -ENOENT || error == -ENODEV ? 77 : 1;
    }
    struct cupool_device *none = device;
    HOLDS(host || cupool_device_open(99, &none) == -ENODEV);
    HOLDS(none == device);
    HOLDS(cupool_device_stream_create(device, &one) == 0);
    HOLDS(cupool_device_stream_create(device, &two) == 0);
    memory_run();
    memory_edges_run();
    kv_run(0);
    kv_run(1);
    sequences_run();
    if (!host)
        torch_run();
    struct cupool_device_statistics stats;
    HOLDS(cupool_device_stats(device, &stats) == 0);
    HOLDS(stats.current_bytes == 0 && stats.allocations == stats.frees);
    HOLDS(cupool_device_stream_destroy(device, one) == 0);
    HOLDS(cupool_device_stream_destroy(device, two) == 0);
    cupool_device_close(device);
    printf("ok\n");
    return 0;
}
