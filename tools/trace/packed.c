/* SPDX-License-Identifier: MIT */
/*
 * Caches the last unpacked frames, as many as threads may have open blocks at one moment; the
 * least recently used goes first.
 */
#include "tools/trace/packed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZSTD_FRAME_MAGIC UINT32_C(0xfd2fb528)

bool packed_is(const struct trace_source *file)
{
    uint32_t magic;

    return trace_source_read(file, &magic, sizeof magic, 0) == (int64_t)sizeof magic &&
           magic == ZSTD_FRAME_MAGIC;
}

#ifdef HAVE_ZSTD
#include <zstd.h>

#define SKIPPABLE_MAGIC   UINT32_C(0x184d2a5e)
#define TABLE_MAGIC       UINT32_C(0x8f92eab1)
#define SKIPPABLE_BYTES   8
#define FOOTER_BYTES      9
#define ROW_BYTES         8
#define CHECKSUM_ROW_FLAG 0x80
#define MOST_FOLD         1000
#define ANY_FOLD_BYTES    (UINT64_C(16) << 20) /* so much is fine from any size */
#define FRAMES_MOST       (UINT32_C(1) << 24)
#define CACHED_FRAMES     128
#define LEVEL             3

struct frame {
    uint64_t offset; /* in the packed file */
    uint64_t begin;  /* of its bytes in the whole */
    uint32_t packed_bytes, bytes;
};

struct cached {
    uint64_t used; /* when, in reads; 0: never */
    uint32_t frame;
    unsigned char *data;
};

struct packed {
    struct trace_source file;
    struct frame *frame;
    uint32_t frames;
    uint64_t reads;
    struct cached cached[CACHED_FRAMES];
    unsigned char *input;
    ZSTD_DCtx *context;
};

