/* SPDX-License-Identifier: MIT */
/*
 * An allocation does not wait for work that cannot end before the program continues. Everything was
 * freed while the device was idle; then a stream is kept busy, or a host function needs a lock that
 * the allocating thread holds. Blocks of all sizes, by one thread and by several, on a device with
 * plenty of memory and on a full one, with queries of free memory meanwhile; or another device is
 * busy.
 *
 * With "ended" a context ends while an allocation in it has waited in vain beside a capture; the
 * work ends a little later.
 *
 * A program that hangs is ended by its alarm. Needs a stream that can be held, so a simulated
 * device.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BLOCKS  64
#define THREADS 4 /* unless the argument says 1: then one, and no capture */
#define MANY    64

static CUstream busy;
static void *target; /* of the work that does not end */
static size_t device_bytes;

static const size_t sizes[] = {600, 30000, 100 << 10, 1 << 20, 3 << 20, 20 << 20};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* So many blocks are a small part of the device, and two at least. */
static int count_for(size_t bytes)
{
    size_t most = device_bytes / 64 / bytes;

    return most > BLOCKS ? BLOCKS : most < 2 ? 2 : (int)most;
}

static int take(void **blocks, int count, size_t bytes)
{
    int errors = 0;

    for (int i = 0; i < count; i++)
        errors += route_allocate(&blocks[i], bytes) != 0;
    return errors;
}

static int give(void **blocks, int count)
{
    int errors = 0;

    for (int i = 0; i < count; i++)
        errors += route_free(blocks[i]) != 0;
    return errors;
}

static int kernel_begin(void)
{
    return route_hold(busy) + route_fill_async(target, 1, 1000, busy);
}

static int kernel_end(void)
{
    return route_unhold(busy) + DRIVER(cuStreamSynchronize)(busy);
}

static void by_size(size_t bytes)
{
    void *blocks[BLOCKS], *more[BLOCKS];
    size_t free_bytes, total;
    int count = count_for(bytes);
    int errors = take(blocks, count, bytes) + give(blocks, count);

    errors += kernel_begin();
    errors += take(blocks, count, bytes) + take(more, count, bytes * 3 / 2);
    errors += route_memory_info(&free_bytes, &total) != 0;
    errors += kernel_end();
    errors += give(blocks, count) + give(more, count);
    printf("%zu bytes: errors %d\n", bytes, errors);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int returned;

static void CUDA_CB give_back(void *unused)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&returned, 1);
    pthread_mutex_unlock(&lock);
}

static void beside_a_host_function(size_t bytes)
{
    void *blocks[BLOCKS];
    int count = count_for(bytes);
    int errors = take(blocks, count, bytes) + give(blocks, count);

    pthread_mutex_lock(&lock);
    errors += DRIVER(cuLaunchHostFunc)(busy, give_back, NULL);
    errors += take(blocks, count, bytes);
    pthread_mutex_unlock(&lock);
    errors += DRIVER(cuStreamSynchronize)(busy);
    errors += give(blocks, count);
    printf("host function, %zu bytes: errors %d\n", bytes, errors);
}

static void *churn(void *unused)
{
    void *blocks[BLOCKS];
    intptr_t errors = 0;

    route_start();
    for (size_t i = 0; i < SIZES; i++)
        errors += take(blocks, count_for(sizes[i]), sizes[i]);
    return (void *)errors;
}

static void by_threads(int count)
{
    pthread_t threads[THREADS];
    intptr_t errors = kernel_begin();

    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    for (int i = 0; i < count; i++) {
        void *result;

        pthread_join(threads[i], &result);
        errors += (intptr_t)result;
    }
    errors += kernel_end();
    printf("%d threads: errors %d\n", count, (int)errors);
}

/* Until the driver refuses; all of it is freed, and can be had again beside the work. Returns how
 * many blocks the device holds. */
