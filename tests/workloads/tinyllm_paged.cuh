/* SPDX-License-Identifier: MIT */
/*
 * tinyllm's keys and values in blocks of a KV pool: what an engine does with libcupool-engine.
 *
 * Each place of the batch has a sequence of the pool. A step appends a token to each sequence,
 * which takes a block at every 16th, brings the block tables to the device by one copy, and writes
 * keys and values where the table says. A sequence that ends gives its blocks back after the work
 * of the stream. Built only where the library is; else --paged is refused.
 *
 * With tiers below the pool (--kv-codec, --kv-offload) a sequence is suspended at every so many
 * tokens: its blocks leave the pool, encoded, for host memory, and come back decoded before the
 * next step.
 */
#ifndef WORKLOADS_TINYLLM_PAGED_CUH
#define WORKLOADS_TINYLLM_PAGED_CUH

#include "tests/workloads/check.h"
#include "tests/workloads/tinyllm_kernels.cuh"
#include "tests/workloads/tinyllm_model.cuh"

#ifdef TINYLLM_PAGED

#include "include/cupool/sequence.h"
#include "include/cupool/tier.h"

#define PAGED_CHECK(call) paged_check((call), #call)

struct paged_cache {
    struct cupool_device *device;
    struct cupool_kv *pool;
    struct cupool_sequences *set;
    struct cupool_kv_geometry geometry;
    struct model_shape shape;
    const int *tables; /* on the device, [row][width] */
    unsigned width;
    struct cupool_tiers *tiers; /* NULL: none */
    int interval;               /* tokens from one suspension to the next */
};

struct paged_row {
    cupool_sequence sequence;
    cupool_kv_handle block; /* of the token of this step */
    unsigned offset;
    int length;
};

static inline void paged_check(int error, const char *call)
{
    if (error >= 0)
        return;
    fprintf(stderr, "tinyllm: %s: error %d\n", call, error);
    exit(1);
}

static inline struct paged_cache *paged_make(const struct model_shape *shape, int batch,
                                             int longest)
{
    struct paged_cache *cache = new paged_cache();
    struct cupool_kv_config config;
    struct cupool_sequences_config sequences;

    cache->shape = *shape;
    cupool_kv_config_init(&config);
    config.blocks = (unsigned)(batch * ((longest + 15) / 16));
    config.null_block = 1;
    config.layers = (unsigned)shape->layers;
    config.kv_heads = (unsigned)shape->heads;
    config.head_dim = (unsigned)(shape->dim / shape->heads);
    config.key_type = config.value_type = CUPOOL_KV_F32;
    config.order = CUPOOL_KV_NHD;
    PAGED_CHECK(cupool_device_open(0, &cache->device));
    PAGED_CHECK(cupool_kv_create(cache->device, &config, &cache->pool));
    cupool_kv_strides(cache->pool, &cache->geometry);
    cupool_sequences_config_init(&sequences);
    sequences.sequences = (unsigned)batch;
    sequences.max_tokens = (unsigned)longest;
    struct cupool_kv_member member = {cache->pool, 0};
    PAGED_CHECK(cupool_sequences_create(&member, 1, &sequences, &cache->set));
    return cache;
}

/** Puts host memory below the pool. An unknown codec, or one that does not fit, ends the program.
 */
static inline void paged_tiers(struct paged_cache *cache, const char *codec, int interval,
                               int sequences, int longest)
{
    struct cupool_tiers_config config;
    struct cupool_tier host = {};
    enum cupool_codec known;

    cupool_tiers_config_init(&config);
    config.identity = "tinyllm";
    if (codec && cupool_codec_by_name(codec, &known) < 0) {
        fprintf(stderr, "tinyllm: --kv-codec: '%s' is no codec\n", codec);
        exit(2);
    }
    if (codec)
        config.codec = (int)known;
    host.name = "host";
    host.bytes = (uint64_t)sequences * ((unsigned)longest / 16 + 1) *
                     (cache->geometry.block_bytes + 8192) +
                 (4u << 20);
    PAGED_CHECK(cupool_tier_host(host.bytes, &host.store));
    int error = cupool_tiers_create(cache->device, cache->pool, &config, &host, 1, &cache->tiers);
    if (error < 0) {
        fprintf(stderr, "tinyllm: --kv-codec: '%s' does not fit blocks of fp32\n", codec);
        exit(2);
    }
    cache->interval = interval;
}

/** At its turn, a sequence leaves the pool and comes back. `tokens` has one more than it computed.
 */
static inline void paged_suspend(struct paged_cache *cache, struct paged_row *row,
                                 const int *tokens, cudaStream_t stream)
{
    const struct cupool_kv_identity identity = {CUPOOL_KV_SHA256, 16, 0};
    const struct cupool_kv_scope scope = {};
    const struct cupool_tier_age age = {};
    struct cupool_kv_hash root;
    unsigned matched = 0, count = (unsigned)row->length / 16;

    if (!cache->tiers || row->length == 0 || row->length % cache->interval != 0)
        return;
    PAGED_CHECK(cupool_sequence_commit(cache->set, row->sequence, stream));
    PAGED_CHECK(cupool_sequence_remove(cache->set, row->sequence, stream));
    PAGED_CHECK(cupool_tiers_age_step(cache->tiers, &age, NULL, NULL, NULL));
    std::vector<struct cupool_kv_hash> keys(count);
    std::vector<cupool_kv_handle> handles(count);
    std::vector<uint8_t> sources(count);
    PAGED_CHECK(cupool_kv_identity_root(&identity, &scope, &root));
    PAGED_CHECK(cupool_kv_identity_blocks(&identity, &scope, &root, tokens, 0, count, &keys[0]));
    PAGED_CHECK(cupool_tiers_match(cache->tiers, &keys[0], count, stream, &handles[0], &sources[0],
                                   &matched));
    for (unsigned at = 0; at < count; at++)
        if (at >= matched || sources[at] != CUPOOL_KV_LOADED)
            paged_check(-ENOENT, "a block that did not come back");
    PAGED_CHECK(cupool_sequence_create(cache->set, NULL, 0, &row->sequence));
    PAGED_CHECK(cupool_sequence_match(cache->set, row->sequence, tokens, (unsigned)row->length + 1,
                                      stream, &matched));
    if (matched != (unsigned)row->length)
        paged_check(-ENOENT, "a sequence that did not come back");
    PAGED_CHECK(cupool_kv_release(cache->pool, &handles[0], count, stream));
}

