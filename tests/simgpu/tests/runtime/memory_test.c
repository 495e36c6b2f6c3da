/* SPDX-License-Identifier: MIT */
/*
 * Allocating, copying and filling, by the documentation: sizes of zero, wrong pointers, every kind
 * of copy, pitched memory and boxes, attributes of pointers.
 */
#include "tests/simgpu/tests/runtime/support.h"

enum { BYTES = 1000 };

static void pattern(unsigned char *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i * 7 + seed);
}

static void test_zero_and_null(void)
{
    void *pointer = (void *)&check_failures;

    OK(cudaFree(NULL));
    OK(cudaMalloc(&pointer, 0));
    CHECK(!pointer);
    pointer = (void *)&check_failures;
    OK(cudaMallocHost(&pointer, 0));
    CHECK(!pointer);
    OK(cudaFreeHost(NULL));
    OK(cudaFreeArray(NULL));
    EXPECT(cudaErrorInvalidValue, cudaMalloc(NULL, 16));
    EXPECT(cudaErrorInvalidValue, cudaMallocManaged(&pointer, 0, cudaMemAttachGlobal));
}

static void test_wrong_frees(void)
{
    char *pointer;
    int local;

    OK(cudaMalloc((void **)&pointer, BYTES));
    EXPECT(cudaErrorInvalidValue, cudaFree(pointer + 16));
    EXPECT(cudaErrorInvalidValue, cudaFree(&local));
    OK(cudaFree(pointer));
    EXPECT(cudaErrorInvalidValue, cudaFree(pointer));
    EXPECT(cudaErrorInvalidValue, cudaFreeHost(&local));
}

static void test_kinds(void)
{
    unsigned char in[BYTES], out[BYTES];
    void *a, *b;

    pattern(in, BYTES, 1);
    OK(cudaMalloc(&a, BYTES));
    OK(cudaMalloc(&b, BYTES));
    OK(cudaMemcpy(a, in, BYTES, cudaMemcpyHostToDevice));
    OK(cudaMemcpy(b, a, BYTES, cudaMemcpyDeviceToDevice));
    OK(cudaMemcpy(out, b, BYTES, cudaMemcpyDeviceToHost));
    CHECK(!memcmp(in, out, BYTES));

    memset(out, 0, BYTES);
    OK(cudaMemcpy(out, in, BYTES, cudaMemcpyHostToHost));
    CHECK(!memcmp(in, out, BYTES));

    pattern(in, BYTES, 2);
    OK(cudaMemcpy(a, in, BYTES, cudaMemcpyDefault));
    OK(cudaMemcpy(b, a, BYTES, cudaMemcpyDefault));
    OK(cudaMemcpy(out, b, BYTES, cudaMemcpyDefault));
    CHECK(!memcmp(in, out, BYTES));

    OK(cudaMemcpy(NULL, NULL, 0, cudaMemcpyDefault));
    EXPECT(cudaErrorInvalidMemcpyDirection, cudaMemcpy(a, in, BYTES, (enum cudaMemcpyKind)5));
    EXPECT(cudaErrorInvalidMemcpyDirection,
           cudaMemcpyAsync(a, in, BYTES, (enum cudaMemcpyKind) - 1, NULL));
    OK(cudaFree(a));
    OK(cudaFree(b));
}

static void test_pitched(void)
{
    enum { WIDTH = 100, ROWS = 7 };
    unsigned char in[ROWS][WIDTH], out[ROWS][WIDTH];
    size_t pitch = 0;
    void *area;

    pattern(&in[0][0], sizeof(in), 3);
    OK(cudaMallocPitch(&area, &pitch, WIDTH, ROWS));
    CHECK(pitch >= WIDTH);
    OK(cudaMemcpy2D(area, pitch, in, WIDTH, WIDTH, ROWS, cudaMemcpyHostToDevice));
    OK(cudaMemcpy2D(out, WIDTH, area, pitch, WIDTH, ROWS, cudaMemcpyDeviceToHost));
    CHECK(!memcmp(in, out, sizeof(in)));
    OK(cudaMemset2D(area, pitch, 0x5a, 50, ROWS));
    OK(cudaMemcpy2D(out, WIDTH, area, pitch, WIDTH, ROWS, cudaMemcpyDefault));
    for (int row = 0; row < ROWS; row++) {
        CHECK(out[row][0] == 0x5a && out[row][49] == 0x5a);
        CHECK(!memcmp(out[row] + 50, in[row] + 50, WIDTH - 50));
    }
    EXPECT(cudaErrorInvalidPitchValue,
           cudaMemcpy2D(area, WIDTH - 1, in, WIDTH, WIDTH, ROWS, cudaMemcpyHostToDevice));
    OK(cudaFree(area));
}

