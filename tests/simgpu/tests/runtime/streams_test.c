/* SPDX-License-Identifier: MIT */
/*
 * Streams and events: ordered work runs in order, other work does not wait. A held stream makes
 * "still running" a fact instead of a matter of time. Built twice: also for per-thread default
 * streams, where the names become those of the twins.
 */
#include "tests/simgpu/tests/runtime/support.h"

enum { BYTES = 256 };

static int (*hold)(cudaStream_t);
static int (*release)(cudaStream_t);

static void test_order_within(void)
{
    unsigned char out[BYTES] = {0};
    cudaStream_t stream;
    void *pointer, *pinned;

    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMalloc(&pointer, BYTES));
    OK(cudaMallocHost(&pinned, BYTES));
    memset(pinned, 0, BYTES);
    hold(stream);
    OK(cudaMemsetAsync(pointer, 1, BYTES, stream));
    OK(cudaMemsetAsync(pointer, 2, BYTES, stream));
    OK(cudaMemcpyAsync(pinned, pointer, BYTES, cudaMemcpyDeviceToHost, stream));
    EXPECT(cudaErrorNotReady, cudaStreamQuery(stream));
    EQUAL(((unsigned char *)pinned)[0], 0);
    release(stream);
    OK(cudaStreamSynchronize(stream));
    OK(cudaStreamQuery(stream));
    memcpy(out, pinned, BYTES);
    EQUAL(out[0], 2);
    EQUAL(out[BYTES - 1], 2);
    OK(cudaFree(pointer));
    OK(cudaFreeHost(pinned));
    OK(cudaStreamDestroy(stream));
}

static void test_wait_event(void)
{
    cudaStream_t first, second;
    cudaEvent_t event;

    OK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    hold(first);
    OK(cudaEventRecord(event, first));
    OK(cudaStreamWaitEvent(second, event, 0));
    EXPECT(cudaErrorNotReady, cudaEventQuery(event));
    EXPECT(cudaErrorNotReady, cudaStreamQuery(second));
    release(first);
    OK(cudaStreamSynchronize(second));
    OK(cudaEventQuery(event));
    OK(cudaEventSynchronize(event));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(first));
    OK(cudaStreamDestroy(second));
}

static void test_elapsed(void)
{
    cudaEvent_t start, end, never;
    float ms = -1;

    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    OK(cudaEventCreate(&never));
    OK(cudaEventRecord(start, 0));
    OK(cudaEventRecord(end, 0));
    OK(cudaEventSynchronize(end));
    OK(cudaEventElapsedTime(&ms, start, end));
    CHECK(ms >= 0);
    EXPECT(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, start, never));
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
    OK(cudaEventDestroy(never));
}

static void count(void *calls)
{
    ++*(int *)calls;
}

static void count_status(cudaStream_t stream, cudaError_t status, void *calls)
{
    if (status == cudaSuccess)
        ++*(int *)calls;
}

static void test_host_functions(void)
{
    cudaStream_t stream;
    int calls = 0;

    OK(cudaStreamCreate(&stream));
    OK(cudaLaunchHostFunc(stream, count, &calls));
    OK(cudaStreamAddCallback(stream, count_status, &calls, 0));
    OK(cudaLaunchHostFunc(stream, count, &calls));
    OK(cudaStreamSynchronize(stream));
    EQUAL(calls, 3);
    OK(cudaStreamDestroy(stream));
}

/* The legacy default stream waits for blocking streams; the per-thread one does not. */
static void test_default_stream(void)
{
    cudaStream_t blocking;
    cudaEvent_t event;
    void *pointer;

    OK(cudaStreamCreate(&blocking));
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    OK(cudaMalloc(&pointer, BYTES));
    hold(blocking);
    OK(cudaMemsetAsync(pointer, 1, BYTES, blocking));
    OK(cudaEventRecord(event, 0));
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
    OK(cudaStreamSynchronize(0));
    OK(cudaEventQuery(event));
#else
    EXPECT(cudaErrorNotReady, cudaStreamQuery(0));
    EXPECT(cudaErrorNotReady, cudaEventQuery(event));
#endif
    release(blocking);
    OK(cudaDeviceSynchronize());
    OK(cudaEventQuery(event));
    OK(cudaFree(pointer));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(blocking));
}

static void test_properties(void)
{
    cudaStream_t stream;
    unsigned flags = 99;
    unsigned long long id = 0, other_id = 0;
    int least = 9, greatest = 9, priority = 9, device = -1;

    OK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    CHECK(greatest <= least);
    OK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest));
    OK(cudaStreamGetFlags(stream, &flags));
    EQUAL(flags, cudaStreamNonBlocking);
    OK(cudaStreamGetPriority(stream, &priority));
    EQUAL(priority, greatest);
    OK(cudaStreamGetDevice(stream, &device));
    EQUAL(device, 0);
    OK(cudaStreamGetId(stream, &id));
    OK(cudaStreamGetId(0, &other_id));
    CHECK(id != other_id);
    OK(cudaStreamDestroy(stream));
}

static void test_stream_ordered_memory(void)
{
    cudaStream_t stream;
    cudaMemPool_t pool;
    void *pointer = NULL;

    OK(cudaStreamCreate(&stream));
    OK(cudaMallocAsync(&pointer, BYTES, stream));
    CHECK(pointer);
    OK(cudaMemsetAsync(pointer, 3, BYTES, stream));
    OK(cudaFreeAsync(pointer, stream));
    OK(cudaDeviceGetDefaultMemPool(&pool, 0));
    OK(cudaMallocFromPoolAsync(&pointer, BYTES, pool, stream));
    OK(cudaFreeAsync(pointer, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemPoolTrimTo(pool, 0));
    OK(cudaStreamDestroy(stream));
}

static void *entry_point(unsigned long long flags)
{
    enum cudaDriverEntryPointQueryResult found;
    void *function = NULL;

    OK(cudaGetDriverEntryPointByVersion("cuMemcpyAsync", &function, 12000, flags, &found));
    EQUAL(found, cudaDriverEntryPointSuccess);
    return function;
}

/* The default depends on how the program was compiled. */
static void test_entry_points(void)
{
    void *legacy = entry_point(cudaEnableLegacyStream);
    void *per_thread = entry_point(cudaEnablePerThreadDefaultStream);

    CHECK(legacy != per_thread);
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
    CHECK(entry_point(cudaEnableDefault) == per_thread);
#else
    CHECK(entry_point(cudaEnableDefault) == legacy);
#endif
}

int main(void)
{
    OK(cudaFree(0));
    hold = check_control("simgpu_hold");
    release = check_control("simgpu_release");
    test_order_within();
    test_wait_event();
    test_elapsed();
    test_host_functions();
    test_default_stream();
    test_properties();
    test_stream_ordered_memory();
    test_entry_points();
    return check_done();
}
