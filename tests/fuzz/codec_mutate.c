/* SPDX-License-Identifier: MIT */
/*
 * Changes the blocks of a corpus at random and feeds them to the fuzz target: with any compiler, an
 * ordinary test. usage: codec_mutate ROUNDS FILE...; codec_mutate --make FOLDER writes a corpus.
 *
 * Threading: single-threaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/random.h"

#define SEED 20240607u

static uint64_t state = SEED;

static uint32_t draw(uint32_t below)
{
    state = random_lcg(state);
    return (uint32_t)(state >> 33) % below;
}

static void mutate(uint8_t *data, size_t *bytes)
{
    uint32_t changes = 1 + draw(4);

    for (uint32_t at = 0; at < changes; at++) {
        size_t place = draw(3) ? draw((uint32_t)*bytes) : draw(64);

        if (place < *bytes)
            data[place] = draw(2) ? (uint8_t)draw(256) : (uint8_t)(data[place] ^ 1u << draw(8));
    }
    if (draw(4) == 0)
        *bytes -= draw((uint32_t)*bytes / 2 + 1);
}

static int file_mutate(const char *path, long rounds)
{
    static uint8_t whole[65536], changed[65536];
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(whole, 1, sizeof(whole), file) : 0;

    if (bytes == 0) {
        fprintf(stderr, "%s: cannot read\n", path);
        return 1;
    }
    fclose(file);
    for (long round = 0; round < rounds; round++) {
        size_t left = bytes;

        memcpy(changed, whole, bytes);
        mutate(changed, &left);
        LLVMFuzzerTestOneInput(changed, left);
    }
    return 0;
}

/* A small block by each codec and type. */
static int corpus_make(const char *folder)
{
    for (int at = 0; at < CUPOOL_CODEC_COUNT * 3; at++) {
        struct cupool_codec_config config = {
            .codec = (enum cupool_codec)(at / 3),
            .type = (enum cupool_codec_type)(at % 3),
            .layout = (enum cupool_codec_layout)(at % 2),
            .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
            .tokens = 5,
            .heads = 2,
            .head_dim = 40,
            .keep_permille = 300,
        };
        struct cupool_codec_info info;
        static _Alignas(8) uint8_t raw[8192], encoded[8192];
        static const float scores[5] = {1, 5, 3, 2, 4};
        char path[4096];

        if (cupool_codec_query(&config, &info) < 0)
            continue;
        for (size_t each = 0; each < info.raw_bytes; each++)
            raw[each] = (uint8_t)(each % 2 ? 0x34 + draw(12) : draw(256));
        struct cupool_codec_block block = {
            .raw = raw, .encoded = encoded, .encoded_bytes = sizeof(encoded), .scores = scores};
        if (cupool_codec_encode(&config, &block, 1) < 0)
            return 1;
        snprintf(path, sizeof(path), "%s/%s_%d", folder, cupool_codec_name(config.codec), at % 3);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(encoded, 1, block.encoded_bytes, file) != block.encoded_bytes)
            return 1;
        fclose(file);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc == 3 && strcmp(argv[1], "--make") == 0)
        return corpus_make(argv[2]);
    printf("seed %u\n", SEED);
    for (int at = 2; at < argc; at++)
        failed |= file_mutate(argv[at], strtol(argv[1], NULL, 10));
    return argc < 3 || failed;
}
