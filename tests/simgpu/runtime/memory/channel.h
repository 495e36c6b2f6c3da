/* SPDX-License-Identifier: MIT */
/*
 * Channel descriptions and the driver's formats (array.c).
 */
#ifndef SIMGPU_RUNTIME_CHANNEL_H
#define SIMGPU_RUNTIME_CHANNEL_H

#include "tests/simgpu/runtime/base/runtime.h"

/** Writes Format and NumChannels. */
cudaError_t channel_to_driver(const struct cudaChannelFormatDesc *desc,
                              CUDA_ARRAY3D_DESCRIPTOR *shape);
struct cudaChannelFormatDesc channel_from_driver(const CUDA_ARRAY3D_DESCRIPTOR *shape);

#endif
