/* SPDX-License-Identifier: MIT */
/*
 * Entries of a pool on a device against those of a pool in host memory, byte for byte: every codec,
 * type, layout and order, blocks whose values are of every kind; and what comes back into the
 * blocks. Runs on any CUDA device, real or simulated. With --kernels the codecs that have kernels
 * must have been run by them, and figures say that only entries crossed; with --staged none is.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool/tier.h"
#include "tests/random.h"

#define BLOCKS 6u
#define LAYERS 2u
#define TOKENS 16u

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (codec %d, type %d)\n", __FILE__, __LINE__, #condition,     \
                    now_codec, now_type);                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int now_codec, now_type;
static bool want_kernels, want_staged;

/* A store that the test can look into. */
struct shelf {
    struct cupool_tier_item items[BLOCKS];
    uint32_t count;
};

static struct cupool_tier_item *shelf_find(struct shelf *shelf, const struct cupool_kv_hash *key)
{
    for (uint32_t at = 0; at < shelf->count; at++)
        if (memcmp(&shelf->items[at].key, key, sizeof(*key)) == 0)
            return &shelf->items[at];
    return NULL;
}

static int shelf_put(void *state, struct cupool_tier_item *items, uint32_t count)
{
    struct shelf *shelf = state;

    for (uint32_t at = 0; at < count; at++) {
        struct cupool_tier_item *kept = shelf_find(shelf, &items[at].key);

        if (!kept)
            kept = &shelf->items[shelf->count++];
        free(kept->data);
        *kept = items[at];
        kept->data = malloc(items[at].bytes);
        memcpy(kept->data, items[at].data, items[at].bytes);
        items[at].error = 0;
    }
    return 0;
}

static int shelf_get(void *state, struct cupool_tier_item *items, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        const struct cupool_tier_item *kept = shelf_find(state, &items[at].key);

        items[at].error = kept ? 0 : -ENOENT;
        if (kept) {
            memcpy(items[at].data, kept->data, kept->bytes);
            items[at].bytes = kept->bytes;
        }
    }
    return 0;
}

static void shelf_remove(void *state, const struct cupool_tier_item *items, uint32_t count)
{
}

static void shelf_empty(struct shelf *shelf)
{
    for (uint32_t at = 0; at < shelf->count; at++)
        free(shelf->items[at].data);
    *shelf = (struct shelf){0};
}

/* One pool with tiers: in host memory, or on the device. */
struct side {
    struct cupool_device *device;
    struct cupool_kv *pool;
    struct cupool_tiers *tiers;
    struct cupool_kv_geometry geometry;
    cupool_stream stream;
    struct shelf shelf;
};

struct shape {
    enum cupool_kv_type type;
    enum cupool_kv_order order;
    enum cupool_kv_layout layout;
    uint32_t heads, dim;
    int codec;
    uint32_t exact_newest;
};

static void side_begin(struct side *side, struct cupool_device *device, const struct shape *shape)
{
    struct cupool_tiers_config below;
    struct cupool_kv_config config;
    struct cupool_tier tier = {.name = "shelf", .bytes = 64u << 20};

    *side = (struct side){.device = device};
    tier.store = (struct cupool_tier_store){
        .state = &side->shelf, .put = shelf_put, .get = shelf_get, .remove = shelf_remove};
    cupool_kv_config_init(&config);
    config.blocks = BLOCKS;
    config.layers = LAYERS;
    config.block_tokens = TOKENS;
    config.kv_heads = shape->heads;
    config.head_dim = shape->dim;
    config.key_type = config.value_type = shape->type;
    config.order = shape->order;
    config.layout = shape->layout;
    HOLDS(cupool_kv_create(device, &config, &side->pool) == 0);
    cupool_kv_strides(side->pool, &side->geometry);
    cupool_tiers_config_init(&below);
    below.codec = shape->codec;
    below.exact_first = 0;
    below.exact_newest = shape->exact_newest;
    below.keep_permille = 400;
    below.batch = 4;
    below.threads = 1;
    HOLDS(cupool_tiers_create(device, side->pool, &below, &tier, 1, &side->tiers) == 0);
    HOLDS(cupool_device_stream_create(device, &side->stream) == 0);
}

