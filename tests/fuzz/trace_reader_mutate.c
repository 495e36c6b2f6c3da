/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing without a fuzzer, for the ordinary tests: mutates the sample trace, plain, of limited
 * size and packed. usage: trace_reader_mutate INPUTS
 *
 * Every input has a seed of its own; the one that fails is printed, and CUPOOL_TEST_SEED repeats
 * it.
 *
 * Threading: single-threaded.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cupti/format/trace_format.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tools/sample.h"
#include "tools/trace/packed.h"

static uint64_t state;
static volatile uint64_t input_seed;

/** Tells which input it was, then fails as it would have. */
static void failure_tell(int signal_number)
{
    char line[64];
    int length = snprintf(line, sizeof line, "failed with CUPOOL_TEST_SEED=%llu\n",
                          (unsigned long long)input_seed);

    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        _exit(1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static uint64_t draw(uint64_t below)
{
    uint64_t mixed = state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return (mixed ^ mixed >> 31) % below;
}

static unsigned char *file_load(const char *path, size_t *ret_bytes)
{
    FILE *file = fopen(path, "rb");
    unsigned char *data = NULL;
    size_t bytes = 0, got;

    do {
        data = file ? realloc(data, bytes + TRACE_BLOCK_BYTES) : NULL;
        if (!data) {
            fprintf(stderr, "%s: cannot read\n", path);
            exit(1);
        }
        got = fread(data + bytes, 1, TRACE_BLOCK_BYTES, file);
        bytes += got;
    } while (got == TRACE_BLOCK_BYTES);
    fclose(file);
    *ret_bytes = bytes;
    return data;
}

/** More events than fit the limit, so that some are folded. */
static void overflow_emit(struct trace_writer *writer)
{
    struct trace_record record = {.kind = TRACE_EVENT_ALLOCATE,
                                  .memory = TRACE_MEMORY_DEVICE,
                                  .outcome = TRACE_OUTCOME_HIT,
                                  .api = (uint16_t)trace_writer_string(writer, "cudaMalloc"),
                                  .site = trace_writer_site(writer, (const char *)overflow_emit)};

    for (uint64_t i = 0; i < 20000; i++) {
        record.kind = i & 1 ? TRACE_EVENT_FREE : TRACE_EVENT_ALLOCATE;
        record.address = 512 * (1 + i / 2 % 50);
        record.size = record.value = 512 + i % 7 * 1000;
        trace_writer_emit(writer, &record);
    }
}

static unsigned char *sample_make(uint64_t most_bytes, size_t *ret_bytes)
{
    char path[] = "/tmp/cupool-fuzz-XXXXXX";
    struct trace_writer *writer;
    unsigned char *data;
    int fd = mkstemp(path);

    if (fd < 0 || unlink(path) < 0 || trace_writer_open_limited(path, most_bytes, &writer) < 0) {
        fprintf(stderr, "%s: cannot write\n", path);
        exit(1);
    }
    close(fd);
    sample_emit(writer);
    if (most_bytes)
        overflow_emit(writer);
    trace_writer_close(writer);
    data = file_load(path, ret_bytes);
    unlink(path);
    return data;
}

struct sample {
    unsigned char *data;
    size_t bytes;
};

static int sample_put(void *context, const void *data, size_t bytes)
{
    struct sample *sample = context;
    unsigned char *grown = realloc(sample->data, sample->bytes + bytes + TRACE_BLOCK_BYTES);

    if (!grown)
        return -1;
    memcpy(grown + sample->bytes, data, bytes);
    *sample = (struct sample){grown, sample->bytes + bytes};
    return 0;
}

/** A sample packed; as it is where packing is not built in. */
static struct sample sample_pack(const struct sample *plain)
{
    struct sample packed = {0};
    struct packer *packer;

    if (packer_create(sample_put, &packed, &packer) < 0)
        return *plain;
    for (size_t at = 0; at < plain->bytes; at += PACKED_FRAME_BYTES) {
        size_t left = plain->bytes - at;

        packer_add(packer, plain->data + at, left < PACKED_FRAME_BYTES ? left : PACKED_FRAME_BYTES);
    }
    packer_finish(packer);
    packer_destroy(packer);
    return packed;
}

/** A place worth changing: mostly in the slots that are used. */
static size_t place(size_t bytes)
{
    size_t blocks = bytes / TRACE_BLOCK_BYTES;
    size_t block = blocks ? draw(blocks) : 0, within = draw(32 * TRACE_SLOT_BYTES);

    return blocks && draw(16) ? block * TRACE_BLOCK_BYTES + within : draw(bytes);
}

static void mutate(unsigned char *data, size_t bytes)
{
    static const uint64_t numbers[] = {0,    1,          16,         1023,      1024,      4096,
                                       4097, UINT16_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    size_t at = place(bytes - 8), from = place(bytes - TRACE_SLOT_BYTES);
    size_t slot = place(bytes - TRACE_SLOT_BYTES) / TRACE_SLOT_BYTES * TRACE_SLOT_BYTES;
    uint64_t number = numbers[draw(sizeof numbers / sizeof *numbers)];

    switch (draw(7)) {
    case 0: data[at] ^= (unsigned char)(1u << draw(8)); break;
    case 1: data[at] = (unsigned char)draw(256); break;
    case 2: memcpy(data + at / 8 * 8, &number, 8); break;
    case 3: memcpy(data + at / 2 * 2, &number, 2); break;
    case 4:
        memmove(data + slot, data + from / TRACE_SLOT_BYTES * TRACE_SLOT_BYTES, TRACE_SLOT_BYTES);
        break;
    case 5: memset(data + slot, 0, TRACE_SLOT_BYTES); break;
    /* An open block: count 0. */
    default: memset(data + at / TRACE_BLOCK_BYTES * TRACE_BLOCK_BYTES + 12, 0, 4);
    }
}

/** One input, made from a sample and `input_seed`. */
static void input_run(const struct sample *sample, unsigned char *data)
{
    size_t cut;

    state = input_seed;
    cut = draw(4) ? sample->bytes : draw(sample->bytes + 1);
    memcpy(data, sample->data, sample->bytes);
    for (uint64_t changes = draw(6) + 1; changes--;)
        mutate(data, sample->bytes);
    LLVMFuzzerTestOneInput(data, cut);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    const char *given = getenv("CUPOOL_TEST_SEED");
    unsigned long rounds = 0, wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    struct sample sample[3];
    unsigned char *data;

    sample[0].data = sample_make(0, &sample[0].bytes);
    sample[1].data = sample_make(TRACE_LIMIT_LEAST, &sample[1].bytes);
    sample[2] = sample_pack(&sample[0]);
    data = malloc(TRACE_LIMIT_LEAST + sample[0].bytes + sample[2].bytes);
    input_seed = given ? strtoull(given, NULL, 0) : 1;
    fprintf(stderr, "CUPOOL_TEST_SEED=%llu\n", (unsigned long long)input_seed);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], failure_tell);
    while (data && rounds < wanted) {
        input_run(&sample[input_seed % 3], data);
        rounds++;
        input_seed++;
        if (given)
            break;
    }
    fprintf(stderr, "%lu inputs\n", rounds);
    free(data);
    for (size_t i = 0; i < 3; i++)
        if (i < 2 || sample[2].data != sample[0].data)
            free(sample[i].data);
    return rounds ? 0 : 1;
}
