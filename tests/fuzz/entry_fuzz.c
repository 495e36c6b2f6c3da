/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the decoder of tier entries. As they are, they are refused or valid. With
 * corrected checksums, key and identity, so that the rest is reached, they are refused or decoded
 * within the block. An entry refused before the codec leaves the block untouched.
 *
 * An input is an entry, tried as each of two shapes: with types that codecs know, and without.
 *
 * Threading: single-threaded.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tier/entry.h"
#include "tests/fuzz/fuzz.h"

#define LAYERS 2u
#define GUARD  64u

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static struct entry_shape shape_of(unsigned which, size_t *ret_layer)
{
    struct cupool_kv_config config = {.layers = LAYERS,
                                      .block_tokens = 16,
                                      .kv_heads = 1,
                                      .head_dim = 32,
                                      .key_type = which ? CUPOOL_KV_F8_E4M3 : CUPOOL_KV_BF16,
                                      .value_type = which ? CUPOOL_KV_F8_E4M3 : CUPOOL_KV_BF16};
    struct cupool_kv_geometry geometry = {.layer_bytes = (uint64_t)2 * 16 * 32 * (which ? 1 : 2)};
    struct entry_shape shape;

    expect(entry_shape_make(&config, &geometry, "fuzz", &shape) == 0);
    *ret_layer = geometry.layer_bytes;
    return shape;
}

static struct cupool_kv_hash key_one(void)
{
    struct cupool_kv_hash key = {{1, 2, 3}};

    return key;
}

/* Everything that a sound entry of this shape has right. */
static void seal(const struct entry_shape *shape, uint8_t *entry, size_t bytes, bool fields)
{
    struct cupool_kv_hash key = key_one();
    struct entry_header header;

    memcpy(&header, entry, sizeof(header));
    header.magic = ENTRY_MAGIC;
    header.version = ENTRY_VERSION;
    header.header_bytes = sizeof(header);
    memcpy(header.key, key.bytes, sizeof(header.key));
    memcpy(header.identity, shape->identity, sizeof(header.identity));
    if (fields) {
        header.layers = shape->layers;
        header.raw_bytes = (uint64_t)shape->layers * shape->layer_bytes;
        header.payload_bytes = bytes - sizeof(header);
        memset(header.reserved, 0, sizeof(header.reserved));
    }
    header.payload_crc = cupool_codec_crc32c(0, entry + sizeof(header), bytes - sizeof(header));
    header.header_crc = cupool_codec_crc32c(0, &header, offsetof(struct entry_header, header_crc));
    memcpy(entry, &header, sizeof(header));
}

static void decode_check(const struct entry_shape *shape, size_t layer, uint8_t *entry,
                         size_t bytes)
{
    size_t whole = LAYERS * layer;
    struct cupool_kv_hash key = key_one();
    uint8_t *block = malloc(whole + GUARD);
    enum cupool_tier_fault fault = CUPOOL_TIER_SOUND;

    expect(block);
    memset(block, 0xa5, whole + GUARD);
    int error = entry_decode(shape, &key, entry, bytes, block, layer, &fault);
    expect(error == (fault == CUPOOL_TIER_SOUND ? 0 : -EBADMSG));
    expect(cupool_tier_fault_text(fault)[0] != '\0');
    for (size_t at = fault != CUPOOL_TIER_SOUND && fault != CUPOOL_TIER_CODEC ? 0 : whole;
         at < whole + GUARD; at++)
        expect(block[at] == 0xa5);
    free(block);
}

static void shape_check(unsigned which, const uint8_t *data, size_t bytes)
{
    size_t layer;
    const struct entry_shape shape = shape_of(which, &layer);
    uint8_t *entry = malloc(bytes ? bytes : 1); /* exactly as long, and aligned */

    expect(entry);
    memcpy(entry, data, bytes);
    decode_check(&shape, layer, entry, bytes);
    for (int fields = 0; fields < 2 && bytes >= sizeof(struct entry_header); fields++) {
        seal(&shape, entry, bytes, fields);
        decode_check(&shape, layer, entry, bytes);
    }
    free(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (unsigned which = 0; which < 2; which++)
        shape_check(which, data, bytes);
    return 0;
}
