/* SPDX-License-Identifier: MIT */
/*
 * Entries: decoded contents, and refusals with their reasons.
 */
#include "tests/unit/tier/fixture.h"

#include <stddef.h>

#include "engine/tier/entry.h"

static struct entry_shape shape;
static struct cupool_kv_geometry geometry;
static uint8_t *layers, *again, *entry;
static size_t room, bytes;

static void shape_make(enum cupool_kv_type type, const char *identity)
{
    struct cupool_kv_config config = config_of(1);

    config.key_type = config.value_type = type;
    geometry = (struct cupool_kv_geometry){.layer_bytes = (size_t)2 * 2 * 64 * 16 *
                                                          (type == CUPOOL_KV_F32 ? 4 : 2)};
    if (type == CUPOOL_KV_F8_E4M3)
        geometry.layer_bytes = (size_t)2 * 2 * 64 * 16;
    cr_assert_eq(entry_shape_make(&config, &geometry, identity, &shape), 0);
    layers = realloc(layers, LAYERS * geometry.layer_bytes);
    again = realloc(again, LAYERS * geometry.layer_bytes);
    for (size_t at = 0; at < LAYERS * geometry.layer_bytes / 2; at++)
        ((uint16_t *)(void *)layers)[at] = value_of(5, 0, at);
}

static void encode(int codec)
{
    struct cupool_kv_hash key = hash_of(5);
    uint64_t saturated;

    cr_assert_eq(entry_maximum(&shape, codec, &room), 0);
    entry = realloc(entry, room + 64);
    cr_assert_eq(entry_encode(&shape, codec, &key, layers, geometry.layer_bytes, entry, room,
                              &bytes, &saturated),
                 0);
}

static enum cupool_tier_fault fault_of(const void *data, size_t length, uint64_t number)
{
    struct cupool_kv_hash key = hash_of(number);
    enum cupool_tier_fault fault = CUPOOL_TIER_SOUND;
    uint8_t *copy = malloc(length + 1);

    memcpy(copy, data, length);
    memset(again, 0xa5, LAYERS * geometry.layer_bytes);
    int error = entry_decode(&shape, &key, copy, length, again, geometry.layer_bytes, &fault);
    cr_assert_eq(error, fault == CUPOOL_TIER_SOUND ? 0 : -EBADMSG);
    if (error < 0 && fault != CUPOOL_TIER_CODEC)
        for (size_t at = 0; at < LAYERS * geometry.layer_bytes; at++)
            cr_assert_eq(again[at], 0xa5, "%s, yet decoded", cupool_tier_fault_text(fault));
    free(copy);
    return fault;
}

static void seal(void)
{
    struct entry_header header;

    memcpy(&header, entry, sizeof(header));
    header.payload_crc = cupool_codec_crc32c(0, entry + sizeof(header), bytes - sizeof(header));
    header.header_crc = cupool_codec_crc32c(0, &header, offsetof(struct entry_header, header_crc));
    memcpy(entry, &header, sizeof(header));
}

Test(entry, every_codec_comes_back_within_its_bound_and_exact_ones_bit_by_bit)
{
    for (int codec = CUPOOL_TIER_PLAIN; codec < CUPOOL_CODEC_COUNT; codec++) {
        shape_make(CUPOOL_KV_BF16, "model");
        shape.codec.keep_permille = 500;
        if (entry_maximum(&shape, codec, &room) < 0) {
            cr_assert(codec == CUPOOL_CODEC_FP16 || codec == CUPOOL_CODEC_BF16 ||
                          codec == CUPOOL_CODEC_PRUNE_TOKENS,
                      "codec %d", codec);
            continue;
        }
        encode(codec);
        cr_assert(bytes <= room);
        cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_SOUND, "codec %d", codec);
        if (codec == CUPOOL_TIER_PLAIN || codec == CUPOOL_CODEC_RAW ||
            codec == CUPOOL_CODEC_LOSSLESS)
            cr_assert_eq(memcmp(layers, again, LAYERS * geometry.layer_bytes), 0);
    }
}

Test(entry, lossless_keeps_every_bit_pattern_and_is_never_larger_than_plain_and_headers)
{
    for (int type = CUPOOL_KV_F16; type <= CUPOOL_KV_BF16; type++) {
        shape_make((enum cupool_kv_type)type, "model");
        size_t values = LAYERS * geometry.layer_bytes / 2;
        for (size_t first = 0; first < 65536; first += values) {
            for (size_t at = 0; at < values; at++)
                ((uint16_t *)(void *)layers)[at] = (uint16_t)(first + at);
            encode(entry_exact_codec(&shape));
            cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_SOUND);
            cr_assert_eq(memcmp(layers, again, LAYERS * geometry.layer_bytes), 0);
            cr_assert(bytes <=
                      sizeof(struct entry_header) +
                          LAYERS * (geometry.layer_bytes + sizeof(struct cupool_codec_header)));
        }
    }
}

