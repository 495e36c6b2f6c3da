/* SPDX-License-Identifier: MIT */
/*
 * Encodes and decodes batches by kernels. A batch is split into pieces, one for each part of a
 * layer. Pieces of the same way share one launch.
 *
 * Payloads of known size are written directly to their places in an image of the entry. Others are
 * written to slots; once their sizes have arrived, one copy kernel moves them together. The image
 * is copied to the bench, and the host writes headers and checksums. When decoding, the host
 * verifies the whole entry before the image is copied to the device.
 */
#include "engine/tier/coder.h"

#include <errno.h>
#include <string.h>

#include "engine/tier/tiers.h"
#include "kernels/codec/block.h"

struct coder_piece {
    uint32_t slot, layer; /* of the batch; of the block */
    bool values, stored;
    enum codec_way way;
    size_t place, bytes; /* in the image */
    uint32_t task;       /* place among the tasks */
};

struct batch {
    struct cupool_tiers *tiers;
    const struct bench *bench;
    const struct coder *coder;
    uint32_t pieces, fragments;
    struct codec_part part; /* keys of a later layer: the shape */
    uint32_t first[CODEC_WAYS], count[CODEC_WAYS];
};

/* ---- kernels and room ---- */

static struct cupool_codec_config config_of(const struct cupool_tiers *tiers, int codec,
                                            uint32_t layer)
{
    struct cupool_codec_config config = tiers->shape.codec;

    config.codec = (enum cupool_codec)codec;
    config.first_layer = layer == 0;
    return config;
}

static enum codec_way way_of(const struct cupool_tiers *tiers, int codec, uint32_t layer,
                             bool values)
{
    struct cupool_codec_config config = config_of(tiers, codec, layer);
    struct codec_part part = codec_part_of(&config, values);

    return codec_way_of(codec, &part);
}

/* Whether kernels can do every part of a block. */
static bool codec_has_kernels(const struct cupool_tiers *tiers, int codec)
{
    bool all = codec != CUPOOL_TIER_PLAIN && tiers->shape.has_codec;

    for (uint32_t layer = 0; layer < 2 && all; layer++)
        for (int values = 0; values < 2; values++)
            all &= way_of(tiers, codec, layer, values) != CODEC_WAY_HOST;
    return all;
}

static bool job_codec_has_kernels(const struct cupool_tiers *tiers, const struct job *job)
{
    return job->exact ? tiers->coding.exact : tiers->coding.encoded;
}

static int job_codec(const struct cupool_tiers *tiers, const struct job *job)
{
    return job->exact ? tiers->exact_codec : tiers->config.codec;
}

int coder_kernels_make(struct cupool_tiers *tiers)
{
    struct coder_kernels *coding = &tiers->coding;
    const struct driver_table *driver = tiers->device->driver;
    bool encoded = codec_has_kernels(tiers, tiers->config.codec);
    bool exact = codec_has_kernels(tiers, tiers->exact_codec);
    CUstreamCaptureMode mode;
    int error;

    if (!driver || (!encoded && !exact))
        return 0;
    error = device_enter_relaxed(tiers->device, &mode);
    if (error < 0)
        return error;
    error = kernel_set_load(driver, &coding->copy);
    if (error == 0)
        error = codec_kernels_load(driver, &coding->codec);
    device_leave_relaxed(tiers->device, mode);
    coding->encoded = error == 0 && encoded;
    coding->exact = error == 0 && exact;
    /* Without code for this device, or without room for it, blocks are staged. */
    return error == -ENOTSUP || error == -ENOMEM ? 0 : error;
}

void coder_kernels_end(struct cupool_tiers *tiers)
{
    struct coder_kernels *coding = &tiers->coding;
    CUstreamCaptureMode mode;

    if ((!coding->copy.module && !coding->codec.module) ||
        device_enter_relaxed(tiers->device, &mode) < 0)
        return;
    codec_kernels_unload(tiers->device->driver, &coding->codec);
    kernel_set_unload(tiers->device->driver, &coding->copy);
    device_leave_relaxed(tiers->device, mode);
}

