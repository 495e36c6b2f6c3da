/* SPDX-License-Identifier: MIT */
/*
 * The table of methods. The build compiles this file once for each instruction set, with
 * CODEC_TABLE as the table's name and CODEC_PATH as the set's. Only the width of the vector code
 * differs, never a byte of the result.
 */
#include "kernels/codec/methods.h"

#include "kernels/codec/host_lossless.h"
#include "kernels/codec/host_prune.h"
#include "kernels/codec/host_quad.h"
#include "kernels/codec/host_rice.h"
#include "kernels/codec/host_scaled.h"

#define METHOD(name)                                                                               \
    {                                                                                              \
        name##_bytes, name##_encode, name##_decode                                                 \
    }

#define fp16_bytes narrow_bytes
#define bf16_bytes narrow_bytes
#define rice_bytes raw_bytes

/* Rows that are the same for both parts and in every layer. */
#define COMMON_METHODS                                                                             \
    [CUPOOL_CODEC_RAW] = METHOD(raw), [CUPOOL_CODEC_FP16] = METHOD(fp16),                          \
    [CUPOOL_CODEC_BF16] = METHOD(bf16), [CUPOOL_CODEC_INT8] = METHOD(int8),                        \
    [CUPOOL_CODEC_FP8] = METHOD(fp8), [CUPOOL_CODEC_ROTATED4] = METHOD(rotated),                   \
    [CUPOOL_CODEC_RICE] = METHOD(rice), [CUPOOL_CODEC_LOSSLESS] = METHOD(lossless),                \
    [CUPOOL_CODEC_PRUNE_MAGNITUDE] = METHOD(magnitude),                                            \
    [CUPOOL_CODEC_PRUNE_TOKENS] = METHOD(tokens)

extern const struct codec_rows CODEC_TABLE;

const struct codec_rows CODEC_TABLE = {
    .name = CODEC_PATH,
    .keys =
        {COMMON_METHODS, [CUPOOL_CODEC_K8V4] = METHOD(int8), [CUPOOL_CODEC_INT4] = METHOD(channel)},
    .values =
        {COMMON_METHODS, [CUPOOL_CODEC_K8V4] = METHOD(quad), [CUPOOL_CODEC_INT4] = METHOD(quad)},
    .first_layer_values =
        {COMMON_METHODS, [CUPOOL_CODEC_K8V4] = METHOD(quad), [CUPOOL_CODEC_INT4] = METHOD(int8)},
};
