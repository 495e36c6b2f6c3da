/* SPDX-License-Identifier: MIT */
/*
 * Making and ending contexts.
 */
#ifndef SIMGPU_CONTEXT_LIFE_H
#define SIMGPU_CONTEXT_LIFE_H

#include "tests/simgpu/driver/context.h"

CUresult context_create(struct device *device, unsigned flags, CUcontext *ret);
void context_destroy(CUcontext ctx);

/** Counted; the first one makes it, and so does the first one after a reset. */
CUresult primary_retain(struct device *device, CUcontext *ret);
CUresult primary_release(struct device *device);
/** Ends this life of the primary context; the count stays. */
void primary_reset(struct device *device);

#endif
