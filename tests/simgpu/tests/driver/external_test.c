/* SPDX-License-Identifier: MIT */
/*
 * Memory and semaphores of other APIs, texture and surface objects, multicast where it is not
 * supported. The files that stand for what another API exports are of the simulation.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <sys/mman.h>
#include <unistd.h>

#define BYTES (3 * MIB)

static int file_of(size_t bytes)
{
    int fd = memfd_create("exported", MFD_CLOEXEC);

    CHECK(fd >= 0 && !ftruncate(fd, (off_t)bytes));
    return fd;
}

static unsigned char byte_at(CUdeviceptr at)
{
    unsigned char value;

    OK(cuMemcpyDtoH(&value, at, 1));
    return value;
}

static void test_memory(void)
{
    int fd = file_of(BYTES), kept = dup(fd);
    CUDA_EXTERNAL_MEMORY_HANDLE_DESC desc = {.type = CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD,
                                             .size = BYTES + 1};
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC all = {.size = BYTES}, part = {.offset = 70000, .size = 4096};
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC beyond = {.offset = 1, .size = BYTES};
    CUexternalMemory memory;
    CUdeviceptr whole, inner;
    unsigned char *host = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0);
    size_t before = free_bytes();

    CHECK(host != MAP_FAILED);
    desc.handle.fd = fd;
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuImportExternalMemory(&memory, &desc));
    desc.size = BYTES;
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuImportExternalMemory(NULL, &desc));
    OK(cuImportExternalMemory(&memory, &desc));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuExternalMemoryGetMappedBuffer(&whole, memory, &beyond));
    OK(cuExternalMemoryGetMappedBuffer(&whole, memory, &all));
    OK(cuExternalMemoryGetMappedBuffer(&inner, memory, &part));
    CHECK(free_bytes() == before);
    OK(cuMemsetD8(inner, 7, 4096));
    OK(cuCtxSynchronize());
    CHECK(host[69999] == 0 && host[70000] == 7 && host[74095] == 7 && host[74096] == 0);
    host[BYTES - 1] = 9;
    CHECK(byte_at(whole + 70000) == 7 && byte_at(whole + BYTES - 1) == 9);

    /* Buffers outlive the object, and are given back by cuMemFree. */
    OK(cuDestroyExternalMemory(memory));
    EXPECT(CUDA_ERROR_INVALID_HANDLE, cuExternalMemoryGetMappedBuffer(&whole, memory, &all));
    CHECK(byte_at(whole + BYTES - 1) == 9);
    OK(cuMemFree(inner));
    OK(cuMemFree(whole));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(whole));
    CHECK(host[70000] == 7);
    munmap(host, BYTES);
    close(kept);
}

static CUexternalSemaphore semaphore(CUexternalSemaphoreHandleType type)
{
    CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC desc = {.type = type, .handle.fd = file_of(4096)};
    CUexternalSemaphore made;

    OK(cuImportExternalSemaphore(&made, &desc));
    return made;
}

/* The consumer's fill waits until the producer has signalled behind its own. */
static void test_semaphore(CUexternalSemaphoreHandleType type)
{
    CUexternalSemaphore shared = semaphore(type);
    CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS signal = {0};
    CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS wait = {0};
    CUstream producer, consumer;
    CUdeviceptr at;

    OK(cuStreamCreate(&producer, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&consumer, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc(&at, MIB));
    for (unsigned char turn = 1; turn < 5; turn++) {
        signal.params.fence.value = wait.params.fence.value = turn;
        hold(producer);
        OK(cuMemsetD8Async(at, turn, MIB, producer));
        OK(cuSignalExternalSemaphoresAsync(&shared, &signal, 1, producer));
        OK(cuWaitExternalSemaphoresAsync(&shared, &wait, 1, consumer));
        OK(cuMemsetD8Async(at, 100 + turn, KIB, consumer));
        EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(consumer));
        release(producer);
        OK(cuStreamSynchronize(consumer));
        CHECK(byte_at(at) == 100 + turn && byte_at(at + KIB) == turn);
    }
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuSignalExternalSemaphoresAsync(NULL, &signal, 1, producer));
    OK(cuDestroyExternalSemaphore(shared));
    EXPECT(CUDA_ERROR_INVALID_HANDLE,
           cuSignalExternalSemaphoresAsync(&shared, &signal, 1, producer));
    OK(cuMemFree(at));
    OK(cuStreamDestroy(producer));
    OK(cuStreamDestroy(consumer));
}

