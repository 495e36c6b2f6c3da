/* SPDX-License-Identifier: MIT */
/*
 * The table of ways: sizes, and the kernels for both directions with their units of work. See
 * launch.h.
 */
#include "kernels/codec/launch.h"

#include <errno.h>
#include <stddef.h>

#include "kernels/codec/channel.h"
#include "kernels/codec/rotated.h"

#define STAGES_MAX 4

static const struct kernel_row rows[] = {
#define KERNEL(field, name) {name, offsetof(struct codec_kernels, field)},
#include "kernels/codec/kernels.def"
};

struct stage {
    size_t kernel; /* offset in a set; 0: no more */
    size_t (*units)(const struct codec_part *part);
};

struct way {
    size_t (*bytes)(const struct codec_part *part);
    bool fixed;
    struct stage encode[STAGES_MAX], decode[STAGES_MAX];
};

/* ---- units ---- */

static size_t units_one(const struct codec_part *part)
{
    return 1;
}

static size_t units_heads(const struct codec_part *part)
{
    return part->heads;
}

static size_t units_rows(const struct codec_part *part)
{
    return units_of(part_rows(part), unit_rows(part->dim));
}

static size_t units_values(const struct codec_part *part)
{
    return units_of(part_values(part), UNIT_VALUES);
}

static size_t units_groups(const struct codec_part *part)
{
    return units_of(part_rows(part) * quad_groups(part), UNIT_VALUES / CODEC_GROUP);
}

/* The most escapes of a part that is still smaller than raw. */
static size_t units_escapes(const struct codec_part *part)
{
    size_t places = lossless_layout(part_values(part), part->type).places;
    size_t whole = part_raw_bytes(part);

    return units_of(whole > places ? (whole - places) / LOSSLESS_ESCAPE_BYTES : 0, UNIT_ESCAPES);
}

static size_t raw_size(const struct codec_part *part)
{
    return part_raw_bytes(part);
}

#define SIZE(name)                                                                                 \
    static size_t name##_size(const struct codec_part *part)                                       \
    {                                                                                              \
        return name##_bytes(part);                                                                 \
    }
SIZE(narrow)
SIZE(int8)
SIZE(fp8)
SIZE(quad)
SIZE(channel)
SIZE(rotated)
#undef SIZE

#define AT(field) offsetof(struct codec_kernels, field)
static const struct way ways[CODEC_WAYS] = {
    [CODEC_WAY_RAW] = {.bytes = raw_size, .fixed = true},
    [CODEC_WAY_FP16] = {narrow_size,
                        true,
                        {{AT(fp16_encode), units_values}},
                        {{AT(fp16_decode), units_values}}},
    [CODEC_WAY_BF16] = {narrow_size,
                        true,
                        {{AT(bf16_encode), units_values}},
                        {{AT(bf16_decode), units_values}}},
    [CODEC_WAY_INT8] = {int8_size,
                        true,
                        {{AT(int8_encode), units_rows}},
                        {{AT(int8_decode), units_rows}}},
    [CODEC_WAY_FP8] = {fp8_size,
                       true,
                       {{AT(fp8_encode), units_heads}},
                       {{AT(fp8_decode), units_heads}}},
    [CODEC_WAY_QUAD] = {quad_size,
                        true,
                        {{AT(quad_encode), units_groups}},
                        {{AT(quad_decode), units_groups}}},
    [CODEC_WAY_CHANNEL] = {channel_size,
                           false,
                           {{AT(channel_mark), units_heads}, {AT(channel_encode), units_heads}},
                           {{AT(channel_decode), units_heads}}},
    [CODEC_WAY_ROTATED] = {rotated_size,
                           true,
                           {{AT(rotated_encode), units_rows}},
                           {{AT(rotated_decode), units_rows}}},
    [CODEC_WAY_LOSSLESS] = {raw_size,
                            false,
                            {{AT(lossless_count), units_values},
                             {AT(lossless_book), units_one},
                             {AT(lossless_encode), units_values},
                             {AT(lossless_escape), units_values}},
                            {{AT(lossless_decode), units_values},
                             {AT(lossless_restore), units_escapes}}},
};
#undef AT

