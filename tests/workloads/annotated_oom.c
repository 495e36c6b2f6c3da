/* SPDX-License-Identifier: MIT */
/*
 * Ways to run out of device memory, one for each reason. The device has 64 MiB (SIMGPU_MEMORY).
 *
 *     genuine        48 MiB are live, 32 more are wanted
 *     limit          48 MiB are wanted, under limit:32MiB
 *     others         32 MiB: others have 48 (SIMGPU_OTHERS)
 *     fragmentation  blocks of 512 KiB fill the device, every other one is freed, 8 MiB are wanted
 *     hoarding       80 blocks of 512 KiB are freed during a capture, so that no fence can be
 *                    recorded; 36 MiB are wanted meanwhile, others have 24 (SIMGPU_OTHERS)
 *
 * One thread.
 */
#include "tests/workloads/annotated.h"

#include <string.h>

#define PIECE          (MIB / 2)
#define PIECES         128
#define PIECES_HOARDED 80

static CUresult want(size_t bytes)
{
    CUdeviceptr address;
    CUresult result = cuMemAlloc(&address, bytes);

    if (result == CUDA_SUCCESS)
        cuMemFree(address);
    return result;
}

static CUdeviceptr piece[PIECES];

static CUresult fragmented(void)
{
    int count = 0;

    while (count < PIECES && cuMemAlloc(&piece[count], PIECE) == CUDA_SUCCESS)
        count++;
    for (int i = 0; i < count; i += 2)
        OK(cuMemFree(piece[i]));
    return want(8 * MIB);
}

static CUresult hoarded(void)
{
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    CUgraph graph;
    CUstream stream;
    CUresult result;

    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < PIECES_HOARDED; i++)
        OK(cuMemAlloc(&piece[i], PIECE));
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    for (int i = 0; i < PIECES_HOARDED; i++)
        OK(cuMemFree(piece[i]));
    result = want(36 * MIB);
    OK(cuStreamEndCapture(stream, &graph));
    return result;
}

int annotated_oom(const char *way)
{
    CUdeviceptr held = 0;
    CUresult result;

    if (!strcmp(way, "fragmentation")) {
        result = fragmented();
    } else if (!strcmp(way, "hoarding")) {
        result = hoarded();
    } else if (!strcmp(way, "others")) {
        result = want(32 * MIB);
    } else {
        if (strcmp(way, "limit") != 0)
            OK(cuMemAlloc(&held, 48 * MIB));
        result = want(strcmp(way, "limit") ? 32 * MIB : 48 * MIB);
    }
    printf("result: %d\n", (int)result);
    return 0;
}