static int on_a_full_device(void)
{
    static void *blocks[MANY];
    size_t bytes = device_bytes / 32;
    int first = 0, second = 0;

    while (first < MANY && route_allocate(&blocks[first], bytes) == 0)
        first++;
    int errors = give(blocks, first) + kernel_begin();
    while (second < first && route_allocate(&blocks[second], bytes) == 0)
        second++;
    errors += kernel_end() + give(blocks, second);
    printf("a full device: some %d, as many again %d, errors %d\n", first > 0, second == first,
           errors);
    return first;
}

/* So many are freed beside a capture, before the work begins, and can be had beside the work; the
 * capture may go on. Where the driver has more than was freed, the last frees share a fence that is
 * not taken yet: then half of them will do. */
static void beside_a_capture(int freed, int most, bool goes_on)
{
    int wanted = freed == most ? most : most - freed / 2;
    static void *blocks[MANY];
    size_t bytes = device_bytes / 32;
    int taken = 0;
    CUstream stream;
    CUgraph graph = NULL;

    int errors = take(blocks, freed, bytes);
    errors += route_stream_create(&stream) != 0;
    errors += route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED) != 0;
    errors += give(blocks, freed);
    if (!goes_on)
        errors += route_capture_end(stream, &graph) != 0;
    errors += kernel_begin();
    while (taken < most && route_allocate(&blocks[taken], bytes) == 0)
        taken++;
    if (goes_on)
        errors += route_capture_end(stream, &graph) != 0;
    errors += kernel_end() + give(blocks, taken) + (route_stream_destroy(stream) != 0);
    printf("%s a capture, %s freed: enough again %d, errors %d\n", goes_on ? "beside" : "after",
           freed == most ? "all" : "some", taken >= wanted, errors);
}

/* Returns whether all could be had. */
static bool another_size_taken(int most, int *ret_errors)
{
    static void *blocks[MANY];
    size_t bytes = device_bytes / 32;
    int taken = 0;
    CUstream stream;
    CUgraph graph = NULL;

    int errors = take(blocks, most / 4, bytes * 4) + (route_stream_create(&stream) != 0);
    errors += route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED) != 0;
    errors += give(blocks, most / 4);
    while (taken < most / 4 * 2 && route_allocate(&blocks[taken], bytes * 2) == 0)
        taken++;
    errors += give(blocks, taken) + (route_capture_end(stream, &graph) != 0);
    *ret_errors += errors + (route_stream_destroy(stream) != 0);
    return taken == most / 4 * 2;
}

/* Everything is freed beside a capture and an idle device: all can be had in another size. The pool
 * looks whether it is idle for a moment only, in which a machine under load may do nothing. */
static void another_size_beside_a_capture(int most)
{
    int errors = 0, tries = 5;
    bool all = false;

    while (!all && tries-- > 0)
        all = another_size_taken(most, &errors);
    (void)route_last_error();
    printf("beside a capture, another size: all of it %d, errors %d\n", all, errors);
}

static int threads_count(void)
{
    DIR *list = opendir("/proc/self/task");
    int count = 0;

    while (list && readdir(list))
        count++;
    if (list)
        closedir(list);
    return count;
}

/* Everything was freed; the work began before the capture, or in it. Another size cannot be had,
 * perhaps, but the request returns. Work from before is waited for by this thread itself: no other
 * one is left in the driver. */
static void work_and_a_capture(int most, bool in_it)
{
    static void *blocks[MANY];
    size_t bytes = device_bytes / 32;
    CUstream stream;
    CUgraph graph = NULL;
    void *large = NULL;

    int errors = take(blocks, most, bytes) + give(blocks, most) + (in_it ? 0 : kernel_begin());
    errors += route_stream_create(&stream) != 0;
    errors += route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED) != 0;
    errors += in_it ? kernel_begin() : 0;
    int threads = threads_count();
    (void)route_allocate(&large, device_bytes / 2);
    errors += !in_it && threads_count() != threads;
    errors += route_capture_end(stream, &graph) != 0;
    errors += kernel_end() + (route_stream_destroy(stream) != 0);
    for (int i = 0; !large && i < 500; i++) { /* after a wait in vain, a fence may be late */
        if (route_allocate(&large, device_bytes / 2) != 0)
            usleep(10000);
    }
    errors += !large || route_free(large) != 0;
    (void)route_last_error();
    printf("work %s a capture, another size: errors %d\n", in_it ? "in" : "before", errors);
}

