/* SPDX-License-Identifier: MIT */
/*
 * The interface: checks of a configuration, the header, the checks before a byte is decoded, and
 * the choice of a method for each part.
 *
 * A payload is the keys, zero-padded to a multiple of 8 bytes, then the values. A part that a codec
 * does not shrink is stored as it is.
 *
 * Threading: no state except tables that are constant once computed.
 */
#include "kernels/codec/block.h"
#include "kernels/codec/methods.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#define TOKENS_MAX 65536u
#define HEADS_MAX  4096u
/* Of a part. Places of values are 32 bit numbers. */
#define VALUES_MAX ((uint64_t)1 << 31)
#define ALIGNMENT  8

static_assert(sizeof(struct cupool_codec_header) == 64, "the header has no holes");

extern const struct codec_rows codec_rows_plain;
#if defined(__x86_64__)
extern const struct codec_rows codec_rows_avx2, codec_rows_avx512;
#endif

static const char *const names[CUPOOL_CODEC_COUNT] = {
    "raw",
    "fp16",
    "bf16",
    "int8",
    "fp8",
    "k8v4",
    "int4",
    "rotated4",
    "rice",
    "lossless",
    "prune-magnitude",
    "prune-tokens",
};

const char *cupool_codec_name(enum cupool_codec codec)
{
    return (unsigned)codec < CUPOOL_CODEC_COUNT ? names[codec] : NULL;
}

int cupool_codec_by_name(const char *name, enum cupool_codec *ret_codec)
{
    for (unsigned at = 0; at < CUPOOL_CODEC_COUNT; at++)
        if (name && strcmp(name, names[at]) == 0) {
            *ret_codec = (enum cupool_codec)at;
            return 0;
        }
    return -ENOENT;
}

const char *cupool_codec_fault_text(enum cupool_codec_fault fault)
{
    switch (fault) {
    case CUPOOL_CODEC_SOUND: return "no fault";
    case CUPOOL_CODEC_SHORT: return "truncated";
    case CUPOOL_CODEC_LONG: return "longer than the header says";
    case CUPOOL_CODEC_MAGIC: return "not an encoded block";
    case CUPOOL_CODEC_VERSION: return "unknown version";
    case CUPOOL_CODEC_HEADER_CHECKSUM: return "the checksum of the header differs";
    case CUPOOL_CODEC_PAYLOAD_CHECKSUM: return "the checksum of the payload differs";
    case CUPOOL_CODEC_HEADER_FIELD: return "a field of the header is out of range";
    case CUPOOL_CODEC_OTHER_SHAPE: return "another codec, type or shape";
    case CUPOOL_CODEC_PAYLOAD: return "the payload is malformed";
    case CUPOOL_CODEC_NO_ROOM: return "the buffer is too small for the encoded block";
    case CUPOOL_CODEC_ARGUMENT: return "memory is NULL or misaligned, or scores are missing";
    }
    return "unknown fault";
}

/* ---- paths ---- */

size_t codec_paths(const struct codec_rows *ret_paths[CODEC_PATHS_MAX])
{
    size_t count = 0;

    ret_paths[count++] = &codec_rows_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        ret_paths[count++] = &codec_rows_avx2;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        ret_paths[count++] = &codec_rows_avx512;
#endif
    return count;
}

static const struct codec_rows *fastest;

static void fastest_find(void)
{
    const struct codec_rows *paths[CODEC_PATHS_MAX];

    fastest = paths[codec_paths(paths) - 1];
}

static const struct codec_rows *rows_fastest(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fastest_find);
    return fastest;
}

const struct codec_method *codec_rows_method(const struct codec_rows *rows, int codec,
                                             const struct codec_part *part)
{
    if (!part->values)
        return &rows->keys[codec];
    return part->first_layer ? &rows->first_layer_values[codec] : &rows->values[codec];
}

/* ---- configurations ---- */

