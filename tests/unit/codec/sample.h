/* SPDX-License-Identifier: MIT */
/* Blocks for the tests of the codecs: random numbers of many kinds, and memory to encode into. */
#ifndef TESTS_UNIT_CODEC_SAMPLE_H
#define TESTS_UNIT_CODEC_SAMPLE_H

#include "kernels/codec/methods.h"

enum sample_kind {
    SAMPLE_NORMAL,   /* about Gaussian */
    SAMPLE_OUTLIERS, /* some channels 50 times as large */
    SAMPLE_ZERO,
    SAMPLE_SIGNED,   /* zeros of either sign, and few other numbers */
    SAMPLE_TINY,     /* subnormal fp16 among them */
    SAMPLE_HUGE,     /* up to the type's largest */
    SAMPLE_PATTERNS, /* any bits: NaN and infinity, too */
    SAMPLE_KINDS
};

struct sample {
    struct cupool_codec_config config;
    struct cupool_codec_info info;
    uint8_t *raw, *decoded, *encoded;
    float *scores;
    struct cupool_codec_block block;
};

extern uint64_t sample_seed;
uint32_t sample_random(void);

/** Fails the test where the configuration is refused. */
void sample_open(const struct cupool_codec_config *config, enum sample_kind kind,
                 struct sample *ret_sample);
void sample_close(struct sample *sample);

/** Encodes by a table into the sample's memory, decodes by another. */
int sample_encode(struct sample *sample, const struct codec_rows *rows);
int sample_decode(struct sample *sample, const struct codec_rows *rows);

/** Configuration number `at` of a list that has every codec, type, layout and odd shapes; -1: no
 * more. Those a codec does not take are left out. */
int sample_config(unsigned at, struct cupool_codec_config *ret_config);

/** Element of the raw block (decoded: 0) or of the decoded one. */
float sample_value(const struct sample *sample, int decoded, size_t at);

#endif
