/* SPDX-License-Identifier: MIT */
/*
 * Devices, contexts and threads, on two devices: which one a thread uses, who follows whom when
 * both APIs are mixed, copies and access between devices, and effects of a reset on other threads.
 */
#include "tests/simgpu/tests/runtime/support.h"

#include <cuda.h>
#include <pthread.h>

enum { BYTES = 4096 };

static CUresult (*context_create)(CUcontext *, CUctxCreateParams *, unsigned, CUdevice);
static CUresult (*context_destroy)(CUcontext);
static CUresult (*context_current)(CUcontext *);

static void *driver_function(const char *name)
{
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult found;

    OK(cudaGetDriverEntryPointByVersion(name, &function, 13000, cudaEnableDefault, &found));
    CHECK(function);
    return function;
}

static int device_now(void)
{
    int device = -1;

    OK(cudaGetDevice(&device));
    return device;
}

static int device_of(void *pointer)
{
    struct cudaPointerAttributes attributes = {.device = -1};

    OK(cudaPointerGetAttributes(&attributes, pointer));
    return attributes.device;
}

static void *start_of_thread(void *unused)
{
    void *pointer;

    EQUAL(device_now(), 0);
    OK(cudaMalloc(&pointer, BYTES));
    EQUAL(device_of(pointer), 0);
    OK(cudaFree(pointer));
    return NULL;
}

static void in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, body, argument) == 0);
    pthread_join(thread, NULL);
}

static void test_device_per_thread(void)
{
    void *pointer;
    int count = 0;

    OK(cudaGetDeviceCount(&count));
    EQUAL(count, 2);
    EQUAL(device_now(), 0);
    OK(cudaSetDevice(1));
    EQUAL(device_now(), 1);
    OK(cudaMalloc(&pointer, BYTES));
    EQUAL(device_of(pointer), 1);
    in_thread(start_of_thread, NULL);
    OK(cudaSetDevice(0));
    OK(cudaFree(pointer)); /* of the other device */
    EXPECT(cudaErrorInvalidDevice, cudaSetDevice(2));
    EQUAL(device_now(), 0);
}

/* cudaSetDevice makes the primary context current; a context made current otherwise is used. */
static void test_both_apis(void)
{
    CUcontext primary = NULL, own = NULL, now = NULL;
    void *pointer;

    OK(cudaSetDevice(0));
    EQUAL(context_current(&primary), CUDA_SUCCESS);
    CHECK(primary);
    EQUAL(context_create(&own, NULL, 0, 1), CUDA_SUCCESS);
    EQUAL(device_now(), 1);
    OK(cudaMalloc(&pointer, BYTES));
    EQUAL(device_of(pointer), 1);
    EQUAL(context_current(&now), CUDA_SUCCESS);
    CHECK(now == own);
    OK(cudaSetDevice(0));
    EQUAL(context_current(&now), CUDA_SUCCESS);
    CHECK(now == primary);
    EQUAL(context_destroy(own), CUDA_SUCCESS);
    EXPECT(cudaErrorInvalidValue, cudaFree(pointer));
}

static void test_peers(void)
{
    unsigned char byte = 0;
    int can = 0;
    void *here, *there;

    OK(cudaSetDevice(1));
    OK(cudaMalloc(&there, BYTES));
    OK(cudaMemset(there, 0x21, BYTES));
    OK(cudaDeviceSynchronize());
    OK(cudaSetDevice(0));
    OK(cudaMalloc(&here, BYTES));
    OK(cudaMemcpyPeer(here, 0, there, 1, BYTES));
    OK(cudaMemcpy(&byte, here, 1, cudaMemcpyDeviceToHost));
    EQUAL(byte, 0x21);

    OK(cudaDeviceCanAccessPeer(&can, 0, 1));
    if (can) {
        OK(cudaDeviceEnablePeerAccess(1, 0));
        EXPECT(cudaErrorPeerAccessAlreadyEnabled, cudaDeviceEnablePeerAccess(1, 0));
        OK(cudaDeviceDisablePeerAccess(1));
        EXPECT(cudaErrorPeerAccessNotEnabled, cudaDeviceDisablePeerAccess(1));
    }
    EXPECT(cudaErrorInvalidDevice, cudaDeviceEnablePeerAccess(5, 0));
    OK(cudaFree(here));
    OK(cudaFree(there));
}

/* Two halves of a thread's life, with a reset by another thread between them. */
static pthread_barrier_t barrier;

static void *outlive_reset(void *unused)
{
    void *before, *after;

    OK(cudaMalloc(&before, BYTES));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    EXPECT(cudaErrorInvalidValue, cudaFree(before));
    OK(cudaMalloc(&after, BYTES));
    OK(cudaMemset(after, 1, BYTES));
    OK(cudaFree(after));
    return NULL;
}

static void test_reset(void)
{
    pthread_t thread;

    OK(cudaSetDevice(0));
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, outlive_reset, NULL) == 0);
    pthread_barrier_wait(&barrier);
    OK(cudaDeviceReset());
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
    EQUAL(device_now(), 0);
}

static void test_init_device(void)
{
    unsigned flags = 0;

    OK(cudaInitDevice(1, 0, 0));
    EQUAL(device_now(), 0);
    OK(cudaSetDevice(1));
    OK(cudaGetDeviceFlags(&flags));
    EXPECT(cudaErrorInvalidDevice, cudaInitDevice(7, 0, 0));
}

int main(void)
{
    context_create = driver_function("cuCtxCreate");
    context_destroy = driver_function("cuCtxDestroy");
    context_current = driver_function("cuCtxGetCurrent");
    if (check_failures)
        return check_done();
    test_device_per_thread();
    test_both_apis();
    test_peers();
    test_reset();
    test_init_device();
    return check_done();
}