static int config_check(const struct cupool_codec_config *config)
{
    if ((unsigned)config->codec >= CUPOOL_CODEC_COUNT ||
        (unsigned)config->type > CUPOOL_CODEC_TYPE_BF16 ||
        (unsigned)config->layout > CUPOOL_CODEC_LAYOUT_HND || config->parts < CUPOOL_CODEC_KEYS ||
        config->parts > CUPOOL_CODEC_KEYS_AND_VALUES || config->first_layer > 1 ||
        config->keep_permille > 1000 || config->tokens == 0 || config->tokens > TOKENS_MAX ||
        config->heads == 0 || config->heads > HEADS_MAX || config->head_dim == 0 ||
        config->head_dim % 8 != 0 || config->head_dim > CODEC_DIM_MAX ||
        (uint64_t)config->tokens * config->heads * config->head_dim > VALUES_MAX)
        return -EINVAL;
    bool narrow = config->codec == CUPOOL_CODEC_FP16 || config->codec == CUPOOL_CODEC_BF16;
    bool wide = config->type == CUPOOL_CODEC_TYPE_F32;
    if ((narrow && !wide) || (config->codec == CUPOOL_CODEC_LOSSLESS && wide))
        return -ENOTSUP;
    return 0;
}

static struct codec_part part_of(const struct cupool_codec_config *config, const float *scores,
                                 bool values)
{
    return (struct codec_part){
        .tokens = config->tokens,
        .heads = config->heads,
        .dim = config->head_dim,
        .keep_permille = config->keep_permille,
        .type = (int)config->type,
        .layout = (int)config->layout,
        .values = values,
        .first_layer = (int)config->first_layer,
        .scores = scores,
    };
}

struct codec_part codec_part_of(const struct cupool_codec_config *config, bool values)
{
    return part_of(config, NULL, values);
}

bool codec_has_part(const struct cupool_codec_config *config, bool values)
{
    return config->parts & (values ? CUPOOL_CODEC_VALUES : CUPOOL_CODEC_KEYS);
}

static uint8_t stored_bit(bool values)
{
    return values ? CUPOOL_CODEC_VALUES : CUPOOL_CODEC_KEYS;
}

size_t codec_padded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Where the values begin in the raw block. */
size_t codec_raw_offset(const struct cupool_codec_config *config, bool values)
{
    struct codec_part part = part_of(config, NULL, false);

    return values && codec_has_part(config, false) ? part_raw_bytes(&part) : 0;
}

static size_t raw_total(const struct cupool_codec_config *config)
{
    struct codec_part part = part_of(config, NULL, false);

    return part_raw_bytes(&part) * (config->parts == CUPOOL_CODEC_KEYS_AND_VALUES ? 2 : 1);
}

/* ---- query ---- */

/* Half a step of 2n steps, plus the error of rounding a scale to fp16. */
#define FP16_UP (1.0 + 1.0 / 1024)