/* The largest payload of a codec with unknown sizes, where all parts of the blocks go to slots;
 * and the unit of the lossless kernels. */
static void slot_widen(const struct cupool_tiers *tiers, int codec, struct coder *coder)
{
    size_t most = 0;
    bool known = true;

    for (uint32_t layer = 0; layer < 2; layer++)
        for (int values = 0; values < 2; values++) {
            struct cupool_codec_config config = config_of(tiers, codec, layer);
            struct codec_part part = codec_part_of(&config, values);
            enum codec_way way = codec_way_of(codec, &part);
            size_t bytes = (codec_way_bytes(way, &part) + 63) / 64 * 64;

            most = bytes > most ? bytes : most;
            known &= codec_way_is_fixed(way);
            if (way == CODEC_WAY_LOSSLESS)
                coder->scratch_bytes = (codec_scratch_bytes(&part) + 63) / 64 * 64;
        }
    if (!known && most > coder->slot_bytes)
        coder->slot_bytes = most;
}

static uint32_t pieces_most(const struct cupool_tiers *tiers)
{
    return tiers->config.batch * tiers->shape.layers * 2;
}

static int memory_take(struct cupool_tiers *tiers, struct coder *coder)
{
    const struct coder_kernels *coding = &tiers->coding;
    uint32_t most = pieces_most(tiers);
    void *pinned = NULL;
    int error;

    if (coding->encoded)
        slot_widen(tiers, tiers->config.codec, coder);
    if (coding->exact)
        slot_widen(tiers, tiers->exact_codec, coder);
    error = device_memory_allocate(tiers->device, tiers->config.batch * tiers->maximum,
                                   &coder->images);
    if (error == 0 && coder->slot_bytes > 0)
        error = device_memory_allocate(tiers->device, most * coder->slot_bytes, &coder->slots);
    if (error == 0 && coder->scratch_bytes > 0)
        error = device_memory_allocate(tiers->device, most * coder->scratch_bytes, &coder->scratch);
    if (error == 0)
        error = device_memory_allocate(tiers->device, most * sizeof(struct codec_result),
                                       &coder->results);
    if (error == 0)
        error = cupool_device_host_allocate(
            tiers->device,
            most * (sizeof(*coder->tasks) + sizeof(*coder->fragments) + sizeof(*coder->result)),
            &pinned);
    if (error < 0)
        return error;
    coder->pinned = pinned;
    coder->tasks = pinned;
    coder->fragments = (struct copy_fragment *)(coder->tasks + most);
    coder->result = (struct codec_result *)(coder->fragments + most);
    coder->pieces = kv_heap_allocate(&tiers->heap, most, sizeof(*coder->pieces));
    return coder->pieces ? 0 : -ENOMEM;
}

int coder_make(struct cupool_tiers *tiers, struct coder *coder)
{
    int error;

    if (!tiers->coding.encoded && !tiers->coding.exact)
        return 0;
    error = memory_take(tiers, coder);
    if (error < 0)
        coder_end(tiers, coder);
    /* The device is full: this bench stages. */
    return error == -ENOMEM ? 0 : error;
}

void coder_end(struct cupool_tiers *tiers, struct coder *coder)
{
    uint32_t most = pieces_most(tiers);

    if (coder->images)
        device_memory_free(tiers->device, coder->images, tiers->config.batch * tiers->maximum);
    if (coder->slots)
        device_memory_free(tiers->device, coder->slots, most * coder->slot_bytes);
    if (coder->scratch)
        device_memory_free(tiers->device, coder->scratch, most * coder->scratch_bytes);
    if (coder->results)
        device_memory_free(tiers->device, coder->results, most * sizeof(struct codec_result));
    cupool_device_host_free(tiers->device, coder->pinned);
    *coder = (struct coder){0};
}

/* ---- batches ---- */

static struct batch batch_of(struct cupool_tiers *tiers, const struct bench *bench)
{
    struct cupool_codec_config config = config_of(tiers, CUPOOL_CODEC_RAW, 1);

