/* SPDX-License-Identifier: MIT */
/*
 * A GPU as the backend of the allocator in pool/, for programs without the preload.
 */
#ifndef ENGINE_POOL_DEVICE_H
#define ENGINE_POOL_DEVICE_H

#include "engine/device.h"
#include "pool/backend.h"

struct pool_backend device_pool_backend(struct cupool_device *device);

#endif
