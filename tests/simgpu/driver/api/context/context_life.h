/* SPDX-License-Identifier: MIT */
/*
 * Making and ending contexts.
 */
#ifndef SIMGPU_DRIVER_API_CONTEXT_CONTEXT_LIFE_H
#define SIMGPU_DRIVER_API_CONTEXT_CONTEXT_LIFE_H

#include "tests/simgpu/driver/context/context.h"

CUresult context_create(struct device *device, unsigned flags, CUcontext *ret);
void context_destroy(CUcontext ctx);

/** Of a green context, as a CUcontext; it owns nothing. NULL when there is no memory. */
CUcontext context_alias(CUcontext parent, CUgreenCtx green);
void context_alias_end(CUcontext alias);

/** All work of a context, or of a green one's streams when it is an alias. */
CUresult context_record_event(CUcontext ctx, CUevent event);
CUresult context_wait_event(CUcontext ctx, CUevent event);

/** Counted; the first one makes it, and so does the first one after a reset. */
CUresult primary_retain(struct device *device, CUcontext *ret);
CUresult primary_release(struct device *device);
/** Ends this life of the primary context; the count stays. */
void primary_reset(struct device *device);

#endif
