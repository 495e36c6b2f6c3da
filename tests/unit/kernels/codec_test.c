/* SPDX-License-Identifier: MIT */
/*
 * The codecs' kernels as functions of the host, through their launchers, against the codecs of the
 * host: the same bytes and the same figures, of every shape, type, layout, kind of numbers and
 * alignment, whatever the number of warps; and the kernels refuse everything that the host refuses.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "kernels/codec/block.h"
#include "kernels/codec/channel.h"
#include "kernels/codec/launch.h"
#include "tests/unit/codec/sample.h"

#define KERNEL(field, name) void cupool_##field##_host(const struct codec_arguments *, uint32_t);
#include "kernels/codec/kernels.def"

static uint32_t warps = 4;

/* A driver with the kernels on the host as its functions. */
static CUresult launch(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                       CUstream stream, void **parameters, void **extra)
{
    void (*run)(const struct codec_arguments *, uint32_t);

    memcpy(&run, &function, sizeof(run));
    run(parameters[0], warps);
    return CUDA_SUCCESS;
}

static const struct driver_table driver = {.launch = launch};

static const struct codec_kernels *kernels(void)
{
    static struct codec_kernels set;
    void (*run)(const struct codec_arguments *, uint32_t);
#define KERNEL(field, name)                                                                        \
    run = cupool_##field##_host;                                                                   \
    memcpy(&set.field, &run, sizeof(run));
#include "kernels/codec/kernels.def"
    return &set;
}

static uint64_t address(const void *memory)
{
    return (uintptr_t)memory;
}

/* A part by its kernels, out of and into memory that lies anywhere. */
struct attempt {
    enum codec_way way;
    struct codec_part part;
    struct codec_task task;
    struct codec_result result;
    uint8_t *raw_memory, *encoded, *scratch;
    uint8_t *raw;
    size_t raw_bytes, encoded_bytes;
};

static struct attempt attempt_open(const struct sample *sample, int values, size_t offset)
{
    struct attempt attempt = {.part = codec_part_of(&sample->config, values)};

    attempt.way = codec_way_of((int)sample->config.codec, &attempt.part);
    attempt.raw_bytes = part_raw_bytes(&attempt.part);
    attempt.raw_memory = malloc(attempt.raw_bytes + 64);
    attempt.raw = attempt.raw_memory + 64 - address(attempt.raw_memory) % 32 - 32 + offset;
    size_t room = attempt.way > CODEC_WAY_RAW ? codec_way_bytes(attempt.way, &attempt.part) : 0;
    attempt.encoded_bytes = (room + 191) / 64 * 64;
    attempt.encoded = aligned_alloc(64, attempt.encoded_bytes);
    memset(attempt.encoded, 0xa5, attempt.encoded_bytes);
    attempt.scratch = calloc(1, codec_scratch_bytes(&attempt.part));
    attempt.task = (struct codec_task){.raw = address(attempt.raw),
                                       .encoded = address(attempt.encoded + 8),
                                       .bytes = room,
                                       .scratch = address(attempt.scratch),
                                       .first_layer = sample->config.first_layer};
    return attempt;
}

static void attempt_close(struct attempt *attempt)
{
    free(attempt->raw_memory);
    free(attempt->encoded);
    free(attempt->scratch);
}

/* Bytes of the payload. */
static size_t attempt_encode(struct attempt *attempt)
{
    attempt->result = (struct codec_result){0};
    cr_assert_eq(codec_encode_launch(&driver, kernels(), NULL, attempt->way, &attempt->part,
                                     address(&attempt->task), address(&attempt->result), 1),
                 0);
    return codec_way_is_fixed(attempt->way) ? attempt->task.bytes : attempt->result.bytes;
}

static void attempt_decode(struct attempt *attempt, size_t bytes)
{
    attempt->result = (struct codec_result){0};
    attempt->task.bytes = bytes;
    cr_assert_eq(codec_decode_launch(&driver, kernels(), NULL, attempt->way, &attempt->part,
                                     address(&attempt->task), address(&attempt->result), 1),
                 0);
}

/* Nothing was written before or behind the room of the payload. */
static void room_check(const struct attempt *attempt)
{
    size_t end = 8 + codec_way_bytes(attempt->way, &attempt->part);

    for (size_t at = 0; at < attempt->encoded_bytes; at = at == 7 ? end : at + 1)
        cr_assert_eq(attempt->encoded[at], 0xa5, "way %d dim %u tokens %u: byte %zu of %zu",
                     attempt->way, attempt->part.dim, attempt->part.tokens, at, end);
}