static void bound_of(const struct cupool_codec_config *config, bool values, double *ret_bound,
                     enum cupool_codec_reference *ret_reference)
{
    static const struct {
        double bound;
        enum cupool_codec_reference reference;
    } rows[CUPOOL_CODEC_COUNT][2] = {
        [CUPOOL_CODEC_FP16] = {{1.0 / 2048, CUPOOL_CODEC_OF_VALUE},
                               {1.0 / 2048, CUPOOL_CODEC_OF_VALUE}},
        [CUPOOL_CODEC_BF16] = {{1.0 / 256, CUPOOL_CODEC_OF_VALUE},
                               {1.0 / 256, CUPOOL_CODEC_OF_VALUE}},
        [CUPOOL_CODEC_INT8] = {{0.5 / 127 * FP16_UP, CUPOOL_CODEC_OF_ROW_MAX},
                               {0.5 / 127 * FP16_UP, CUPOOL_CODEC_OF_ROW_MAX}},
        [CUPOOL_CODEC_FP8] = {{1.0 / 16, CUPOOL_CODEC_OF_VALUE}, {1.0 / 16, CUPOOL_CODEC_OF_VALUE}},
        [CUPOOL_CODEC_K8V4] = {{0.5 / 127 * FP16_UP, CUPOOL_CODEC_OF_ROW_MAX},
                               {0.5 / 15 * FP16_UP * FP16_UP, CUPOOL_CODEC_OF_GROUP_RANGE}},
        [CUPOOL_CODEC_INT4] = {{0.5 / 15 * FP16_UP * FP16_UP, CUPOOL_CODEC_OF_CHANNEL_RANGE},
                               {0.5 / 15 * FP16_UP * FP16_UP, CUPOOL_CODEC_OF_GROUP_RANGE}},
        /* Both vectors have the same length, so no error is longer than twice that. */
        [CUPOOL_CODEC_ROTATED4] = {{2.0 * FP16_UP, CUPOOL_CODEC_OF_ROW_NORM},
                                   {2.0 * FP16_UP, CUPOOL_CODEC_OF_ROW_NORM}},
        [CUPOOL_CODEC_RICE] = {{0.5 * 0.024 * FP16_UP * 1.07, CUPOOL_CODEC_OF_HEAD_RMS},
                               {0.5 * 0.024 * FP16_UP, CUPOOL_CODEC_OF_ROW_RMS}},
    };

    *ret_bound = rows[config->codec][values].bound;
    *ret_reference = rows[config->codec][values].reference;
    if (config->codec != CUPOOL_CODEC_INT4 || !config->first_layer)
        return;
    *ret_bound = values ? 0.5 / 127 * FP16_UP : 0.5 / 255 * FP16_UP * FP16_UP;
    *ret_reference = values ? CUPOOL_CODEC_OF_ROW_MAX : CUPOOL_CODEC_OF_CHANNEL_RANGE;
}

int cupool_codec_query(const struct cupool_codec_config *config, struct cupool_codec_info *ret_info)
{
    struct cupool_codec_info info = {.alignment = ALIGNMENT};
    int result = config_check(config);

    if (result < 0)
        return result;
    info.raw_bytes = raw_total(config);
    info.maximum_bytes = sizeof(struct cupool_codec_header);
    for (int values = 0; values < 2; values++) {
        struct codec_part part = part_of(config, NULL, values);

        if (!codec_has_part(config, values))
            continue;
        size_t bytes = codec_rows_method(rows_fastest(), (int)config->codec, &part)->bytes(&part);
        info.maximum_bytes += codec_padded(bytes < part_raw_bytes(&part) ? bytes
                                                                         : part_raw_bytes(&part));
    }
    bound_of(config, false, &info.key_bound, &info.key_reference);
    bound_of(config, true, &info.value_bound, &info.value_reference);
    *ret_info = info;
    return 0;
}

/* ---- encode ---- */

static uint32_t header_crc(const struct cupool_codec_header *header)
{
    return cupool_codec_crc32c(0, header, offsetof(struct cupool_codec_header, header_crc));
}

static bool is_aligned(const void *memory, size_t alignment)
{
    return memory && (uintptr_t)memory % alignment == 0;
}

/* Scores must be there, and comparable. */
static bool scores_are_sound(const struct cupool_codec_config *config, const float *scores)
{
    if (config->codec != CUPOOL_CODEC_PRUNE_TOKENS)
        return true;
    for (uint32_t at = 0; scores && at < config->tokens; at++)
        if (scores[at] != scores[at])
            return false;
    return scores;
}

static int block_fail(struct cupool_codec_block *block, enum cupool_codec_fault fault, int error)
{
    block->fault = fault;
    return error;
}

