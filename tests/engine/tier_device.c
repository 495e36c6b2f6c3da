/* SPDX-License-Identifier: MIT */
/*
 * Tiers below a pool on a device, in both layouts: blocks are written by work of a stream, stored
 * behind it, evicted and written over, and come back to another stream. Runs on any CUDA device,
 * real or simulated, or on host memory with --host; exits 0 and prints "ok" when everything holds.
 */
#include <cuda.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/cupool/tier.h"

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (%s; %s)\n", __FILE__, __LINE__, #condition,                \
                    cupool_device_error(device), tiers ? cupool_tiers_error(tiers) : "");          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define BLOCKS 24u
#define LAYERS 3u

static struct cupool_device *device;
static struct cupool_kv *pool;
static struct cupool_tiers *tiers;
static struct cupool_kv_geometry geometry;
static cupool_stream one, two;

/* A store that registers a block itself, behind work of another stream, while it is asked for it.
 */
static int (*inner_get)(void *state, struct cupool_tier_item *items, uint32_t count);
static int raced;
static atomic_int held;
static CUresult (*host_function)(CUstream stream, CUhostFn function, void *state);

static struct cupool_kv_hash key_of(uint32_t number)
{
    struct cupool_kv_hash key = {{0}};

    memcpy(key.bytes, &number, sizeof(number));
    key.bytes[31] = 1;
    return key;
}

static void layer_make(uint16_t *values, uint32_t number, uint32_t layer)
{
    for (size_t at = 0; at < geometry.layer_bytes / 2; at++)
        values[at] = (uint16_t)(0x3f80 + (number * 37 + layer * 11 + at * 7) % 127);
}

/* Writes a block by work of a stream. The source lives until that has run. */
static void block_write(cupool_kv_handle handle, uint32_t number, uint16_t *source,
                        cupool_stream stream)
{
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        uint16_t *values = source + layer * (geometry.layer_bytes / 2);
        void *memory;

        layer_make(values, number, layer);
        HOLDS(cupool_kv_memory(pool, handle, layer, CUPOOL_KV_KEY, &memory, NULL) == 0);
        HOLDS(cupool_device_copy(device, memory, values, geometry.layer_bytes, stream) == 0);
    }
}

static void block_check(cupool_kv_handle handle, uint32_t number, cupool_stream stream)
{
    uint16_t *expected = malloc(geometry.layer_bytes), *values = malloc(geometry.layer_bytes);

    HOLDS(expected && values);
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        void *memory;

        layer_make(expected, number, layer);
        HOLDS(cupool_kv_memory(pool, handle, layer, CUPOOL_KV_KEY, &memory, NULL) == 0);
        HOLDS(cupool_device_copy(device, values, memory, geometry.layer_bytes, stream) == 0);
        HOLDS(cupool_device_wait(device, stream) == 0);
        HOLDS(memcmp(expected, values, geometry.layer_bytes) == 0);
    }
    free(expected);
    free(values);
}

static void CUDA_CB hold(void *state)
{
    while (atomic_load(&held))
        usleep(100);
}

static int raced_get(void *state, struct cupool_tier_item *items, uint32_t count)
{
    cupool_kv_handle handle;

    if (raced) {
        HOLDS(cupool_kv_allocate(pool, 1, one, &handle) == 0);
        HOLDS(host_function((CUstream)one, hold, NULL) == CUDA_SUCCESS);
        HOLDS(cupool_kv_complete(pool, &handle, 1) == 0);
        HOLDS(cupool_kv_register(pool, &handle, &items[0].key, 1, NULL, CUPOOL_KV_KEEP_BOTH, one,
                                 &handle) == 0);
        HOLDS(cupool_kv_release(pool, &handle, 1, one) == 0);
    }
    return inner_get(state, items, count);
}

static void begin(enum cupool_kv_layout layout, int elastic)
{
    struct cupool_tiers_config below;
    struct cupool_tier tier = {.name = "host", .bytes = 8u << 20};
    struct cupool_kv_config config;

    cupool_kv_config_init(&config);
    config.blocks = BLOCKS;
    config.null_block = 1;
    config.layers = LAYERS;
    config.kv_heads = 2;
    config.head_dim = 40; /* a layer is padded */
    config.key_type = config.value_type = CUPOOL_KV_BF16;
    config.layout = layout;
    config.elastic = elastic;
    HOLDS(cupool_kv_create(device, &config, &pool) == 0);
    cupool_kv_strides(pool, &geometry);
    cupool_tiers_config_init(&below);
    below.codec = CUPOOL_CODEC_LOSSLESS;
    HOLDS(cupool_tier_host(tier.bytes, &tier.store) == 0);
    inner_get = tier.store.get;
    tier.store.get = raced_get;
    HOLDS(cupool_tiers_create(device, pool, &below, &tier, 1, &tiers) == 0);
}

