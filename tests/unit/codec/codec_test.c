/* SPDX-License-Identifier: MIT */
/*
 * Guarantees of every codec: its error bound, the same bytes on every path, sizes, and that
 * nothing damaged is decoded.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tests/unit/codec/sample.h"

static const struct codec_rows *plain(void)
{
    const struct codec_rows *paths[CODEC_PATHS_MAX];

    codec_paths(paths);
    return paths[0];
}

/* Calls `check` for every configuration and kind of data. */
static void each_sample(void (*check)(struct sample *sample, enum sample_kind kind))
{
    struct cupool_codec_config config;
    int known, checked = 0;

    for (unsigned at = 0; (known = sample_config(at, &config)) >= 0; at++)
        for (int kind = 0; known && kind < SAMPLE_KINDS; kind++) {
            struct sample sample;

            sample_seed = 1 + at;
            sample_open(&config, (enum sample_kind)kind, &sample);
            check(&sample, (enum sample_kind)kind);
            sample_close(&sample);
            checked++;
        }
    cr_assert_gt(checked, 1000);
}

#define SAYS(sample, kind)                                                                         \
    "%s, type %d, layout %d, parts %d, %u x %u x %u, data %d",                                     \
        cupool_codec_name((sample)->config.codec), (int)(sample)->config.type,                     \
        (int)(sample)->config.layout, (int)(sample)->config.parts, (sample)->config.tokens,        \
        (sample)->config.heads, (sample)->config.head_dim, (int)(kind)

/* ---- the same bytes on every path; sizes ---- */

static void paths_check(struct sample *sample, enum sample_kind kind)
{
    const struct codec_rows *paths[CODEC_PATHS_MAX];
    size_t count = codec_paths(paths);

    cr_assert_eq(sample_encode(sample, paths[0]), 0, SAYS(sample, kind));
    size_t bytes = sample->block.encoded_bytes;
    cr_assert_leq(bytes, sample->info.maximum_bytes, SAYS(sample, kind));
    cr_assert_leq(bytes, sample->info.raw_bytes + sizeof(struct cupool_codec_header));
    uint8_t *encoded = malloc(bytes), *decoded = malloc(sample->info.raw_bytes);
    memcpy(encoded, sample->encoded, bytes);
    cr_assert_eq(sample_decode(sample, paths[0]), 0, SAYS(sample, kind));
    memcpy(decoded, sample->decoded, sample->info.raw_bytes);
    for (size_t at = 1; at < count; at++) {
        cr_assert_eq(sample_encode(sample, paths[at]), 0);
        cr_assert_eq(sample->block.encoded_bytes, bytes, SAYS(sample, kind));
        cr_assert_arr_eq(sample->encoded, encoded, bytes, SAYS(sample, kind));
        memset(sample->decoded, 0xa5, sample->info.raw_bytes);
        cr_assert_eq(sample_decode(sample, paths[at]), 0);
        cr_assert_arr_eq(sample->decoded, decoded, sample->info.raw_bytes, SAYS(sample, kind));
    }
    free(encoded);
    free(decoded);
}

Test(codec, same_bytes_on_every_path)
{
    each_sample(paths_check);
}

/* ---- bounds ---- */

struct reference {
    double row_max, row_square, group_range, channel_range, head_square, head_max;
};

static size_t element_of(const struct sample *sample, int values, size_t head, size_t token,
                         size_t channel)
{
    const struct cupool_codec_config *config = &sample->config;
    size_t row = config->layout == CUPOOL_CODEC_LAYOUT_NHD ? token * config->heads + head
                                                           : head * config->tokens + token;
    size_t part = (size_t)config->tokens * config->heads * config->head_dim;
    int second = values && config->parts == CUPOOL_CODEC_KEYS_AND_VALUES;

    return (second ? part : 0) + row * config->head_dim + channel;
}

/* Range of elements, or the largest magnitude where that is more; n of them, through `at`. */
static double range_of(const struct sample *sample, int values, size_t head, size_t token,
                       size_t channel, int along_tokens)
{
    const struct cupool_codec_config *config = &sample->config;
    size_t limit = along_tokens ? config->tokens : config->head_dim;
    size_t begin = (along_tokens ? token : channel) / 32 * 32;
    double low = INFINITY, high = -INFINITY;

    for (size_t at = begin; at < begin + 32 && at < limit; at++) {
        double x = sample_value(sample, 0,
                                element_of(sample, values, head, along_tokens ? at : token,
                                           along_tokens ? channel : at));

        low = fmin(low, x);
        high = fmax(high, x);
    }
    return fmax(high - low, fmax(fabs(low), fabs(high)));
}

