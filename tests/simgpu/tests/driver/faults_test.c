/* SPDX-License-Identifier: MIT */
/*
 * The simulation's own controls: injected faults, the call log, counters and virtual time. The
 * environment comes from the build file: the third cuMemAlloc and the second cuMemCreate fail.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <stdint.h>
#include <unistd.h>

static unsigned lines_with(const char *path, const char *a, const char *b)
{
    char line[1024];
    unsigned found = 0;
    FILE *file = fopen(path, "r");

    CHECK(file);
    while (fgets(line, sizeof line, file))
        found += strstr(line, a) && strstr(line, b);
    fclose(file);
    return found;
}

int main(void)
{
    CUdeviceptr memory[4];
    CUmemGenericAllocationHandle handle;
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    char path[64];

    start();
    if (!simulated()) {
        printf("skip: needs the simulated device\n");
        return 77;
    }
    uint64_t (*calls)(const char *) = (uint64_t(*)(const char *))control("simgpu_calls");
    uint64_t (*clock)(void) = (uint64_t(*)(void))control("simgpu_virtual_ns");
    uint64_t began = clock();
    OK(cuMemAlloc(&memory[0], 1000));
    OK(cuMemAlloc(&memory[1], 2000));
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&memory[2], 1));
    OK(cuMemAlloc(&memory[2], 3000));
    OK(cuMemCreate(&handle, 2 * MIB, &prop, 0));
    OK(cuMemRelease(handle));
    EXPECT(CUDA_ERROR_NOT_PERMITTED, cuMemCreate(&handle, 2 * MIB, &prop, 0));
    CHECK(calls("cuMemAlloc_v2") == 4 && calls("cuMemCreate") == 2 && calls("cuNothing") == 0);
    CHECK(clock() > began);
    OK(cuMemFree(memory[0]));
    snprintf(path, sizeof path, "simgpu-faults.%d.log", (int)getpid());
    CHECK(lines_with(path, "\tcuMemAlloc_v2\tCUDA_SUCCESS\t", "bytes=") == 3);
    CHECK(lines_with(path, "\tcuMemAlloc_v2\tCUDA_SUCCESS\tbytes=3000\tptr=0x", "") == 1);
    CHECK(lines_with(path, "\tcuMemAlloc_v2\tCUDA_ERROR_OUT_OF_MEMORY\t", "bytes=1") == 1);
    CHECK(lines_with(path, "\tcuMemFree_v2\tCUDA_SUCCESS\tptr=0x", "") == 1);
    CHECK(lines_with(path, "cuGetProcAddress", "") == 0);
    unlink(path);
    return 0;
}