static CUcontext here, there; /* contexts of two devices */
static CUstream far_stream;
static CUdeviceptr far;

static int physical_make(size_t bytes)
{
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUmemGenericAllocationHandle handle;
    int error = DRIVER(cuMemCreate)(&handle, bytes, &properties, 0);

    return error ? error : (int)DRIVER(cuMemRelease)(handle);
}

static int block_make(size_t bytes)
{
    void *block;
    int error = route_allocate(&block, bytes);

    return error ? error : route_free(block);
}

/* Everything was freed while all was idle; then another device is busy. What this one cached can
 * be had in another size, and as another kind: the driver's free waits for no other device. */
static void beside_the_other(const char *what, int (*make)(size_t bytes))
{
    static void *blocks[MANY];
    int taken = 0, errors = 0;

    while (taken < MANY && route_allocate(&blocks[taken], device_bytes / 32) == 0)
        taken++;
    errors += give(blocks, taken) + DRIVER(cuCtxSetCurrent)(there);
    errors += route_hold(far_stream) + DRIVER(cuMemsetD8Async)(far, 1, 1000, far_stream);
    errors += DRIVER(cuCtxSetCurrent)(here);
    int made = make(device_bytes / 4 * 3);
    errors += DRIVER(cuCtxSetCurrent)(there) + route_unhold(far_stream);
    errors += DRIVER(cuStreamSynchronize)(far_stream) + DRIVER(cuCtxSetCurrent)(here);
    printf("beside another device, %s: %d, errors %d\n", what, made, errors);
}

static void beside_another_device(void)
{
    int devices = 0, errors = 0;

    DRIVER(cuDeviceGetCount)(&devices);
    if (devices < 2)
        return;
    errors += DRIVER(cuCtxGetCurrent)(&here);
    errors += DRIVER(cuDevicePrimaryCtxRetain)(&there, 1) + DRIVER(cuCtxSetCurrent)(there);
    errors += route_allocate((void **)&far, 1000);
    errors += DRIVER(cuStreamCreate)(&far_stream, CU_STREAM_NON_BLOCKING);
    errors += DRIVER(cuCtxSetCurrent)(here);
    beside_the_other("a larger block", block_make);
    beside_the_other("physical memory", physical_make);
    errors += route_free((void *)far) + DRIVER(cuDevicePrimaryCtxRelease)(1);
    printf("the other device: errors %d\n", errors);
}

static atomic_bool work_over;

static void *work_end_later(void *unused)
{
    usleep(300000);
    atomic_store(&work_over, true);
    route_unhold(busy);
    return unused;
}

static void ended_beside_work(bool detach)
{
    static void *blocks[MANY];
    CUcontext own;
    CUstream stream;
    CUgraph graph = NULL;
    pthread_t thread;
    void *large = NULL;

    atomic_store(&work_over, false);
    int errors = (int)route_context_create(&own, 0) +
                 DRIVER(cuStreamCreate)(&busy, CU_STREAM_NON_BLOCKING);
    errors += route_allocate(&target, 1000) + route_stream_create(&stream);
    int most = on_a_full_device();
    errors += take(blocks, most, device_bytes / 32) + give(blocks, most);
    errors += route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED) + kernel_begin();
    int refused = route_allocate(&large, device_bytes / 2) != 0;
    errors += route_capture_end(stream, &graph);
    errors += pthread_create(&thread, NULL, work_end_later, NULL);
    errors += (int)(detach ? DRIVER(cuCtxDetach)(own) : DRIVER(cuCtxDestroy)(own));
    bool over = atomic_load(&work_over);
    pthread_join(thread, NULL);
    printf("%s: refused %d, after the work %d, errors %d\n", detach ? "detached" : "destroyed",
           refused, over, errors);
}

