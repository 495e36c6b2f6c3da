/* SPDX-License-Identifier: MIT */
/*
 * Every check relies on what earlier checks have proved, and on nothing else.
 */
#include "engine/tier/entry.h"

#include <assert.h>
#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

static_assert(sizeof(struct entry_header) == 128, "the header is part of the format");

const char *cupool_tier_fault_text(enum cupool_tier_fault fault)
{
    static const char *const texts[] = {
        [CUPOOL_TIER_SOUND] = "sound",
        [CUPOOL_TIER_SHORT] = "shorter than the header says",
        [CUPOOL_TIER_LONG] = "longer than the header says",
        [CUPOOL_TIER_MAGIC] = "not an entry",
        [CUPOOL_TIER_VERSION] = "unknown version",
        [CUPOOL_TIER_HEADER_CHECKSUM] = "the checksum of the header differs",
        [CUPOOL_TIER_PAYLOAD_CHECKSUM] = "the checksum of the content differs",
        [CUPOOL_TIER_OTHER_KEY] = "another key",
        [CUPOOL_TIER_OTHER_IDENTITY] = "another model or shape",
        [CUPOOL_TIER_FIELD] = "a field of the header is out of range",
        [CUPOOL_TIER_CODEC] = "the codec rejects a layer",
    };

    return (unsigned)fault < sizeof(texts) / sizeof(texts[0]) ? texts[fault] : "unknown";
}

static void identity_make(const struct cupool_kv_config *config, const char *identity,
                          uint8_t *ret_identity)
{
    uint32_t fields[] = {config->layers,
                         config->block_tokens,
                         config->kv_heads,
                         config->head_dim,
                         (uint32_t)config->key_type,
                         (uint32_t)config->value_type,
                         (uint32_t)config->order,
                         config->group};
    uint8_t bytes[sizeof(fields) + SHA256_DIGEST_LENGTH];

    memcpy(bytes, fields, sizeof(fields));
    SHA256((const uint8_t *)identity, strlen(identity), bytes + sizeof(fields));
    SHA256(bytes, sizeof(bytes), ret_identity);
}

static int codec_type_of(enum cupool_kv_type type, enum cupool_codec_type *ret_type)
{
    switch (type) {
    case CUPOOL_KV_F16: *ret_type = CUPOOL_CODEC_TYPE_F16; return 1;
    case CUPOOL_KV_BF16: *ret_type = CUPOOL_CODEC_TYPE_BF16; return 1;
    case CUPOOL_KV_F32: *ret_type = CUPOOL_CODEC_TYPE_F32; return 1;
    default: return 0;
    }
}

int entry_shape_make(const struct cupool_kv_config *config,
                     const struct cupool_kv_geometry *geometry, const char *identity,
                     struct entry_shape *ret_shape)
{
    struct entry_shape shape = {.layers = config->layers, .layer_bytes = geometry->layer_bytes};
    struct cupool_codec_info info;

    if (config->layers == 0)
        return -EINVAL;
    shape.codec = (struct cupool_codec_config){
        .codec = CUPOOL_CODEC_RAW,
        .layout = config->order == CUPOOL_KV_NHD ? CUPOOL_CODEC_LAYOUT_NHD
                                                 : CUPOOL_CODEC_LAYOUT_HND,
        .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
        .tokens = config->block_tokens,
        .heads = config->kv_heads,
        .head_dim = config->head_dim,
    };
    shape.has_codec = config->key_type == config->value_type &&
                      codec_type_of(config->key_type, &shape.codec.type) &&
                      cupool_codec_query(&shape.codec, &info) == 0 &&
                      info.raw_bytes == shape.layer_bytes;
    identity_make(config, identity, shape.identity);
    *ret_shape = shape;
    return 0;
}

int entry_exact_codec(const struct entry_shape *shape)
{
    return shape->has_codec && shape->codec.type != CUPOOL_CODEC_TYPE_F32 ? CUPOOL_CODEC_LOSSLESS
                                                                          : CUPOOL_TIER_PLAIN;
}

static struct cupool_codec_config codec_of(const struct entry_shape *shape, uint32_t codec,
                                           uint32_t layer)
{
    struct cupool_codec_config config = shape->codec;

    config.codec = (enum cupool_codec)codec;
    config.first_layer = layer == 0;
    return config;
}

static size_t padded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

int entry_maximum(const struct entry_shape *shape, int codec, size_t *ret_bytes)
{
    struct cupool_codec_info info;

    if (codec == CUPOOL_TIER_PLAIN) {
        *ret_bytes = sizeof(struct entry_header) + shape->layers * shape->layer_bytes;
        return 0;
    }
    /* Scores would come from the caller, and there are none. */
    if (!shape->has_codec || codec == CUPOOL_CODEC_PRUNE_TOKENS)
        return -ENOTSUP;
    *ret_bytes = sizeof(struct entry_header);
    for (uint32_t layer = 0; layer < 2; layer++) {
        struct cupool_codec_config config = codec_of(shape, (uint32_t)codec, layer);
        int error = cupool_codec_query(&config, &info);

        if (error < 0)
            return error;
        *ret_bytes += padded(info.maximum_bytes) * (layer == 0 ? 1 : shape->layers - 1);
    }
    return 0;
}