Test(entry, types_that_no_codec_knows_are_kept_as_they_are)
{
    shape_make(CUPOOL_KV_F8_E4M3, "model");
    cr_assert_eq(entry_maximum(&shape, CUPOOL_CODEC_INT8, &room), -ENOTSUP);
    cr_assert_eq(entry_exact_codec(&shape), CUPOOL_TIER_PLAIN);
    encode(CUPOOL_TIER_PLAIN);
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_SOUND);
    cr_assert_eq(memcmp(layers, again, LAYERS * geometry.layer_bytes), 0);
}

Test(entry, every_length_but_its_own_is_refused)
{
    shape_make(CUPOOL_KV_BF16, "model");
    encode(CUPOOL_CODEC_RICE);
    for (size_t length = 0; length < bytes; length++)
        cr_assert_eq(fault_of(entry, length, 5), CUPOOL_TIER_SHORT, "%zu", length);
    memset(entry + bytes, 0, 8);
    cr_assert_eq(fault_of(entry, bytes + 1, 5), CUPOOL_TIER_LONG);
}

Test(entry, every_changed_bit_is_refused)
{
    shape_make(CUPOOL_KV_BF16, "model");
    encode(CUPOOL_TIER_PLAIN); /* no codec looks at what it has */
    for (size_t bit = 8 * sizeof(struct entry_header); bit < 8 * bytes; bit += 4099) {
        entry[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_PAYLOAD_CHECKSUM, "bit %zu", bit);
        entry[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    encode(CUPOOL_CODEC_INT8);
    for (size_t bit = 0; bit < 8 * bytes; bit += bit < 8 * 256 ? 1 : 61) {
        entry[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(fault_of(entry, bytes, 5), CUPOOL_TIER_SOUND, "bit %zu", bit);
        entry[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_SOUND);
}

Test(entry, another_key_model_shape_or_codec_is_refused_although_sound)
{
    struct entry_header header;

    shape_make(CUPOOL_KV_BF16, "model");
    encode(CUPOOL_TIER_PLAIN);
    cr_assert_eq(fault_of(entry, bytes, 6), CUPOOL_TIER_OTHER_KEY);
    shape_make(CUPOOL_KV_BF16, "model, revision 2");
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_OTHER_IDENTITY);
    shape_make(CUPOOL_KV_F16, "model");
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_OTHER_IDENTITY);
    shape_make(CUPOOL_KV_BF16, "model");
    memcpy(&header, entry, sizeof(header));
    header.codec = CUPOOL_CODEC_COUNT;
    memcpy(entry, &header, sizeof(header));
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_HEADER_CHECKSUM);
    seal();
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_FIELD);
    header.codec = CUPOOL_CODEC_INT8; /* of what is not encoded at all */
    memcpy(entry, &header, sizeof(header));
    seal();
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_CODEC);
    header.magic++;
    memcpy(entry, &header, sizeof(header));
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_MAGIC);
    header.magic--, header.version++;
    memcpy(entry, &header, sizeof(header));
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_VERSION);
}

Test(entry, layers_of_a_sealed_entry_that_lie_are_refused)
{
    struct cupool_codec_header layer;

    shape_make(CUPOOL_KV_BF16, "model");
    encode(CUPOOL_CODEC_INT8);
    memcpy(&layer, entry + sizeof(struct entry_header), sizeof(layer));
    layer.payload_bytes = UINT64_MAX - 60;
    memcpy(entry + sizeof(struct entry_header), &layer, sizeof(layer));
    seal();
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_CODEC);
    encode(CUPOOL_CODEC_INT8); /* the layers change places: the first is not marked as one */
    size_t half = (bytes - sizeof(struct entry_header)) / 2;
    uint8_t *swap = malloc(half);
    memcpy(swap, entry + sizeof(struct entry_header), half);
    memmove(entry + sizeof(struct entry_header), entry + sizeof(struct entry_header) + half, half);
    memcpy(entry + sizeof(struct entry_header) + half, swap, half);
    free(swap);
    seal();
    cr_assert_eq(fault_of(entry, bytes, 5), CUPOOL_TIER_CODEC);
}