static void end(void)
{
    char why[160] = "";

    HOLDS(cupool_tiers_drain(tiers) == 0);
    HOLDS(cupool_tiers_check(tiers, why, sizeof(why)) == 0);
    HOLDS(cupool_kv_check(pool, why, sizeof(why)) == 0);
    cupool_tiers_destroy(tiers);
    tiers = NULL;
    cupool_kv_destroy(pool);
}

static void keys_make(struct cupool_kv_hash *keys)
{
    for (uint32_t at = 0; at < BLOCKS; at++)
        keys[at] = key_of(at + 1);
}

/* Fills the pool on one stream, and stores it behind that. */
static void store_all(const struct cupool_kv_hash *keys, uint16_t *source, int aged)
{
    cupool_kv_handle handles[BLOCKS];
    struct cupool_tier_age age = {0};
    cupool_kv_ticket ticket;
    uint32_t went = BLOCKS;

    HOLDS(cupool_kv_allocate(pool, BLOCKS, one, handles) == 0);
    for (uint32_t at = 0; at < BLOCKS; at++)
        block_write(handles[at], at + 1, source + at * LAYERS * (geometry.layer_bytes / 2), one);
    HOLDS(cupool_kv_complete(pool, handles, BLOCKS) == 0);
    HOLDS(cupool_kv_register(pool, handles, keys, BLOCKS, NULL, CUPOOL_KV_KEEP_BOTH, one,
                             handles) == 0);
    if (!aged)
        HOLDS(cupool_tiers_offload(tiers, handles, BLOCKS, one, NULL, NULL, &ticket) == 0);
    HOLDS(cupool_kv_release(pool, handles, BLOCKS, one) == 0);
    if (aged)
        HOLDS(cupool_tiers_age_step(tiers, &age, &went, NULL, NULL) == 0);
    HOLDS(went == BLOCKS);
    HOLDS(cupool_tiers_drain(tiers) == 0);
    if (!aged)
        HOLDS(cupool_tiers_result(tiers, ticket, NULL) == 0);
}

/* Cached blocks leave, and their memory gets other content. */
static void write_over(uint16_t *source)
{
    cupool_kv_handle handles[BLOCKS];

    HOLDS(cupool_kv_allocate(pool, BLOCKS, two, handles) == 0);
    for (uint32_t at = 0; at < BLOCKS; at++)
        block_write(handles[at], at + 1000, source + at * LAYERS * (geometry.layer_bytes / 2), two);
    HOLDS(cupool_kv_release(pool, handles, BLOCKS, two) == 0);
}

static void prefetched(void *state, cupool_kv_ticket ticket, int error)
{
    *(int *)state = error;
}

static void layout_run(enum cupool_kv_layout layout, int elastic)
{
    struct cupool_kv_hash keys[BLOCKS];
    cupool_kv_handle handles[BLOCKS];
    uint8_t sources[BLOCKS];
    cupool_kv_ticket ticket;
    int prefetch_error = 1;
    uint32_t matched;

    keys_make(keys);
    begin(layout, elastic);
    uint16_t *source = malloc(2 * (size_t)BLOCKS * LAYERS * geometry.layer_bytes);
    HOLDS(source);
    for (int aged = 0; aged < 2; aged++) {
        store_all(keys, source, aged);
        write_over(source + (size_t)BLOCKS * LAYERS * geometry.layer_bytes / 2);
        HOLDS(cupool_tiers_match(tiers, keys, BLOCKS, two, handles, sources, &matched) == 0);
        HOLDS(matched == BLOCKS && sources[0] == CUPOOL_KV_LOADED);
        for (uint32_t at = 0; at < BLOCKS; at++)
            block_check(handles[at], at + 1, two);
        HOLDS(cupool_kv_release(pool, handles, BLOCKS, two) == 0);
        write_over(source + (size_t)BLOCKS * LAYERS * geometry.layer_bytes / 2);
        HOLDS(cupool_kv_prefetch(pool, keys, BLOCKS, NULL, one, handles, sources, prefetched,
                                 &prefetch_error, &ticket) == 0);
        HOLDS(cupool_tiers_drain(tiers) == 0);
        HOLDS(prefetch_error == 0);
        for (uint32_t at = 0; at < BLOCKS; at++) {
            HOLDS(sources[at] == CUPOOL_KV_LOADED);
            block_check(handles[at], at + 1, one);
        }
        HOLDS(cupool_kv_release(pool, handles, BLOCKS, one) == 0);
        HOLDS(cupool_kv_trim(pool, 0, NULL) == 0);
        HOLDS(cupool_tiers_forget(tiers, keys, BLOCKS) == 0);
        HOLDS(cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0);
    }
    free(source);
    end();
}