static double row_figure(const struct sample *sample, int values, size_t head, size_t token,
                         int square, int error)
{
    double most = 0.0, sum = 0.0;

    for (size_t at = 0; at < sample->config.head_dim; at++) {
        size_t element = element_of(sample, values, head, token, at);
        double x = sample_value(sample, 0, element);

        if (error)
            x -= sample_value(sample, 1, element);
        most = fmax(most, fabs(x));
        sum += x * x;
    }
    return square ? sum : most;
}

static double head_figure(const struct sample *sample, int values, size_t head, int square)
{
    double figure = 0.0;

    for (size_t token = 0; token < sample->config.tokens; token++) {
        double row = row_figure(sample, values, head, token, square, 0);

        figure = square ? figure + row : fmax(figure, row);
    }
    return figure;
}

/* Channels of a head that are not all zero. */
static size_t channels_used(const struct sample *sample, int values, size_t head)
{
    size_t used = 0;

    for (size_t channel = 0; channel < sample->config.head_dim; channel++)
        for (size_t token = 0; token < sample->config.tokens; token++)
            if (sample_value(sample, 0, element_of(sample, values, head, token, channel)) != 0.0f) {
                used++;
                break;
            }
    return used;
}

/* What the elements of a head share, and those of a row of it. */
struct figures {
    double head_most, head_square, row_most, row_square;
    size_t channels_used;
};

static void figures_of_head(const struct sample *sample, int values, size_t head,
                            struct figures *ret_figures)
{
    ret_figures->head_most = head_figure(sample, values, head, 0);
    ret_figures->head_square = head_figure(sample, values, head, 1);
    ret_figures->channels_used = channels_used(sample, values, head);
}

static void figures_of_row(const struct sample *sample, int values, size_t head, size_t token,
                           struct figures *ret_figures)
{
    ret_figures->row_most = row_figure(sample, values, head, token, 0, 0);
    ret_figures->row_square = row_figure(sample, values, head, token, 1, 0);
}

/* What an element may be off, before its rounding to the type. */
static double allowed(const struct sample *sample, const struct figures *figures, int values,
                      size_t head, size_t token, size_t channel)
{
    const struct cupool_codec_config *config = &sample->config;
    double bound = values ? sample->info.value_bound : sample->info.key_bound;
    double x = fabs(sample_value(sample, 0, element_of(sample, values, head, token, channel)));
    /* The smallest scale is the smallest fp16. */
    double floor = 0x1p-24;

    switch (values ? sample->info.value_reference : sample->info.key_reference) {
    case CUPOOL_CODEC_OF_NOTHING: return 0.0;
    case CUPOOL_CODEC_OF_VALUE:
        if (config->codec == CUPOOL_CODEC_FP8) /* below the normal range: half of its step */
            return x * bound + figures->head_most / 448 / 1024 + 1e-30;
        return x * bound + 0x1p-25;
    case CUPOOL_CODEC_OF_ROW_MAX: return bound * figures->row_most + floor;
    case CUPOOL_CODEC_OF_GROUP_RANGE:
        return bound * range_of(sample, values, head, token, channel, 0) + floor;
    case CUPOOL_CODEC_OF_CHANNEL_RANGE:
        return bound * range_of(sample, values, head, token, channel, 1) + floor;
    case CUPOOL_CODEC_OF_ROW_RMS:
        return bound * sqrt(figures->row_square / config->head_dim) + floor;
    case CUPOOL_CODEC_OF_HEAD_RMS:
        return bound * sqrt(figures->head_square / fmax(1.0, (double)figures->channels_used) /
                            config->tokens) +
               floor;
    case CUPOOL_CODEC_OF_ROW_NORM: return INFINITY; /* held by norm_check */
    }
    return 0.0;
}

static void norm_check(const struct sample *sample, enum sample_kind kind,
                       const struct figures *figures, int values, size_t head, size_t token)
{
    double error = sqrt(row_figure(sample, values, head, token, 1, 1));
    double norm = sqrt(figures->row_square);
    /* Typical of rows without zeros; 2 is the documented bound. */
    double share = kind == SAMPLE_TINY || kind == SAMPLE_SIGNED ? 2.0 : 0.25;

    cr_assert_leq(error, share * norm + 1e-4 * (kind == SAMPLE_TINY), SAYS(sample, kind));
}

