/* SPDX-License-Identifier: MIT */
/*
 * cuMemAlloc and its family: allocations, ranges, permitted frees.
 */
#include "tests/simgpu/tests/driver/support.h"

static void allocate_and_free(void)
{
    CUdeviceptr small, large, other;
    size_t before = free_bytes();

    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(&small, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(NULL, 16));
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&small, SIZE_MAX));
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&small, SIZE_MAX / 2));
    OK(cuMemAlloc(&small, 100));
    OK(cuMemAlloc(&other, 100));
    OK(cuMemAlloc(&large, 10 * MIB));
    CHECK(small % 256 == 0 && other % 256 == 0 && large % 256 == 0);
    CHECK(free_bytes() <= before - 10 * MIB);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(small + 4));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(large + MIB));
    OK(cuMemFree(small));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(small));
    OK(cuMemFree(other));
    OK(cuMemFree(large));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(large));
    OK(cuMemFree(0));
    CHECK(free_bytes() == before);
}

static void ranges(void)
{
    CUdeviceptr at, base, start;
    size_t bytes, attribute_bytes;

    OK(cuMemAlloc(&at, 3 * MIB));
    OK(cuMemGetAddressRange(&base, &bytes, at + 2 * MIB + 17));
    CHECK(base == at && bytes >= 3 * MIB);
    OK(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, at + MIB));
    OK(cuPointerGetAttribute(&attribute_bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, at + MIB));
    CHECK(start == base && attribute_bytes == bytes);
    OK(cuMemFree(at));
    EXPECT(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange(&base, &bytes, at));
}

static void attributes(CUcontext ctx)
{
    CUdeviceptr a, b;
    CUcontext owner;
    CUmemorytype type;
    unsigned long long first, second, again;
    int ordinal;

    OK(cuMemAlloc(&a, 4096));
    OK(cuMemAlloc(&b, 4096));
    OK(cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, a));
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, a));
    OK(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, a));
    OK(cuPointerGetAttribute(&first, CU_POINTER_ATTRIBUTE_BUFFER_ID, a));
    OK(cuPointerGetAttribute(&again, CU_POINTER_ATTRIBUTE_BUFFER_ID, a + 100));
    OK(cuPointerGetAttribute(&second, CU_POINTER_ATTRIBUTE_BUFFER_ID, b));
    CHECK(owner == ctx && type == CU_MEMORYTYPE_DEVICE && ordinal == 0);
    CHECK(first == again && first != second);
    void *host;
    FAILS(cuPointerGetAttribute(&host, CU_POINTER_ATTRIBUTE_HOST_POINTER, a));
    OK(cuMemFree(a));
    OK(cuMemFree(b));
    int local = 0;
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)&local));
    CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_CONTEXT};
    void *into[] = {&type, &owner};
    OK(cuPointerGetAttributes(2, which, into, (CUdeviceptr)&local));
    CHECK(!owner);
}

static void pinned(void)
{
    char *host, *flagged;
    CUdeviceptr device;
    CUmemorytype type;
    unsigned flags;

    OK(cuMemAllocHost((void **)&host, 1000));
    OK(cuMemHostAlloc((void **)&flagged, 1000, CU_MEMHOSTALLOC_PORTABLE));
    memset(host, 1, 1000);
    OK(cuMemHostGetDevicePointer(&device, host, 0));
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)host));
    CHECK(type == CU_MEMORYTYPE_HOST);
    OK(cuMemHostGetFlags(&flags, flagged));
    CHECK(flags & CU_MEMHOSTALLOC_PORTABLE);
    OK(cuMemFreeHost(host));
    OK(cuMemFreeHost(flagged));
    FAILS(cuMemFreeHost(host));

    char *own = aligned_alloc(4096, 8192);
    OK(cuMemHostRegister(own, 8192, 0));
    EXPECT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(own, 8192, 0));
    OK(cuMemHostUnregister(own));
    EXPECT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(own));
    free(own);
}

static void managed_and_pitch(void)
{
    CUdeviceptr managed, pitched;
    size_t pitch;
    int is_managed = 0;

    OK(cuMemAllocManaged(&managed, MIB, CU_MEM_ATTACH_GLOBAL));
    memset((void *)managed, 7, MIB);
    OK(cuPointerGetAttribute(&is_managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, managed));
    CHECK(is_managed & 1);
    OK(cuMemFree(managed));
    OK(cuMemAllocPitch(&pitched, &pitch, 100, 10, 4));
    CHECK(pitch >= 100 && pitch % 4 == 0);
    OK(cuMemFree(pitched));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch(&pitched, &pitch, 100, 10, 3));
}

static void copies(void)
{
    enum { WIDTH = 60, HEIGHT = 5 };
    unsigned char out[WIDTH * HEIGHT], in[WIDTH * HEIGHT];
    CUdeviceptr a, b;
    size_t pitch;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        out[i] = (unsigned char)i;
    OK(cuMemAlloc(&a, sizeof out));
    OK(cuMemAllocPitch(&b, &pitch, WIDTH, HEIGHT, 4));
    OK(cuMemcpyHtoD(a, out, sizeof out));
    CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = a,
                          .srcPitch = WIDTH,
                          .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                          .dstDevice = b,
                          .dstPitch = pitch,
                          .WidthInBytes = WIDTH,
                          .Height = HEIGHT};
    OK(cuMemcpy2D(&copy));
    CUDA_MEMCPY2D back = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = b,
                          .srcPitch = pitch,
                          .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = in,
                          .dstPitch = WIDTH,
                          .WidthInBytes = WIDTH,
                          .Height = HEIGHT};
    OK(cuMemcpy2D(&back));
    CHECK(!memcmp(in, out, sizeof out));
    OK(cuMemsetD32(a, 0x01020304, sizeof out / 4));
    OK(cuMemcpyDtoH(in, a, sizeof in));
    CHECK(in[0] == 4 && in[1] == 3 && in[sizeof in - 1] == 1);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(a + 1, 0, 1));
    OK(cuMemFree(a));
    OK(cuMemFree(b));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(a, out, 16));
}