/* Encodes one part into `room` bytes; says whether it is stored raw. 0: no room. */
static size_t part_encode(const struct codec_rows *rows, const struct cupool_codec_config *config,
                          const struct codec_part *part, const uint8_t *raw, uint8_t *out,
                          size_t room, bool *ret_stored, uint64_t *saturated)
{
    size_t whole = part_raw_bytes(part), bytes;
    uint64_t moved = 0;

    bytes = codec_rows_method(rows, (int)config->codec, part)
                ->encode(part, raw, out, room < whole ? room : whole, &moved);
    if (bytes > 0 && (bytes < whole || config->codec == CUPOOL_CODEC_RAW)) {
        *saturated += moved;
        return bytes;
    }
    if (whole > room)
        return 0;
    memcpy(out, raw, whole);
    *ret_stored = true;
    return whole;
}

static struct cupool_codec_header header_of(const struct cupool_codec_config *config)
{
    return (struct cupool_codec_header){
        .magic = CUPOOL_CODEC_MAGIC_NUMBER,
        .version = CUPOOL_CODEC_VERSION_NUMBER,
        .codec = (uint8_t)config->codec,
        .type = (uint8_t)config->type,
        .layout = (uint8_t)config->layout,
        .parts = (uint8_t)config->parts,
        .first_layer = (uint8_t)config->first_layer,
        .tokens = config->tokens,
        .heads = config->heads,
        .head_dim = config->head_dim,
        .keep_permille = config->keep_permille,
    };
}

size_t codec_seal(const struct cupool_codec_config *config, void *encoded,
                  const struct codec_span spans[2], uint64_t saturated)
{
    struct cupool_codec_header header = header_of(config);
    uint8_t *payload = (uint8_t *)encoded + sizeof(header);

    header.saturated = saturated;
    for (int values = 0; values < 2; values++) {
        size_t at = header.payload_bytes, bytes = spans[values].bytes;
        size_t whole = codec_padded(bytes);

        if (!spans[values].here)
            continue;
        memset(payload + at + bytes, 0, whole - bytes);
        header.payload_bytes = at + whole;
        if (spans[values].stored)
            header.stored |= stored_bit(values);
        if (values)
            header.padding = (uint32_t)(whole - bytes);
        else
            header.keys_bytes = bytes;
    }
    header.payload_crc = cupool_codec_crc32c(0, payload, header.payload_bytes);
    header.header_crc = header_crc(&header);
    memcpy(encoded, &header, sizeof(header));
    return sizeof(header) + header.payload_bytes;
}

int codec_encode_by(const struct codec_rows *rows, const struct cupool_codec_config *config,
                    struct cupool_codec_block *block)
{
    struct codec_span spans[2] = {{0}};
    size_t at = sizeof(struct cupool_codec_header), room = block->encoded_bytes;
    uint64_t saturated = 0;

    if (!is_aligned(block->raw, value_bytes((int)config->type)) ||
        !is_aligned(block->encoded, ALIGNMENT) || !scores_are_sound(config, block->scores))
        return block_fail(block, CUPOOL_CODEC_ARGUMENT, -EINVAL);
    if (room < at)
        return block_fail(block, CUPOOL_CODEC_NO_ROOM, -ENOSPC);
    for (int values = 0; values < 2; values++) {
        struct codec_part part = part_of(config, block->scores, values);

        if (!codec_has_part(config, values))
            continue;
        spans[values].here = true;
        spans[values].bytes = part_encode(
            rows, config, &part, (const uint8_t *)block->raw + codec_raw_offset(config, values),
            (uint8_t *)block->encoded + at, room - at, &spans[values].stored, &saturated);
        size_t whole = codec_padded(spans[values].bytes);
        if (whole == 0 || whole > room - at)
            return block_fail(block, CUPOOL_CODEC_NO_ROOM, -ENOSPC);
        at += whole;
    }
    block->encoded_bytes = codec_seal(config, block->encoded, spans, saturated);
    block->saturated = saturated;
    block->fault = CUPOOL_CODEC_SOUND;
    return 0;
}

/* ---- verify and decode ---- */