static void part_check(const struct sample *sample, enum sample_kind kind, int values)
{
    const struct cupool_codec_config *config = &sample->config;
    double ulp = config->type == CUPOOL_CODEC_TYPE_BF16 ? 0x1p-8 : 0x1p-11;
    struct figures figures;

    if (config->codec == CUPOOL_CODEC_RAW || config->codec == CUPOOL_CODEC_LOSSLESS)
        ulp = 0.0;
    for (size_t head = 0; head < config->heads; head++) {
        figures_of_head(sample, values, head, &figures);
        for (size_t token = 0; token < config->tokens; token++) {
            figures_of_row(sample, values, head, token, &figures);
            if (config->codec == CUPOOL_CODEC_ROTATED4 && kind != SAMPLE_HUGE)
                norm_check(sample, kind, &figures, values, head, token);
            for (size_t channel = 0; channel < config->head_dim; channel += 3) {
                size_t at = element_of(sample, values, head, token, channel);
                double x = sample_value(sample, 0, at), y = sample_value(sample, 1, at);
                double limit = allowed(sample, &figures, values, head, token, channel);

                limit += (fabs(x) + limit) * ulp * 1.01 + (ulp > 0.0 ? 0x1p-25 : 0.0);
                cr_assert_leq(fabs(x - y), limit, SAYS(sample, kind));
            }
        }
    }
}

static void bound_check(struct sample *sample, enum sample_kind kind)
{
    const struct cupool_codec_config *config = &sample->config;
    int prunes = config->codec >= CUPOOL_CODEC_PRUNE_MAGNITUDE;

    if (kind == SAMPLE_PATTERNS || prunes || config->tokens > 37)
        return;
    cr_assert_eq(sample_encode(sample, plain()), 0);
    cr_assert_eq(sample_decode(sample, plain()), 0);
    if (sample->block.saturated > 0) {
        cr_assert_eq(kind, SAMPLE_HUGE, SAYS(sample, kind));
        return;
    }
    if (config->parts & CUPOOL_CODEC_KEYS)
        part_check(sample, kind, 0);
    if (config->parts & CUPOOL_CODEC_VALUES)
        part_check(sample, kind, 1);
}

Test(codec, error_within_the_bound)
{
    each_sample(bound_check);
}

/* ---- damage ---- */

static void refused(struct sample *sample, int error, enum cupool_codec_fault fault)
{
    memset(sample->decoded, 0x77, sample->info.raw_bytes);
    cr_assert_eq(sample_decode(sample, plain()), error, "%s",
                 cupool_codec_name(sample->config.codec));
    if ((int)fault >= 0)
        cr_assert_eq(sample->block.fault, fault, "%s",
                     cupool_codec_fault_text(sample->block.fault));
    for (size_t at = 0; at < sample->info.raw_bytes; at++)
        cr_assert_eq(sample->decoded[at], 0x77, "written though refused");
}

static void damage_check(struct sample *sample, enum sample_kind kind)
{
    if (kind != SAMPLE_NORMAL || sample->config.tokens > 37)
        return;
    cr_assert_eq(sample_encode(sample, plain()), 0);
    size_t bytes = sample->block.encoded_bytes;
    for (int round = 0; round < 40; round++) {
        size_t at = round < 20 ? sample_random() % 64 : sample_random() % bytes;
        uint8_t bit = (uint8_t)(1 << sample_random() % 8);

        sample->encoded[at] ^= bit;
        refused(sample, -EBADMSG, (enum cupool_codec_fault) - 1);
        sample->encoded[at] ^= bit;
    }
    sample->block.encoded_bytes = bytes - 1;
    refused(sample, -EBADMSG, CUPOOL_CODEC_SHORT);
    sample->block.encoded_bytes = 63;
    refused(sample, -EBADMSG, CUPOOL_CODEC_SHORT);
    sample->block.encoded_bytes = bytes;
    sample->encoded[bytes - 1] ^= 0x40;
    refused(sample, -EBADMSG, CUPOOL_CODEC_PAYLOAD_CHECKSUM);
    sample->encoded[bytes - 1] ^= 0x40;
    sample->config.first_layer ^= 1;
    refused(sample, -EINVAL, CUPOOL_CODEC_OTHER_SHAPE);
    sample->config.first_layer ^= 1;
    cr_assert_eq(sample_decode(sample, plain()), 0);
}

Test(codec, damaged_blocks_are_refused)
{
    each_sample(damage_check);
}

/* Malformed bytes of a block with corrected checksums are still refused. */
static void seal(uint8_t *encoded)
{
    struct cupool_codec_header header;

    memcpy(&header, encoded, sizeof(header));
    header.payload_crc = cupool_codec_crc32c(0, encoded + 64, header.payload_bytes);
    header.header_crc = cupool_codec_crc32c(0, &header, 60);
    memcpy(encoded, &header, sizeof(header));
}

