/* SPDX-License-Identifier: MIT */
/*
 * An entry of a tier: a block serialized for any store.
 *
 *     header of 128 bytes | layer 0 | layer 1 | …
 *
 * A layer is its keys and values as they lie in the block, or an encoded block of a codec, padded
 * to 8 bytes. The header carries the key, the identity of model and shape, the CRC-32C of itself,
 * and the CRC-32C of the data after it. Numbers are little-endian. Any deviation is refused with
 * its reason: entries come from files and servers, which are not trusted.
 *
 * Threading: no state.
 */
#ifndef ENGINE_TIER_ENTRY_H
#define ENGINE_TIER_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "include/cupool/tier.h"
#include "kernels/codec/block.h"

#define ENTRY_MAGIC   0x45564b43u /* "CKVE" */
#define ENTRY_VERSION 1
#define ENTRY_PLAIN   255u

struct entry_header {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint32_t codec; /* ENTRY_PLAIN, or an enum cupool_codec */
    uint32_t layers;
    uint64_t payload_bytes; /* behind the header */
    uint64_t raw_bytes;     /* of the block's layers */
    uint8_t key[32], identity[32];
    uint64_t saturated;
    uint8_t reserved[16]; /* zero */
    uint32_t payload_crc, header_crc;
};

/** What blocks of one pool look like. */
struct entry_shape {
    uint32_t layers;
    size_t layer_bytes;               /* keys, then values, without padding */
    int has_codec;                    /* codecs know the pool's types */
    struct cupool_codec_config codec; /* all but the codec and the layer */
    uint8_t identity[32];
};

/** The shape of a pool's blocks for a model. -EINVAL: a pool without memory. */
int entry_shape_make(const struct cupool_kv_config *config,
                     const struct cupool_kv_geometry *geometry, const char *identity,
                     struct entry_shape *ret_shape);

/** Returns the most bytes of an entry by this codec. -ENOTSUP: not for this shape. */
int entry_maximum(const struct entry_shape *shape, int codec, size_t *ret_bytes);

/** Returns the lossless choice: the lossless codec for 16-bit types, else plain. */
int entry_exact_codec(const struct entry_shape *shape);

/** Makes an entry of a block, its layers `stride` bytes apart. `entry` is aligned to 8. */
int entry_encode(const struct entry_shape *shape, int codec, const struct cupool_kv_hash *key,
                 const void *layers, size_t stride, void *entry, size_t room, size_t *ret_bytes,
                 uint64_t *ret_saturated);

/** Writes the header in front of an existing payload. Returns the bytes of the entry. */
size_t entry_seal(const struct entry_shape *shape, int codec, const struct cupool_kv_hash *key,
                  void *entry, size_t payload_bytes, uint64_t saturated);

/** Verifies the encoded block of a layer, `left` bytes before the end of its entry. Returns the
 * positions of its parts, and the bytes to the next layer. */
int entry_layer_open(const struct entry_shape *shape, uint32_t codec, uint32_t layer,
                     const uint8_t *encoded, size_t left, struct codec_span ret_spans[2],
                     size_t *ret_used);

/** Verifies a header alone, as far as possible without the rest: `bytes` is the entry's length. */
int entry_header_verify(const struct entry_shape *shape, const struct cupool_kv_hash *key,
                        const void *header, size_t bytes, enum cupool_tier_fault *ret_fault);

/** -EBADMSG with the fault, or 0. */
int entry_verify(const struct entry_shape *shape, const struct cupool_kv_hash *key,
                 const void *entry, size_t bytes, enum cupool_tier_fault *ret_fault);

/** Verifies an entry and decodes it into a block. A refused entry is not decoded, except that a
 * codec may refuse a later layer after earlier ones were decoded. */
int entry_decode(const struct entry_shape *shape, const struct cupool_kv_hash *key, void *entry,
                 size_t bytes, void *layers, size_t stride, enum cupool_tier_fault *ret_fault);

#endif
