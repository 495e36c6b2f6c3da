/* SPDX-License-Identifier: MIT */
/*
 * Entry points that take a stream and are about order. Compiled twice (api.h).
 */
#include "tests/simgpu/driver/base/api.h"

#include "tests/simgpu/driver/api/memory/external.h"
#include "tests/simgpu/driver/api/memory/prefetch.h"
#include "tests/simgpu/driver/api/work/stream_calls.h"

#define STREAM_LOG "stream=0x%llx", HEX(hStream)

CUresult CUDAAPI cuStreamSynchronize(CUstream hStream)
{
    CALL(cuStreamSynchronize, stream_synchronize(hStream, PER_THREAD), STREAM_LOG);
}

CUresult CUDAAPI cuStreamQuery(CUstream hStream)
{
    CALL(cuStreamQuery, stream_query(hStream, PER_THREAD), STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetPriority(CUstream hStream, int *priority)
{
    CALL(cuStreamGetPriority,
         stream_property(hStream, PER_THREAD, STREAM_PROPERTY_PRIORITY, priority), STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetFlags(CUstream hStream, unsigned int *flags)
{
    CALL(cuStreamGetFlags, stream_property(hStream, PER_THREAD, STREAM_PROPERTY_FLAGS, flags),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetId(CUstream hStream, unsigned long long *streamId)
{
    CALL(cuStreamGetId, stream_property(hStream, PER_THREAD, STREAM_PROPERTY_ID, streamId),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetDevice(CUstream hStream, CUdevice *device)
{
    CALL(cuStreamGetDevice, stream_property(hStream, PER_THREAD, STREAM_PROPERTY_DEVICE, device),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetCtx(CUstream hStream, CUcontext *pctx)
{
    CALL(cuStreamGetCtx, stream_context(hStream, PER_THREAD, pctx, NULL), STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetCtx_v2(CUstream hStream, CUcontext *pCtx, CUgreenCtx *pGreenCtx)
{
    CALL(cuStreamGetCtx_v2, stream_context(hStream, PER_THREAD, pCtx, pGreenCtx), STREAM_LOG);
}

CUresult CUDAAPI cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags)
{
    CALL(cuStreamWaitEvent, stream_wait_given(hStream, PER_THREAD, hEvent, Flags),
         "stream=0x%llx\tevent=0x%llx", HEX(hStream), HEX(hEvent));
}

CUresult CUDAAPI cuEventRecord(CUevent hEvent, CUstream hStream)
{
    CALL(cuEventRecord, stream_record(hEvent, hStream, PER_THREAD, 0),
         "event=0x%llx\tstream=0x%llx", HEX(hEvent), HEX(hStream));
}

CUresult CUDAAPI cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags)
{
    CALL(cuEventRecordWithFlags, stream_record(hEvent, hStream, PER_THREAD, flags),
         "event=0x%llx\tstream=0x%llx", HEX(hEvent), HEX(hStream));
}

CUresult CUDAAPI cuLaunchHostFunc(CUstream hStream, CUhostFn fn, void *userData)
{
    CALL(cuLaunchHostFunc, stream_host_call(hStream, PER_THREAD, fn, NULL, userData), STREAM_LOG);
}

CUresult CUDAAPI cuStreamAddCallback(CUstream hStream, CUstreamCallback callback, void *userData,
                                     unsigned int flags)
{
    CALL(cuStreamAddCallback, stream_host_call(hStream, PER_THREAD, NULL, callback, userData),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamWriteValue32(CUstream hStream, CUdeviceptr addr, cuuint32_t value,
                                      unsigned int flags)
{
    CALL(cuStreamWriteValue32, stream_value(hStream, PER_THREAD, addr, value, 4, flags, false),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamWriteValue64(CUstream hStream, CUdeviceptr addr, cuuint64_t value,
                                      unsigned int flags)
{
    CALL(cuStreamWriteValue64, stream_value(hStream, PER_THREAD, addr, value, 8, flags, false),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamWaitValue32(CUstream hStream, CUdeviceptr addr, cuuint32_t value,
                                     unsigned int flags)
{
    CALL(cuStreamWaitValue32, stream_value(hStream, PER_THREAD, addr, value, 4, flags, true),
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamWaitValue64(CUstream hStream, CUdeviceptr addr, cuuint64_t value,
                                     unsigned int flags)
{
    CALL(cuStreamWaitValue64, stream_value(hStream, PER_THREAD, addr, value, 8, flags, true),
         STREAM_LOG);
}

CUresult CUDAAPI cuMemPrefetchAsync(CUdeviceptr devPtr, size_t count, CUmemLocation location,
                                    unsigned int flags, CUstream hStream)
{
    CALL(cuMemPrefetchAsync, managed_prefetch(devPtr, count, hStream, PER_THREAD),
         "ptr=0x%llx\tbytes=%zu", devPtr, count);
}

CUresult CUDAAPI cuStreamAttachMemAsync(CUstream hStream, CUdeviceptr dptr, size_t length,
                                        unsigned int flags)
{
    CALL(cuStreamAttachMemAsync, managed_prefetch(dptr, length ? length : 1, hStream, PER_THREAD),
         "ptr=0x%llx", dptr);
}

CUresult CUDAAPI
cuSignalExternalSemaphoresAsync(const CUexternalSemaphore *extSemArray,
                                const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *paramsArray,
                                unsigned int numExtSems, CUstream stream)
{
    CALL(cuSignalExternalSemaphoresAsync,
         external_signal(extSemArray, paramsArray, numExtSems, stream, PER_THREAD), "stream=0x%llx",
         HEX(stream));
}

CUresult CUDAAPI cuWaitExternalSemaphoresAsync(
    const CUexternalSemaphore *extSemArray, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *paramsArray,
    unsigned int numExtSems, CUstream stream)
{
    CALL(cuWaitExternalSemaphoresAsync,
         external_wait(extSemArray, paramsArray, numExtSems, stream, PER_THREAD), "stream=0x%llx",
         HEX(stream));
}
