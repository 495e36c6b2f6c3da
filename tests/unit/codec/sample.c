/* SPDX-License-Identifier: MIT */
#include "tests/unit/codec/sample.h"

#include <stdlib.h>

#include "tests/random.h"

uint64_t sample_seed = 1;

uint32_t sample_random(void)
{
    sample_seed = random_lcg(sample_seed);
    return (uint32_t)(sample_seed >> 32);
}

static float normal(void)
{
    float sum = 0.0f;

    for (int at = 0; at < 12; at++)
        sum += (float)(sample_random() >> 8) * 0x1p-24f;
    return sum - 6.0f;
}

static float value_of(enum sample_kind kind, size_t channel, int type)
{
    switch (kind) {
    case SAMPLE_OUTLIERS: return normal() * (channel % 19 == 3 ? 50.0f : 1.0f);
    case SAMPLE_ZERO: return 0.0f;
    case SAMPLE_SIGNED:
        return sample_random() % 8 == 0 ? normal() : sample_random() & 8192 ? -0.0f : 0.0f;
    case SAMPLE_TINY: return normal() * 1e-6f;
    case SAMPLE_HUGE: return normal() * (type == CUPOOL_CODEC_TYPE_F16 ? 2e4f : 3e37f);
    default: return normal();
    }
}

void sample_open(const struct cupool_codec_config *config, enum sample_kind kind,
                 struct sample *ret_sample)
{
    struct sample sample = {.config = *config};

    if (cupool_codec_query(config, &sample.info) < 0)
        abort();
    sample.raw = aligned_alloc(64, (sample.info.raw_bytes + 63) / 64 * 64);
    sample.decoded = aligned_alloc(64, (sample.info.raw_bytes + 63) / 64 * 64);
    sample.encoded = aligned_alloc(64, (sample.info.maximum_bytes + 63) / 64 * 64);
    sample.scores = malloc(config->tokens * sizeof(float));
    size_t values = sample.info.raw_bytes / value_bytes((int)config->type);
    for (size_t at = 0; at < values; at++)
        value_store(sample.raw, (int)config->type, at,
                    value_of(kind, at % config->head_dim, (int)config->type));
    for (size_t at = 0; kind == SAMPLE_PATTERNS && at < sample.info.raw_bytes; at++)
        sample.raw[at] = (uint8_t)sample_random();
    for (uint32_t at = 0; at < config->tokens; at++)
        sample.scores[at] = normal();
    memset(sample.decoded, 0xa5, sample.info.raw_bytes);
    *ret_sample = sample;
}

void sample_close(struct sample *sample)
{
    free(sample->raw);
    free(sample->decoded);
    free(sample->encoded);
    free(sample->scores);
}

int sample_encode(struct sample *sample, const struct codec_rows *rows)
{
    memset(sample->encoded, 0x5a, sample->info.maximum_bytes);
    sample->block = (struct cupool_codec_block){.raw = sample->raw,
                                                .encoded = sample->encoded,
                                                .encoded_bytes = sample->info.maximum_bytes,
                                                .scores = sample->scores};
    return codec_encode_by(rows, &sample->config, &sample->block);
}

int sample_decode(struct sample *sample, const struct codec_rows *rows)
{
    struct cupool_codec_block block = sample->block;

    block.raw = sample->decoded;
    int result = codec_decode_by(rows, &sample->config, &block);
    sample->block.fault = block.fault;
    return result;
}

int sample_config(unsigned at, struct cupool_codec_config *ret_config)
{
    /* Tokens, heads, channels: whole groups, parts of groups, no power of two, one token. */
    static const uint32_t shapes[][3] = {{16, 2, 128}, {1, 1, 8},    {37, 3, 80}, {64, 1, 96},
                                         {5, 2, 576},  {3, 1, 1024}, {33, 2, 24}};
    const unsigned shape_count = sizeof(shapes) / sizeof(*shapes);
    unsigned codec = at % CUPOOL_CODEC_COUNT, rest = at / CUPOOL_CODEC_COUNT;
    unsigned type = rest % 3, shape = rest / 3 % shape_count, more = rest / 3 / shape_count;
    struct cupool_codec_info info;

    if (more >= 3)
        return -1;
    *ret_config = (struct cupool_codec_config){
        .codec = (enum cupool_codec)codec,
        .type = (enum cupool_codec_type)type,
        .layout = more == 1 ? CUPOOL_CODEC_LAYOUT_HND : CUPOOL_CODEC_LAYOUT_NHD,
        .parts = more == 2 ? (enum cupool_codec_parts)(1 + shape % 2)
                           : CUPOOL_CODEC_KEYS_AND_VALUES,
        .tokens = shapes[shape][0],
        .heads = shapes[shape][1],
        .head_dim = shapes[shape][2],
        .first_layer = more == 1,
        .keep_permille = 300,
    };
    return cupool_codec_query(ret_config, &info) == 0;
}

float sample_value(const struct sample *sample, int decoded, size_t at)
{
    return value_load(decoded ? sample->decoded : sample->raw, (int)sample->config.type, at);
}