static void side_end(struct side *side)
{
    char why[160];

    HOLDS(cupool_tiers_check(side->tiers, why, sizeof(why)) == 0);
    cupool_tiers_destroy(side->tiers);
    HOLDS(cupool_kv_check(side->pool, why, sizeof(why)) == 0);
    cupool_kv_destroy(side->pool);
    cupool_device_stream_destroy(side->device, side->stream);
    shelf_empty(&side->shelf);
}

static uint32_t number(void)
{
    static uint64_t state = 7;

    state = random_lcg(state);
    return (uint32_t)(state >> 32);
}

/* Bits of values: about Gaussian numbers with wide channels, zeros, and any patterns. */
static void content_make(uint8_t *content, size_t bytes, enum cupool_kv_type type, uint32_t dim,
                         uint32_t kind)
{
    size_t element = type == CUPOOL_KV_F32 ? 4 : 2;

    for (size_t at = 0; at < bytes / element; at++) {
        uint32_t mantissa = number() & 0x807fffff, bits;
        uint32_t exponent = 127 - (number() % 4) + (at % dim % 13 == 5 ? 5 : 0);

        if (type == CUPOOL_KV_F16)
            bits = (mantissa >> 16 & 0x8000) | (exponent - 112) << 10 | (mantissa & 0x3ff);
        else
            bits = (mantissa | exponent << 23) >> (type == CUPOOL_KV_BF16 ? 16 : 0);
        if (kind == 1)
            bits = number();
        if (kind == 2)
            bits = number() % 3 ? 0 : type == CUPOOL_KV_F32 ? 0x80000000u : 0x8000u;
        memcpy(content + at * element, &bits, element);
    }
}

static struct cupool_kv_hash key_of(uint32_t at)
{
    struct cupool_kv_hash key = {{0}};

    key.bytes[0] = (uint8_t)(at + 1);
    return key;
}

/* Writes blocks and stores them. */
static void side_store(struct side *side, const uint8_t *content)
{
    cupool_kv_handle handles[BLOCKS];
    struct cupool_kv_hash keys[BLOCKS];
    cupool_kv_ticket ticket;
    uint32_t stored = 0;
    size_t bytes = side->geometry.layer_bytes;

    HOLDS(cupool_kv_allocate(side->pool, BLOCKS, side->stream, handles) == 0);
    for (uint32_t at = 0; at < BLOCKS; at++) {
        keys[at] = key_of(at);
        for (uint32_t layer = 0; layer < LAYERS; layer++) {
            void *memory;

            HOLDS(cupool_kv_memory(side->pool, handles[at], layer, CUPOOL_KV_KEY, &memory, NULL) ==
                  0);
            HOLDS(cupool_device_copy(side->device, memory, content + (at * LAYERS + layer) * bytes,
                                     bytes, side->stream) == 0);
        }
    }
    HOLDS(cupool_kv_complete(side->pool, handles, BLOCKS) == 0);
    HOLDS(cupool_kv_register(side->pool, handles, keys, BLOCKS, NULL, CUPOOL_KV_KEEP_BOTH,
                             side->stream, handles) == 0);
    HOLDS(cupool_tiers_offload(side->tiers, handles, BLOCKS, side->stream, NULL, NULL, &ticket) ==
          0);
    HOLDS(cupool_tiers_drain(side->tiers) == 0);
    HOLDS(cupool_tiers_result(side->tiers, ticket, &stored) == 0 && stored == BLOCKS);
    HOLDS(cupool_kv_release(side->pool, handles, BLOCKS, side->stream) == 0);
    HOLDS(cupool_kv_trim(side->pool, 0, NULL) == 0);
}