/* Encodes layer after layer. Returns the bytes used, or an error. */
static int layers_encode(const struct entry_shape *shape, int codec, const uint8_t *layers,
                         size_t stride, uint8_t *to, size_t room, size_t *ret_bytes,
                         uint64_t *ret_saturated)
{
    size_t used = 0;

    *ret_saturated = 0;
    for (uint32_t layer = 0; layer < shape->layers; layer++) {
        if (codec == CUPOOL_TIER_PLAIN) {
            if (room - used < shape->layer_bytes)
                return -ENOSPC;
            memcpy(to + used, layers + layer * stride, shape->layer_bytes);
            used += shape->layer_bytes;
            continue;
        }
        struct cupool_codec_config config = codec_of(shape, (uint32_t)codec, layer);
        struct cupool_codec_block block = {.raw = (void *)(uintptr_t)(layers + layer * stride),
                                           .encoded = to + used,
                                           .encoded_bytes = room - used};
        int error = cupool_codec_encode(&config, &block, 1);
        if (error < 0)
            return error;
        size_t padding = padded(block.encoded_bytes) - block.encoded_bytes;
        used += block.encoded_bytes;
        if (room - used < padding)
            return -ENOSPC;
        memset(to + used, 0, padding);
        used += padding;
        *ret_saturated += block.saturated;
    }
    *ret_bytes = used;
    return 0;
}

size_t entry_seal(const struct entry_shape *shape, int codec, const struct cupool_kv_hash *key,
                  void *entry, size_t payload_bytes, uint64_t saturated)
{
    struct entry_header header = {
        .magic = ENTRY_MAGIC,
        .version = ENTRY_VERSION,
        .header_bytes = sizeof(header),
        .codec = codec == CUPOOL_TIER_PLAIN ? ENTRY_PLAIN : (uint32_t)codec,
        .layers = shape->layers,
        .payload_bytes = payload_bytes,
        .raw_bytes = shape->layers * shape->layer_bytes,
        .saturated = saturated,
    };

    memcpy(header.key, key->bytes, sizeof(header.key));
    memcpy(header.identity, shape->identity, sizeof(header.identity));
    header.payload_crc = cupool_codec_crc32c(0, (uint8_t *)entry + sizeof(header), payload_bytes);
    header.header_crc = cupool_codec_crc32c(0, &header, offsetof(struct entry_header, header_crc));
    memcpy(entry, &header, sizeof(header));
    return sizeof(header) + payload_bytes;
}

int entry_encode(const struct entry_shape *shape, int codec, const struct cupool_kv_hash *key,
                 const void *layers, size_t stride, void *entry, size_t room, size_t *ret_bytes,
                 uint64_t *ret_saturated)
{
    uint8_t *payload = (uint8_t *)entry + sizeof(struct entry_header);
    size_t bytes;

    if (room < sizeof(struct entry_header))
        return -ENOSPC;
    int error = layers_encode(shape, codec, layers, stride, payload,
                              room - sizeof(struct entry_header), &bytes, ret_saturated);
    if (error < 0)
        return error;
    *ret_bytes = entry_seal(shape, codec, key, entry, bytes, *ret_saturated);
    return 0;
}

static enum cupool_tier_fault header_fault(const struct entry_shape *shape,
                                           const struct cupool_kv_hash *key, const void *entry,
                                           size_t bytes)
{
    static const uint8_t zero[sizeof(((struct entry_header *)0)->reserved)];
    struct entry_header header;

    if (bytes < sizeof(header))
        return CUPOOL_TIER_SHORT;
    memcpy(&header, entry, sizeof(header));
    if (header.magic != ENTRY_MAGIC)
        return CUPOOL_TIER_MAGIC;
    if (header.version != ENTRY_VERSION || header.header_bytes != sizeof(header))
        return CUPOOL_TIER_VERSION;
    if (header.header_crc !=
        cupool_codec_crc32c(0, &header, offsetof(struct entry_header, header_crc)))
        return CUPOOL_TIER_HEADER_CHECKSUM;
    if (memcmp(header.identity, shape->identity, sizeof(header.identity)) != 0)
        return CUPOOL_TIER_OTHER_IDENTITY;
    if (memcmp(header.key, key->bytes, sizeof(header.key)) != 0)
        return CUPOOL_TIER_OTHER_KEY;
    if (header.payload_bytes != bytes - sizeof(header))
        return header.payload_bytes > bytes - sizeof(header) ? CUPOOL_TIER_SHORT : CUPOOL_TIER_LONG;
    if (header.layers != shape->layers || memcmp(header.reserved, zero, sizeof(zero)) != 0 ||
        header.raw_bytes != (uint64_t)shape->layers * shape->layer_bytes ||
        (header.codec == ENTRY_PLAIN ? header.payload_bytes != header.raw_bytes
                                     : header.codec >= CUPOOL_CODEC_COUNT || !shape->has_codec))
        return CUPOOL_TIER_FIELD;
    return CUPOOL_TIER_SOUND;
}