    return (struct batch){.tiers = tiers,
                          .bench = bench,
                          .coder = &bench->coder,
                          .part = codec_part_of(&config, false)};
}

static uint64_t image_of(const struct batch *batch, uint32_t slot)
{
    return batch->coder->images + slot * batch->tiers->maximum;
}

static uint8_t *entry_of(const struct batch *batch, uint32_t slot)
{
    return batch->bench->entries + slot * batch->tiers->maximum;
}

static uint64_t raw_of(const struct batch *batch, const struct coder_piece *piece,
                       cupool_kv_handle handle)
{
    const struct cupool_kv *pool = batch->tiers->pool;
    size_t part = part_raw_bytes(&batch->part);

    return pool->memory_address + cupool_kv_id(handle) * pool->geometry.block_stride +
           piece->layer * pool->geometry.layer_stride + (piece->values ? part : 0);
}

static void fragment_add(struct batch *batch, uint64_t from, uint64_t to, size_t bytes)
{
    batch->coder->fragments[batch->fragments++] = (struct copy_fragment){
        .from = from, .to = to, .bytes = bytes};
}

static uint64_t slot_of(const struct batch *batch, const struct coder_piece *piece)
{
    return batch->coder->slots +
           (uint64_t)(piece - batch->coder->pieces) * batch->coder->slot_bytes;
}

/* Places the tasks of one way one after another. `loose`: payloads go to slots, not into images. */
static void tasks_make(struct batch *batch, struct job *const *jobs, const bool *loose)
{
    uint32_t made = 0;

    for (int way = CODEC_WAY_RAW + 1; way < CODEC_WAYS; way++) {
        batch->first[way] = made;
        for (uint32_t at = 0; at < batch->pieces; at++) {
            struct coder_piece *piece = &batch->coder->pieces[at];

            if (piece->way != (enum codec_way)way || piece->stored)
                continue;
            piece->task = made;
            batch->coder->tasks[made++] = (struct codec_task){
                .raw = raw_of(batch, piece, jobs[piece->slot]->handle),
                .encoded = loose && loose[piece->slot]
                               ? slot_of(batch, piece)
                               : image_of(batch, piece->slot) + piece->place,
                .bytes = piece->bytes,
                .scratch = batch->coder->scratch + at * batch->coder->scratch_bytes,
                .first_layer = piece->layer == 0,
            };
        }
        batch->count[way] = made - batch->first[way];
    }
}

typedef int (*launcher)(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count);

/* Enqueues all tasks, and the copy of their results to the host. */
static int tasks_launch(const struct batch *batch, launcher launch)
{
    const struct coder *coder = batch->coder;
    const struct driver_table *driver = batch->tiers->device->driver;
    CUstream stream = (CUstream)batch->bench->stream;
    size_t bytes = batch->pieces * sizeof(struct codec_result);
    int error = driver_error(driver->fill_async(coder->results, 0, bytes, stream));

    if (error == 0 && coder->scratch)
        error = driver_error(
            driver->fill_async(coder->scratch, 0, batch->pieces * coder->scratch_bytes, stream));
    for (int way = CODEC_WAY_RAW + 1; way < CODEC_WAYS && error == 0; way++)
        if (batch->count[way] > 0)
            error = launch(driver, &batch->tiers->coding.codec, stream, (enum codec_way)way,
                           &batch->part, (uintptr_t)(coder->tasks + batch->first[way]),
                           coder->results + batch->first[way] * sizeof(struct codec_result),
                           batch->count[way]);
    if (error == 0)
        error = driver_error(
            driver->copy_async((uintptr_t)coder->result, coder->results, bytes, stream));
    return error;
}

static int fragments_launch(const struct batch *batch)
{
    if (batch->fragments == 0)
        return 0;
    uint64_t tiles = copy_layout(batch->coder->fragments, batch->fragments);
    return copy_launch(batch->tiers->device->driver, &batch->tiers->coding.copy,
                       (CUstream)batch->bench->stream, (uintptr_t)batch->coder->fragments,
                       batch->fragments, tiles);
}