/* Brings blocks back, as many as come, and reads them. */
static uint32_t side_load(struct side *side, uint8_t *content)
{
    cupool_kv_handle handles[BLOCKS];
    struct cupool_kv_hash keys[BLOCKS];
    size_t bytes = side->geometry.layer_bytes;
    uint32_t matched = 0;

    for (uint32_t at = 0; at < BLOCKS; at++)
        keys[at] = key_of(at);
    HOLDS(cupool_tiers_match(side->tiers, keys, BLOCKS, side->stream, handles, NULL, &matched) ==
          0);
    for (uint32_t at = 0; at < matched; at++)
        for (uint32_t layer = 0; layer < LAYERS; layer++) {
            void *memory;

            HOLDS(cupool_kv_memory(side->pool, handles[at], layer, CUPOOL_KV_KEY, &memory, NULL) ==
                  0);
            HOLDS(cupool_device_copy(side->device, content + (at * LAYERS + layer) * bytes, memory,
                                     bytes, side->stream) == 0);
        }
    HOLDS(cupool_device_wait(side->device, side->stream) == 0);
    HOLDS(cupool_kv_release(side->pool, handles, matched, side->stream) == 0);
    HOLDS(cupool_kv_trim(side->pool, 0, NULL) == 0);
    return matched;
}

static uint64_t shelf_bytes(const struct shelf *shelf)
{
    uint64_t bytes = 0;

    for (uint32_t at = 0; at < shelf->count; at++)
        bytes += shelf->items[at].bytes;
    return bytes;
}

static bool has_kernels(int codec)
{
    return codec != CUPOOL_TIER_PLAIN && codec != CUPOOL_CODEC_RICE &&
           codec != CUPOOL_CODEC_PRUNE_MAGNITUDE;
}

/* Only entries crossed, where kernels are. */
static void figures_check(struct side *side, const struct shape *shape)
{
    struct cupool_tiers_statistics stats;
    uint64_t entries = shelf_bytes(&side->shelf);

    HOLDS(cupool_tiers_stats(side->tiers, &stats) == 0);
    if (want_staged)
        HOLDS(stats.device_encoded == 0 && stats.device_decoded == 0);
    if (want_kernels && has_kernels(shape->codec) && shape->exact_newest == 0) {
        HOLDS(stats.device_encoded == BLOCKS && stats.device_decoded == BLOCKS);
        HOLDS(stats.to_device_bytes == entries && stats.from_device_bytes <= entries &&
              stats.from_device_bytes + BLOCKS * 128 == entries);
    }
    if (!has_kernels(shape->codec) && shape->exact_newest == 0) {
        HOLDS(stats.device_encoded == 0); /* parts that stand as they are need no codec */
        HOLDS(stats.from_device_bytes == BLOCKS * side->geometry.block_bytes);
    }
}

/* A payload that the codec refuses, with checksums that hold. */
static void entry_spoil(struct cupool_tier_item *item)
{
    uint8_t *entry = item->data, *block = entry + 128;
    struct cupool_codec_header header;
    uint32_t crc;

    memcpy(&header, block, sizeof(header));
    block[sizeof(header)] = 0xff; /* a scale of no finite number */
    block[sizeof(header) + 1] = 0x7f;
    header.payload_crc = cupool_codec_crc32c(0, block + sizeof(header), header.payload_bytes);
    header.header_crc = cupool_codec_crc32c(0, &header, sizeof(header) - 4);
    memcpy(block, &header, sizeof(header));
    crc = cupool_codec_crc32c(0, entry + 128, item->bytes - 128);
    memcpy(entry + 120, &crc, 4);
    crc = cupool_codec_crc32c(0, entry, 124);
    memcpy(entry + 124, &crc, 4);
}

