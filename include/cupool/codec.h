/* SPDX-License-Identifier: MIT */
/*
 * Codecs for blocks of a KV cache: fewer bytes to keep, move or store.
 *
 * A block holds keys, then values (or one of the two), each tokens × heads × head_dim elements in
 * one of two layouts. An encoded block is a header of 64 bytes and a payload, each with a CRC-32C.
 * A block that is damaged, truncated or malformed is refused with a reason, never decoded. A part
 * that the codec cannot shrink is stored as it is, so an encoded block is at most one header larger
 * than the block. The output is the same on every processor.
 *
 * Functions return 0 or a negative errno, keep no state and may be called by any thread. Numbers in
 * a header are little-endian. Rounding is to nearest, ties to even; the caller must keep the
 * processor's default rounding mode.
 */
#ifndef CUPOOL_CODEC_H
#define CUPOOL_CODEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CUPOOL_API
#define CUPOOL_API __attribute__((visibility("default")))
#endif

enum cupool_codec {
    CUPOOL_CODEC_RAW,             /* header and checksum only */
    CUPOOL_CODEC_FP16,            /* fp32 as fp16 */
    CUPOOL_CODEC_BF16,            /* fp32 as bf16 */
    CUPOOL_CODEC_INT8,            /* a scale for each token and head */
    CUPOOL_CODEC_FP8,             /* e4m3, a scale for each head */
    CUPOOL_CODEC_K8V4,            /* keys as INT8, values 4 bit in groups of 32 */
    CUPOOL_CODEC_INT4,            /* keys by channel, values by token, outlier channels 8 bit */
    CUPOOL_CODEC_ROTATED4,        /* Hadamard rotation, Lloyd-Max levels, norms kept */
    CUPOOL_CODEC_RICE,            /* uniform steps of 2.4 % of the norm, entropy coded */
    CUPOOL_CODEC_LOSSLESS,        /* fp16 and bf16: codebook of exponents; bit-exact */
    CUPOOL_CODEC_PRUNE_MAGNITUDE, /* the largest values, exactly; zero elsewhere */
    CUPOOL_CODEC_PRUNE_TOKENS,    /* the tokens with the highest scores, exactly */
    CUPOOL_CODEC_COUNT
};

enum cupool_codec_type { CUPOOL_CODEC_TYPE_F32, CUPOOL_CODEC_TYPE_F16, CUPOOL_CODEC_TYPE_BF16 };

/** Order of the dimensions of a part, slowest first; head_dim is always contiguous. */
enum cupool_codec_layout {
    CUPOOL_CODEC_LAYOUT_NHD, /* token, head, channel */
    CUPOOL_CODEC_LAYOUT_HND  /* head, token, channel */
};

enum cupool_codec_parts {
    CUPOOL_CODEC_KEYS = 1,
    CUPOOL_CODEC_VALUES = 2,
    CUPOOL_CODEC_KEYS_AND_VALUES = 3
};

struct cupool_codec_config {
    enum cupool_codec codec;
    enum cupool_codec_type type;
    enum cupool_codec_layout layout;
    enum cupool_codec_parts parts;
    uint32_t tokens;        /* of a block, 1 to 65,536 */
    uint32_t heads;         /* 1 to 4,096 */
    uint32_t head_dim;      /* a multiple of 8, at most 1,024 */
    uint32_t first_layer;   /* 1: a block of layer 0, for which INT4 keeps 8 bits */
    uint32_t keep_permille; /* PRUNE: the share to keep, 0 to 1,000 */
};

/** Reference of an error bound. Rounding to the element type adds to it. */
enum cupool_codec_reference {
    CUPOOL_CODEC_OF_NOTHING,       /* kept values are exact */
    CUPOOL_CODEC_OF_VALUE,         /* |value|, for values of normal magnitude in the new type */
    CUPOOL_CODEC_OF_ROW_MAX,       /* largest |value| of the token and head */
    CUPOOL_CODEC_OF_GROUP_RANGE,   /* largest minus smallest, or the largest |value| if greater */
    CUPOOL_CODEC_OF_CHANNEL_RANGE, /* likewise, of a channel over up to 32 tokens */
    CUPOOL_CODEC_OF_ROW_NORM,      /* error and reference are L2 norms of the token and head */
    CUPOOL_CODEC_OF_ROW_RMS,       /* root mean square of the token and head */
    CUPOOL_CODEC_OF_HEAD_RMS       /* of the head's channels that are not all zero */
};

struct cupool_codec_info {
    size_t raw_bytes;     /* of a block */
    size_t maximum_bytes; /* of an encoded block, header included */
    size_t alignment;     /* of an encoded block in memory; raw ones: of the element */
    double key_bound, value_bound;
    enum cupool_codec_reference key_reference, value_reference;
};