static int batch_wait(const struct batch *batch)
{
    return driver_error(batch->tiers->device->driver->stream_wait((CUstream)batch->bench->stream));
}

static void link_count(struct cupool_tiers *tiers, uint64_t *figure, uint64_t *blocks_figure,
                       uint64_t bytes, uint32_t blocks)
{
    pthread_mutex_lock(&tiers->lock);
    *figure += bytes;
    *blocks_figure += blocks;
    pthread_mutex_unlock(&tiers->lock);
}

/* ---- encode ---- */

/* Makes the pieces of a block. Returns whether all their sizes are known. */
static bool pieces_encode(struct batch *batch, uint32_t slot, int codec)
{
    size_t place = sizeof(struct entry_header);
    bool known = true;

    for (uint32_t layer = 0; layer < batch->tiers->shape.layers; layer++) {
        place += sizeof(struct cupool_codec_header);
        for (int values = 0; values < 2; values++) {
            struct codec_part part = batch->part;
            struct coder_piece *piece = &batch->coder->pieces[batch->pieces++];
            enum codec_way way = way_of(batch->tiers, codec, layer, values);
            size_t bytes = codec_way_bytes(way, &part);

            *piece = (struct coder_piece){.slot = slot,
                                          .layer = layer,
                                          .values = values,
                                          .way = way,
                                          .stored = way == CODEC_WAY_RAW,
                                          .place = place,
                                          .bytes = bytes};
            known &= codec_way_is_fixed(way);
            place += codec_padded(bytes);
        }
    }
    return known;
}

/* Sets sizes and places, which are known now, and lists the copies that assemble the entry. */
static void pieces_place(struct batch *batch, struct job *const *jobs, const bool *loose)
{
    size_t place = 0, whole = part_raw_bytes(&batch->part);

    for (uint32_t at = 0; at < batch->pieces; at++) {
        struct coder_piece *piece = &batch->coder->pieces[at];
        bool first = at == 0 || batch->coder->pieces[at - 1].slot != piece->slot;

        if (!piece->stored && !codec_way_is_fixed(piece->way)) {
            piece->bytes = (size_t)batch->coder->result[piece->task].bytes;
            piece->stored = piece->bytes >= whole;
            piece->bytes = piece->stored ? whole : piece->bytes;
        }
        place = first ? sizeof(struct entry_header) : place;
        place += piece->values ? 0 : sizeof(struct cupool_codec_header);
        piece->place = place;
        place += codec_padded(piece->bytes);
        uint64_t to = image_of(batch, piece->slot) + piece->place;
        if (piece->stored)
            fragment_add(batch, raw_of(batch, piece, jobs[piece->slot]->handle), to, piece->bytes);
        else if (loose[piece->slot])
            fragment_add(batch, slot_of(batch, piece), to, piece->bytes);
    }
}

/* Copies the images of entries to the bench; returns the bytes. */
static int images_fetch(const struct batch *batch, uint64_t *ret_bytes)
{
    const size_t from = sizeof(struct entry_header);
    int error = 0;

    *ret_bytes = 0;
    for (uint32_t at = 0; at < batch->pieces && error == 0; at++) {
        const struct coder_piece *piece = &batch->coder->pieces[at];

        if (at + 1 < batch->pieces && batch->coder->pieces[at + 1].slot == piece->slot)
            continue;
        size_t end = piece->place + codec_padded(piece->bytes);
        error = driver_error(batch->tiers->device->driver->copy_async(
            (uintptr_t)entry_of(batch, piece->slot) + from, image_of(batch, piece->slot) + from,
            end - from, (CUstream)batch->bench->stream));
        *ret_bytes += end - from;
    }
    return error;
}