/* Loads of a stream that takes no fence now: none begins, for none would wait for the stream. */
static void captured_run(void)
{
    typedef CUresult (*begin_call)(CUstream stream, CUstreamCaptureMode mode);
    typedef CUresult (*end_call)(CUstream stream, CUgraph * graph);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    begin_call capture = driver ? (begin_call)dlsym(driver, "cuStreamBeginCapture_v2") : NULL;
    end_call capture_end = driver ? (end_call)dlsym(driver, "cuStreamEndCapture") : NULL;
    struct cupool_tiers_statistics before, after;
    struct cupool_kv_hash keys[BLOCKS];
    cupool_kv_handle handles[BLOCKS];
    uint8_t sources[BLOCKS];
    cupool_kv_ticket ticket;
    CUgraph graph = NULL;
    int prefetch_error = 1;

    HOLDS(capture && capture_end);
    keys_make(keys);
    begin(CUPOOL_KV_BLOCKS_FIRST, 0);
    uint16_t *source = malloc(2 * (size_t)BLOCKS * LAYERS * geometry.layer_bytes);
    HOLDS(source);
    store_all(keys, source, 0);
    write_over(source + (size_t)BLOCKS * LAYERS * geometry.layer_bytes / 2);
    HOLDS(cupool_device_wait(device, two) == 0);
    HOLDS(cupool_tiers_stats(tiers, &before) == 0);
    HOLDS(capture((CUstream)one, CU_STREAM_CAPTURE_MODE_RELAXED) == CUDA_SUCCESS);
    HOLDS(cupool_kv_prefetch(pool, keys, BLOCKS, NULL, one, handles, sources, prefetched,
                             &prefetch_error, &ticket) == 0);
    HOLDS(cupool_tiers_drain(tiers) == 0);
    HOLDS(capture_end((CUstream)one, &graph) == CUDA_SUCCESS);
    HOLDS(cupool_tiers_stats(tiers, &after) == 0);
    HOLDS(prefetch_error == 0 && after.loads == before.loads);
    for (uint32_t at = 0; at < BLOCKS; at++)
        HOLDS(sources[at] == CUPOOL_KV_COMPUTE);
    HOLDS(cupool_kv_release(pool, handles, BLOCKS, two) == 0);
    free(source);
    end();
    dlclose(driver);
}

/* Another thread registers a block first while it is loaded, behind work that has not run: the
 * match returns the one that it has loaded. */
static void raced_run(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    struct cupool_kv_hash key = key_of(1);
    cupool_kv_handle handle;
    cupool_kv_ticket ticket;
    uint8_t source;
    uint32_t matched;

    host_function = driver
                        ? (CUresult(*)(CUstream, CUhostFn, void *))dlsym(driver, "cuLaunchHostFunc")
                        : NULL;
    HOLDS(host_function);
    begin(CUPOOL_KV_BLOCKS_FIRST, 0);
    uint16_t *values = malloc(LAYERS * geometry.layer_bytes);
    HOLDS(values);
    HOLDS(cupool_kv_allocate(pool, 1, one, &handle) == 0);
    block_write(handle, 1, values, one);
    HOLDS(cupool_kv_complete(pool, &handle, 1) == 0);
    HOLDS(cupool_kv_register(pool, &handle, &key, 1, NULL, CUPOOL_KV_KEEP_BOTH, one, &handle) == 0);
    HOLDS(cupool_tiers_offload(tiers, &handle, 1, one, NULL, NULL, &ticket) == 0);
    HOLDS(cupool_kv_release(pool, &handle, 1, one) == 0);
    HOLDS(cupool_tiers_drain(tiers) == 0);
    HOLDS(cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0);
    HOLDS(cupool_kv_trim(pool, 0, NULL) == 0);
    atomic_store(&held, 1);
    raced = 1;
    HOLDS(cupool_tiers_match(tiers, &key, 1, two, &handle, &source, &matched) == 0);
    raced = 0;
    HOLDS(matched == 1);
    block_check(handle, 1, two);
    atomic_store(&held, 0);
    HOLDS(cupool_device_wait(device, two) == 0);
    HOLDS(cupool_kv_release(pool, &handle, 1, two) == 0);
    HOLDS(cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0);
    free(values);
    end();
    dlclose(driver);
}

int main(int argc, char **argv)
{
    int host = argc == 2 && strcmp(argv[1], "--host") == 0;

    HOLDS((host ? cupool_device_host(&device) : cupool_device_open(0, &device)) == 0);
    HOLDS(cupool_device_stream_create(device, &one) == 0);
    HOLDS(cupool_device_stream_create(device, &two) == 0);
    layout_run(CUPOOL_KV_BLOCKS_FIRST, 0);
    layout_run(CUPOOL_KV_LAYERS_FIRST, 0);
    layout_run(CUPOOL_KV_BLOCKS_FIRST, 1);
    if (!host) {
        captured_run();
        raced_run();
    }
    HOLDS(cupool_device_stream_destroy(device, one) == 0);
    HOLDS(cupool_device_stream_destroy(device, two) == 0);
    cupool_device_close(device);
    puts("ok");
    return 0;
}