int entry_header_verify(const struct entry_shape *shape, const struct cupool_kv_hash *key,
                        const void *header, size_t bytes, enum cupool_tier_fault *ret_fault)
{
    *ret_fault = header_fault(shape, key, header, bytes);
    return *ret_fault == CUPOOL_TIER_SOUND ? 0 : -EBADMSG;
}

int entry_verify(const struct entry_shape *shape, const struct cupool_kv_hash *key,
                 const void *entry, size_t bytes, enum cupool_tier_fault *ret_fault)
{
    struct entry_header header;

    if (entry_header_verify(shape, key, entry, bytes, ret_fault) < 0)
        return -EBADMSG;
    memcpy(&header, entry, sizeof(header));
    if (cupool_codec_crc32c(0, (const uint8_t *)entry + sizeof(header), header.payload_bytes) !=
        header.payload_crc)
        *ret_fault = CUPOOL_TIER_PAYLOAD_CHECKSUM;
    return *ret_fault == CUPOOL_TIER_SOUND ? 0 : -EBADMSG;
}

/* Returns the bytes of this layer's encoded block: the position of each follows from the
 * headers before it. */
static int layer_bytes(const uint8_t *encoded, size_t left, struct cupool_codec_header *ret_header,
                       size_t *ret_bytes)
{
    if (left < sizeof(*ret_header))
        return -EBADMSG;
    memcpy(ret_header, encoded, sizeof(*ret_header));
    if (ret_header->payload_bytes > left - sizeof(*ret_header))
        return -EBADMSG;
    *ret_bytes = sizeof(*ret_header) + ret_header->payload_bytes;
    return padded(*ret_bytes) > left ? -EBADMSG : 0;
}

int entry_layer_open(const struct entry_shape *shape, uint32_t codec, uint32_t layer,
                     const uint8_t *encoded, size_t left, struct codec_span ret_spans[2],
                     size_t *ret_used)
{
    struct cupool_codec_config config = codec_of(shape, codec, layer);
    struct cupool_codec_header header;
    enum cupool_codec_fault fault;
    size_t bytes;
    int error = layer_bytes(encoded, left, &header, &bytes);

    if (error == 0)
        error = codec_open(&config, encoded, bytes, ret_spans, &header, &fault);
    if (error == 0)
        *ret_used = padded(bytes);
    return error;
}

static int layer_decode(const struct entry_shape *shape, uint32_t codec, uint32_t layer,
                        uint8_t *encoded, size_t left, void *to, size_t *ret_used)
{
    struct cupool_codec_config config = codec_of(shape, codec, layer);
    struct cupool_codec_header header;
    size_t bytes;

    if (layer_bytes(encoded, left, &header, &bytes) < 0)
        return -EBADMSG;
    config.keep_permille = header.keep_permille;
    struct cupool_codec_block block = {.raw = to, .encoded = encoded, .encoded_bytes = bytes};
    if (cupool_codec_decode(&config, &block, 1) < 0)
        return -EBADMSG;
    *ret_used = padded(bytes);
    return 0;
}

int entry_decode(const struct entry_shape *shape, const struct cupool_kv_hash *key, void *entry,
                 size_t bytes, void *layers, size_t stride, enum cupool_tier_fault *ret_fault)
{
    uint8_t *at = (uint8_t *)entry + sizeof(struct entry_header);
    struct entry_header header;
    size_t left, used = 0;

    if (entry_verify(shape, key, entry, bytes, ret_fault) < 0)
        return -EBADMSG;
    memcpy(&header, entry, sizeof(header));
    left = header.payload_bytes;
    for (uint32_t layer = 0; layer < shape->layers; layer++, at += used, left -= used) {
        uint8_t *to = (uint8_t *)layers + layer * stride;

        used = shape->layer_bytes;
        if (header.codec == ENTRY_PLAIN)
            memcpy(to, at, used);
        else if (layer_decode(shape, header.codec, layer, at, left, to, &used) < 0)
            *ret_fault = CUPOOL_TIER_CODEC;
        if (*ret_fault != CUPOOL_TIER_SOUND)
            return -EBADMSG;
    }
    if (left != 0)
        *ret_fault = CUPOOL_TIER_CODEC;
    return left == 0 ? 0 : -EBADMSG;
}
