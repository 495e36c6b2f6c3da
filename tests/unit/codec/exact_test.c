/* SPDX-License-Identifier: MIT */
/* Exact results: lossless for every bit pattern, conversions, values kept by pruning,
 * saturation. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/unit/codec/sample.h"

static const struct codec_rows *path(size_t at, size_t *ret_count)
{
    static const struct codec_rows *paths[CODEC_PATHS_MAX];

    *ret_count = codec_paths(paths);
    return paths[at];
}

/* ---- lossless ---- */

static void lossless_check(struct sample *sample)
{
    size_t count;

    for (size_t at = 0; path(0, &count), at < count; at++) {
        cr_assert_eq(sample_encode(sample, path(at, &count)), 0);
        cr_assert_leq(sample->block.encoded_bytes, sample->info.raw_bytes + 64);
        memset(sample->decoded, 0xa5, sample->info.raw_bytes);
        cr_assert_eq(sample_decode(sample, path(at, &count)), 0);
        cr_assert_arr_eq(sample->decoded, sample->raw, sample->info.raw_bytes);
        cr_assert_eq(sample->block.saturated, 0);
    }
}

/* Every pattern among Gaussian ones, a few at a time, so that they are coded and not stored. */
Test(exact, lossless_gives_every_bit_pattern_back)
{
    for (int type = CUPOOL_CODEC_TYPE_F16; type <= CUPOOL_CODEC_TYPE_BF16; type++) {
        struct cupool_codec_config config = {.codec = CUPOOL_CODEC_LOSSLESS,
                                             .type = (enum cupool_codec_type)type,
                                             .parts = CUPOOL_CODEC_KEYS,
                                             .tokens = 16,
                                             .heads = 4,
                                             .head_dim = 512};
        struct sample sample;
        uint32_t step = type == CUPOOL_CODEC_TYPE_F16 ? 256 : 16;

        sample_open(&config, SAMPLE_NORMAL, &sample);
        uint16_t *patterns = (uint16_t *)sample.raw;
        for (uint32_t pattern = 0; pattern < 65536;) {
            /* One in `step` of 32,768 values is of the list. */
            for (uint32_t at = 0; at < 32768 && pattern < 65536; at += step)
                patterns[at + at / step % step] = (uint16_t)pattern++;
            lossless_check(&sample);
            struct cupool_codec_header header;
            memcpy(&header, sample.encoded, sizeof(header));
            if (type == CUPOOL_CODEC_TYPE_BF16)
                cr_assert_eq(header.stored, 0, "coded, not stored");
        }
        sample_close(&sample);
    }
}

Test(exact, lossless_gives_all_patterns_back_at_once)
{
    for (int type = CUPOOL_CODEC_TYPE_F16; type <= CUPOOL_CODEC_TYPE_BF16; type++) {
        struct cupool_codec_config config = {.codec = CUPOOL_CODEC_LOSSLESS,
                                             .type = (enum cupool_codec_type)type,
                                             .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                             .tokens = 64,
                                             .heads = 4,
                                             .head_dim = 128};
        struct sample sample;

        sample_open(&config, SAMPLE_NORMAL, &sample);
        for (uint32_t at = 0; at < 65536; at++)
            ((uint16_t *)sample.raw)[at] = (uint16_t)at;
        lossless_check(&sample);
        sample_close(&sample);
    }
}

Test(exact, lossless_of_normal_bf16_is_at_most_four_fifths)
{
    struct cupool_codec_config config = {.codec = CUPOOL_CODEC_LOSSLESS,
                                         .type = CUPOOL_CODEC_TYPE_BF16,
                                         .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                         .tokens = 16,
                                         .heads = 8,
                                         .head_dim = 128};
    struct sample sample;

    sample_open(&config, SAMPLE_NORMAL, &sample);
    lossless_check(&sample);
    cr_assert_leq(sample.block.encoded_bytes * 10, sample.info.raw_bytes * 8);
    sample_close(&sample);
}

/* ---- conversions ---- */

/* fp16 by the book: m × 2^e. */
static double half_by_definition(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double size = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);

    return bits & 0x8000 ? -size : size;
}

static uint16_t half_rounded(double x)
{
    double size = fabs(x);
    int exponent = size < 0x1p-14 ? -14 : ilogb(size);
    double units = rint(ldexp(size, 10 - exponent)); /* 1,024 to 2,048; less when subnormal */
    double bits = (exponent + 14) * 1024.0 + units;

    return (uint16_t)((bits > 0x7bff ? 0x7bff : (int)bits) | (signbit(x) ? 0x8000 : 0));
}