/* Headers and checksums of the entries. */
static void entries_seal(const struct batch *batch, struct job **jobs)
{
    uint64_t saturated = 0;

    for (uint32_t at = 0; at + 1 < batch->pieces; at += 2) {
        const struct coder_piece *keys = &batch->coder->pieces[at], *values = keys + 1;
        const struct codec_result *result = batch->coder->result;
        struct job *job = jobs[keys->slot];
        struct cupool_codec_config config = config_of(batch->tiers, job_codec(batch->tiers, job),
                                                      keys->layer);
        bool all_stored = config.codec == CUPOOL_CODEC_RAW;
        struct codec_span spans[2] = {
            {.here = true, .stored = keys->stored && !all_stored, .bytes = keys->bytes},
            {.here = true, .stored = values->stored && !all_stored, .bytes = values->bytes}};
        uint64_t moved = (keys->stored ? 0 : result[keys->task].saturated) +
                         (values->stored ? 0 : result[values->task].saturated);
        uint8_t *entry = entry_of(batch, keys->slot);

        saturated = keys->layer == 0 ? moved : saturated + moved;
        codec_seal(&config, entry + keys->place - sizeof(struct cupool_codec_header), spans, moved);
        if (keys->layer + 1 < batch->tiers->shape.layers)
            continue;
        job->saturated = saturated;
        job->bytes = entry_seal(
            &batch->tiers->shape, (int)config.codec, &job->key, entry,
            values->place + codec_padded(values->bytes) - sizeof(struct entry_header), saturated);
    }
}

/* In the device's context. */
static int batch_encode(struct batch *batch, struct job **jobs, const bool *loose, bool known,
                        uint64_t *ret_bytes)
{
    int error, waited;

    tasks_make(batch, jobs, loose);
    error = tasks_launch(batch, codec_encode_launch);
    if (error == 0 && !known)
        error = batch_wait(batch);
    if (error == 0) {
        pieces_place(batch, jobs, loose);
        error = fragments_launch(batch);
    }
    if (error == 0)
        error = images_fetch(batch, ret_bytes);
    /* Waits even after an error: nothing may use the bench afterwards. */
    waited = batch_wait(batch);
    return error < 0 ? error : waited;
}

void coder_store(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                 uint32_t count)
{
    struct batch batch = batch_of(tiers, bench);
    bool loose[TIERS_BATCH_MAX] = {false}, known = true;
    uint32_t blocks = 0;
    uint64_t bytes = 0;
    CUstreamCaptureMode mode;
    int error = 0;

    for (uint32_t slot = 0; slot < count; slot++)
        jobs[slot]->on_device = false;
    for (uint32_t slot = 0; slot < count && error == 0 && bench->coder.pieces; slot++) {
        if (jobs[slot]->result < 0 || jobs[slot]->skip || !job_codec_has_kernels(tiers, jobs[slot]))
            continue;
        error = cupool_kv_stream_order(tiers->pool, &jobs[slot]->handle, 1, bench->stream);
        loose[slot] = !pieces_encode(&batch, slot, job_codec(tiers, jobs[slot]));
        known &= !loose[slot];
        jobs[slot]->on_device = true;
        blocks++;
    }
    if (blocks == 0)
        return;
    if (error == 0)
        error = device_enter_relaxed(tiers->device, &mode);
    if (error == 0) {
        error = batch_encode(&batch, jobs, loose, known, &bytes);
        device_leave_relaxed(tiers->device, mode);
    }
    for (uint32_t slot = 0; slot < count && error < 0; slot++)
        jobs[slot]->on_device = false; /* for the host */
    if (error < 0)
        return;
    entries_seal(&batch, jobs);
    link_count(tiers, &tiers->counts.from_device_bytes, &tiers->counts.device_encoded, bytes,
               blocks);
}

/* ---- decode ---- */

