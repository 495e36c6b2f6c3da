/* SPDX-License-Identifier: MIT */
/*
 * CUDA arrays: their attributes, and copies in and out in one, two and three
 * dimensions, with offsets in the units the documentation gives.
 */
#include "tests/simgpu/tests/runtime/support.h"

#pragma GCC diagnostic ignored                                                                     \
    "-Wdeprecated-declarations" /* cudaMemcpyToArray is part of the ABI */

enum { WIDTH = 16, ROWS = 6, SLICES = 3 };

static void test_description(void)
{
    struct cudaChannelFormatDesc wanted = cudaCreateChannelDesc(16, 16, 0, 0,
                                                                cudaChannelFormatKindUnsigned);
    struct cudaChannelFormatDesc bad = cudaCreateChannelDesc(8, 16, 0, 0,
                                                             cudaChannelFormatKindUnsigned);
    struct cudaChannelFormatDesc got;
    struct cudaExtent extent;
    cudaArray_t array;
    unsigned flags = 99;

    OK(cudaMallocArray(&array, &wanted, WIDTH, ROWS, cudaArrayDefault));
    OK(cudaArrayGetInfo(&got, &extent, &flags, array));
    CHECK(!memcmp(&got, &wanted, sizeof(got)));
    CHECK(extent.width == WIDTH && extent.height == ROWS && extent.depth == 0);
    EQUAL(flags, cudaArrayDefault);
    memset(&got, 0, sizeof(got));
    OK(cudaGetChannelDesc(&got, array));
    CHECK(!memcmp(&got, &wanted, sizeof(got)));
    OK(cudaFreeArray(array));
    EXPECT(cudaErrorInvalidChannelDescriptor, cudaMallocArray(&array, &bad, WIDTH, ROWS, 0));
}

static void test_plane(void)
{
    struct cudaChannelFormatDesc format = cudaCreateChannelDesc(32, 0, 0, 0,
                                                                cudaChannelFormatKindFloat);
    float in[ROWS][WIDTH], out[ROWS][WIDTH] = {{0}};
    float run[20], back[20] = {0};
    cudaArray_t array, other;

    for (int i = 0; i < ROWS * WIDTH; i++)
        in[i / WIDTH][i % WIDTH] = (float)i;
    for (int i = 0; i < 20; i++)
        run[i] = (float)-i;
    OK(cudaMallocArray(&array, &format, WIDTH, ROWS, 0));
    OK(cudaMallocArray(&other, &format, WIDTH, ROWS, 0));
    OK(cudaMemcpy2DToArray(array, 0, 0, in, sizeof(in[0]), sizeof(in[0]), ROWS,
                           cudaMemcpyHostToDevice));
    OK(cudaMemcpy2DArrayToArray(other, 0, 0, array, 0, 0, sizeof(in[0]), ROWS,
                                cudaMemcpyDeviceToDevice));
    OK(cudaMemcpy2DFromArray(out, sizeof(out[0]), other, 0, 0, sizeof(out[0]), ROWS,
                             cudaMemcpyDeviceToHost));
    CHECK(!memcmp(in, out, sizeof(in)));

    /* A run of 20 floats from column 10 of row 1 on ends in column 13 of row 2. */
    OK(cudaMemcpyToArray(array, 10 * sizeof(float), 1, run, sizeof(run), cudaMemcpyHostToDevice));
    OK(cudaMemcpyFromArray(back, array, 10 * sizeof(float), 1, sizeof(back),
                           cudaMemcpyDeviceToHost));
    CHECK(!memcmp(run, back, sizeof(run)));
    OK(cudaMemcpy2DFromArray(out, sizeof(out[0]), array, 0, 0, sizeof(out[0]), ROWS,
                             cudaMemcpyDeviceToHost));
    CHECK(out[1][9] == in[1][9] && out[1][10] == run[0] && out[1][15] == run[5]);
    CHECK(out[2][0] == run[6] && out[2][13] == run[19] && out[2][14] == in[2][14]);
    OK(cudaFreeArray(array));
    OK(cudaFreeArray(other));
}

static void test_volume(void)
{
    struct cudaChannelFormatDesc format = cudaCreateChannelDesc(16, 16, 0, 0,
                                                                cudaChannelFormatKindUnsigned);
    struct cudaExtent extent = {WIDTH, ROWS, SLICES};
    unsigned in[SLICES][ROWS][WIDTH], out[SLICES][ROWS][WIDTH] = {{{0}}};
    struct cudaMemcpy3DParms copy = {.extent = extent, .kind = cudaMemcpyHostToDevice};
    cudaArray_t array;

    for (unsigned i = 0; i < SLICES * ROWS * WIDTH; i++)
        (&in[0][0][0])[i] = i * 3;
    OK(cudaMalloc3DArray(&array, &format, extent, 0));
    copy.srcPtr = (struct cudaPitchedPtr){in, sizeof(in[0][0]), WIDTH, ROWS};
    copy.dstArray = array;
    OK(cudaMemcpy3D(&copy));

    /* Extent and array offset count elements; the offset into host memory counts bytes. */
    copy = (struct cudaMemcpy3DParms){
        .srcArray = array,
        .srcPos = {2, 1, 1},
        .dstPtr = {out, sizeof(out[0][0]), WIDTH, ROWS},
        .dstPos = {2 * sizeof(unsigned), 1, 1},
        .extent = {5, 2, 2},
        .kind = cudaMemcpyDeviceToHost,
    };
    OK(cudaMemcpy3D(&copy));
    for (int z = 0; z < SLICES; z++)
        for (int y = 0; y < ROWS; y++)
            for (int x = 0; x < WIDTH; x++) {
                int copied = z >= 1 && y >= 1 && y < 3 && x >= 2 && x < 7;

                EQUAL(out[z][y][x], copied ? in[z][y][x] : 0);
            }
    OK(cudaFreeArray(array));
}

static void test_mipmapped(void)
{
    struct cudaChannelFormatDesc format = cudaCreateChannelDesc(8, 8, 8, 8,
                                                                cudaChannelFormatKindUnsigned);
    struct cudaExtent extent;
    cudaMipmappedArray_t mipmapped;
    cudaArray_t level;

    OK(cudaMallocMipmappedArray(&mipmapped, &format, (struct cudaExtent){16, 8, 0}, 3, 0));
    OK(cudaGetMipmappedArrayLevel(&level, mipmapped, 2));
    OK(cudaArrayGetInfo(NULL, &extent, NULL, level));
    CHECK(extent.width == 4 && extent.height == 2);
    OK(cudaFreeMipmappedArray(mipmapped));
}

int main(void)
{
    test_description();
    test_plane();
    test_volume();
    test_mipmapped();
    return check_done();
}
