/* SPDX-License-Identifier: MIT */
/*
 * Facts of stream capture: what each call returns while a stream captures, in each of the three
 * modes, and whether the capture survives it.
 *
 * A row is one call in one mode, made by the capturing thread or by another one. Each has a new
 * capture, which is ended and discarded. "relaxed by exchange" is the global mode with
 * the calling thread's own mode set to relaxed around the call.
 */
#include "tests/gpu/facts.h"

#include <string.h>

#include <thread>

/** Operands of the calls under test; new for each capture. */
struct probe {
    cudaStream_t capturing, other;
    cudaEvent_t before; /* recorded on `other` before the capture */
    CUcontext context;
    void *block, *async_block, *pinned;
    CUmemGenericAllocationHandle handle;
    void *result; /* of an allocation under test */
};

static CUmemAllocationProp probe_properties(void)
{
    CUmemAllocationProp properties;
    memset(&properties, 0, sizeof(properties));
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    return properties;
}

static int context_record(struct probe *probe)
{
    context_record_event_fn record = (context_record_event_fn)driver_find("cuCtxRecordEvent",
                                                                          12050);
    return record ? (int)record(probe->context, (CUevent)probe->before) : CUDA_ERROR_NOT_FOUND;
}

static int create_physical(struct probe *probe)
{
    CUmemAllocationProp properties = probe_properties();
    return (int)cuMemCreate(&probe->handle, 2 << 20, &properties, 0);
}

static int range_query(struct probe *probe)
{
    CUdeviceptr base;
    size_t bytes;
    return (int)cuMemGetAddressRange(&base, &bytes, (CUdeviceptr)probe->block);
}

static int memory_info(struct probe *)
{
    size_t free_bytes, total_bytes;
    return (int)cudaMemGetInfo(&free_bytes, &total_bytes);
}

static int attributes_query(struct probe *probe)
{
    struct cudaPointerAttributes attributes;
    return (int)cudaPointerGetAttributes(&attributes, probe->block);
}

static int free_block(struct probe *probe)
{
    int error = (int)cudaFree(probe->block);
    probe->block = error == 0 ? NULL : probe->block;
    return error;
}

static int driver_free_block(struct probe *probe)
{
    int error = (int)cuMemFree((CUdeviceptr)probe->block);
    probe->block = error == 0 ? NULL : probe->block;
    return error;
}

static int free_async_block(struct probe *probe)
{
    int error = (int)cudaFreeAsync(probe->async_block, probe->other);
    probe->async_block = error == 0 ? NULL : probe->async_block;
    return error;
}

static int stream_create(struct probe *)
{
    CUstream stream;
    int error = (int)cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
    return error ? error : (int)cuStreamDestroy(stream);
}

static int event_create(struct probe *)
{
    CUevent event;
    int error = (int)cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);
    return error ? error : (int)cuEventDestroy(event);
}

static int range_reserve(struct probe *)
{
    CUdeviceptr range;
    int error = (int)cuMemAddressReserve(&range, 2 << 20, 0, 0, 0);
    return error ? error : (int)cuMemAddressFree(range, 2 << 20);
}

/** The calls in question. A lambda's error is a cudaError_t or a CUresult, as its name says. */
static const struct question {
    const char *name;
    int (*call)(struct probe *probe);
} questions[] = {
    {"nothing", [](struct probe *) { return 0; }},
    {"cudaMalloc", [](struct probe *p) { return (int)cudaMalloc(&p->result, 1 << 20); }},
    {"cuMemAlloc",
     [](struct probe *p) { return (int)cuMemAlloc((CUdeviceptr *)&p->result, 1 << 20); }},
    {"cudaFree", free_block},
    {"cuMemFree", driver_free_block},
    {"cudaFree(NULL)", [](struct probe *) { return (int)cudaFree(NULL); }},
    {"cudaMallocAsync on another stream",
     [](struct probe *p) { return (int)cudaMallocAsync(&p->result, 1 << 20, p->other); }},
    {"cudaFreeAsync on another stream", free_async_block},
    {"cudaMallocAsync on the stream",
     [](struct probe *p) {
         void *node;
         return (int)cudaMallocAsync(&node, 1 << 20, p->capturing);
     }},
    {"cudaMallocHost", [](struct probe *p) { return (int)cudaMallocHost(&p->pinned, 4096); }},
    {"cuMemGetInfo", memory_info},
    {"cuMemGetAddressRange", range_query},
    {"cudaPointerGetAttributes", attributes_query},
    {"cuMemCreate", create_physical},
    {"cuMemAddressReserve and Free", range_reserve},
    {"cuStreamCreate and Destroy", stream_create},
    {"cuEventCreate and Destroy", event_create},
    {"cuCtxRecordEvent", context_record},
    {"cuEventRecord on another stream",
     [](struct probe *p) { return (int)cuEventRecord((CUevent)p->before, (CUstream)p->other); }},
    {"cuEventRecord on the legacy stream",
     [](struct probe *p) { return (int)cuEventRecord((CUevent)p->before, CU_STREAM_LEGACY); }},
    {"cuEventQuery", [](struct probe *p) { return (int)cuEventQuery((CUevent)p->before); }},
    {"cuEventSynchronize",
     [](struct probe *p) { return (int)cuEventSynchronize((CUevent)p->before); }},
    {"cuStreamQuery of another stream",
     [](struct probe *p) { return (int)cuStreamQuery((CUstream)p->other); }},
    {"cuStreamQuery of the stream",
     [](struct probe *p) { return (int)cuStreamQuery((CUstream)p->capturing); }},
    {"cuStreamSynchronize of another stream",
     [](struct probe *p) { return (int)cuStreamSynchronize((CUstream)p->other); }},
    {"cuCtxSynchronize", [](struct probe *) { return (int)cuCtxSynchronize(); }},
    {"cudaDeviceSynchronize", [](struct probe *) { return (int)cudaDeviceSynchronize(); }},
    {"cudaMemset", [](struct probe *p) { return (int)cudaMemset(p->block, 1, 16); }},
    {"cuMemsetD8Async on another stream",
     [](struct probe *p) {
         return (int)cuMemsetD8Async((CUdeviceptr)p->block, 1, 16, (CUstream)p->other);
     }},
    {"cuMemsetD8Async on the legacy stream",
     [](struct probe *p) {
         return (int)cuMemsetD8Async((CUdeviceptr)p->block, 1, 16, CU_STREAM_LEGACY);
     }},
};