static uint32_t number_read(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void number_write(unsigned char *bytes, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(number >> 8 * i);
}

static int frame_unpack(struct packed *packed, const struct frame *frame, unsigned char *to)
{
    size_t got;

    if (trace_source_read(&packed->file, packed->input, frame->packed_bytes, frame->offset) !=
        (int64_t)frame->packed_bytes)
        return -EIO;
    got = ZSTD_decompressDCtx(packed->context, to, PACKED_FRAME_BYTES, packed->input,
                              frame->packed_bytes);
    return ZSTD_isError(got) || got != frame->bytes ? -EBADMSG : 0;
}

/** The unpacked bytes of a frame. */
static int frame_get(struct packed *packed, uint32_t number, const unsigned char **ret_data)
{
    struct cached *oldest = &packed->cached[0];
    int error;

    packed->reads++;
    for (size_t i = 0; i < CACHED_FRAMES; i++) {
        struct cached *cached = &packed->cached[i];

        if (cached->used && cached->frame == number) {
            cached->used = packed->reads;
            *ret_data = cached->data;
            return 0;
        }
        if (cached->used < oldest->used)
            oldest = cached;
    }
    if (!oldest->data)
        oldest->data = malloc(PACKED_FRAME_BYTES);
    if (!oldest->data)
        return -ENOMEM;
    oldest->used = 0;
    error = frame_unpack(packed, &packed->frame[number], oldest->data);
    if (error < 0)
        return error;
    oldest->frame = number;
    oldest->used = packed->reads;
    *ret_data = oldest->data;
    return 0;
}

/** The frame that holds an offset of the whole, which is within it. */
static uint32_t frame_at(const struct packed *packed, uint64_t offset)
{
    uint32_t low = 0, high = packed->frames;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (packed->frame[middle].begin <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static uint64_t whole_bytes(const struct packed *packed)
{
    const struct frame *last = packed->frames ? &packed->frame[packed->frames - 1] : NULL;

    return last ? last->begin + last->bytes : 0;
}

static int64_t packed_read(void *context, void *buffer, size_t bytes, uint64_t offset)
{
    struct packed *packed = context;
    size_t done = 0;

    while (done < bytes && offset + done < whole_bytes(packed)) {
        uint32_t number = frame_at(packed, offset + done);
        const struct frame *frame = &packed->frame[number];
        uint64_t within = offset + done - frame->begin;
        size_t part = (size_t)(frame->bytes - within);
        const unsigned char *data;
        int error = frame_get(packed, number, &data);

        if (error < 0)
            return error;
        part = part < bytes - done ? part : bytes - done;
        memcpy((char *)buffer + done, data + within, part);
        done += part;
    }
    return (int64_t)done;
}

static void packed_done(struct packed *packed)
{
    for (size_t i = 0; i < CACHED_FRAMES; i++)
        free(packed->cached[i].data);
    ZSTD_freeDCtx(packed->context);
    free(packed->input);
    free(packed->frame);
    free(packed);
}

static void packed_close(void *context)
{
    struct packed *packed = context;

    packed->file.close(packed->file.context);
    packed_done(packed);
}

static int damaged(uint64_t offset, const char *what, char *ret_why, size_t why_bytes)
{
    snprintf(ret_why, why_bytes, "damaged packed trace: %s at byte %llu", what,
             (unsigned long long)offset);
    return -EBADMSG;
}

/** Reads the table's footer and its bounds. */
static int footer_read(struct packed *packed, size_t *ret_row_bytes, uint64_t *ret_table,
                       char *ret_why, size_t why_bytes)
{
    uint64_t file_bytes = packed->file.bytes, table_bytes;
    unsigned char footer[FOOTER_BYTES], skippable[SKIPPABLE_BYTES];
    uint64_t at = file_bytes - FOOTER_BYTES;

    if (file_bytes < SKIPPABLE_BYTES + FOOTER_BYTES ||
        trace_source_read(&packed->file, footer, sizeof footer, at) != FOOTER_BYTES ||
        number_read(footer + 5) != TABLE_MAGIC)
        return damaged(file_bytes, "no table of frames: the file is truncated", ret_why, why_bytes);
    packed->frames = number_read(footer);
    *ret_row_bytes = ROW_BYTES + (footer[4] & CHECKSUM_ROW_FLAG ? 4 : 0);
    table_bytes = (uint64_t)packed->frames * *ret_row_bytes;
    if (packed->frames > FRAMES_MOST || table_bytes > file_bytes - SKIPPABLE_BYTES - FOOTER_BYTES)
        return damaged(at, "number of frames", ret_why, why_bytes);
    *ret_table = at - table_bytes;
    at = *ret_table - SKIPPABLE_BYTES;
    if (trace_source_read(&packed->file, skippable, sizeof skippable, at) != SKIPPABLE_BYTES ||
        number_read(skippable) != SKIPPABLE_MAGIC ||
        number_read(skippable + 4) != table_bytes + FOOTER_BYTES)
        return damaged(at, "table of frames", ret_why, why_bytes);
    return 0;
}

static int rows_read(struct packed *packed, size_t row_bytes, uint64_t table, char *ret_why,
                     size_t why_bytes)
{
    uint64_t offset = 0, begin = 0, data_bytes = table - SKIPPABLE_BYTES;
    unsigned char row[ROW_BYTES];

    packed->frame = calloc((size_t)packed->frames + 1, sizeof *packed->frame);
    if (!packed->frame) {
        snprintf(ret_why, why_bytes, "out of memory");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < packed->frames; i++) {
        uint64_t at = table + (uint64_t)i * row_bytes;
        struct frame *frame = &packed->frame[i];

        if (trace_source_read(&packed->file, row, sizeof row, at) != ROW_BYTES)
            return damaged(at, "table of frames", ret_why, why_bytes);
        *frame = (struct frame){offset, begin, number_read(row), number_read(row + 4)};
        if (!frame->bytes || frame->bytes > PACKED_FRAME_BYTES ||
            frame->packed_bytes > ZSTD_compressBound(PACKED_FRAME_BYTES) ||
            frame->packed_bytes > data_bytes - offset)
            return damaged(at, "size of a frame", ret_why, why_bytes);
        offset += frame->packed_bytes;
        begin += frame->bytes;
    }
    if (offset != data_bytes)
        return damaged(offset, "bytes outside all frames", ret_why, why_bytes);
    if (begin > ANY_FOLD_BYTES && begin / MOST_FOLD > packed->file.bytes) {
        snprintf(ret_why, why_bytes,
                 "packed trace claims %llu bytes, over a thousandfold of its size, at byte %llu",
                 (unsigned long long)begin, (unsigned long long)table);
        return -EBADMSG;
    }
    return 0;
}

int packed_open(const struct trace_source *file, struct trace_source *ret_source, char *ret_why,
                size_t why_bytes)
{
    struct packed *packed = calloc(1, sizeof *packed);
    uint64_t table = 0;
    size_t row_bytes = 0;
    int error = -ENOMEM;

    snprintf(ret_why, why_bytes, "out of memory");
    if (!packed)
        return error;
    packed->file = *file;
    packed->input = malloc(ZSTD_compressBound(PACKED_FRAME_BYTES));
    packed->context = ZSTD_createDCtx();
    if (packed->input && packed->context)
        error = footer_read(packed, &row_bytes, &table, ret_why, why_bytes);
    if (error == 0)
        error = rows_read(packed, row_bytes, table, ret_why, why_bytes);
    if (error < 0) {
        packed_done(packed);
        return error;
    }
    *ret_source = (struct trace_source){.read = packed_read,
                                        .close = packed_close,
                                        .context = packed,
                                        .bytes = whole_bytes(packed)};
    return 0;
}

struct packer {
    packed_put_fn *put;
    void *context;
    ZSTD_CCtx *compressor;
    unsigned char *output;
    unsigned char *row; /* of the table, as it is written */
    uint32_t rows, room;
};

int packer_create(packed_put_fn *put, void *context, struct packer **ret_packer)
{
    struct packer *packer = calloc(1, sizeof *packer);

    if (!packer)
        return -ENOMEM;
    packer->put = put;
    packer->context = context;
    packer->compressor = ZSTD_createCCtx();
    packer->output = malloc(ZSTD_compressBound(PACKED_FRAME_BYTES));
    if (!packer->compressor || !packer->output) {
        packer_destroy(packer);
        return -ENOMEM;
    }
    ZSTD_CCtx_setParameter(packer->compressor, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(packer->compressor, ZSTD_c_checksumFlag, 1);
    *ret_packer = packer;
    return 0;
}

static int row_add(struct packer *packer, size_t packed_bytes, size_t bytes)
{
    if (packer->rows == packer->room) {
        uint32_t room = packer->room ? packer->room * 2 : 1024;
        unsigned char *grown = room > FRAMES_MOST ? NULL
                                                  : realloc(packer->row, (size_t)room * ROW_BYTES);

        if (!grown)
            return room > FRAMES_MOST ? -EFBIG : -ENOMEM;
        packer->row = grown;
        packer->room = room;
    }
    number_write(packer->row + (size_t)packer->rows * ROW_BYTES, (uint32_t)packed_bytes);
    number_write(packer->row + (size_t)packer->rows * ROW_BYTES + 4, (uint32_t)bytes);
    packer->rows++;
    return 0;
}

int packer_add(struct packer *packer, const void *data, size_t bytes)
{
    size_t packed_bytes = ZSTD_compress2(packer->compressor, packer->output,
                                         ZSTD_compressBound(PACKED_FRAME_BYTES), data, bytes);
    int error = ZSTD_isError(packed_bytes) ? -ENOMEM : row_add(packer, packed_bytes, bytes);

    return error < 0 ? error : packer->put(packer->context, packer->output, packed_bytes);
}

int packer_finish(struct packer *packer)
{
    size_t table_bytes = (size_t)packer->rows * ROW_BYTES;
    unsigned char skippable[SKIPPABLE_BYTES], footer[FOOTER_BYTES] = {0};
    int error;

    number_write(skippable, SKIPPABLE_MAGIC);
    number_write(skippable + 4, (uint32_t)(table_bytes + FOOTER_BYTES));
    number_write(footer, packer->rows);
    number_write(footer + 5, TABLE_MAGIC);
    error = packer->put(packer->context, skippable, sizeof skippable);
    if (error == 0 && table_bytes)
        error = packer->put(packer->context, packer->row, table_bytes);
    return error < 0 ? error : packer->put(packer->context, footer, sizeof footer);
}

void packer_destroy(struct packer *packer)
{
    if (!packer)
        return;
    ZSTD_freeCCtx(packer->compressor);
    free(packer->output);
    free(packer->row);
    free(packer);
}
#else
int packed_open(const struct trace_source *file, struct trace_source *ret_source, char *ret_why,
                size_t why_bytes)
{
    snprintf(ret_why, why_bytes, "packed trace, but cupool was built without libzstd");
    return -ENOTSUP;
}

int packer_create(packed_put_fn *put, void *context, struct packer **ret_packer)
{
    return -ENOTSUP;
}

int packer_add(struct packer *packer, const void *data, size_t bytes)
{
    return -ENOTSUP;
}

int packer_finish(struct packer *packer)
{
    return -ENOTSUP;
}

void packer_destroy(struct packer *packer)
{
}
#endif
