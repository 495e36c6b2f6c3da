/* SPDX-License-Identifier: MIT */
/*
 * An encoded block seen from outside: its header, and the position of each part's payload. For
 * encoders other than cupool_codec_encode().
 */
#ifndef KERNELS_CODEC_BLOCK_H
#define KERNELS_CODEC_BLOCK_H

#include <stdbool.h>

#include "kernels/codec/part.h"

/** One part of a block, keys [0] or values [1]. */
struct codec_span {
    bool here, stored; /* stored: as it was */
    size_t raw;        /* offset in the raw block */
    size_t encoded;    /* offset in the encoded block, behind its header */
    size_t bytes;      /* of the payload */
};

/** Extracts the part of a configuration that cupool_codec_query() takes. */
struct codec_part codec_part_of(const struct cupool_codec_config *config, bool values);

/** Whether a block has the part, and its position in the raw block. */
bool codec_has_part(const struct cupool_codec_config *config, bool values);
size_t codec_raw_offset(const struct cupool_codec_config *config, bool values);

/** Bytes of a payload including its zero padding. */
size_t codec_padded(size_t bytes);

/**
 * Turns payloads of `bytes` each into an encoded block: adds padding, header and checksums. The
 * values' payload lies codec_padded() of the keys' behind them. Returns the block's bytes.
 */
size_t codec_seal(const struct cupool_codec_config *config, void *encoded,
                  const struct codec_span spans[2], uint64_t saturated);

/** Verifies a block of this configuration (keep_permille may differ) up to its payloads, and
 * finds them. -EBADMSG, -EINVAL with the reason. */
int codec_open(const struct cupool_codec_config *config, const void *encoded, size_t bytes,
               struct codec_span ret_spans[2], struct cupool_codec_header *ret_header,
               enum cupool_codec_fault *ret_fault);

#endif