void cupool_codec_config_of(const struct cupool_codec_header *header,
                            struct cupool_codec_config *ret_config)
{
    *ret_config = (struct cupool_codec_config){
        .codec = (enum cupool_codec)header->codec,
        .type = (enum cupool_codec_type)header->type,
        .layout = (enum cupool_codec_layout)header->layout,
        .parts = (enum cupool_codec_parts)header->parts,
        .tokens = header->tokens,
        .heads = header->heads,
        .head_dim = header->head_dim,
        .first_layer = header->first_layer,
        .keep_permille = header->keep_permille,
    };
}

static enum cupool_codec_fault header_fault(const struct cupool_codec_header *header, size_t bytes)
{
    struct cupool_codec_config config;
    uint64_t payload = bytes - sizeof(*header);

    if (header->magic != CUPOOL_CODEC_MAGIC_NUMBER)
        return CUPOOL_CODEC_MAGIC;
    if (header->version != CUPOOL_CODEC_VERSION_NUMBER)
        return CUPOOL_CODEC_VERSION;
    if (header_crc(header) != header->header_crc)
        return CUPOOL_CODEC_HEADER_CHECKSUM;
    cupool_codec_config_of(header, &config);
    if (config_check(&config) < 0 || (header->stored & ~header->parts) != 0 ||
        header->padding >= ALIGNMENT || header->payload_bytes % ALIGNMENT != 0 ||
        header->keys_bytes > header->payload_bytes ||
        (header->parts & CUPOOL_CODEC_KEYS ? header->keys_bytes == 0 : header->keys_bytes != 0))
        return CUPOOL_CODEC_HEADER_FIELD;
    if (header->payload_bytes != payload)
        return header->payload_bytes > payload ? CUPOOL_CODEC_SHORT : CUPOOL_CODEC_LONG;
    return CUPOOL_CODEC_SOUND;
}

int cupool_codec_verify(const void *encoded, size_t bytes, struct cupool_codec_header *ret_header,
                        enum cupool_codec_fault *ret_fault)
{
    struct cupool_codec_header header;

    *ret_fault = CUPOOL_CODEC_SHORT;
    if (!encoded || bytes < sizeof(header))
        return -EBADMSG;
    memcpy(&header, encoded, sizeof(header));
    *ret_fault = header_fault(&header, bytes);
    if (*ret_fault == CUPOOL_CODEC_SOUND &&
        cupool_codec_crc32c(0, (const uint8_t *)encoded + sizeof(header), header.payload_bytes) !=
            header.payload_crc)
        *ret_fault = CUPOOL_CODEC_PAYLOAD_CHECKSUM;
    if (*ret_fault != CUPOOL_CODEC_SOUND)
        return -EBADMSG;
    *ret_header = header;
    return 0;
}

static bool same_shape(const struct cupool_codec_config *one,
                       const struct cupool_codec_config *other)
{
    return one->codec == other->codec && one->type == other->type && one->layout == other->layout &&
           one->parts == other->parts && one->tokens == other->tokens &&
           one->heads == other->heads && one->head_dim == other->head_dim &&
           one->first_layer == other->first_layer;
}

/* Finds the parts of a valid block. False: their sizes do not add up. */
static bool spans_find(const struct cupool_codec_config *config,
                       const struct cupool_codec_header *header, struct codec_span spans[2])
{
    const bool keys = codec_has_part(config, false), values = codec_has_part(config, true);
    size_t at = keys ? codec_padded(header->keys_bytes) : 0;

    if (at > header->payload_bytes || header->padding > header->payload_bytes - at ||
        (!values && at != header->payload_bytes))
        return false;
    spans[0] = (struct codec_span){.here = keys,
                                   .stored = header->stored & CUPOOL_CODEC_KEYS,
                                   .encoded = sizeof(*header),
                                   .bytes = header->keys_bytes};
    spans[1] = (struct codec_span){.here = values,
                                   .stored = header->stored & CUPOOL_CODEC_VALUES,
                                   .raw = codec_raw_offset(config, true),
                                   .encoded = sizeof(*header) + at,
                                   .bytes = header->payload_bytes - at - header->padding};
    return true;
}