static const struct capture_kind {
    const char *name;
    cudaStreamCaptureMode mode;
    bool other_thread, exchange;
} kinds[] = {
    {"global", cudaStreamCaptureModeGlobal, false, false},
    {"thread local", cudaStreamCaptureModeThreadLocal, false, false},
    {"relaxed", cudaStreamCaptureModeRelaxed, false, false},
    {"global, relaxed by exchange", cudaStreamCaptureModeGlobal, false, true},
    {"global, other thread", cudaStreamCaptureModeGlobal, true, false},
    {"thread local, other thread", cudaStreamCaptureModeThreadLocal, true, false},
    {"global, other thread, relaxed by exchange", cudaStreamCaptureModeGlobal, true, true},
};

static void probe_init(struct probe *probe)
{
    memset(probe, 0, sizeof(*probe));
    FACT_EXPECT(cuCtxGetCurrent(&probe->context));
    FACT_EXPECT(cudaStreamCreateWithFlags(&probe->capturing, cudaStreamNonBlocking));
    FACT_EXPECT(cudaStreamCreateWithFlags(&probe->other, cudaStreamNonBlocking));
    FACT_EXPECT(cudaEventCreateWithFlags(&probe->before, cudaEventDisableTiming));
    FACT_EXPECT(cudaMalloc(&probe->block, 1 << 20));
    FACT_EXPECT(cudaMallocAsync(&probe->async_block, 1 << 20, probe->other));
    FACT_EXPECT(cudaEventRecord(probe->before, probe->other));
    FACT_EXPECT(cudaDeviceSynchronize());
}

/** The allocations and frees of the call under test are known here; other results are ignored. */
static void probe_done(struct probe *probe)
{
    (void)cudaDeviceSynchronize();
    if (probe->result)
        (void)cudaFree(probe->result);
    if (probe->block)
        (void)cudaFree(probe->block);
    if (probe->async_block)
        (void)cudaFreeAsync(probe->async_block, probe->other);
    if (probe->pinned)
        (void)cudaFreeHost(probe->pinned);
    if (probe->handle != 0)
        (void)cuMemRelease(probe->handle);
    (void)cudaEventDestroy(probe->before);
    (void)cudaStreamDestroy(probe->capturing);
    (void)cudaStreamDestroy(probe->other);
    (void)cudaGetLastError();
}

static int question_ask(const struct question *question, const struct capture_kind *kind,
                        struct probe *probe)
{
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    if (kind->exchange)
        FACT_EXPECT(cudaThreadExchangeStreamCaptureMode(&mode));
    int code = question->call(probe);
    if (kind->exchange)
        FACT_EXPECT(cudaThreadExchangeStreamCaptureMode(&mode));
    return code;
}

static void write_answer(const struct question *question, const struct capture_kind *kind)
{
    struct probe probe;
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaGraph_t graph = NULL;
    int code = 0;
    probe_init(&probe);
    FACT_EXPECT(cudaStreamBeginCapture(probe.capturing, kind->mode));
    if (kind->other_thread) {
        std::thread other([&] {
            FACT_EXPECT(cuCtxSetCurrent(probe.context));
            code = question_ask(question, kind, &probe);
        });
        other.join();
    } else {
        code = question_ask(question, kind, &probe);
    }
    (void)cudaStreamIsCapturing(probe.capturing, &status);
    cudaError_t end = cudaStreamEndCapture(probe.capturing, &graph);

    json_open(NULL, '{');
    json_text("call", question->name);
    json_text("mode", kind->name);
    json_number("code", code);
    json_text("capture", status == cudaStreamCaptureStatusActive        ? "active"
                         : status == cudaStreamCaptureStatusInvalidated ? "invalidated"
                                                                        : "none");
    json_error("end", end);
    json_close('}');
    if (graph)
        (void)cudaGraphDestroy(graph);
    probe_done(&probe);
}

void facts_capture(void)
{
    json_open("capture", '[');
    for (const struct question &question : questions)
        for (const struct capture_kind &kind : kinds)
            write_answer(&question, &kind);
    json_close(']');
}