Test(exact, fp16_converts_as_it_is_defined)
{
    for (uint32_t at = 0; at < 65536; at++) {
        float x = half_to_float((uint16_t)at);

        if ((at & 0x7c00) == 0x7c00) {
            cr_assert((at & 0x3ff) ? isnan(x) : isinf(x));
            continue;
        }
        cr_assert_eq((double)x, half_by_definition((uint16_t)at), "%04x", at);
        cr_assert_eq(float_to_half(x), at, "%04x", at);
    }
    for (uint32_t at = 0; at < 1000000; at++) {
        float x = float_of_bits(sample_random());

        if (at % 2) /* mostly within fp16's range */
            x = ldexpf((float)(int32_t)sample_random(), (int)(sample_random() % 48) - 64);
        if (isfinite(x))
            cr_assert_eq(float_to_half(x), half_rounded((double)x), "%a", (double)x);
    }
}

/* Every e4m3 number, and halves between neighbours to the even one. */
Test(exact, e4m3_rounds_to_the_nearest_even)
{
    for (uint8_t code = 0; code < 0x7e; code++) {
        float low = e4m3_to_float(code), high = e4m3_to_float(code + 1);
        double expected = code < 8 ? ldexp(code, -9) : ldexp(8 + code % 8, code / 8 - 10);

        cr_assert_eq((double)low, expected);
        cr_assert_eq(float_to_e4m3(low), code);
        cr_assert_eq(float_to_e4m3(-low), code | 0x80);
        float middle = (low + high) / 2;
        cr_assert_eq(float_to_e4m3(middle), code + (code & 1), "%d", code);
        cr_assert_eq(float_to_e4m3(nextafterf(middle, 1e9f)), code + 1);
        cr_assert_eq(float_to_e4m3(nextafterf(middle, -1.0f)), code);
    }
    cr_assert_eq(float_to_e4m3(448.0f), 0x7e);
}

Test(exact, scales_round_up_and_ends_down)
{
    for (uint32_t at = 0; at < 300000; at++) {
        float x = ldexpf((float)(sample_random() >> 8), (int)(sample_random() % 40) - 50);
        uint16_t up = float_to_half_up(x), down = float_to_half_down(-x);

        if (x > HALF_MAX)
            continue;
        cr_assert(half_to_float(up) >= x && (up == 0 || half_to_float(up - 1) < x), "%a",
                  (double)x);
        cr_assert(half_to_float(down) <= -x, "%a", (double)x);
    }
}

/* ---- saturation ---- */

Test(exact, saturated_values_are_counted)
{
    static const enum cupool_codec codecs[] = {CUPOOL_CODEC_INT8,     CUPOOL_CODEC_FP8,
                                               CUPOOL_CODEC_K8V4,     CUPOOL_CODEC_INT4,
                                               CUPOOL_CODEC_ROTATED4, CUPOOL_CODEC_RICE};
    size_t count;

    for (size_t at = 0; at < sizeof(codecs) / sizeof(*codecs); at++) {
        struct cupool_codec_config config = {.codec = codecs[at],
                                             .type = CUPOOL_CODEC_TYPE_F32,
                                             .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                             .tokens = 16,
                                             .heads = 2,
                                             .head_dim = 64};
        struct sample sample;

        sample_open(&config, SAMPLE_NORMAL, &sample);
        float *values = (float *)sample.raw;
        values[5] = NAN;
        values[900] = INFINITY;
        values[3000] = -INFINITY;
        cr_assert_eq(sample_encode(&sample, path(0, &count)), 0);
        cr_assert_eq(sample.block.saturated, 3, "%s: %lu", cupool_codec_name(codecs[at]),
                     (unsigned long)sample.block.saturated);
        cr_assert_eq(sample_decode(&sample, path(0, &count)), 0);
        for (size_t each = 0; each < 4096; each++)
            cr_assert(isfinite(sample_value(&sample, 1, each)), "%s",
                      cupool_codec_name(codecs[at]));
        cr_assert_gt(sample_value(&sample, 1, 900), 1.0f, "%s", cupool_codec_name(codecs[at]));
        cr_assert_lt(sample_value(&sample, 1, 3000), -1.0f, "%s", cupool_codec_name(codecs[at]));
        sample_close(&sample);
    }
}

