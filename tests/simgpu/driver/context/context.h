/* SPDX-License-Identifier: MIT */
/*
 * Contexts: primary ones, counted per device, and created ones. A context owns its memory, streams,
 * events and modules; destroying or resetting it takes them along. The handle of a primary context
 * stays the same over resets, but between reset and the next retain it is not alive.
 *
 * An error of the device (illegal address) stays with the context: `sticky`.
 */
#ifndef SIMGPU_DRIVER_CONTEXT_CONTEXT_H
#define SIMGPU_DRIVER_CONTEXT_CONTEXT_H

#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/memory/memory.h"

struct CUctx_st {
    struct handle handle;
    LIST_ENTRY(CUctx_st) link;
    struct device *device;
    bool primary;
    unsigned attached; /* cuCtxCreate and cuCtxAttach, less cuCtxDetach */
    _Atomic bool alive;
    unsigned flags;
    unsigned api_version;
    uint64_t id; /* of this life */
    _Atomic CUresult sticky;
    struct arena arena;
    struct allocation_list allocations;
    LIST_HEAD(, CUstream_st) streams;
    LIST_HEAD(, CUmod_st) modules;
    CUstream legacy;   /* the legacy default stream */
    CUstream marker;   /* carries cuCtxRecordEvent; made on first use */
    unsigned captures; /* active or invalidated, on streams of this context */
    size_t limits[CU_LIMIT_MAX];
    CUfunc_cache cache_config;
    CUsharedconfig shared_config;
    uint32_t peers; /* bit per ordinal: cuCtxEnablePeerAccess */
    uint32_t allocated_count;
    CUcontext parent; /* of the alias of a green context: the primary one; else NULL */
    CUgreenCtx green; /* that it is an alias of */
};

/** The context that owns memory and streams: the primary one of a green context's alias. */
static inline CUcontext context_owner(CUcontext ctx)
{
    return ctx->parent ? ctx->parent : ctx;
}

/** The owner of memory that goes with the context. */
static inline struct memory_owner context_memory(CUcontext ctx)
{
    return (struct memory_owner){ctx, ctx->device, &ctx->allocations};
}

LIST_HEAD(context_list, CUctx_st);
extern struct context_list contexts; /* those alive */

/** The owner of the calling thread's context, if it can be used. */
CUresult context_current(CUcontext *ret);
/** Is this a context that can be used? */
CUresult context_check(CUcontext ctx);
/** The owner of a context that can be used; NULL stands for the current one. */
CUresult context_or_current(CUcontext given, CUcontext *ret);

/** Marks the context broken; later calls return `error`. No lock. */
void context_break(CUcontext ctx, CUresult error);

#endif