Test(codec, malformed_payload_gives_zeros)
{
    static const struct {
        enum cupool_codec codec;
        size_t at;
        uint8_t value;
    } rows[] = {
        {CUPOOL_CODEC_INT8, 65, 0x7c},             /* a scale that is infinite */
        {CUPOOL_CODEC_INT8, 65, 0x80},             /* a negative one */
        {CUPOOL_CODEC_FP8, 67, 0x7f},              /* NaN */
        {CUPOOL_CODEC_FP8, 64 + 8 + 5, 0x7f},      /* a code that is NaN */
        {CUPOOL_CODEC_RICE, 64 + 4 + 128, 1},      /* a length */
        {CUPOOL_CODEC_LOSSLESS, 64, 0xff},         /* an exponent beyond fp16's */
        {CUPOOL_CODEC_LOSSLESS, 64 + 16, 9},       /* escapes that are not there */
        {CUPOOL_CODEC_INT4, 64, 0xff},             /* more outliers than there are codes of */
        {CUPOOL_CODEC_PRUNE_MAGNITUDE, 64 + 8, 0}, /* fewer bits than values */
    };

    for (size_t at = 0; at < sizeof(rows) / sizeof(*rows); at++) {
        struct cupool_codec_config config = {.codec = rows[at].codec,
                                             .type = CUPOOL_CODEC_TYPE_F16,
                                             .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                             .tokens = 16,
                                             .heads = 2,
                                             .head_dim = 128,
                                             .keep_permille = 500};
        struct sample sample;

        sample_open(&config, SAMPLE_NORMAL, &sample);
        cr_assert_eq(sample_encode(&sample, plain()), 0);
        cr_assert_neq(sample.encoded[rows[at].at], rows[at].value, "%zu", at);
        sample.encoded[rows[at].at] = rows[at].value;
        seal(sample.encoded);
        cr_assert_eq(sample_decode(&sample, plain()), -EBADMSG, "%zu", at);
        cr_assert_eq(sample.block.fault, CUPOOL_CODEC_PAYLOAD);
        for (size_t byte = 0; byte < sample.info.raw_bytes; byte++)
            cr_assert_eq(sample.decoded[byte], 0);
        sample_close(&sample);
    }
}

/* ---- interface ---- */

Test(codec, room_arrays_and_names)
{
    struct cupool_codec_config config = {.codec = CUPOOL_CODEC_INT8,
                                         .type = CUPOOL_CODEC_TYPE_F16,
                                         .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                         .tokens = 16,
                                         .heads = 2,
                                         .head_dim = 64};
    struct sample sample;
    enum cupool_codec codec;

    sample_open(&config, SAMPLE_NORMAL, &sample);
    struct cupool_codec_block blocks[3] = {
        {.raw = sample.raw,
         .encoded = sample.encoded,
         .encoded_bytes = sample.info.maximum_bytes - 1},
        {.raw = sample.raw, .encoded = sample.encoded + 1, .encoded_bytes = 1000000},
        {.raw = sample.raw, .encoded = sample.encoded, .encoded_bytes = sample.info.maximum_bytes}};
    cr_assert_eq(cupool_codec_encode(&config, blocks, 3), -ENOSPC);
    cr_assert_eq(blocks[0].fault, CUPOOL_CODEC_NO_ROOM);
    cr_assert_eq(blocks[1].fault, CUPOOL_CODEC_ARGUMENT);
    cr_assert_eq(blocks[2].fault, CUPOOL_CODEC_SOUND);
    cr_assert_eq(cupool_codec_decode(&config, blocks + 2, 1), 0);
    sample_close(&sample);
    for (int at = 0; at < CUPOOL_CODEC_COUNT; at++) {
        cr_assert_eq(cupool_codec_by_name(cupool_codec_name((enum cupool_codec)at), &codec), 0);
        cr_assert_eq((int)codec, at);
    }
    cr_assert_eq(cupool_codec_by_name("zip", &codec), -ENOENT);
    cr_assert_null(cupool_codec_name(CUPOOL_CODEC_COUNT));
    config.codec = CUPOOL_CODEC_FP16;
    cr_assert_eq(cupool_codec_query(&config, &sample.info), -ENOTSUP);
    config.head_dim = 12;
    cr_assert_eq(cupool_codec_query(&config, &sample.info), -EINVAL);
}

Test(codec, crc32c_is_the_known_one_on_both_paths)
{
    uint8_t data[20000];

    cr_assert_eq(cupool_codec_crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(codec_crc32c_plain(0, "123456789", 9), 0xe3069283u);
    for (size_t at = 0; at < sizeof(data); at++)
        data[at] = (uint8_t)sample_random();
    for (size_t bytes = 0; bytes < sizeof(data); bytes += 1 + bytes / 5) {
        uint32_t crc = cupool_codec_crc32c(0, data + 1, bytes);

        cr_assert_eq(crc, codec_crc32c_plain(0, data + 1, bytes));
        cr_assert_eq(crc, cupool_codec_crc32c(cupool_codec_crc32c(0, data + 1, bytes / 3),
                                              data + 1 + bytes / 3, bytes - bytes / 3));
    }
}