/** Why a block was refused. */
enum cupool_codec_fault {
    CUPOOL_CODEC_SOUND,
    CUPOOL_CODEC_SHORT,   /* fewer bytes than a header, or than it says */
    CUPOOL_CODEC_LONG,    /* more bytes than the header says */
    CUPOOL_CODEC_MAGIC,   /* not an encoded block */
    CUPOOL_CODEC_VERSION, /* of a version this library does not know */
    CUPOOL_CODEC_HEADER_CHECKSUM,
    CUPOOL_CODEC_PAYLOAD_CHECKSUM,
    CUPOOL_CODEC_HEADER_FIELD, /* a field is out of range */
    CUPOOL_CODEC_OTHER_SHAPE,  /* sound, but not of the shape, type or codec asked for */
    CUPOOL_CODEC_PAYLOAD,      /* checksums hold, yet the payload is malformed */
    CUPOOL_CODEC_NO_ROOM,      /* the caller's memory is too small */
    CUPOOL_CODEC_ARGUMENT      /* misaligned or missing memory, missing scores */
};

/** First bytes of an encoded block. */
struct cupool_codec_header {
    uint32_t magic; /* CUPOOL_CODEC_MAGIC_NUMBER */
    uint16_t version;
    uint8_t codec, type, layout, parts;
    uint8_t first_layer;
    uint8_t stored; /* parts (a set of cupool_codec_parts) that are stored as they were */
    uint32_t tokens, heads, head_dim, keep_permille;
    uint32_t padding;       /* zeros behind the values, 0 to 7; behind the keys they follow from */
    uint64_t payload_bytes; /* behind the header */
    uint64_t keys_bytes;    /* of the payload, the keys' */
    uint64_t saturated;     /* values out of the codec's range, NaN included: the nearest stands */
    uint32_t payload_crc, header_crc; /* CRC-32C; the header's over all bytes before it */
};

#define CUPOOL_CODEC_MAGIC_NUMBER   0x43564b43u /* "CKVC" */
#define CUPOOL_CODEC_VERSION_NUMBER 1

struct cupool_codec_block {
    void *raw;                     /* encode reads it, decode writes it */
    void *encoded;                 /* encode writes it, decode reads it; aligned to 8 */
    size_t encoded_bytes;          /* encode: room on entry, size on return; decode: size */
    const float *scores;           /* PRUNE_TOKENS, encode: one for each token */
    uint64_t saturated;            /* set on return */
    enum cupool_codec_fault fault; /* set on return */
};

/** Computes sizes and bounds. -EINVAL: a field is out of range; -ENOTSUP: not for this element
 * type. */
CUPOOL_API int cupool_codec_query(const struct cupool_codec_config *config,
                                  struct cupool_codec_info *ret_info);

/**
 * Encodes `count` blocks. Tries every block, and returns the error of the first that failed:
 * -EINVAL, -ENOTSUP; -ENOSPC: the block has less room than the codec needs (maximum_bytes is
 * always enough).
 */
CUPOOL_API int cupool_codec_encode(const struct cupool_codec_config *config,
                                   struct cupool_codec_block *blocks, size_t count);

/**
 * Decodes `count` blocks that were encoded with the same configuration (keep_permille may differ).
 * Tries every block, and returns the error of the first that failed. -EBADMSG: damaged or
 * malformed; -EINVAL: valid, but of another shape; `fault` says which. `raw` of a refused block is
 * not written, with one exception: where the checksums match but the payload is malformed, it is
 * set to zero.
 */
CUPOOL_API int cupool_codec_decode(const struct cupool_codec_config *config,
                                   struct cupool_codec_block *blocks, size_t count);

/**
 * Checks header and checksums of an encoded block without decoding it. -EBADMSG with the reason.
 * Always writes `ret_fault`; writes `ret_header` on success.
 */
CUPOOL_API int cupool_codec_verify(const void *encoded, size_t bytes,
                                   struct cupool_codec_header *ret_header,
                                   enum cupool_codec_fault *ret_fault);

/** The configuration that decodes a block of this header. */
CUPOOL_API void cupool_codec_config_of(const struct cupool_codec_header *header,
                                       struct cupool_codec_config *ret_config);

/** A codec's name, such as "int8"; NULL for none. */
CUPOOL_API const char *cupool_codec_name(enum cupool_codec codec);

/** -ENOENT: no codec has this name. */
CUPOOL_API int cupool_codec_by_name(const char *name, enum cupool_codec *ret_codec);

/** A fault in words. */
CUPOOL_API const char *cupool_codec_fault_text(enum cupool_codec_fault fault);

/** Computes the CRC-32C (Castagnoli) of bytes, continued from `crc`; start with 0. */
CUPOOL_API uint32_t cupool_codec_crc32c(uint32_t crc, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