/* Zeros fill each part up. */
static bool spans_are_padded(const struct codec_span spans[2], const uint8_t *encoded, size_t end)
{
    for (int values = 0; values < 2; values++) {
        size_t stop = !values && spans[1].here ? spans[1].encoded : end;

        for (size_t at = spans[values].encoded + spans[values].bytes;
             spans[values].here && at < stop; at++)
            if (encoded[at] != 0)
                return false;
    }
    return true;
}

int codec_open(const struct cupool_codec_config *config, const void *encoded, size_t bytes,
               struct codec_span ret_spans[2], struct cupool_codec_header *ret_header,
               enum cupool_codec_fault *ret_fault)
{
    struct cupool_codec_config own;
    int result = cupool_codec_verify(encoded, bytes, ret_header, ret_fault);

    if (result < 0)
        return result;
    cupool_codec_config_of(ret_header, &own);
    *ret_fault = CUPOOL_CODEC_OTHER_SHAPE;
    if (!same_shape(config, &own))
        return -EINVAL;
    *ret_fault = CUPOOL_CODEC_PAYLOAD;
    if (!spans_find(&own, ret_header, ret_spans) || !spans_are_padded(ret_spans, encoded, bytes))
        return -EBADMSG;
    *ret_fault = CUPOOL_CODEC_SOUND;
    return 0;
}

int codec_decode_by(const struct codec_rows *rows, const struct cupool_codec_config *config,
                    struct cupool_codec_block *block)
{
    struct codec_span spans[2];
    struct cupool_codec_header header;
    struct cupool_codec_config own;

    if (!is_aligned(block->raw, value_bytes((int)config->type)) ||
        !is_aligned(block->encoded, ALIGNMENT))
        return block_fail(block, CUPOOL_CODEC_ARGUMENT, -EINVAL);
    int result = codec_open(config, block->encoded, block->encoded_bytes, spans, &header,
                            &block->fault);
    if (result < 0 && block->fault != CUPOOL_CODEC_PAYLOAD)
        return result;
    cupool_codec_config_of(&header, &own);
    for (int values = 0; values < 2 && result == 0; values++) {
        struct codec_part part = part_of(&own, NULL, values);
        int codec = spans[values].stored ? CUPOOL_CODEC_RAW : (int)own.codec;

        if (spans[values].here)
            result = codec_rows_method(rows, codec, &part)
                         ->decode(&part, (const uint8_t *)block->encoded + spans[values].encoded,
                                  spans[values].bytes, (uint8_t *)block->raw + spans[values].raw);
    }
    if (result < 0) {
        memset(block->raw, 0, raw_total(config));
        return block_fail(block, CUPOOL_CODEC_PAYLOAD, result);
    }
    block->saturated = header.saturated;
    return 0;
}

/* ---- arrays ---- */

typedef int (*block_function)(const struct codec_rows *rows,
                              const struct cupool_codec_config *config,
                              struct cupool_codec_block *block);

static int blocks_each(const struct cupool_codec_config *config, struct cupool_codec_block *blocks,
                       size_t count, block_function function)
{
    int first = 0, result = config_check(config);

    if (result < 0)
        return result;
    for (size_t at = 0; at < count; at++) {
        result = function(rows_fastest(), config, &blocks[at]);
        first = first < 0 ? first : result;
    }
    return first;
}

int cupool_codec_encode(const struct cupool_codec_config *config, struct cupool_codec_block *blocks,
                        size_t count)
{
    return blocks_each(config, blocks, count, codec_encode_by);
}

int cupool_codec_decode(const struct cupool_codec_config *config, struct cupool_codec_block *blocks,
                        size_t count)
{
    return blocks_each(config, blocks, count, codec_decode_by);
}