/* Makes the pieces of a verified entry. False: none were added; the host decodes this entry. */
static bool pieces_decode(struct batch *batch, uint32_t slot, const struct job *job, size_t bytes)
{
    const struct entry_shape *shape = &batch->tiers->shape;
    uint32_t before = batch->pieces;
    enum cupool_tier_fault fault;
    struct entry_header header;
    size_t at = sizeof(header), used = 0;
    const uint8_t *entry = entry_of(batch, slot);

    if (entry_verify(shape, &job->key, entry, bytes, &fault) < 0)
        return false;
    memcpy(&header, entry, sizeof(header));
    if (header.codec == ENTRY_PLAIN)
        return false;
    for (uint32_t layer = 0; layer < shape->layers; layer++, at += used) {
        struct codec_span spans[2];

        if (entry_layer_open(shape, header.codec, layer, entry + at, bytes - at, spans, &used) < 0)
            break;
        for (int values = 0; values < 2; values++) {
            /* The host decodes a part that is encoded where the kernel's way stores raw. */
            bool stored = spans[values].stored || header.codec == CUPOOL_CODEC_RAW;
            enum codec_way way = way_of(batch->tiers, (int)header.codec, layer, values);

            way = stored ? CODEC_WAY_RAW : way == CODEC_WAY_RAW ? CODEC_WAY_HOST : way;
            if (way == CODEC_WAY_HOST || !codec_way_takes(way, &batch->part, spans[values].bytes)) {
                batch->pieces = before;
                return false;
            }
            batch->coder->pieces[batch->pieces++] = (struct coder_piece){
                .slot = slot,
                .layer = layer,
                .values = values,
                .way = way,
                .stored = way == CODEC_WAY_RAW,
                .place = at + spans[values].encoded,
                .bytes = spans[values].bytes};
        }
    }
    if (batch->pieces - before == shape->layers * 2 && at == bytes)
        return true;
    batch->pieces = before;
    return false;
}

/* In the device's context. */
static int batch_decode(struct batch *batch, struct job *const *jobs, const size_t *bytes,
                        uint32_t count)
{
    int error = 0, waited;

    for (uint32_t slot = 0; slot < count && error == 0; slot++)
        if (bytes[slot] > 0)
            error = driver_error(batch->tiers->device->driver->copy_async(
                image_of(batch, slot), (uintptr_t)entry_of(batch, slot), bytes[slot],
                (CUstream)batch->bench->stream));
    tasks_make(batch, jobs, NULL);
    for (uint32_t at = 0; at < batch->pieces; at++) {
        const struct coder_piece *piece = &batch->coder->pieces[at];

        if (piece->stored)
            fragment_add(batch, image_of(batch, piece->slot) + piece->place,
                         raw_of(batch, piece, jobs[piece->slot]->handle), piece->bytes);
    }
    if (error == 0)
        error = fragments_launch(batch);
    if (error == 0)
        error = tasks_launch(batch, codec_decode_launch);
    waited = batch_wait(batch);
    return error < 0 ? error : waited;
}

void coder_load(struct cupool_tiers *tiers, const struct bench *bench, struct job *const *jobs,
                const struct cupool_tier_item *items, const uint32_t *slots, uint32_t count)
{
    struct batch batch = batch_of(tiers, bench);
    size_t bytes[TIERS_BATCH_MAX] = {0};
    uint64_t crossed = 0;
    uint32_t blocks = 0, end = 0;
    CUstreamCaptureMode mode;

    for (uint32_t item = 0; item < count; item++) {
        uint32_t slot = slots[item];

        if (!bench->coder.pieces || items[item].error < 0 || items[item].bytes > tiers->maximum ||
            !pieces_decode(&batch, slot, jobs[slot], items[item].bytes))
            continue;
        bytes[slot] = items[item].bytes;
        crossed += bytes[slot];
        end = slot + 1 > end ? slot + 1 : end;
        blocks++;
    }
    if (blocks == 0 || device_enter_relaxed(tiers->device, &mode) < 0)
        return;
    int error = batch_decode(&batch, jobs, bytes, end);
    device_leave_relaxed(tiers->device, mode);
    if (error < 0)
        return;
    for (uint32_t slot = 0; slot < end; slot++)
        jobs[slot]->on_device |= bytes[slot] > 0;
    for (uint32_t at = 0; at < batch.pieces; at++) {
        const struct coder_piece *piece = &batch.coder->pieces[at];

        if (piece->stored || !batch.coder->result[piece->task].refused)
            continue;
        blocks -= jobs[piece->slot]->on_device;
        jobs[piece->slot]->on_device = false; /* the host says why */
    }
    link_count(tiers, &tiers->counts.to_device_bytes, &tiers->counts.device_decoded, crossed,
               blocks);
}
