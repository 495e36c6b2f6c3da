/* SPDX-License-Identifier: MIT */
/*
 * Writes the corpus of the fuzz target for entries: an entry by each codec. usage: entry_corpus
 * FOLDER
 *
 * Threading: single-threaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tier/entry.h"

#define LAYER_VALUES ((size_t)2 * 16 * 32)

static int entry_write(const char *folder, const struct entry_shape *shape, int codec,
                       const uint16_t *layers)
{
    struct cupool_kv_hash key = {{1, 2, 3}};
    char path[512];
    size_t room, bytes;
    uint64_t saturated;

    if (entry_maximum(shape, codec, &room) < 0)
        return 0;
    void *entry = malloc(room);
    int error = !entry ? -1
                       : entry_encode(shape, codec, &key, layers, LAYER_VALUES * 2, entry, room,
                                      &bytes, &saturated);
    const char *name = codec < 0 ? "plain" : cupool_codec_name((enum cupool_codec)codec);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = error == 0 ? fopen(path, "wb") : NULL;
    if (!file || fwrite(entry, 1, bytes, file) != bytes || fclose(file) != 0)
        error = -1;
    free(entry);
    return error;
}

int main(int argc, char **argv)
{
    struct cupool_kv_config config = {.layers = 2,
                                      .block_tokens = 16,
                                      .kv_heads = 1,
                                      .head_dim = 32,
                                      .key_type = CUPOOL_KV_BF16,
                                      .value_type = CUPOOL_KV_BF16};
    struct cupool_kv_geometry geometry = {.layer_bytes = LAYER_VALUES * 2};
    static uint16_t layers[2 * LAYER_VALUES];
    struct entry_shape shape;

    if (argc != 2 || entry_shape_make(&config, &geometry, "fuzz", &shape) < 0)
        return 2;
    shape.codec.keep_permille = 400;
    for (size_t at = 0; at < 2 * LAYER_VALUES; at++)
        layers[at] = (uint16_t)(0x3f00 + at * 7919 % 300 + (at % 3 == 0 ? 0x8000 : 0));
    for (int codec = CUPOOL_TIER_PLAIN; codec < CUPOOL_CODEC_COUNT; codec++)
        if (entry_write(argv[1], &shape, codec, layers) < 0)
            return 1;
    return 0;
}
