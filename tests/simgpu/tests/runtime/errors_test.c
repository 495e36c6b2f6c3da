/* SPDX-License-Identifier: MIT */
/*
 * The last error: set by failures only, per thread, cleared by reading it, untouched by answers
 * that are no errors; and names of codes.
 */
#include "tests/simgpu/tests/runtime/support.h"

#include <pthread.h>

static void test_set_and_cleared(void)
{
    void *pointer;

    EXPECT(cudaSuccess, cudaGetLastError());
    EXPECT(cudaErrorInvalidValue, cudaMalloc(NULL, 1));
    EXPECT(cudaErrorInvalidValue, cudaPeekAtLastError());
    EXPECT(cudaErrorInvalidValue, cudaPeekAtLastError());
    EXPECT(cudaErrorInvalidValue, cudaGetLastError());
    EXPECT(cudaSuccess, cudaGetLastError());

    EXPECT(cudaErrorInvalidDevice, cudaSetDevice(1000));
    OK(cudaMalloc(&pointer, 1));
    OK(cudaFree(pointer));
    EXPECT(cudaErrorInvalidDevice, cudaGetLastError()); /* a success does not clear it */
}

static void test_latest_wins(void)
{
    EXPECT(cudaErrorInvalidDevice, cudaSetDevice(-1));
    EXPECT(cudaErrorInvalidValue, cudaMalloc(NULL, 1));
    EXPECT(cudaErrorInvalidValue, cudaGetLastError());
}

static void test_out_of_memory(void)
{
    void *pointer = (void *)&check_failures;

    EXPECT(cudaErrorMemoryAllocation, cudaMalloc(&pointer, (size_t)1 << 60));
    CHECK(pointer == (void *)&check_failures);
    EXPECT(cudaErrorMemoryAllocation, cudaGetLastError());
}

static void *other_thread(void *unused)
{
    EXPECT(cudaSuccess, cudaPeekAtLastError());
    EXPECT(cudaErrorInvalidMemcpyDirection, cudaMemcpy(NULL, NULL, 1, (enum cudaMemcpyKind)99));
    EXPECT(cudaErrorInvalidMemcpyDirection, cudaPeekAtLastError());
    return NULL;
}

static void test_per_thread(void)
{
    pthread_t thread;

    EXPECT(cudaErrorInvalidValue, cudaMalloc(NULL, 1));
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    pthread_join(thread, NULL);
    EXPECT(cudaErrorInvalidValue, cudaGetLastError());
}

static void test_not_ready_is_no_error(void)
{
    int (*hold)(cudaStream_t) = check_control("simgpu_hold");
    int (*release)(cudaStream_t) = check_control("simgpu_release");
    cudaStream_t stream;
    cudaEvent_t event;

    OK(cudaStreamCreate(&stream));
    OK(cudaEventCreate(&event));
    hold(stream);
    OK(cudaEventRecord(event, stream));
    EXPECT(cudaErrorNotReady, cudaStreamQuery(stream));
    EXPECT(cudaErrorNotReady, cudaEventQuery(event));
    EXPECT(cudaSuccess, cudaPeekAtLastError());
    release(stream);
    OK(cudaStreamSynchronize(stream));
    OK(cudaEventQuery(event));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(stream));
}

static void test_names(void)
{
    CHECK(!strcmp(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation"));
    CHECK(!strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory"));
    CHECK(!strcmp(cudaGetErrorString(cudaSuccess), "no error"));
    CHECK(!strcmp(cudaGetErrorName((cudaError_t)12345), "unrecognized error code"));
}

int main(void)
{
    test_set_and_cleared();
    test_latest_wins();
    test_out_of_memory();
    test_per_thread();
    test_not_ready_is_no_error();
    test_names();
    return check_done();
}