Test(exact, narrowing_saturates_and_counts)
{
    struct cupool_codec_config config = {.codec = CUPOOL_CODEC_FP16,
                                         .type = CUPOOL_CODEC_TYPE_F32,
                                         .parts = CUPOOL_CODEC_KEYS,
                                         .tokens = 1,
                                         .heads = 1,
                                         .head_dim = 8};
    struct sample sample;
    size_t count;
    static const float given[8] = {65519.0f,  65520.0f, -1e9f, INFINITY,
                                   -INFINITY, 1.0f,     -0.0f, 6e-8f};
    static const float expected[8] = {65504.0f,  65504.0f, -65504.0f, INFINITY,
                                      -INFINITY, 1.0f,     -0.0f,     0x1p-24f};

    sample_open(&config, SAMPLE_NORMAL, &sample);
    memcpy(sample.raw, given, sizeof(given));
    cr_assert_eq(sample_encode(&sample, path(0, &count)), 0);
    cr_assert_eq(sample.block.saturated, 2);
    cr_assert_eq(sample_decode(&sample, path(0, &count)), 0);
    cr_assert_arr_eq(sample.decoded, expected, sizeof(expected));
    config.codec = CUPOOL_CODEC_BF16;
    sample.config = config;
    ((float *)sample.raw)[0] = 3.4e38f;
    cr_assert_eq(sample_encode(&sample, path(0, &count)), 0);
    cr_assert_eq(sample.block.saturated, 1);
    sample_close(&sample);
}

/* ---- pruning ---- */

Test(exact, pruning_keeps_the_largest_exactly)
{
    struct cupool_codec_config config = {.codec = CUPOOL_CODEC_PRUNE_MAGNITUDE,
                                         .type = CUPOOL_CODEC_TYPE_F16,
                                         .parts = CUPOOL_CODEC_VALUES,
                                         .tokens = 16,
                                         .heads = 2,
                                         .head_dim = 128};
    size_t count;

    for (uint32_t share = 0; share <= 1000; share += 125) {
        struct sample sample;
        size_t kept = 0;
        float smallest_kept = INFINITY, largest_lost = 0.0f;

        config.keep_permille = share;
        sample_open(&config, SAMPLE_NORMAL, &sample);
        ((uint16_t *)sample.raw)[77] = 0x7d01; /* a NaN is kept, with its payload */
        cr_assert_eq(sample_encode(&sample, path(0, &count)), 0);
        cr_assert_eq(sample_decode(&sample, path(0, &count)), 0);
        for (size_t at = 0; at < 4096; at++) {
            uint16_t given = ((uint16_t *)sample.raw)[at], got = ((uint16_t *)sample.decoded)[at];
            float size = float_magnitude(half_to_float(given));

            cr_assert(got == 0 || got == given);
            kept += got == given;
            if (got == given && at != 77)
                smallest_kept = fminf(smallest_kept, size);
            if (got != given)
                largest_lost = fmaxf(largest_lost, size);
        }
        if (share < 800) { /* above, it stands as it was */
            size_t zeros = 0;

            for (size_t at = 0; at < 4096; at++)
                zeros += (((uint16_t *)sample.raw)[at] & 0x7fff) == 0;
            cr_assert_geq(kept, 4096 * share / 1000);
            cr_assert_leq(kept, (4096 * share + 999) / 1000 + zeros);
            cr_assert(smallest_kept >= largest_lost || zeros);
            cr_assert(share == 0 || ((uint16_t *)sample.decoded)[77] == 0x7d01);
        }
        sample_close(&sample);
    }
}

Test(exact, pruning_by_tokens_follows_the_scores)
{
    struct cupool_codec_config config = {.codec = CUPOOL_CODEC_PRUNE_TOKENS,
                                         .type = CUPOOL_CODEC_TYPE_BF16,
                                         .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                         .tokens = 20,
                                         .heads = 3,
                                         .head_dim = 64,
                                         .keep_permille = 250};
    struct sample sample;
    size_t count;

    for (int layout = 0; layout < 2; layout++) {
        config.layout = (enum cupool_codec_layout)layout;
        sample_open(&config, SAMPLE_NORMAL, &sample);
        for (uint32_t token = 0; token < 20; token++)
            sample.scores[token] = token % 4 == 1 ? 2.0f : -(float)token;
        sample.scores[0] = 2.0f; /* equal to the others: the earliest five are kept */
        cr_assert_eq(sample_encode(&sample, path(0, &count)), 0);
        cr_assert_eq(sample_decode(&sample, path(0, &count)), 0);
        for (size_t row = 0; row < 120; row++) {
            size_t token = layout == CUPOOL_CODEC_LAYOUT_NHD ? row % 60 / 3 : row % 60 % 20;
            int kept = token == 0 || (token % 4 == 1 && token < 17);

            for (size_t at = row * 64; at < row * 64 + 64; at++)
                cr_assert_eq(((uint16_t *)sample.decoded)[at],
                             kept ? ((uint16_t *)sample.raw)[at] : 0);
        }
        sample.scores[3] = NAN;
        cr_assert_lt(sample_encode(&sample, path(0, &count)), 0);
        sample_close(&sample);
    }
}