int codec_kernels_load(const struct driver_table *driver, struct codec_kernels *ret_kernels)
{
    const struct kernel_image image = {codec_image, codec_image_bytes};
    struct codec_kernels made = {0};
    int error = kernel_module_load(driver, &image, rows, sizeof(rows) / sizeof(*rows), &made.module,
                                   &made);

    if (error == 0)
        *ret_kernels = made;
    return error;
}

void codec_kernels_unload(const struct driver_table *driver, struct codec_kernels *kernels)
{
    if (kernels->module)
        driver->module_unload(kernels->module);
    *kernels = (struct codec_kernels){0};
}

static enum codec_way way_by_codec(int codec, const struct codec_part *part)
{
    switch (codec) {
    case CUPOOL_CODEC_RAW: return CODEC_WAY_RAW;
    case CUPOOL_CODEC_FP16: return CODEC_WAY_FP16;
    case CUPOOL_CODEC_BF16: return CODEC_WAY_BF16;
    case CUPOOL_CODEC_INT8: return CODEC_WAY_INT8;
    case CUPOOL_CODEC_FP8: return CODEC_WAY_FP8;
    case CUPOOL_CODEC_K8V4: return part->values ? CODEC_WAY_QUAD : CODEC_WAY_INT8;
    case CUPOOL_CODEC_INT4:
        return !part->values ? CODEC_WAY_CHANNEL
                             : (part->first_layer ? CODEC_WAY_INT8 : CODEC_WAY_QUAD);
    case CUPOOL_CODEC_ROTATED4: return CODEC_WAY_ROTATED;
    /* Exponents are counted in signed numbers. */
    case CUPOOL_CODEC_LOSSLESS:
        return part_values(part) < INT32_MAX ? CODEC_WAY_LOSSLESS : CODEC_WAY_HOST;
    default: return CODEC_WAY_HOST;
    }
}

/* Returns the least bytes of a payload; where sizes are fixed, the size. */
static size_t way_least(enum codec_way way, const struct codec_part *part)
{
    switch (way) {
    case CODEC_WAY_CHANNEL: return channel_high_at(part);
    case CODEC_WAY_LOSSLESS: return lossless_layout(part_values(part), part->type).places;
    default: return ways[way].bytes(part);
    }
}

enum codec_way codec_way_of(int codec, const struct codec_part *part)
{
    enum codec_way way = way_by_codec(codec, part);

    /* Kernels write up to this minimum before they know the size, so it always fits. */
    if (way != CODEC_WAY_HOST && way_least(way, part) >= part_raw_bytes(part))
        return CODEC_WAY_RAW;
    return way;
}

size_t codec_way_bytes(enum codec_way way, const struct codec_part *part)
{
    return ways[way].bytes(part);
}

bool codec_way_is_fixed(enum codec_way way)
{
    return ways[way].fixed;
}

bool codec_way_takes(enum codec_way way, const struct codec_part *part, size_t bytes)
{
    if (ways[way].fixed)
        return bytes == ways[way].bytes(part);
    return bytes >= way_least(way, part) && bytes < part_raw_bytes(part);
}

static int stages_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                         CUstream stream, const struct stage *stages, const struct codec_part *part,
                         uint64_t tasks, uint64_t results, uint32_t count)
{
    struct codec_arguments arguments = {.tasks = tasks,
                                        .results = results,
                                        .tokens = part->tokens,
                                        .heads = part->heads,
                                        .dim = part->dim,
                                        .type = part->type,
                                        .layout = part->layout};

    for (size_t at = 0; at < STAGES_MAX && stages[at].kernel != 0; at++) {
        size_t each = stages[at].units(part);

        if (each > UINT32_MAX)
            return -EINVAL;
        if (each == 0)
            continue;
        arguments.units_each = (uint32_t)each;
        arguments.units = (uint64_t)each * count;
        CUfunction function = *(const CUfunction *)((const char *)kernels + stages[at].kernel);
        int error = kernel_launch(driver, function, stream, arguments.units, &arguments);
        if (error < 0)
            return error;
    }
    return 0;
}

int codec_encode_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count)
{
    return stages_launch(driver, kernels, stream, ways[way].encode, part, tasks, results, count);
}

int codec_decode_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count)
{
    return stages_launch(driver, kernels, stream, ways[way].decode, part, tasks, results, count);
}