/* A device whose work in a capture does not end delays no allocation beside a capture on another
 * device, which is idle. */
static void beside_a_capture_of_another_device(void)
{
    static void *blocks[MANY];
    size_t bytes = device_bytes / 32;
    CUstream stream, own;
    CUgraph graph = NULL;
    void *large = NULL, *own_large = NULL;

    int most = on_a_full_device(), own_most = 0;
    int errors = (int)DRIVER(cuCtxGetCurrent)(&here) + DRIVER(cuDevicePrimaryCtxRetain)(&there, 1);
    errors += take(blocks, most, bytes) + give(blocks, most) + route_stream_create(&stream);
    errors += route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED) + kernel_begin();
    int refused = route_allocate(&large, device_bytes / 2) != 0;
    errors += DRIVER(cuCtxSetCurrent)(there) + DRIVER(cuStreamCreate)(&own, CU_STREAM_NON_BLOCKING);
    while (own_most < MANY && route_allocate(&blocks[own_most], bytes) == 0)
        own_most++;
    errors += route_capture_begin(own, CU_STREAM_CAPTURE_MODE_RELAXED) + give(blocks, own_most);
    int served = route_allocate(&own_large, device_bytes / 2) == 0;
    errors += route_capture_end(own, &graph) + (served ? route_free(own_large) : 0);
    errors += DRIVER(cuCtxSetCurrent)(here) + route_capture_end(stream, &graph) + kernel_end();
    (void)route_last_error();
    printf("work in a capture of one device: refused %d, the other: served %d, errors %d\n",
           refused, served, errors);
}

int program_no_wait(const char *self, const char *route, const char *argument)
{
    size_t free_bytes;
    bool simple = argument && *argument == '1';

    if (!route_can_hold())
        route_skip("the device cannot hold a stream");
    alarm(120);
    route_start();
    route_report("start", route_free(NULL));
    if (argument && strcmp(argument, "ended") == 0) {
        route_report("size", route_memory_info(&free_bytes, &device_bytes));
        ended_beside_work(false);
        ended_beside_work(true);
        return 0;
    }
    if (argument && strcmp(argument, "two-devices") == 0) {
        route_report("stream", (int)DRIVER(cuStreamCreate)(&busy, CU_STREAM_NON_BLOCKING));
        route_report("target", route_allocate(&target, 1000));
        route_report("size", route_memory_info(&free_bytes, &device_bytes));
        beside_a_capture_of_another_device();
        return 0;
    }
    /* Ordered with no other stream, so that nothing but an allocation can wait. */
    if (DRIVER(cuStreamCreate)(&busy, CU_STREAM_NON_BLOCKING))
        route_skip("no stream");
    route_report("target", route_allocate(&target, 1000));
    route_report("size", route_memory_info(&free_bytes, &device_bytes));
    int most = on_a_full_device();
    if (!simple) {
        beside_a_capture(most, most, false);
        beside_a_capture(most, most, true);
        beside_a_capture(most / 3, most, true);
        beside_a_capture(most / 3, most, false);
        another_size_beside_a_capture(most);
        for (int in_it = 0; in_it < 2; in_it++)
            if (strcmp(route, "dynamic") == 0 || strcmp(route, "driver") == 0)
                work_and_a_capture(most, in_it);
    }
    if (!simple)
        beside_another_device();
    for (size_t i = 0; i < SIZES; i++)
        by_size(sizes[i]);
    for (size_t i = 0; i < SIZES; i++)
        beside_a_host_function(sizes[i]);
    by_threads(simple ? 1 : THREADS);
    printf("host functions: %d\n", atomic_load(&returned));
    return 0;
}
