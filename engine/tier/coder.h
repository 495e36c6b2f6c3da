/* SPDX-License-Identifier: MIT */
/*
 * Encodes and decodes blocks on their GPU, so that only encoded bytes cross the link. Needs a codec
 * with kernels (kernels/codec/launch.h). Where there are none, or a launch fails, blocks are staged
 * and the host does the work.
 *
 * Threading: the kernels are constant once loaded; a coder belongs to its bench.
 */
#ifndef ENGINE_TIER_CODER_H
#define ENGINE_TIER_CODER_H

#include <stdbool.h>

#include "kernels/codec/launch.h"
#include "kernels/copy/copy.h"

struct bench;
struct cupool_tiers;
struct cupool_tier_item;
struct job;

/** Of all benches. */
struct coder_kernels {
    struct kernel_set copy;
    struct codec_kernels codec;
    bool encoded, exact; /* kernels exist for the tiers' codec, for exact blocks */
};

/** One part of a layer of a block. */
struct coder_piece;

/** Room of one bench. */
struct coder {
    uint64_t images;  /* on the device: entries [batch][maximum] */
    uint64_t slots;   /* payloads of any size, until their sizes are known; 0: none are */
    uint64_t scratch; /* of lossless parts; 0: there are none */
    uint64_t results; /* struct codec_result of each piece */
    size_t slot_bytes, scratch_bytes;
    uint8_t *pinned; /* what follows */
    struct codec_result *result;
    struct codec_task *tasks;
    struct copy_fragment *fragments;
    struct coder_piece *pieces; /* heap */
};

/** Loads kernels where the device and the codecs have some. Having none is no error. */
int coder_kernels_make(struct cupool_tiers *tiers);
void coder_kernels_end(struct cupool_tiers *tiers);

int coder_make(struct cupool_tiers *tiers, struct coder *coder);
void coder_end(struct cupool_tiers *tiers, struct coder *coder);

/** Encodes what it can of a batch into the bench's entries. Sets job->on_device, bytes,
 * saturated. */
void coder_store(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                 uint32_t count);

/**
 * Decodes what it can of the entries in the bench into their blocks, the items of the jobs in
 * `slots`, and waits for it. Sets job->on_device. The host handles the other entries.
 */
void coder_load(struct cupool_tiers *tiers, const struct bench *bench, struct job *const *jobs,
                const struct cupool_tier_item *items, const uint32_t *slots, uint32_t count);

#endif
