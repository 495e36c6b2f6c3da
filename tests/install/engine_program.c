/* SPDX-License-Identifier: MIT */
/*
 * What a program gets from an installed libcupool-engine on a GPU: small copies, which one kernel
 * makes, and blocks that kernels encode for a tier and decode again. Prints the numbers of
 * launches, of blocks encoded on the device, and of wrong bytes.
 */
#include <cupool/kv.h>
#include <cupool/tier.h>
#include <cupool/transfer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call)                                                                                 \
    do {                                                                                           \
        int error = (call);                                                                        \
        if (error) {                                                                               \
            fprintf(stderr, "%s: %d\n", #call, error);                                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { BLOCKS = 32, TOKENS = 16, FRAGMENT = 1000 };

static struct cupool_device *device;
static struct cupool_kv *pool;
static struct cupool_kv_geometry geometry;
static char *sent, *returned; /* a block each, page-locked */
static unsigned long wrong;

static char *block(cupool_kv_handle handle)
{
    return (char *)geometry.base + (uint32_t)handle * geometry.block_stride;
}

static void compare(size_t index, size_t bytes)
{
    for (size_t i = index * geometry.block_bytes; bytes--; i++)
        wrong += sent[i] != returned[i];
}

/** A piece of every block to the device and back. */
static unsigned long copy(const cupool_kv_handle *blocks)
{
    struct cupool_copy to[BLOCKS], from[BLOCKS];
    struct cupool_transfers *transfers;
    struct cupool_transfer_statistics statistics;
    cupool_transfer transfer;

    for (size_t i = 0; i < BLOCKS; i++) {
        size_t at = i * geometry.block_bytes;

        to[i] = (struct cupool_copy){block(blocks[i]), sent + at, FRAGMENT};
        from[i] = (struct cupool_copy){returned + at, block(blocks[i]), FRAGMENT};
    }
    MUST(cupool_transfers_create(device, NULL, &transfers));
    MUST(cupool_transfers_submit(transfers, CUPOOL_TO_DEVICE, to, BLOCKS, NULL, &transfer));
    MUST(cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER));
    MUST(cupool_transfers_submit(transfers, CUPOOL_FROM_DEVICE, from, BLOCKS, NULL, &transfer));
    MUST(cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER));
    MUST(cupool_transfers_stats(transfers, CUPOOL_TO_DEVICE, &statistics));
    cupool_transfers_destroy(transfers);
    for (size_t i = 0; i < BLOCKS; i++)
        compare(i, FRAGMENT);
    return statistics.launches;
}

/** Every block into a tier, out of the pool, and back. */
static unsigned long offload(cupool_kv_handle *blocks)
{
    const struct cupool_kv_identity identity = {CUPOOL_KV_SHA256, TOKENS, 0};
    struct cupool_kv_hash root, hashes[BLOCKS];
    int32_t tokens[BLOCKS * TOKENS] = {0};
    struct cupool_tiers_config config;
    struct cupool_tier tier = {.name = "host", .bytes = 64 << 20};
    struct cupool_tiers *tiers;
    struct cupool_tiers_statistics statistics;
    cupool_kv_ticket ticket;
    uint32_t count;

    MUST(cupool_kv_identity_root(&identity, NULL, &root));
    MUST(cupool_kv_identity_blocks(&identity, NULL, &root, tokens, 0, BLOCKS, hashes));
    cupool_tiers_config_init(&config);
    config.codec = CUPOOL_CODEC_LOSSLESS;
    MUST(cupool_tier_host(tier.bytes, &tier.store));
    MUST(cupool_tiers_create(device, pool, &config, &tier, 1, &tiers));
    for (size_t i = 0; i < BLOCKS; i++)
        MUST(cupool_device_copy(device, block(blocks[i]), sent + i * geometry.block_bytes,
                                geometry.block_bytes, CUPOOL_STREAM_NONE));
    MUST(cupool_kv_complete(pool, blocks, BLOCKS));
    MUST(cupool_kv_register(pool, blocks, hashes, BLOCKS, NULL, CUPOOL_KV_ANSWER_FIRST, NULL,
                            blocks));
    MUST(cupool_tiers_offload(tiers, blocks, BLOCKS, NULL, NULL, NULL, &ticket));
    MUST(cupool_tiers_drain(tiers));
    MUST(cupool_tiers_result(tiers, ticket, &count));
    MUST(cupool_kv_release(pool, blocks, BLOCKS, NULL));
    MUST(cupool_device_wait(device, NULL));
    MUST(cupool_kv_reset(pool, &count));
    for (size_t i = 0; i < BLOCKS; i++)
        MUST(cupool_device_fill(device, block(blocks[i]), 0, geometry.block_bytes,
                                CUPOOL_STREAM_NONE));
    MUST(cupool_tiers_match(tiers, hashes, BLOCKS, NULL, blocks, NULL, &count));
    MUST(cupool_device_wait(device, NULL));
    MUST(count != BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++) {
        MUST(cupool_device_copy(device, returned + i * geometry.block_bytes, block(blocks[i]),
                                geometry.block_bytes, CUPOOL_STREAM_NONE));
        compare(i, geometry.block_bytes);
    }
    MUST(cupool_tiers_stats(tiers, &statistics));
    MUST(cupool_kv_release(pool, blocks, BLOCKS, NULL));
    cupool_tiers_destroy(tiers);
    return statistics.device_encoded;
}

int main(void)
{
    cupool_kv_handle blocks[BLOCKS];
    struct cupool_kv_config config;
    unsigned long launches, encoded;
    void *memory;
    size_t bytes;

    MUST(cupool_device_open(0, &device));
    cupool_kv_config_init(&config);
    config.blocks = BLOCKS, config.block_tokens = TOKENS;
    config.layers = 2, config.kv_heads = 2, config.head_dim = 64;
    MUST(cupool_kv_create(device, &config, &pool));
    cupool_kv_strides(pool, &geometry);
    bytes = BLOCKS * geometry.block_bytes;
    MUST(cupool_device_host_allocate(device, 2 * bytes, &memory));
    sent = memory, returned = sent + bytes;
    for (size_t i = 0; i < bytes; i++) /* 16-bit floats of usual size */
        sent[i] = (char)(i % 2 ? 0x3c : i * 7 / 2);
    memset(returned, 0, bytes);

    MUST(cupool_kv_allocate(pool, BLOCKS, NULL, blocks));
    launches = copy(blocks);
    encoded = offload(blocks);
    printf("launches %lu, encoded %lu, wrong %lu\n", launches, encoded, wrong);
    MUST(cupool_device_host_free(device, memory));
    cupool_kv_destroy(pool);
    cupool_device_close(device);
    return 0;
}
