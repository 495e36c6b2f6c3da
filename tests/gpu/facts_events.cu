/* SPDX-License-Identifier: MIT */
/*
 * Facts of events and asynchronous work: coverage of cuCtxRecordEvent, cost of record, query and
 * synchronise, cost of submitting cuMemsetD8Async.
 *
 * Coverage is tried with work on each kind of stream: an event that is "complete" while the kernel
 * still runs did not cover it.
 */
#include "tests/gpu/facts.h"

#define REPEATS 101

static void write_record_cost(const char *name, CUcontext context, CUevent event,
                              context_record_event_fn record)
{
    std::vector<uint64_t> records, queries, waits;
    for (int i = 0; i < REPEATS; i++) {
        uint64_t start = clock_ns();
        if (record)
            FACT_EXPECT(record(context, event));
        else
            FACT_EXPECT(cuEventRecord(event, CU_STREAM_LEGACY));
        records.push_back(clock_ns() - start);
        FACT_EXPECT(cuEventSynchronize(event));
        start = clock_ns();
        FACT_EXPECT(cuEventQuery(event));
        queries.push_back(clock_ns() - start);
        start = clock_ns();
        FACT_EXPECT(cuEventSynchronize(event));
        waits.push_back(clock_ns() - start);
    }
    json_open(name, '{');
    json_number("record_ns", (long long)median(&records));
    json_number("query_complete_ns", (long long)median(&queries));
    json_number("synchronize_complete_ns", (long long)median(&waits));
    json_close('}');
}

/** Whether an event recorded now waits for a kernel on the stream. */
static void write_coverage(const char *name, cudaStream_t stream, CUcontext context, CUevent event,
                           context_record_event_fn record)
{
    cudaEvent_t kernel_done = NULL;
    FACT_EXPECT(cudaEventCreateWithFlags(&kernel_done, cudaEventDisableTiming));
    FACT_EXPECT(cudaDeviceSynchronize());
    busy_start(stream);
    FACT_EXPECT(cudaEventRecord(kernel_done, stream));
    json_open(name, '{');
    json_result("record", record ? record(context, event) : cuEventRecord(event, CU_STREAM_LEGACY));
    json_result("query_at_once", cuEventQuery(event));
    json_result("synchronize", cuEventSynchronize(event));
    json_flag("kernel_done_after_synchronize", cudaEventQuery(kernel_done) == cudaSuccess);
    json_close('}');
    FACT_EXPECT(cudaDeviceSynchronize());
    FACT_EXPECT(cudaEventDestroy(kernel_done));
}

static void write_kind(const char *name, CUcontext context, CUevent event,
                       context_record_event_fn record)
{
    cudaStream_t blocking = NULL, free_running = NULL;
    FACT_EXPECT(cudaStreamCreate(&blocking));
    FACT_EXPECT(cudaStreamCreateWithFlags(&free_running, cudaStreamNonBlocking));
    json_open(name, '{');
    write_record_cost("cost", context, event, record);
    write_coverage("legacy_default_stream", cudaStreamLegacy, context, event, record);
    write_coverage("per_thread_default_stream", cudaStreamPerThread, context, event, record);
    write_coverage("blocking_stream", blocking, context, event, record);
    write_coverage("non_blocking_stream", free_running, context, event, record);
    json_close('}');
    FACT_EXPECT(cudaStreamDestroy(blocking));
    FACT_EXPECT(cudaStreamDestroy(free_running));
}

static void write_memset(void)
{
    std::vector<uint64_t> submissions;
    CUdeviceptr block = 0;
    unsigned char last = 0;
    size_t bytes = 1 << 20;
    FACT_EXPECT(cuMemAlloc(&block, bytes));
    for (int i = 0; i < REPEATS; i++) {
        uint64_t start = clock_ns();
        FACT_EXPECT(cuMemsetD8Async(block, (unsigned char)i, bytes, CU_STREAM_PER_THREAD));
        submissions.push_back(clock_ns() - start);
        FACT_EXPECT(cuCtxSynchronize());
    }
    FACT_EXPECT(cuMemcpyDtoH(&last, block + bytes - 1, 1));
    FACT_EXPECT(cuMemFree(block));
    json_open("memset_d8_async", '{');
    json_number("submit_ns", (long long)median(&submissions));
    json_flag("correct", last == REPEATS - 1);
    json_close('}');
}

void facts_events(void)
{
    CUcontext context = NULL;
    CUevent event = NULL;
    context_record_event_fn record = (context_record_event_fn)driver_find("cuCtxRecordEvent",
                                                                          12050);
    FACT_EXPECT(cuCtxGetCurrent(&context));
    FACT_EXPECT(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    json_open("events", '{');
    if (record)
        write_kind("context", context, event, record);
    else
        json_null("context");
    write_kind("legacy_stream", context, event, NULL);
    write_memset();
    json_close('}');
    FACT_EXPECT(cuEventDestroy(event));
}
