/* SPDX-License-Identifier: MIT */
/*
 * The CUDA headers with every exported name declared, including versioned names and
 * per-thread-stream twins, which the headers' macros usually hide. Names missing from an older
 * toolkit are declared here, so that one source hooks the functions of every release.
 *
 * A file that includes this must write exported names in full: cuMemAlloc_v2, not cuMemAlloc.
 */
#ifndef SHIM_RESOLVE_CUDA_ABI_H
#define SHIM_RESOLVE_CUDA_ABI_H

/* Deprecated functions are hooked as long as programs call them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* What these headers declare and we define is what we export; everything else is hidden. */
#pragma GCC visibility push(default)

#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <cuda_runtime_api.h>

#if CUDA_VERSION < 12050
CUresult cuCtxRecordEvent(CUcontext hCtx, CUevent hEvent);
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **funcPtr,
                                             unsigned int cudaVersion, unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *driverStatus);
cudaError_t cudaGetDriverEntryPointByVersion_ptsz(
    const char *symbol, void **funcPtr, unsigned int cudaVersion, unsigned long long flags,
    enum cudaDriverEntryPointQueryResult *driverStatus);
#endif
#if CUDA_VERSION < 13000
CUresult cuCtxSynchronize_v2(CUcontext ctx);
#endif

#pragma GCC visibility pop

#endif