static void test_box(void)
{
    enum { WIDTH = 20, ROWS = 5, SLICES = 3 };
    unsigned char in[SLICES][ROWS][WIDTH], out[SLICES][ROWS][WIDTH];
    struct cudaExtent extent = {WIDTH, ROWS, SLICES};
    struct cudaPitchedPtr box;
    struct cudaMemcpy3DParms copy = {.extent = extent, .kind = cudaMemcpyHostToDevice};

    pattern(&in[0][0][0], sizeof(in), 4);
    OK(cudaMalloc3D(&box, extent));
    CHECK(box.pitch >= WIDTH && box.xsize == WIDTH && box.ysize == ROWS);
    copy.srcPtr = (struct cudaPitchedPtr){in, WIDTH, WIDTH, ROWS};
    copy.dstPtr = box;
    OK(cudaMemcpy3D(&copy));

    /* Only the middle of the box is filled: x 4 to 9, y 1 to 3, z 0 to 1. */
    struct cudaPitchedPtr middle = box;
    middle.ptr = (char *)box.ptr + box.pitch + 4;
    OK(cudaMemset3D(middle, 0x77, (struct cudaExtent){6, 3, 2}));

    copy.srcPtr = box;
    copy.dstPtr = (struct cudaPitchedPtr){out, WIDTH, WIDTH, ROWS};
    copy.kind = cudaMemcpyDeviceToHost;
    OK(cudaMemcpy3D(&copy));
    for (int z = 0; z < SLICES; z++)
        for (int y = 0; y < ROWS; y++)
            for (int x = 0; x < WIDTH; x++) {
                int filled = x >= 4 && x < 10 && y >= 1 && y < 4 && z < 2;

                EQUAL(out[z][y][x], filled ? 0x77 : in[z][y][x]);
            }
    copy.srcArray = (cudaArray_t)box.ptr;
    EXPECT(cudaErrorInvalidValue, cudaMemcpy3D(&copy)); /* array and pointer at once */
    OK(cudaFree(box.ptr));
}

static void test_pointer_attributes(void)
{
    struct cudaPointerAttributes attributes;
    int local;
    char *device;
    void *host, *managed;

    OK(cudaMalloc((void **)&device, BYTES));
    OK(cudaPointerGetAttributes(&attributes, device + 8));
    EQUAL(attributes.type, cudaMemoryTypeDevice);
    EQUAL(attributes.device, 0);
    CHECK(attributes.devicePointer == device + 8);
    CHECK(!attributes.hostPointer);

    OK(cudaMallocHost(&host, BYTES));
    OK(cudaPointerGetAttributes(&attributes, host));
    EQUAL(attributes.type, cudaMemoryTypeHost);
    CHECK(attributes.hostPointer == host);

    OK(cudaMallocManaged(&managed, BYTES, cudaMemAttachGlobal));
    OK(cudaPointerGetAttributes(&attributes, managed));
    EQUAL(attributes.type, cudaMemoryTypeManaged);
    CHECK(attributes.hostPointer == managed && attributes.devicePointer == managed);

    OK(cudaPointerGetAttributes(&attributes, &local));
    EQUAL(attributes.type, cudaMemoryTypeUnregistered);
    OK(cudaFree(device));
    OK(cudaFreeHost(host));
    OK(cudaFree(managed));
}

static void test_host_memory(void)
{
    static _Alignas(4096) char mine[8192];
    unsigned flags = 0;
    void *pinned, *device;

    OK(cudaHostAlloc(&pinned, BYTES, cudaHostAllocMapped | cudaHostAllocPortable));
    OK(cudaHostGetDevicePointer(&device, pinned, 0));
    CHECK(device);
    OK(cudaHostGetFlags(&flags, pinned));
    CHECK(flags & cudaHostAllocMapped);
    OK(cudaFreeHost(pinned));

    OK(cudaHostRegister(mine, sizeof(mine), cudaHostRegisterDefault));
    EXPECT(cudaErrorHostMemoryAlreadyRegistered,
           cudaHostRegister(mine, sizeof(mine), cudaHostRegisterDefault));
    OK(cudaHostUnregister(mine));
    EXPECT(cudaErrorHostMemoryNotRegistered, cudaHostUnregister(mine));
}

static void test_info_and_reset(void)
{
    size_t free_before, free_with, total;
    void *pointer;

    OK(cudaMemGetInfo(&free_before, &total));
    CHECK(free_before > 0 && free_before <= total);
    OK(cudaMalloc(&pointer, (size_t)64 << 20));
    OK(cudaMemGetInfo(&free_with, &total));
    CHECK(free_before - free_with >= (size_t)64 << 20);

    OK(cudaDeviceReset());
    OK(cudaMemGetInfo(&free_with, &total));
    CHECK(free_with >= free_before);
    EXPECT(cudaErrorInvalidValue, cudaFree(pointer));
    OK(cudaMalloc(&pointer, BYTES));
    OK(cudaFree(pointer));
}

int main(void)
{
    test_zero_and_null();
    test_wrong_frees();
    test_kinds();
    test_pitched();
    test_box();
    test_host_memory();
    test_pointer_attributes();
    test_info_and_reset();
    return check_done();
}
