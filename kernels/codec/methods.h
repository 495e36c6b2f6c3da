/* SPDX-License-Identifier: MIT */
/*
 * The codecs' methods, one table for each instruction set that methods.c is built for. All tables
 * produce the same bytes.
 */
#ifndef KERNELS_CODEC_METHODS_H
#define KERNELS_CODEC_METHODS_H

#include "kernels/codec/part.h"

struct codec_rows {
    const char *name; /* of the instruction set */
    struct codec_method keys[CUPOOL_CODEC_COUNT];
    struct codec_method values[CUPOOL_CODEC_COUNT];
    struct codec_method first_layer_values[CUPOOL_CODEC_COUNT];
};

#define CODEC_PATHS_MAX 3

/** Returns the tables that this processor can run, the plain one first; the last is the fastest. */
size_t codec_paths(const struct codec_rows *ret_paths[CODEC_PATHS_MAX]);

/** The method for a part by a table. */
const struct codec_method *codec_rows_method(const struct codec_rows *rows, int codec,
                                             const struct codec_part *part);

/** cupool_codec_encode() and cupool_codec_decode() by a given table. */
int codec_encode_by(const struct codec_rows *rows, const struct cupool_codec_config *config,
                    struct cupool_codec_block *block);
int codec_decode_by(const struct codec_rows *rows, const struct cupool_codec_config *config,
                    struct cupool_codec_block *block);

/** CRC-32C without the processor's instruction. */
uint32_t codec_crc32c_plain(uint32_t crc, const void *data, size_t bytes);

#endif
