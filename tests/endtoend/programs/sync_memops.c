/* SPDX-License-Identifier: MIT */
/*
 * SYNC_MEMOPS of blocks of many sizes, side by side: whatever the driver keeps it for, an address
 * of a block that wants it has it, and when nobody wants it any more no address has. Asks the
 * simulated device itself. Prints the errors, and `wrong: N`.
 */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCKS 12
#define STEP   ((size_t)256 << 10)

static int (*device_says)(uint64_t address);
static char *blocks[BLOCKS];
static int wants[BLOCKS], wrong;
static const size_t sizes[BLOCKS] = {1000,     5 << 20, 33 << 20, 100 << 10, 2 << 20,  21 << 20,
                                     50 << 20, 3000,    1 << 20,  9 << 20,   16 << 20, 700};

static void set(int at, unsigned value)
{
    CUresult result = cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                                            (CUdeviceptr)(uintptr_t)(blocks[at] + sizes[at] / 2));
    if (result != CUDA_SUCCESS)
        printf("set %d: %d\n", at, (int)result);
    wants[at] = (int)value && result == CUDA_SUCCESS;
}

static void expect(const char *step, int at, size_t offset, int wanted)
{
    int found = device_says((uint64_t)(uintptr_t)(blocks[at] + offset));
    if (found == wanted)
        return;
    wrong++;
    printf("%s: block %d of %zu bytes, at %zu: %d\n", step, at, sizes[at], offset, found);
}

/* If no block has it, no memory may have it. */
static void look(const char *step)
{
    int any = 0;
    for (int at = 0; at < BLOCKS; at++)
        any |= wants[at];
    for (int at = 0; at < BLOCKS; at++) {
        if (!blocks[at] || (!wants[at] && any))
            continue;
        for (size_t offset = 0; offset < sizes[at]; offset += STEP)
            expect(step, at, offset, wants[at]);
        expect(step, at, sizes[at] - 1, wants[at]);
    }
}

static void release(int at)
{
    if (cudaFree(blocks[at]) != cudaSuccess)
        printf("free %d refused\n", at);
    blocks[at] = NULL;
    wants[at] = 0;
}

/* On a full device: of every 4 MiB one block stays, and wants it; then a large one wants in, for
 * which what lies around them is mapped elsewhere, and they on other memory. */
static int moved(void)
{
    static char *all[10000];
    unsigned value = 1;
    int count = 0, lost = 0;
    void *large;
    while (count < 10000 && cudaMalloc((void **)&all[count], 1 << 20) == cudaSuccess)
        count++;
    for (int at = 0; at < count; at++)
        if (at % 4 == 1)
            cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                                  (CUdeviceptr)(uintptr_t)all[at]);
        else
            cudaFree(all[at]);
    cudaDeviceSynchronize();
    cudaError_t result = cudaMalloc(&large, (size_t)count / 16 << 20);
    for (int at = 1; at < count; at += 4)
        lost += device_says((uint64_t)(uintptr_t)all[at]) != 1;
    printf("large: %d, lost: %d\n", (int)result, lost);
    return 0;
}

int main(int count, char **words)
{
    *(void **)&device_says = dlsym(dlopen("libcuda.so.1", RTLD_NOW), "simgpu_sync_memops");
    if (!device_says)
        return 77;
    if (count > 1)
        return moved();
    for (int at = 0; at < BLOCKS; at++)
        if (cudaMalloc((void **)&blocks[at], sizes[at]) != cudaSuccess)
            return 1;
    for (int at = 0; at < BLOCKS; at++) {
        set(at, 1);
        look("one");
        set(at, 0);
        look("none");
    }
    for (int at = 0; at < BLOCKS; at++)
        set(at, 1);
    look("all");
    release(2); /* 3 lies on the same piece, and 11 in the segment of 7 */
    release(7);
    look("neighbours freed");
    for (int at = 0; at < BLOCKS; at += 2)
        if (blocks[at])
            set(at, 0);
    look("every other one");
    for (int at = 1; at < BLOCKS; at += 4)
        release(at); /* with it */
    look("some freed");
    set(3, 1); /* again */
    set(3, 0);
    set(11, 0);
    look("none left");
    for (int at = 0; at < BLOCKS; at++)
        if (blocks[at])
            release(at);
    printf("wrong: %d\n", wrong);
    return 0;
}
