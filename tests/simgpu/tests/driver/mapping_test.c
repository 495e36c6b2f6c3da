/* SPDX-License-Identifier: MIT */
/*
 * What cuda.h says of mappings: aligned, at offset zero, unmapped whole, without access until it is
 * given. What the profile can change about it (SIMGPU_SET), each in a process of its own, and what
 * the simulated device notices: mappings that change under work.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                         .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};

static size_t grain;

static CUmemGenericAllocationHandle create(size_t bytes)
{
    CUmemGenericAllocationHandle handle;

    OK(cuMemCreate(&handle, bytes, &prop, 0));
    return handle;
}

static CUdeviceptr reserve(size_t bytes)
{
    CUdeviceptr range;

    OK(cuMemAddressReserve(&range, bytes, 0, 0, 0));
    return range;
}

/* Mapped for good: the handle goes with the mapping. */
static void map(CUdeviceptr at, size_t bytes)
{
    CUmemGenericAllocationHandle handle = create(bytes);

    OK(cuMemMap(at, bytes, 0, handle, 0));
    OK(cuMemRelease(handle));
}

static void access_of(CUdeviceptr at, size_t bytes, int device, CUmemAccess_flags flags)
{
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, device}, flags};

    OK(cuMemSetAccess(at, bytes, &access, 1));
}

static void allow(CUdeviceptr at, size_t bytes)
{
    access_of(at, bytes, 0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

static uint64_t edits(void)
{
    uint64_t (*function)(void) = (uint64_t(*)(void))control("simgpu_edits_under_work");

    return function();
}

/* Sizes, addresses and offsets; whole mappings. */
static void test_rules(void)
{
    CUdeviceptr range = reserve(8 * grain), other;
    CUmemGenericAllocationHandle two = create(2 * grain);

    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&other, grain + 4096, 0, 0, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemMap(range, grain, grain, two, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemMap(range + grain / 2, 2 * grain, 0, two, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemMap(range, grain + grain / 2, 0, two, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemMap(range + 7 * grain, 2 * grain, 0, two, 0));
    OK(cuMemMap(range, 2 * grain, 0, two, 0));
    map(range + 2 * grain, grain);
    map(range + 3 * grain, 2 * grain);

    /* A part at the front, at the end, across the border; then two neighbours, whole. */
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range, grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range + grain, grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range + grain, 2 * grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range + 2 * grain, 2 * grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range + 3 * grain, 4 * grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range, 0));
    OK(cuMemUnmap(range, 3 * grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range, 2 * grain));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(range, 8 * grain));
    OK(cuMemUnmap(range + 3 * grain, 2 * grain));
    OK(cuMemRelease(two));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(range, 4 * grain));
    OK(cuMemAddressFree(range, 8 * grain));
}

/* A handle that was released, and one that is mapped again: its memory is the same. */
static void test_remap(void)
{
    CUdeviceptr range = reserve(4 * grain);
    CUmemGenericAllocationHandle a = create(grain);
    unsigned value = 0;

    OK(cuMemMap(range, grain, 0, a, 0));
    allow(range, grain);
    OK(cuMemsetD32(range, 77, 1));
    OK(cuCtxSynchronize());
    OK(cuMemUnmap(range, grain));
    OK(cuMemMap(range + grain, grain, 0, a, 0));
    CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    unsigned long long flags;
    OK(cuMemGetAccess(&flags, &here, range + grain));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    allow(range + grain, grain);
    OK(cuMemcpyDtoH(&value, range + grain, sizeof value));
    CHECK(value == 77);
    OK(cuMemRelease(a));
    OK(cuMemsetD32(range + grain, 78, 1));
    OK(cuCtxSynchronize());
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemMap(range, grain, 0, a, 0));
    OK(cuMemUnmap(range + grain, grain));
    OK(cuMemAddressFree(range, 4 * grain));
}