static inline void paged_report(const struct paged_cache *cache)
{
    struct cupool_tiers_statistics stats;

    if (!cache || !cache->tiers)
        return;
    PAGED_CHECK(cupool_tiers_stats(cache->tiers, &stats));
    printf("offloaded %llu blocks, %llu of them exact; loaded %llu; %llu bytes became %llu\n",
           (unsigned long long)stats.aged, (unsigned long long)stats.exact,
           (unsigned long long)stats.loaded, (unsigned long long)stats.raw_bytes,
           (unsigned long long)stats.entry_bytes);
}

static inline void paged_begin(struct paged_cache *cache, struct paged_row *row)
{
    row->length = 0;
    PAGED_CHECK(cupool_sequence_create(cache->set, NULL, 0, &row->sequence));
}

/** The token of this step: its place, and a block if none has room. */
static inline void paged_token(struct paged_cache *cache, struct paged_row *row, int token,
                               cudaStream_t stream)
{
    PAGED_CHECK(cupool_sequence_append(cache->set, row->sequence, &token, 1, stream));
    PAGED_CHECK(cupool_sequence_place(cache->set, row->sequence, 0, (unsigned)row->length,
                                      &row->block, &row->offset));
    row->length++;
}

static inline void paged_tables(struct paged_cache *cache, cudaStream_t stream)
{
    PAGED_CHECK(cupool_sequences_tables(cache->set, 0, stream, &cache->tables, &cache->width));
}

/** Writes a key and a value of one layer; returns where that layer's keys and values are. */
static inline struct tinyllm_pages paged_append(struct paged_cache *cache,
                                                const struct paged_row *row, int layer,
                                                const float *key, const float *value,
                                                cudaStream_t stream)
{
    size_t bytes = (size_t)cache->shape.dim * sizeof(float);
    const char *layer_keys = (const char *)cache->geometry.base +
                             (size_t)layer * cache->geometry.layer_stride;
    for (int side = 0; side < 2; side++) {
        void *memory;
        PAGED_CHECK(
            cupool_kv_memory(cache->pool, row->block, (unsigned)layer, side, &memory, NULL));
        CUDA_CHECK(cudaMemcpyAsync((char *)memory + row->offset * bytes, side ? value : key, bytes,
                                   cudaMemcpyDeviceToDevice, stream));
    }
    struct tinyllm_pages pages = {};
    pages.keys = layer_keys;
    pages.values = layer_keys + cache->geometry.key_bytes;
    pages.table = cache->tables + (size_t)cupool_sequence_row(row->sequence) * cache->width;
    pages.stride = cache->geometry.block_stride;
    pages.block_tokens = 16;
    pages.length = row->length;
    pages.dim = cache->shape.dim;
    pages.head_dim = cache->shape.dim / cache->shape.heads;
    return pages;
}

static inline void paged_end(struct paged_cache *cache, struct paged_row *row, cudaStream_t stream)
{
    PAGED_CHECK(cupool_sequence_remove(cache->set, row->sequence, stream));
}

static inline void paged_done(struct paged_cache *cache)
{
    if (!cache)
        return;
    char why[160] = "";
    if (cupool_kv_check(cache->pool, why, sizeof(why)) < 0)
        fprintf(stderr, "tinyllm: the pool is broken: %s\n", why);
    cupool_sequences_destroy(cache->set);
    cupool_tiers_destroy(cache->tiers);
    cupool_kv_destroy(cache->pool);
    cupool_device_close(cache->device);
    delete cache;
}

#else

struct paged_cache {
};

struct paged_row {
};

static inline struct paged_cache *paged_make(const struct model_shape *shape, int batch,
                                             int longest)
{
    fprintf(stderr, "tinyllm: --paged: built without libcupool-engine\n");
    exit(2);
}

static inline void paged_tiers(struct paged_cache *cache, const char *codec, int interval,
                               int sequences, int longest)
{
}

static inline void paged_suspend(struct paged_cache *cache, struct paged_row *row,
                                 const int *tokens, cudaStream_t stream)
{
}

static inline void paged_report(const struct paged_cache *cache)
{
}

static inline void paged_begin(struct paged_cache *cache, struct paged_row *row)
{
}

static inline void paged_token(struct paged_cache *cache, struct paged_row *row, int token,
                               cudaStream_t stream)
{
}

static inline void paged_tables(struct paged_cache *cache, cudaStream_t stream)
{
}

static inline struct tinyllm_pages paged_append(struct paged_cache *cache,
                                                const struct paged_row *row, int layer,
                                                const float *key, const float *value,
                                                cudaStream_t stream)
{
    return {};
}

static inline void paged_end(struct paged_cache *cache, struct paged_row *row, cudaStream_t stream)
{
}

static inline void paged_done(struct paged_cache *cache)
{
}

#endif

#endif