static void spoiled_is_refused(struct side *side, const struct shape *shape, uint8_t *content)
{
    struct cupool_tiers_statistics all;
    struct cupool_tier_statistics stats;

    entry_spoil(shelf_find(&side->shelf, &(struct cupool_kv_hash){.bytes = {3}}));
    HOLDS(side_load(side, content) == 2);
    HOLDS(cupool_tier_stats(side->tiers, 0, &stats) == 0);
    HOLDS(stats.corrupt == 1 && stats.last_fault == CUPOOL_TIER_CODEC);
    HOLDS(cupool_tiers_stats(side->tiers, &all) == 0);
    if (want_kernels && shape->exact_newest == 0)
        HOLDS(all.device_decoded == all.loaded);
}

static void shape_run(struct cupool_device *gpu, struct cupool_device *host,
                      const struct shape *shape, uint32_t kind)
{
    struct side here, there;

    now_codec = shape->codec;
    now_type = (int)shape->type;
    side_begin(&here, host, shape);
    side_begin(&there, gpu, shape);
    size_t bytes = here.geometry.layer_bytes, all = BLOCKS * LAYERS * bytes;
    uint8_t *content = malloc(all), *one = malloc(all), *other = malloc(all);
    HOLDS(content && one && other && there.geometry.layer_bytes == bytes);
    content_make(content, all, shape->type, shape->dim, kind);
    side_store(&here, content);
    side_store(&there, content);
    HOLDS(here.shelf.count == BLOCKS && there.shelf.count == BLOCKS);
    for (uint32_t at = 0; at < BLOCKS; at++) {
        const struct cupool_tier_item *a = &here.shelf.items[at];
        const struct cupool_tier_item *b = shelf_find(&there.shelf, &a->key);

        HOLDS(b && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0);
    }
    HOLDS(side_load(&here, one) == BLOCKS && side_load(&there, other) == BLOCKS);
    HOLDS(memcmp(one, other, all) == 0);
    figures_check(&there, shape);
    if (shape->codec == CUPOOL_CODEC_INT8 && kind == 0)
        spoiled_is_refused(&there, shape, other);
    free(content);
    free(one);
    free(other);
    side_end(&here);
    side_end(&there);
}

int main(int argc, char **argv)
{
    static const enum cupool_kv_type types[] = {CUPOOL_KV_F16, CUPOOL_KV_BF16, CUPOOL_KV_F32};
    struct cupool_device *gpu, *host;
    uint32_t run = 0;

    want_kernels = argc == 2 && strcmp(argv[1], "--kernels") == 0;
    want_staged = argc == 2 && strcmp(argv[1], "--staged") == 0;
    HOLDS(cupool_device_open(0, &gpu) == 0 && cupool_device_host(&host) == 0);
    for (int codec = CUPOOL_TIER_PLAIN; codec < CUPOOL_CODEC_COUNT; codec++)
        for (uint32_t type = 0; type < 3; type++)
            for (uint32_t kind = 0; kind < 3; kind++, run++) {
                bool wide = types[type] == CUPOOL_KV_F32;

                if (codec == CUPOOL_CODEC_PRUNE_TOKENS ||
                    (codec == CUPOOL_CODEC_LOSSLESS && wide) ||
                    ((codec == CUPOOL_CODEC_FP16 || codec == CUPOOL_CODEC_BF16) && !wide))
                    continue;
                struct shape shape = {.type = types[type],
                                      .order = run % 2 ? CUPOOL_KV_HND : CUPOOL_KV_NHD,
                                      .layout = run / 2 % 2 ? CUPOOL_KV_LAYERS_FIRST
                                                            : CUPOOL_KV_BLOCKS_FIRST,
                                      .heads = 1 + run % 3,
                                      .dim = run % 5 == 0 ? 40 : 64,
                                      .codec = codec,
                                      .exact_newest = run % 7 == 3 ? 3 * TOKENS : 0};
                shape_run(gpu, host, &shape, kind);
            }
    cupool_device_close(gpu);
    cupool_device_close(host);
    puts("ok");
    return 0;
}