static const uint8_t *span_bytes(const struct sample *sample, const struct codec_span *span)
{
    return sample->encoded + span->encoded;
}

static void part_check(const struct sample *sample, const struct codec_span *span, int values,
                       size_t offset, uint64_t *saturated)
{
    struct attempt attempt = attempt_open(sample, values, offset);
    const uint8_t *raw = sample->raw + span->raw, *decoded = sample->decoded + span->raw;

    if (attempt.way <= CODEC_WAY_RAW) {
        cr_assert(attempt.way == CODEC_WAY_RAW || sample->config.codec >= CUPOOL_CODEC_RICE);
        cr_assert(attempt.way == CODEC_WAY_HOST || span->stored ||
                  sample->config.codec == CUPOOL_CODEC_RAW);
        attempt_close(&attempt);
        return;
    }
    memcpy(attempt.raw, raw, attempt.raw_bytes);
    size_t bytes = attempt_encode(&attempt);
    cr_assert(span->stored == (bytes >= attempt.raw_bytes), "codec %d: %zu bytes of %zu",
              sample->config.codec, bytes, attempt.raw_bytes);
    if (!span->stored) {
        *saturated += attempt.result.saturated;
        cr_assert_eq(bytes, span->bytes);
        cr_assert(codec_way_takes(attempt.way, &attempt.part, bytes));
        cr_assert_eq(memcmp(attempt.encoded + 8, span_bytes(sample, span), bytes), 0,
                     "codec %d type %d dim %u tokens %u heads %u", sample->config.codec,
                     sample->config.type, sample->config.head_dim, sample->config.tokens,
                     sample->config.heads);
        memset(attempt.raw, 0x5a, attempt.raw_bytes);
        attempt_decode(&attempt, bytes);
        cr_assert_eq(attempt.result.refused, 0);
        cr_assert_eq(memcmp(attempt.raw, decoded, attempt.raw_bytes), 0, "codec %d type %d decoded",
                     sample->config.codec, sample->config.type);
    }
    room_check(&attempt);
    attempt_close(&attempt);
}

static void sample_check(struct sample *sample, size_t offset)
{
    const struct codec_rows *paths[CODEC_PATHS_MAX];
    const struct codec_rows *fastest = paths[codec_paths(paths) - 1];
    struct codec_span spans[2];
    struct cupool_codec_header header;
    enum cupool_codec_fault fault;
    uint64_t saturated = 0, known = 0;

    cr_assert_eq(sample_encode(sample, fastest), 0);
    cr_assert_eq(sample_decode(sample, fastest), 0);
    cr_assert_eq(codec_open(&sample->config, sample->encoded, sample->block.encoded_bytes, spans,
                            &header, &fault),
                 0);
    for (int values = 0; values < 2; values++)
        if (spans[values].here) {
            struct codec_part part = codec_part_of(&sample->config, values);

            known += codec_way_of((int)sample->config.codec, &part) != CODEC_WAY_HOST;
            part_check(sample, &spans[values], values, offset, &saturated);
        }
    if (known > 0)
        cr_assert_eq(saturated, header.saturated, "codec %d", sample->config.codec);
}

/* Every configuration and kind of numbers, at ever other alignments and numbers of warps. */
Test(codec_kernels, same_bytes_as_the_host)
{
    struct cupool_codec_config config;
    int more;

    for (unsigned at = 0; (more = sample_config(at, &config)) >= 0; at++)
        for (int kind = 0; more && kind < SAMPLE_KINDS; kind++) {
            struct sample sample;
            size_t element = config.type == CUPOOL_CODEC_TYPE_F32 ? 4 : 2;

            sample_open(&config, (enum sample_kind)kind, &sample);
            warps = 1 + (at + (unsigned)kind) % 7;
            sample_check(&sample, (at * 3 + (unsigned)kind) * element % 32);
            sample_close(&sample);
        }
}

/* Small parts, which headers and books do not make smaller. */
Test(codec_kernels, small_parts)
{
    static const enum cupool_codec codecs[] = {CUPOOL_CODEC_INT8, CUPOOL_CODEC_INT4,
                                               CUPOOL_CODEC_ROTATED4, CUPOOL_CODEC_LOSSLESS};

    for (uint32_t at = 0; at < 4 * 3 * 8 * 2 * 2; at++) {
        struct cupool_codec_config config = {.codec = codecs[at % 4],
                                             .type = at / 4 % 2 ? CUPOOL_CODEC_TYPE_F16
                                                                : CUPOOL_CODEC_TYPE_BF16,
                                             .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                             .first_layer = at / 8 % 2,
                                             .tokens = 1 + at / 16 % 8,
                                             .heads = 1,
                                             .head_dim = 8 + at / 128 * 8};
        struct sample sample;

        sample_open(&config, SAMPLE_NORMAL, &sample);
        warps = 1 + at % 3;
        sample_check(&sample, 0);
        sample_close(&sample);
    }
}