static void arrays(void)
{
    enum { WIDTH = 33, HEIGHT = 7 };
    float out[HEIGHT][WIDTH], in[HEIGHT][WIDTH];
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR shape = {WIDTH, HEIGHT, CU_AD_FORMAT_FLOAT, 1}, told;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        (&out[0][0])[i] = (float)i;
    size_t before = free_bytes();
    OK(cuArrayCreate(&array, &shape));
    OK(cuArrayGetDescriptor(&told, array));
    CHECK(told.Width == WIDTH && told.Height == HEIGHT && told.Format == CU_AD_FORMAT_FLOAT);
    CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                          .srcHost = out,
                          .srcPitch = sizeof out[0],
                          .dstMemoryType = CU_MEMORYTYPE_ARRAY,
                          .dstArray = array,
                          .WidthInBytes = sizeof out[0],
                          .Height = HEIGHT};
    OK(cuMemcpy2D(&copy));
    CUDA_MEMCPY2D back = {.srcMemoryType = CU_MEMORYTYPE_ARRAY,
                          .srcArray = array,
                          .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = in,
                          .dstPitch = sizeof in[0],
                          .WidthInBytes = sizeof in[0],
                          .Height = HEIGHT};
    OK(cuMemcpy2D(&back));
    CHECK(!memcmp(in, out, sizeof in));
    OK(cuArrayDestroy(array));
    CHECK(free_bytes() >= before - 4 * MIB);
}

/* Many blocks of many sizes, freed in another order: none overlaps, all comes back. */
static void many(void)
{
    enum { COUNT = 2000 };
    static struct {
        CUdeviceptr base;
        size_t bytes;
    } blocks[COUNT];
    size_t before = free_bytes();
    unsigned state = 12345;
    for (int i = 0; i < COUNT; i++) {
        state = state * 1664525u + 1013904223u;
        blocks[i].bytes = 1 + (state >> 8) % (i % 50 ? 20000 : 3000000);
        OK(cuMemAlloc(&blocks[i].base, blocks[i].bytes));
        OK(cuMemsetD8(blocks[i].base, (unsigned char)i, blocks[i].bytes));
    }
    for (int i = 0; i < COUNT; i++) {
        unsigned char first, last;
        int at = (i * 773) % COUNT;

        OK(cuMemcpyDtoH(&first, blocks[at].base, 1));
        OK(cuMemcpyDtoH(&last, blocks[at].base + blocks[at].bytes - 1, 1));
        CHECK(first == (unsigned char)at && last == (unsigned char)at);
        OK(cuMemFree(blocks[at].base));
    }
    CHECK(free_bytes() == before);
}

static void run_out(void)
{
    CUdeviceptr blocks[64];
    size_t total, available;
    int count = 0;

    OK(cuMemGetInfo(&available, &total));
    size_t bytes = available / 10;
    while (count < 64 && cuMemAlloc(&blocks[count], bytes) == CUDA_SUCCESS)
        count++;
    CHECK(count >= 8 && count <= 10);
    CUdeviceptr extra;
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&extra, bytes + 32 * MIB));
    while (count)
        OK(cuMemFree(blocks[--count]));
    OK(cuMemAlloc(&extra, bytes));
    OK(cuMemFree(extra));
}

/* A thread without a context may ask what an address is, of all attributes at once. */
static void attributes_without_context(void)
{
    CUcontext ctx;
    CUdeviceptr pointer;
    CUmemorytype type = 0;
    int ordinal = -1, local = 0;
    CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                   CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    void *into[] = {&type, &ordinal};

    OK(cuMemAlloc(&pointer, 4096));
    OK(cuCtxPopCurrent(&ctx));
    OK(cuPointerGetAttributes(2, which, into, pointer));
    CHECK(type == CU_MEMORYTYPE_DEVICE && ordinal == 0);
    OK(cuPointerGetAttributes(2, which, into, (CUdeviceptr)&local));
    CHECK(type == 0);
    OK(cuCtxPushCurrent(ctx));
    OK(cuMemFree(pointer));
}

static void log_callback(void *data, CUlogLevel level, char *message, size_t length)
{
    abort(); /* the log of the simulated driver is empty */
}

static void logs(void)
{
    CUlogsCallbackHandle handle = NULL;
    CUlogIterator iterator;
    char text[16] = "text";
    size_t bytes = sizeof text;

    OK(cuLogsRegisterCallback(log_callback, NULL, &handle));
    CHECK(handle);
    OK(cuLogsCurrent(&iterator, 0));
    if (simulated()) {
        OK(cuLogsDumpToMemory(NULL, text, &bytes, 0));
        CHECK(bytes == 0 && !*text);
    }
    OK(cuLogsUnregisterCallback(handle));
}

int main(void)
{
    CUcontext ctx = start();
    CUdeviceptr first;

    OK(cuMemAlloc(&first, 4096)); /* what a driver sets up once is set up */
    allocate_and_free();
    ranges();
    attributes(ctx);
    attributes_without_context();
    logs();
    pinned();
    managed_and_pitch();
    copies();
    arrays();
    many();
    run_out();
    return 0;
}
