/* SPDX-License-Identifier: MIT */
/*
 * Measures the savings of each codec, the change of the attention output, and the host's speed.
 *
 *   codec_bench [--json] [--type f16|bf16] [--share N]
 *
 * Keys are Gaussian with a fixed scale for each channel, rotary embedding applied; values and
 * queries are Gaussian. Distributions: gaussian, no scale; outlier, 5 % of the channels 10 to 30
 * times as large; layer0, 20 % of them 100 times, encoded as a block of layer 0; tiny, like
 * outlier, with 1 % of the tokens' keys at a hundredth. Compares softmax(QK'/sqrt(d))V in double
 * precision, before encoding and after decoding: relative L2 over all outputs, mean cosine, and the
 * largest difference of a logit. Elements are fp16 (--type); for fp16 and bf16 fp32; for
 * lossless bf16, for lossless-fp16 fp16. Pruning keeps --share of 1,000 (default 400); the scores
 * of tokens are the attention that they get.
 *
 * Speed is bytes of raw blocks per processor time of one core, checksums included: the median of 5
 * passes over one mebibyte. The text output also shows memcpy in the same pass. For the kernels it
 * shows the compiler's statistics from the build: registers on each architecture, shared memory,
 * spills (codec_device_bench runs them).
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/codec/value.h"
#include "tests/bench/kernel_report.h"
#include "tests/random.h"

#define BLOCKS  32
#define TOKENS  16
#define HEADS   4
#define DIM     128
#define QUERIES 32
#define CONTEXT (BLOCKS * TOKENS)
#define PART    ((size_t)TOKENS * HEADS * DIM)
#define PASSES  5

enum distribution { GAUSSIAN, OUTLIER, LAYER0, TINY, DISTRIBUTIONS };
static const char *const distribution_names[] = {"gaussian", "outlier", "layer0", "tiny"};

struct figures {
    double bytes_per_value, relative_l2, cosine, logit_error, encode_gb_s, decode_gb_s;
};

/* [block][key or value][token][head][channel], and queries [query][head][channel]. */
static float source[BLOCKS][2][TOKENS][HEADS][DIM];
static float seen[BLOCKS][2][TOKENS][HEADS][DIM];
static float decoded[BLOCKS][2][TOKENS][HEADS][DIM];
static float queries[QUERIES][HEADS][DIM];
static double right[QUERIES][HEADS][DIM], moved[QUERIES][HEADS][DIM];
static double right_logits[QUERIES][HEADS][CONTEXT], moved_logits[QUERIES][HEADS][CONTEXT];
static float scores[BLOCKS][TOKENS];
static uint64_t random_state;