static void test_linear_texture(void)
{
    CUDA_TEXTURE_DESC how = {.flags = CU_TRSF_READ_AS_INTEGER, .maxAnisotropy = 3}, told_how;
    CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_LINEAR}, told;
    CUDA_RESOURCE_VIEW_DESC view = {.width = 16};
    CUtexObject texture;
    CUdeviceptr at;

    OK(cuMemAlloc(&at, MIB));
    resource.res.linear.format = CU_AD_FORMAT_FLOAT;
    resource.res.linear.numChannels = 1;
    resource.res.linear.sizeInBytes = MIB;
    resource.res.linear.devPtr = at + 4; /* not aligned */
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    resource.res.linear.devPtr = at;
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, &view));
    OK(cuTexObjectCreate(&texture, &resource, &how, NULL));
    OK(cuTexObjectGetResourceDesc(&told, texture));
    OK(cuTexObjectGetTextureDesc(&told_how, texture));
    CHECK(told.res.linear.devPtr == at && told.res.linear.sizeInBytes == MIB);
    CHECK(told_how.flags == how.flags && told_how.maxAnisotropy == 3);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuTexObjectGetResourceViewDesc(&view, texture));
    OK(cuTexObjectDestroy(texture));
    FAILS(cuTexObjectDestroy(texture));
    OK(cuMemFree(at));
}

static void test_surface(void)
{
    CUDA_ARRAY3D_DESCRIPTOR shape = {
        .Width = 32, .Height = 16, .Format = CU_AD_FORMAT_UNSIGNED_INT32, .NumChannels = 1};
    CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY}, told;
    CUDA_RESOURCE_VIEW_DESC view = {.width = 32, .height = 16}, told_view;
    CUDA_TEXTURE_DESC how = {0};
    CUarray plain, written;
    CUsurfObject surface;
    CUtexObject texture;

    OK(cuArray3DCreate(&plain, &shape));
    shape.Flags = CUDA_ARRAY3D_SURFACE_LDST;
    OK(cuArray3DCreate(&written, &shape));
    resource.res.array.hArray = plain;
    FAILS(cuSurfObjectCreate(&surface, &resource));
    OK(cuTexObjectCreate(&texture, &resource, &how, &view));
    OK(cuTexObjectGetResourceViewDesc(&told_view, texture));
    CHECK(told_view.width == 32 && told_view.height == 16);
    OK(cuTexObjectDestroy(texture));
    resource.res.array.hArray = written;
    OK(cuSurfObjectCreate(&surface, &resource));
    OK(cuSurfObjectGetResourceDesc(&told, surface));
    CHECK(told.resType == CU_RESOURCE_TYPE_ARRAY && told.res.array.hArray == written);
    OK(cuSurfObjectDestroy(surface));
    OK(cuArrayDestroy(plain));
    OK(cuArrayDestroy(written));
}

static void test_multicast(void)
{
    CUmulticastObjectProp prop = {.numDevices = 1, .size = 2 * MIB};
    CUmemGenericAllocationHandle object;
    size_t grain;
    int supported = 1;

    OK(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED, 0));
    if (supported)
        return;
    EXPECT(CUDA_ERROR_NOT_SUPPORTED, cuMulticastCreate(&object, &prop));
    EXPECT(CUDA_ERROR_NOT_SUPPORTED,
           cuMulticastGetGranularity(&grain, &prop, CU_MULTICAST_GRANULARITY_MINIMUM));
}

int main(void)
{
    start();
    test_linear_texture();
    test_surface();
    test_multicast();
    if (!simulated())
        return 0;
    test_memory();
    test_semaphore(CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD);
    test_semaphore(CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD);
    return 0;
}
