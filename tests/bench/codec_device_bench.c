/* SPDX-License-Identifier: MIT */
/*
 * The codecs' kernels on GPU 0: bytes per second of memory traffic, compared with a copy inside the
 * device's memory, and whether every byte equals the host's.
 *
 *     codec_device_bench [--json] [--quick]
 *
 * Blocks have 16 tokens, 8 heads of 128 channels, fp16 (fp32 for fp16 and bf16, bf16 for lossless).
 * Traffic is the bytes that a kernel must read and write: raw values and payloads. The median of
 * five rounds; --quick: few blocks, one round. On the simulated device the times are meaningless.
 * Exit 1 when a byte differs, 77 without a GPU or kernels.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/device.h"
#include "kernels/codec/block.h"
#include "kernels/codec/launch.h"
#include "tests/bench/bench.h"
#include "tests/random.h"

#define ROUNDS  5
#define BLOCKS  1024u
#define CHECKED 16u /* compared blocks */

static struct cupool_device *device;
static const struct driver_table *driver;
static struct codec_kernels kernels;
static CUstream stream;
static unsigned rounds = ROUNDS, blocks = BLOCKS;
static uint64_t seed = 3;

static uint32_t number(void)
{
    seed = random_lcg(seed);
    return (uint32_t)(seed >> 32);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* Memory of one run; tasks and results lie on the device. */
struct run {
    enum codec_way way;
    struct codec_part part;
    size_t raw_bytes, room, scratch_bytes;
    uint64_t raw, encoded, scratch, results, tasks;
    uint8_t *content; /* of the blocks in sequence, on the host */
    struct codec_result result[BLOCKS];
    struct codec_task task[BLOCKS];
};

static uint64_t take(size_t bytes)
{
    uint64_t address = 0;

    need(device_memory_allocate(device, bytes, &address), "memory");
    return address;
}

static void copy(uint64_t to, uint64_t from, size_t bytes)
{
    need(driver_error(driver->copy_async(to, from, bytes, stream)), "copy");
    need(driver_error(driver->stream_wait(stream)), "copy");
}

/* Sums of uniform numbers, some channels wide, in the first blocks some of any bits. */
static void content_make(struct run *run)
{
    size_t values = part_values(&run->part);

    for (unsigned block = 0; block < blocks; block++)
        for (size_t at = 0; at < values; at++) {
            uint8_t *to = run->content + block * run->raw_bytes;
            float x = (float)(int32_t)number() * 0x1p-31f + (float)(int32_t)number() * 0x1p-31f +
                      (float)(int32_t)number() * 0x1p-31f;

            value_store(to, run->part.type, at, at % 128 % 19 == 3 ? 20.0f * x : x);
            if (block < 4 && number() % 16 == 0) {
                uint32_t bits = number();

                memcpy(to + at * value_bytes(run->part.type), &bits, value_bytes(run->part.type));
            }
        }
}

static void run_begin(struct run *run, const struct cupool_codec_config *config, bool values)
{
    run->part = codec_part_of(config, values);
    run->way = codec_way_of((int)config->codec, &run->part);
    run->raw_bytes = part_raw_bytes(&run->part);
    run->room = (codec_way_bytes(run->way, &run->part) + 63) / 64 * 64;
    run->scratch_bytes = codec_scratch_bytes(&run->part);
    run->raw = take(blocks * run->raw_bytes);
    run->encoded = take(blocks * run->room);
    run->scratch = take(blocks * run->scratch_bytes);
    run->results = take(sizeof(run->result));
    run->tasks = take(sizeof(run->task));
    run->content = malloc(blocks * run->raw_bytes);
    content_make(run);
    copy(run->raw, (uintptr_t)run->content, blocks * run->raw_bytes);
    for (unsigned at = 0; at < blocks; at++)
        run->task[at] = (struct codec_task){.raw = run->raw + at * run->raw_bytes,
                                            .encoded = run->encoded + at * run->room,
                                            .bytes = codec_way_bytes(run->way, &run->part),
                                            .scratch = run->scratch + at * run->scratch_bytes,
                                            .first_layer = config->first_layer};
    copy(run->tasks, (uintptr_t)run->task, sizeof(run->task));
}

static void run_end(struct run *run)
{
    device_memory_free(device, run->raw, blocks * run->raw_bytes);
    device_memory_free(device, run->encoded, blocks * run->room);
    device_memory_free(device, run->scratch, blocks * run->scratch_bytes);
    device_memory_free(device, run->results, sizeof(run->result));
    device_memory_free(device, run->tasks, sizeof(run->task));
    free(run->content);
}

typedef int (*launcher)(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count);

/* Seconds of a round. */
static double run_time(struct run *run, launcher launch)
{
    double times[ROUNDS];

    for (unsigned round = 0; round < rounds; round++) {
        need(driver_error(driver->fill_async(run->results, 0, sizeof(run->result), stream)),
             "fill");
        need(driver_error(driver->fill_async(run->scratch, 0, blocks * run->scratch_bytes, stream)),
             "fill");
        need(driver_error(driver->stream_wait(stream)), "wait");
        double begin = now();
        need(launch(driver, &kernels, stream, run->way, &run->part, run->tasks, run->results,
                    blocks),
             "launch");
        need(driver_error(driver->stream_wait(stream)), "wait");
        times[round] = now() - begin;
    }
    qsort(times, rounds, sizeof(*times), ascending);
    return times[rounds / 2];
}

/* Bytes per second of a copy inside the device's memory, read and written. */
static double copy_speed(void)
{
    size_t bytes = (size_t)blocks * 64 * 1024;
    uint64_t from = take(bytes), to = take(bytes);
    double times[ROUNDS];

    for (unsigned round = 0; round < rounds; round++) {
        double begin = now();

        copy(to, from, bytes);
        times[round] = now() - begin;
    }
    device_memory_free(device, from, bytes);
    device_memory_free(device, to, bytes);
    qsort(times, rounds, sizeof(*times), ascending);
    return 2.0 * (double)bytes / times[rounds / 2];
}

/* Whether the payloads of the first blocks equal the host's; payload bytes of all blocks. */
static bool payloads_equal(struct run *run, const struct cupool_codec_config *config,
                           uint64_t *ret_bytes)
{
    struct cupool_codec_info info;
    bool equal = true;

    *ret_bytes = 0;
    need(cupool_codec_query(config, &info), "query");
    uint8_t *encoded = aligned_alloc(64, (info.maximum_bytes + 63) / 64 * 64);
    uint8_t *mine = malloc(run->room);
    copy((uintptr_t)run->result, run->results, sizeof(run->result));
    for (unsigned at = 0; at < blocks; at++) {
        uint64_t bytes = codec_way_is_fixed(run->way) ? codec_way_bytes(run->way, &run->part)
                                                      : run->result[at].bytes;
        struct cupool_codec_block block = {.raw = run->content + at * run->raw_bytes,
                                           .encoded = encoded,
                                           .encoded_bytes = info.maximum_bytes};
        struct codec_span spans[2];
        struct cupool_codec_header header;
        enum cupool_codec_fault fault;

        *ret_bytes += bytes < run->raw_bytes ? bytes : run->raw_bytes;
        if (at >= CHECKED)
            continue;
        need(cupool_codec_encode(config, &block, 1), "encode");
        need(codec_open(config, encoded, block.encoded_bytes, spans, &header, &fault), "open");
        const struct codec_span *span = &spans[config->parts == CUPOOL_CODEC_VALUES];
        equal &= span->stored == (bytes >= run->raw_bytes);
        if (span->stored)
            continue;
        copy((uintptr_t)mine, run->task[at].encoded, bytes);
        equal &= bytes == span->bytes && header.saturated == run->result[at].saturated &&
                 memcmp(mine, encoded + span->encoded, bytes) == 0;
    }
    free(encoded);
    free(mine);
    return equal;
}

/* Whether the kernels' decoded values equal the host's. */
static bool blocks_equal(struct run *run, const struct cupool_codec_config *config)
{
    struct cupool_codec_info info;
    bool equal = true;

    need(cupool_codec_query(config, &info), "query");
    uint8_t *encoded = aligned_alloc(64, (info.maximum_bytes + 63) / 64 * 64);
    uint8_t *mine = malloc(run->raw_bytes), *host = aligned_alloc(64, run->raw_bytes);
    copy((uintptr_t)run->result, run->results, sizeof(run->result));
    for (unsigned at = 0; at < CHECKED && at < blocks; at++) {
        struct cupool_codec_block block = {.raw = run->content + at * run->raw_bytes,
                                           .encoded = encoded,
                                           .encoded_bytes = info.maximum_bytes};

        need(cupool_codec_encode(config, &block, 1), "encode");
        block.raw = host;
        need(cupool_codec_decode(config, &block, 1), "decode");
        copy((uintptr_t)mine, run->task[at].raw, run->raw_bytes);
        bool stored = run->task[at].bytes == 0;
        equal &= stored ||
                 (run->result[at].refused == 0 && memcmp(mine, host, run->raw_bytes) == 0);
    }
    free(encoded);
    free(mine);
    free(host);
    return equal;
}

static void print(bool json, bool first, const struct cupool_codec_config *config,
                  const char *direction, double speed, double peak, bool equal)
{
    const char *part = config->parts == CUPOOL_CODEC_VALUES ? "values" : "keys";

    if (json)
        printf("%s\n  {\"codec\": \"%s\", \"part\": \"%s\", \"direction\": \"%s\", "
               "\"bytes_per_s\": %.0f, \"share_of_copy\": %.3f, \"equal\": %s}",
               first ? "" : ",", cupool_codec_name(config->codec), part, direction, speed,
               speed / peak, equal ? "true" : "false");
    else
        printf("%-10s %-7s %-7s %9.1f %7.1f %%  %s\n", cupool_codec_name(config->codec), part,
               direction, speed * 1e-9, 100.0 * speed / peak, equal ? "equal" : "DIFFERS");
}

static bool codec_run(enum cupool_codec codec, bool values, double peak, bool json, bool first)
{
    static struct run run;
    struct cupool_codec_config config = {
        .codec = codec,
        .type = codec == CUPOOL_CODEC_FP16 || codec == CUPOOL_CODEC_BF16 ? CUPOOL_CODEC_TYPE_F32
                : codec == CUPOOL_CODEC_LOSSLESS                         ? CUPOOL_CODEC_TYPE_BF16
                                                                         : CUPOOL_CODEC_TYPE_F16,
        .layout = CUPOOL_CODEC_LAYOUT_NHD,
        .parts = values ? CUPOOL_CODEC_VALUES : CUPOOL_CODEC_KEYS,
        .tokens = 16,
        .heads = 8,
        .head_dim = 128};
    uint64_t bytes;

    run_begin(&run, &config, values);
    double taken = run_time(&run, codec_encode_launch);
    bool equal = payloads_equal(&run, &config, &bytes), all = equal;
    double traffic = (double)bytes + (double)blocks * (double)run.raw_bytes;
    print(json, first, &config, "encode", traffic / taken, peak, equal);
    /* Blocks that do not shrink are stored raw and not decoded. */
    for (unsigned at = 0; at < blocks; at++)
        if (!codec_way_is_fixed(run.way))
            run.task[at].bytes = run.result[at].bytes < run.raw_bytes ? run.result[at].bytes : 0;
    copy(run.tasks, (uintptr_t)run.task, sizeof(run.task));
    taken = run_time(&run, codec_decode_launch);
    equal = blocks_equal(&run, &config);
    print(json, false, &config, "decode", traffic / taken, peak, equal);
    run_end(&run);
    return all && equal;
}

int main(int argc, char **argv)
{
    static const enum cupool_codec codecs[] = {
        CUPOOL_CODEC_FP16, CUPOOL_CODEC_BF16, CUPOOL_CODEC_INT8,     CUPOOL_CODEC_FP8,
        CUPOOL_CODEC_K8V4, CUPOOL_CODEC_INT4, CUPOOL_CODEC_ROTATED4, CUPOOL_CODEC_LOSSLESS};
    bool json = false, all = true, first = true;
    CUstreamCaptureMode mode;

    for (int at = 1; at < argc; at++) {
        json |= strcmp(argv[at], "--json") == 0;
        if (strcmp(argv[at], "--quick") == 0) {
            blocks = CHECKED;
            rounds = 1;
        }
    }
    if (cupool_device_open(0, &device) < 0) {
        printf("skip: no GPU\n");
        return 77;
    }
    driver = device->driver;
    stream = device->own;
    need(device_enter_relaxed(device, &mode), "context");
    if (codec_kernels_load(driver, &kernels) < 0) {
        printf("skip: no code for this device\n");
        return 77;
    }
    double peak = copy_speed();
    if (json)
        printf("{\"copy_bytes_per_s\": %.0f, \"rows\": [", peak);
    else
        printf("%-10s %-7s %-7s %9s %9s  (a copy: %.1f GB/s)\n", "codec", "part", "", "GB/s",
               "of a copy", peak * 1e-9);
    for (size_t at = 0; at < sizeof(codecs) / sizeof(*codecs); at++)
        for (int values = 0; values < 2; values++) {
            /* Both parts only if their methods differ. */
            if (values && codecs[at] != CUPOOL_CODEC_K8V4 && codecs[at] != CUPOOL_CODEC_INT4)
                continue;
            all &= codec_run(codecs[at], values, peak, json, first);
            first = false;
        }
    fputs(json ? "\n]}\n" : "", stdout);
    codec_kernels_unload(driver, &kernels);
    device_leave_relaxed(device, mode);
    cupool_device_close(device);
    return all ? 0 : 1;
}
