/* SPDX-License-Identifier: MIT */
/*
 * The codecs on a device: which of them have kernels, and their launches over many parts of blocks.
 *
 * Each part of a block is processed in a *way*. Parts of one way, shape and type share one launch,
 * or a few in sequence where a kernel needs the result of the one before. The bytes are the same as
 * the host's (codec.h): a payload without header and checksums, which the host adds (codec_seal()).
 * Two methods have no way and stay on the host: rice, where codes have no fixed position, so a lane
 * would have to walk through eight rows alone; and pruning, which ranks all values of a block
 * together.
 *
 * Launchers enqueue on a stream and do not wait. Tasks and results must stay accessible to the
 * device until the kernels are done. They may be called while other streams capture.
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

/** Returns the way of a part by a codec. A part known to be incompressible without looking at
 * the values is CODEC_WAY_RAW. */
enum codec_way codec_way_of(int codec, const struct codec_part *part);

/** Bytes of a payload at most. */
size_t codec_way_bytes(enum codec_way way, const struct codec_part *part);

/** Whether every payload has this size. Otherwise results give the size, and a payload that is
 * not smaller than the part is useless. */
bool codec_way_is_fixed(enum codec_way way);

/** Encodes `count` parts; `tasks` and `results` are addresses for the device. */
int codec_encode_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count);

/** Decodes parts. The device must not read past a payload's end: check `bytes` by
 * codec_way_takes(). */
int codec_decode_launch(const struct driver_table *driver, const struct codec_kernels *kernels,
                        CUstream stream, enum codec_way way, const struct codec_part *part,
                        uint64_t tasks, uint64_t results, uint32_t count);

/** Whether a payload can have this many bytes. */
bool codec_way_takes(enum codec_way way, const struct codec_part *part, size_t bytes);

#endif
