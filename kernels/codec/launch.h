/* SPDX-License-Identifier: MIT */
/*
 * The codecs on a device: which of them have kernels, and launches of these over many parts of
 * blocks.
 *
 * Each part of a block is done in a *way*. Parts of one way, shape and type make one launch, or a
 * few behind one another where a kernel needs what the one before it has found. The bytes are those
 * of the host (codec.h): a payload without header and checksums, which the host puts before it
 * (codec_seal()). What has no way stays with the host: rice, whose codes have no fixed
 * place, so a lane would have to walk through eight rows by itself; and pruning, where a block's
 * values are ranked as a whole.
 *
 * Launchers enqueue on a stream and wait for nothing. Tasks and results lie where the device can
 * reach them until the kernels are done. May be called while other streams capture.
 *
 * Threading: a set belongs to its caller, and is constant once it is loaded.
 */
#ifndef KERNELS_CODEC_LAUNCH_H
#define KERNELS_CODEC_LAUNCH_H

#include <stdbool.h>

#include "kernels/codec/tasks.h"
#include "kernels/device/kernel_set.h"

struct codec_kernels {
    CUmodule module; /* of the context that was current; ends with it */
#define KERNEL(field, name) CUfunction field;
#include "kernels/codec/kernels.def"
};

extern const unsigned char codec_image[];
extern const size_t codec_image_bytes;

enum codec_way {
    CODEC_WAY_HOST, /* no kernel */
    CODEC_WAY_RAW,  /* no kernel: bytes as they are */
    CODEC_WAY_FP16,
    CODEC_WAY_BF16,
    CODEC_WAY_INT8,
    CODEC_WAY_FP8,
    CODEC_WAY_QUAD,
    CODEC_WAY_CHANNEL,
    CODEC_WAY_ROTATED,
    CODEC_WAY_LOSSLESS,
    CODEC_WAYS
};

/** As kernel_set_load(), of the codecs' image. */
int codec_kernels_load(const struct driver_table *driver, struct codec_kernels *ret_kernels);
void codec_kernels_unload(const struct driver_table *driver, struct codec_kernels *kernels);

/** The way of a part by a codec. A part that it would not make smaller, as far as that is known
 * without looking at the values, is CODEC_WAY_RAW. */
enum codec_way codec_way_of(int codec, const struct codec_part *part);

/** Bytes of a payload at most. */
size_t codec_way_bytes(enum codec_way way, const struct codec_part *part);

/** Whether every payload has this size; else results say what it is, and one that is not smaller
 * than the part is of no use. */
bool codec_way_is_fixed(enum codec_way way);

/** Encodes `count` parts; `tasks` and `results` are addresses for the device. */
int codec_encode_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count);

/** Decodes them. The device must not reach behind a payload's end: `bytes` is what
 * codec_way_takes() asks for. */
int codec_decode_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count);

/** Whether a payload of so many bytes can be one, as far as the size says. */
bool codec_way_takes(enum codec_way way, const struct codec_part *part, size_t bytes);

#endif