/* Every pattern of 16 bits, in an order that leaves few escapes at first and then all exponents. */
Test(codec_kernels, every_pattern_without_loss)
{
    for (int type = CUPOOL_CODEC_TYPE_F16; type <= CUPOOL_CODEC_TYPE_BF16; type++)
        for (uint32_t first = 0; first < 65536; first += 4096) {
            struct cupool_codec_config config = {.codec = CUPOOL_CODEC_LOSSLESS,
                                                 .type = (enum cupool_codec_type)type,
                                                 .parts = CUPOOL_CODEC_KEYS,
                                                 .tokens = 64,
                                                 .heads = 1,
                                                 .head_dim = 512};
            struct sample sample;

            sample_open(&config, SAMPLE_NORMAL, &sample);
            for (uint32_t at = 0; at < 4096; at++) /* among seven times as many others */
                memcpy(sample.raw + at * 16, &(uint16_t){(uint16_t)(first + at)}, 2);
            warps = 1 + first / 4096 % 5;
            sample_check(&sample, first / 4096 * 2);
            sample_close(&sample);
        }
}

/* One byte of the payload of a block of one part anew, checksums made right: the kernels refuse it
 * where the host does, else decode the same. */
static unsigned spoil_check(struct sample *sample, const struct codec_span spans[2], int values,
                            size_t at)
{
    const struct codec_rows *paths[CODEC_PATHS_MAX];
    struct attempt attempt = attempt_open(sample, values, 0);
    size_t bytes = spans[values].bytes;
    uint8_t *payload = sample->encoded + spans[values].encoded, before = payload[at];

    payload[at] = (uint8_t)sample_random();
    codec_seal(&sample->config, sample->encoded, spans, 0);
    int result = sample_decode(sample, paths[codec_paths(paths) - 1]);
    memcpy(attempt.encoded + 8, payload, bytes);
    memset(attempt.raw, 0, attempt.raw_bytes);
    attempt_decode(&attempt, bytes);
    cr_assert_eq(attempt.result.refused, result < 0, "codec %d byte %zu: host %d",
                 sample->config.codec, at, result);
    if (result == 0)
        cr_assert_eq(memcmp(attempt.raw, sample->decoded, attempt.raw_bytes), 0);
    payload[at] = before;
    attempt_close(&attempt);
    return result < 0;
}

Test(codec_kernels, malformed_payloads_are_refused_as_by_the_host)
{
    struct cupool_codec_config config;
    unsigned refused = 0;
    int more;

    for (unsigned at = 0; (more = sample_config(at, &config)) >= 0; at++) {
        if (!more || config.parts == CUPOOL_CODEC_KEYS_AND_VALUES ||
            config.codec >= CUPOOL_CODEC_PRUNE_MAGNITUDE)
            continue;
        struct sample sample;
        struct codec_span spans[2];
        struct cupool_codec_header header;
        enum cupool_codec_fault fault;
        const struct codec_rows *paths[CODEC_PATHS_MAX];
        int values = config.parts == CUPOOL_CODEC_VALUES;
        sample_open(&config, SAMPLE_OUTLIERS, &sample);
        cr_assert_eq(sample_encode(&sample, paths[codec_paths(paths) - 1]), 0);
        cr_assert_eq(
            codec_open(&config, sample.encoded, sample.block.encoded_bytes, spans, &header, &fault),
            0);
        struct codec_part part = codec_part_of(&config, values);
        bool has_kernels = codec_way_of((int)config.codec, &part) > CODEC_WAY_RAW;
        /* The beginning, where scales and books are; the end; and some places between. */
        for (size_t each = 0; each < 60 && has_kernels && !spans[values].stored; each++) {
            size_t bytes = spans[values].bytes;
            size_t place = each < 30   ? each
                           : each < 40 ? bytes - 1 - (each - 30)
                                       : sample_random() % bytes;

            if (place < bytes)
                refused += spoil_check(&sample, spans, values, place);
        }
        sample_close(&sample);
    }
    cr_assert_gt(refused, 20, "%u refused", refused);
}