/* Each in a child: a broken context stays broken, and the environment is read once. */
static int child_status(void (*body)(void), const char *set)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        setenv("SIMGPU_SET", set, 1);
        start();
        OK(cuMemGetAllocationGranularity(&grain, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
        body();
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void no_access_yet(void)
{
    CUdeviceptr range = reserve(grain);

    map(range, grain);
    unsigned value;
    FAILS(cuMemcpyDtoH(&value, range, sizeof value));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

static void no_access_after_unmap(void)
{
    CUdeviceptr range = reserve(grain);
    CUmemGenericAllocationHandle a = create(grain);

    OK(cuMemMap(range, grain, 0, a, 0));
    allow(range, grain);
    OK(cuMemUnmap(range, grain));
    OK(cuMemMap(range, grain, 0, a, 0));
    OK(cuMemsetD32Async(range, 1, 1, NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

static void only_reading(void)
{
    CUdeviceptr range = reserve(grain);
    unsigned value;

    map(range, grain);
    access_of(range, grain, 0, CU_MEM_ACCESS_FLAGS_PROT_READ);
    OK(cuMemcpyDtoH(&value, range, sizeof value));
    OK(cuMemsetD32Async(range, 1, 1, NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

static void refused_reservation(void)
{
    CUdeviceptr first, second;

    OK(cuMemAddressReserve(&first, 24 * MIB, 0, 0, 0));
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAddressReserve(&second, 10 * MIB, 0, 0, 0));
    OK(cuMemAddressReserve(&second, 8 * MIB, 0, 0, 0));
    OK(cuMemAddressFree(first, 24 * MIB));
    OK(cuMemAddressReserve(&first, 24 * MIB, 0, 0, 0));
}

static void unsupported(void)
{
    CUdeviceptr range;
    CUmemGenericAllocationHandle handle;
    int supported = 1;

    OK(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                            0));
    CHECK(supported == 0);
    EXPECT(CUDA_ERROR_NOT_SUPPORTED, cuMemAddressReserve(&range, 2 * MIB, 0, 0, 0));
    EXPECT(CUDA_ERROR_NOT_SUPPORTED, cuMemCreate(&handle, 2 * MIB, &prop, 0));
}

static void *release_soon(void *stream)
{
    usleep(20000);
    release(stream);
    return NULL;
}

/* A call that waits comes back when the work is done; the work is of another stream and memory. */
static void waiting(void)
{
    CUdeviceptr range = reserve(2 * grain), elsewhere;
    CUstream stream;
    pthread_t thread;

    OK(cuMemAlloc(&elsewhere, grain));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (int step = 0; step < 3; step++) {
        hold(stream);
        OK(cuMemsetD8Async(elsewhere, 1, grain, stream));
        CHECK(!pthread_create(&thread, NULL, release_soon, stream));
        if (step == 0)
            map(range, grain);
        else if (step == 1)
            allow(range, grain);
        else
            OK(cuMemUnmap(range, grain));
        OK(cuStreamQuery(stream));
        pthread_join(thread, NULL);
    }
    CHECK(edits() == 0);
}

/* Two mappings, work on one of them: only an edit of that one is noticed. */
static CUdeviceptr pair(void)
{
    CUdeviceptr range = reserve(2 * grain);

    map(range, grain);
    map(range + grain, grain);
    allow(range, 2 * grain);
    return range;
}

static void edits_are_noticed(void)
{
    CUdeviceptr range = pair(), elsewhere;
    CUstream stream;
    unsigned value = 5;

    OK(cuMemAlloc(&elsewhere, grain));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    hold(stream);
    OK(cuMemcpyDtoDAsync(elsewhere, range + grain - 512, 512, stream));
    FAILS(cuMemUnmap(elsewhere, grain));
    CUmemAccessDesc none = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_NONE};
    FAILS(cuMemSetAccess(elsewhere, grain, &none, 1));
    OK(cuMemUnmap(range + grain, grain));
    CHECK(edits() == 0);
    map(range + grain, grain);
    allow(range + grain, grain);
    CHECK(edits() == 0);
    access_of(range, grain, 0, CU_MEM_ACCESS_FLAGS_PROT_READ);
    CHECK(edits() == 1);
    OK(cuStreamWriteValue32(stream, range + grain + 64, 3, 0));
    release(stream);
    OK(cuStreamSynchronize(stream));
    OK(cuMemcpyDtoH(&value, range + grain + 64, sizeof value));
    CHECK(value == 3);

    /* Work that is done is none; work of a graph is. */
    OK(cuMemUnmap(range, grain));
    CHECK(edits() == 1);
    CUgraph graph;
    CUgraphExec exec;
    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuMemsetD8Async(range + grain, 1, 64, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    hold(stream);
    OK(cuGraphLaunch(exec, stream));
    OK(cuMemUnmap(range + grain, grain));
    CHECK(edits() == 2);
    release(stream);
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
}

/* A page exchanged under running work: nothing faults, so only the key shows it. */
static void edits_break(void)
{
    CUdeviceptr range = pair();
    CUstream stream;

    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    hold(stream);
    OK(cuMemsetD8Async(range, 1, grain, stream));
    OK(cuMemUnmap(range, grain));
    map(range, grain);
    allow(range, grain);
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
    CHECK(edits() == 1);
}

/* Memory of the first device, work of the second. */
static void peers(void)
{
    CUdeviceptr range = reserve(grain), own;
    CUcontext first, second;

    OK(cuCtxGetCurrent(&first));
    map(range, grain);
    allow(range, grain);
    OK(cuDevicePrimaryCtxRetain(&second, 1));
    OK(cuCtxSetCurrent(second));
    OK(cuMemAlloc(&own, grain));
    OK(cuMemcpyDtoD(own, range, grain)); /* through the host */
    OK(cuCtxEnablePeerAccess(first, 0));
    access_of(range, grain, 1, CU_MEM_ACCESS_FLAGS_PROT_READ);
    OK(cuMemcpyDtoD(own, range, grain));
    OK(cuMemsetD8Async(range, 1, grain, NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

static void peers_without_access(void)
{
    CUdeviceptr range = reserve(grain), own;
    CUcontext first, second;

    OK(cuCtxGetCurrent(&first));
    map(range, grain);
    allow(range, grain);
    OK(cuDevicePrimaryCtxRetain(&second, 1));
    OK(cuCtxSetCurrent(second));
    OK(cuMemAlloc(&own, grain));
    OK(cuCtxEnablePeerAccess(first, 0));
    OK(cuMemcpyDtoDAsync(own, range, grain, NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    OK(cuCtxSetCurrent(first));
    OK(cuCtxSynchronize());
}

int main(void)
{
    if (simulated()) {
        setenv("SIMGPU_DEVICES", "2", 1);
        CHECK(child_status(no_access_yet, "") == 0);
        CHECK(child_status(no_access_after_unmap, "") == 0);
        CHECK(child_status(only_reading, "") == 0);
        CHECK(child_status(refused_reservation, "reserve_max=32MiB") == 0);
        CHECK(child_status(unsupported, "vmm=0") == 0);
        CHECK(child_status(waiting, "map_waits=1") == 0);
        CHECK(child_status(edits_are_noticed, "") == 0);
        CHECK(child_status(edits_break, "edit_breaks=1") == 0);
        CHECK(child_status(peers, "") == 0);
        CHECK(child_status(peers_without_access, "") == 0);
    }
    start();
    OK(cuMemGetAllocationGranularity(&grain, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    test_rules();
    test_remap();
    return 0;
}
