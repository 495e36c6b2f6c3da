/* SPDX-License-Identifier: MIT */
/*
 * Older versions of calls whose types have changed, and which programs built with older headers,
 * or asking cuGetProcAddress for an older version, still use. Plain name and per-thread twin are
 * both written here, because cuda.h has no macro for them any more.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/api/memory/prefetch.h"
#include "tests/simgpu/driver/api/work/stream_calls.h"
#include "tests/simgpu/driver/base/thread.h"
#include "tests/simgpu/driver/work/capture_calls.h"
#include "tests/simgpu/driver/work/copy.h"

static CUresult exchange_mode(CUstreamCaptureMode *mode)
{
    struct thread *self = thread_self();

    if (!mode || (unsigned)*mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    CUstreamCaptureMode before = self->capture_mode;
    self->capture_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    CALL_UNLOCKED(cuThreadExchangeStreamCaptureMode, exchange_mode(mode));
}

/* clang-format off */
#define CAPTURE_LEGACY(suffix, per_thread)                                                         \
    CUresult CUDAAPI cuStreamBeginCapture##suffix(CUstream hStream)                                \
    {                                                                                              \
        CALL(cuStreamBeginCapture##suffix,                                                         \
             capture_begin(hStream, per_thread, CU_STREAM_CAPTURE_MODE_GLOBAL, NULL, NULL, 0),     \
             "stream=0x%llx", HEX(hStream));                                                       \
    }                                                                                              \
    CUresult CUDAAPI cuStreamGetCaptureInfo##suffix(CUstream hStream,                              \
                                                    CUstreamCaptureStatus *captureStatus_out,      \
                                                    cuuint64_t *id_out)                            \
    {                                                                                              \
        struct capture_info info = {.status = captureStatus_out, .id = id_out};                    \
        CALL(cuStreamGetCaptureInfo##suffix, capture_info(hStream, per_thread, info));             \
    }                                                                                              \
    CUresult CUDAAPI cuStreamGetCaptureInfo_v2##suffix(                                            \
        CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out,            \
        CUgraph *graph_out, const CUgraphNode **dependencies_out, size_t *numDependencies_out)     \
    {                                                                                              \
        struct capture_info info = {captureStatus_out, id_out, graph_out, dependencies_out, NULL,  \
                                    numDependencies_out};                                          \
        CALL(cuStreamGetCaptureInfo_v2##suffix, capture_info(hStream, per_thread, info));          \
    }                                                                                              \
    CUresult CUDAAPI cuStreamUpdateCaptureDependencies##suffix(                                    \
        CUstream hStream, CUgraphNode *dependencies, size_t numDependencies, unsigned int flags)   \
    {                                                                                              \
        CALL(cuStreamUpdateCaptureDependencies##suffix,                                            \
             capture_update(hStream, per_thread, dependencies, numDependencies, flags));           \
    }

#define VALUE_LEGACY(suffix, per_thread, bits)                                                     \
    CUresult CUDAAPI cuStreamWriteValue##bits##suffix(CUstream hStream, CUdeviceptr addr,          \
                                                      cuuint##bits##_t value, unsigned int flags)  \
    {                                                                                              \
        CALL(cuStreamWriteValue##bits##suffix,                                                     \
             stream_value(hStream, per_thread, addr, value, bits / 8, flags, false));              \
    }                                                                                              \
    CUresult CUDAAPI cuStreamWaitValue##bits##suffix(CUstream hStream, CUdeviceptr addr,           \
                                                     cuuint##bits##_t value, unsigned int flags)   \
    {                                                                                              \
        CALL(cuStreamWaitValue##bits##suffix,                                                      \
             stream_value(hStream, per_thread, addr, value, bits / 8, flags, true));               \
    }

#define PREFETCH_LEGACY(suffix, per_thread)                                                        \
    CUresult CUDAAPI cuMemPrefetchAsync##suffix(CUdeviceptr devPtr, size_t count,                  \
                                                CUdevice dstDevice, CUstream hStream)              \
    {                                                                                              \
        CALL(cuMemPrefetchAsync##suffix, managed_prefetch(devPtr, count, hStream, per_thread),     \
             "ptr=0x%llx\tbytes=%zu", devPtr, count);                                              \
    }

/* The index of the failure is not known: SIZE_MAX says so in cuda.h's words. */
#define BATCH_LEGACY(suffix, per_thread)                                                           \
    CUresult CUDAAPI cuMemcpyBatchAsync##suffix(                                                   \
        CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,                         \
        CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs, size_t *failIdx,            \
        CUstream hStream)                                                                          \
    {                                                                                              \
        struct destination where = {hStream, per_thread, true};                                    \
        if (failIdx)                                                                               \
            *failIdx = SIZE_MAX;                                                                   \
        CALL(cuMemcpyBatchAsync##suffix, copy_batch(dsts, srcs, sizes, count, where), "count=%zu", \
             count);                                                                               \
    }

BATCH_LEGACY(, false)
BATCH_LEGACY(_ptsz, true)
CAPTURE_LEGACY(, false)
CAPTURE_LEGACY(_ptsz, true)
VALUE_LEGACY(, false, 32)
VALUE_LEGACY(, false, 64)
VALUE_LEGACY(_ptsz, true, 32)
VALUE_LEGACY(_ptsz, true, 64)
PREFETCH_LEGACY(, false)
PREFETCH_LEGACY(_ptsz, true)
/* clang-format on */