static double uniform(void)
{
    random_state = random_lcg(random_state);
    return ((double)(random_state >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    double radius = sqrt(-2.0 * log(uniform()));

    return radius * cos(2.0 * M_PI * uniform());
}

static double channel_scale(enum distribution kind)
{
    if (kind == GAUSSIAN)
        return 1.0;
    if (kind == LAYER0)
        return uniform() < 0.2 ? 100.0 : 1.0;
    return uniform() < 0.05 ? 10.0 + 20.0 * uniform() : 1.0;
}

/* Rotary embedding, base 10,000, halves paired. */
static void rotate(float *row, int position)
{
    for (int pair = 0; pair < DIM / 2; pair++) {
        double angle = position * pow(10000.0, -2.0 * pair / DIM);
        double a = row[pair], b = row[pair + DIM / 2];

        row[pair] = (float)(a * cos(angle) - b * sin(angle));
        row[pair + DIM / 2] = (float)(a * sin(angle) + b * cos(angle));
    }
}

static void source_fill(enum distribution kind)
{
    double scale[HEADS][DIM];

    random_state = 20240607 + (uint64_t)kind;
    for (int head = 0; head < HEADS; head++)
        for (int at = 0; at < DIM; at++)
            scale[head][at] = channel_scale(kind);
    for (int token = 0; token < CONTEXT; token++) {
        double size = kind == TINY && uniform() < 0.01 ? 0.01 : 1.0;

        for (int head = 0; head < HEADS; head++) {
            float *key = source[token / TOKENS][0][token % TOKENS][head];
            float *value = source[token / TOKENS][1][token % TOKENS][head];

            for (int at = 0; at < DIM; at++) {
                key[at] = (float)(normal() * scale[head][at] * size);
                value[at] = (float)normal();
            }
            rotate(key, token);
        }
    }
    for (int at = 0; at < QUERIES * HEADS * DIM; at++)
        (&queries[0][0][0])[at] = (float)normal();
}

static void attend_one(float cache[BLOCKS][2][TOKENS][HEADS][DIM], int query, int head,
                       double *logits, double *output)
{
    double most = -INFINITY, sum = 0.0;

    for (int token = 0; token < CONTEXT; token++) {
        const float *key = cache[token / TOKENS][0][token % TOKENS][head];
        double dot = 0.0;

        for (int at = 0; at < DIM; at++)
            dot += (double)queries[query][head][at] * key[at];
        logits[token] = dot / sqrt(DIM);
        most = logits[token] > most ? logits[token] : most;
    }
    memset(output, 0, DIM * sizeof(*output));
    for (int token = 0; token < CONTEXT; token++) {
        double weight = exp(logits[token] - most);
        const float *value = cache[token / TOKENS][1][token % TOKENS][head];

        sum += weight;
        for (int at = 0; at < DIM; at++)
            output[at] += weight * value[at];
    }
    for (int at = 0; at < DIM; at++)
        output[at] /= sum;
}

static void attend(float cache[BLOCKS][2][TOKENS][HEADS][DIM],
                   double logits[QUERIES][HEADS][CONTEXT], double output[QUERIES][HEADS][DIM])
{
    for (int query = 0; query < QUERIES; query++)
        for (int head = 0; head < HEADS; head++)
            attend_one(cache, query, head, logits[query][head], output[query][head]);
}

/* Attention to each token. */
static void scores_fill(void)
{
    memset(scores, 0, sizeof(scores));
    for (int query = 0; query < QUERIES; query++)
        for (int head = 0; head < HEADS; head++) {
            double most = -INFINITY, sum = 0.0;
            const double *logits = right_logits[query][head];

            for (int token = 0; token < CONTEXT; token++)
                most = fmax(most, logits[token]);
            for (int token = 0; token < CONTEXT; token++)
                sum += exp(logits[token] - most);
            for (int token = 0; token < CONTEXT; token++)
                scores[token / TOKENS][token % TOKENS] += (float)(exp(logits[token] - most) / sum);
        }
}

static void compare(struct figures *figures)
{
    double error = 0.0, size = 0.0, cosine = 0.0, logit = 0.0;

    for (int each = 0; each < QUERIES * HEADS; each++) {
        const double *a = right[each / HEADS][each % HEADS], *b = moved[each / HEADS][each % HEADS];
        double aa = 0.0, bb = 0.0, ab = 0.0;

        for (int at = 0; at < DIM; at++) {
            error += (a[at] - b[at]) * (a[at] - b[at]);
            aa += a[at] * a[at];
            bb += b[at] * b[at];
            ab += a[at] * b[at];
        }
        size += aa;
        cosine += ab / sqrt(aa * bb);
        for (int token = 0; token < CONTEXT; token++)
            logit = fmax(logit, fabs(right_logits[each / HEADS][each % HEADS][token] -
                                     moved_logits[each / HEADS][each % HEADS][token]));
    }
    figures->relative_l2 = sqrt(error / size);
    figures->cosine = cosine / (QUERIES * HEADS);
    figures->logit_error = logit;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

enum action { ENCODE, DECODE, COPY };

static void act(enum action action, const struct cupool_codec_config *config,
                struct cupool_codec_block *blocks, size_t raw, size_t room)
{
    int result = 0;

    for (int at = 0; at < BLOCKS && action == ENCODE; at++)
        blocks[at].encoded_bytes = room;
    if (action == ENCODE)
        result = cupool_codec_encode(config, blocks, BLOCKS);
    else if (action == DECODE)
        result = cupool_codec_decode(config, blocks, BLOCKS);
    else
        for (int at = 0; at < BLOCKS; at++)
            memcpy(blocks[at].encoded, blocks[at].raw, raw);
    if (result < 0) {
        fprintf(stderr, "codec_bench: %s: %s\n", cupool_codec_name(config->codec),
                strerror(-result));
        exit(1);
    }
}

/* Bytes of raw blocks per nanosecond. */
static double speed(enum action action, const struct cupool_codec_config *config,
                    struct cupool_codec_block *blocks, size_t raw, size_t room)
{
    double passes[PASSES];

    for (int pass = 0; pass < PASSES; pass++) {
        double begin = now(), taken;
        int rounds = 0;

        do {
            act(action, config, blocks, raw, room);
            rounds++;
            taken = now() - begin;
        } while (taken < 0.004);
        passes[pass] = (double)raw * BLOCKS * rounds / taken * 1e-9;
    }
    qsort(passes, PASSES, sizeof(*passes), by_size);
    return passes[PASSES / 2];
}

static struct figures measure(const struct cupool_codec_config *config, double *ret_copy)
{
    struct figures figures;
    struct cupool_codec_info info;
    struct cupool_codec_block blocks[BLOCKS];
    size_t total = 0;

    if (cupool_codec_query(config, &info) < 0)
        exit(1);
    size_t room = info.maximum_bytes + info.raw_bytes;
    uint8_t *raw = aligned_alloc(64, info.raw_bytes * BLOCKS);
    uint8_t *encoded = aligned_alloc(64, (room + 63) / 64 * 64 * BLOCKS);
    for (int at = 0; at < BLOCKS; at++) {
        blocks[at] = (struct cupool_codec_block){
            .raw = raw + info.raw_bytes * (size_t)at,
            .encoded = encoded + (room + 63) / 64 * 64 * (size_t)at,
            .scores = scores[at],
        };
        for (size_t value = 0; value < 2 * PART; value++) {
            value_store(blocks[at].raw, (int)config->type, value, (&source[at][0][0][0][0])[value]);
            (&seen[at][0][0][0][0])[value] = value_load(blocks[at].raw, (int)config->type, value);
        }
    }
    attend(seen, right_logits, right);
    scores_fill();
    *ret_copy = speed(COPY, config, blocks, info.raw_bytes, room);
    figures.encode_gb_s = speed(ENCODE, config, blocks, info.raw_bytes, room);
    for (int at = 0; at < BLOCKS; at++)
        total += blocks[at].encoded_bytes;
    figures.bytes_per_value = (double)total / (double)(2 * PART * BLOCKS);
    figures.decode_gb_s = speed(DECODE, config, blocks, info.raw_bytes, room);
    for (int at = 0; at < BLOCKS; at++)
        for (size_t value = 0; value < 2 * PART; value++)
            (&decoded[at][0][0][0][0])[value] = value_load(blocks[at].raw, (int)config->type,
                                                           value);
    attend(decoded, moved_logits, moved);
    compare(&figures);
    free(raw);
    free(encoded);
    return figures;
}

static void print(bool json, bool first, const char *codec, const char *distribution,
                  const struct figures *figures, double copy)
{
    if (json)
        printf("%s\n  {\"codec\": \"%s\", \"distribution\": \"%s\", \"bytes_per_value\": %.5f, "
               "\"relative_l2\": %.6g, \"cosine\": %.8f, \"logit_error\": %.6g, "
               "\"encode_gb_s\": %.3f, \"decode_gb_s\": %.3f}",
               first ? "" : ",", codec, distribution, figures->bytes_per_value,
               figures->relative_l2, figures->cosine, figures->logit_error, figures->encode_gb_s,
               figures->decode_gb_s);
    else
        printf("%-16s %-9s %7.4f %9.4f %% %10.7f %9.4g %8.2f %8.2f %8.2f\n", codec, distribution,
               figures->bytes_per_value, figures->relative_l2 * 100.0, figures->cosine,
               figures->logit_error, figures->encode_gb_s, figures->decode_gb_s, copy);
}

static void run(bool json, enum cupool_codec_type type, uint32_t share)
{
    bool first = true;

    for (int at = CUPOOL_CODEC_FP16; at <= CUPOOL_CODEC_COUNT; at++) {
        bool again = at == CUPOOL_CODEC_COUNT; /* lossless once more, of fp16 */
        struct cupool_codec_config config = {
            .codec = again ? CUPOOL_CODEC_LOSSLESS : (enum cupool_codec)at,
            .type = again                                                ? CUPOOL_CODEC_TYPE_F16
                    : at == CUPOOL_CODEC_FP16 || at == CUPOOL_CODEC_BF16 ? CUPOOL_CODEC_TYPE_F32
                    : at == CUPOOL_CODEC_LOSSLESS                        ? CUPOOL_CODEC_TYPE_BF16
                                                                         : type,
            .layout = CUPOOL_CODEC_LAYOUT_NHD,
            .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
            .tokens = TOKENS,
            .heads = HEADS,
            .head_dim = DIM,
            .keep_permille = share,
        };

        for (int kind = 0; kind < DISTRIBUTIONS; kind++) {
            double copy;

            config.first_layer = kind == LAYER0;
            source_fill((enum distribution)kind);
            struct figures figures = measure(&config, &copy);
            print(json, first, again ? "lossless-fp16" : cupool_codec_name(config.codec),
                  distribution_names[kind], &figures, copy);
            first = false;
        }
    }
}

int main(int argc, char **argv)
{
    bool json = false;
    enum cupool_codec_type type = CUPOOL_CODEC_TYPE_F16;
    uint32_t share = 400;

    for (int at = 1; at < argc; at++) {
        bool more = at + 1 < argc;

        if (strcmp(argv[at], "--json") == 0)
            json = true;
        else if (more && strcmp(argv[at], "--type") == 0)
            type = strcmp(argv[++at], "bf16") == 0 ? CUPOOL_CODEC_TYPE_BF16 : CUPOOL_CODEC_TYPE_F16;
        else if (more && strcmp(argv[at], "--share") == 0)
            share = (uint32_t)strtoul(argv[++at], NULL, 10);
        else {
            fprintf(stderr, "usage: codec_bench [--json] [--type f16|bf16] [--share N]\n");
            return 2;
        }
    }
    if (json)
        printf("{\"codecs\": [");
    else
        printf("%-16s %-9s %7s %11s %10s %9s %8s %8s %8s\n", "codec", "data", "B/value",
               "relative L2", "cosine", "logit", "enc GB/s", "dec GB/s", "memcpy");
    run(json, type, share);
    fputs(json ? "\n], \"kernels\": [" : "", stdout);
    kernel_report_print(CODEC_REPORT, json);
    fputs(json ? "\n]}\n" : "", stdout);
    return 0;
}
