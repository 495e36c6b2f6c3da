/* SPDX-License-Identifier: MIT */
/*
 * Kernels through their host twins: arguments, shared memory, barriers, order, graphs, faults, and
 * kernels without a twin. Simulation only: on hardware the conformance programs launch kernels.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <stdint.h>
#include <stdlib.h>

/* A module with an image without names, as a compressed fat binary. */
static const uint32_t fatbin[16] = {0xba55ed50u, 0x00100001u};

struct packed {
    int first;
    double second;
};

/* Runs behind the destructors of the twins, which were loaded later. */
static void launch_at_exit(void)
{
    CUcontext context;
    CUmodule module;
    CUfunction add_index;
    CUdeviceptr data;
    int n = 4, bias = 5, result[4];
    void *arguments[] = {&data, &n, &bias};

    OK(cuCtxCreate(&context, NULL, 0, 0));
    OK(cuMemAlloc(&data, sizeof result));
    OK(cuMemsetD32(data, 0, 4));
    OK(cuModuleLoadData(&module, fatbin));
    OK(cuModuleGetFunction(&add_index, module, "_Z9add_indexPiii"));
    OK(cuLaunchKernel(add_index, 1, 1, 1, 4, 1, 1, 0, NULL, arguments, NULL));
    OK(cuMemcpyDtoH(result, data, sizeof result));
    CHECK(result[3] == 3 + bias);
}

int main(void)
{
    enum { N = 10000 };
    CUmodule module;
    CUfunction add_index, sum, store, fault, unknown;
    CUdeviceptr data, total;
    CUstream stream;
    int n = N, bias = 5, result;
    start();
    if (!simulated()) {
        printf("skip: needs the simulated device\n");
        return 77;
    }
    uint64_t (*skipped)(void) = (uint64_t(*)(void))control("simgpu_kernels_skipped");
    CHECK(atexit(launch_at_exit) == 0);
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    EXPECT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "\1\2\3\4\5\6\7\10\11"));
    OK(cuModuleLoadData(&module, fatbin));
    OK(cuModuleGetFunction(&add_index, module, "_Z9add_indexPiii"));
    OK(cuModuleGetFunction(&sum, module, "_Z3sumPKiiPi"));
    OK(cuModuleGetFunction(&store, module, "_Z5storeIdEvPT_S0_6packed"));
    OK(cuModuleGetFunction(&fault, module, "_Z5faultPi"));
    OK(cuModuleGetFunction(&unknown, module, "_Z7unknownv"));

    OK(cuMemAlloc(&data, N * sizeof(int)));
    OK(cuMemAlloc(&total, sizeof(double)));
    OK(cuMemsetD32(data, 0, N));
    OK(cuMemsetD32(total, 0, 1));
    OK(cuCtxSynchronize());
    void *add_arguments[] = {&data, &n, &bias};
    void *sum_arguments[] = {&data, &n, &total};
    hold(stream);
    OK(cuLaunchKernel(add_index, 40, 1, 1, 256, 1, 1, 0, stream, add_arguments, NULL));
    bias = 1000; /* arguments were copied */
    OK(cuLaunchKernel(sum, 3, 1, 1, 128, 1, 1, 512, stream, sum_arguments, NULL));
    release(stream);
    OK(cuStreamSynchronize(stream));
    OK(cuMemcpyDtoH(&result, total, sizeof result));
    CHECK(result == N * (N - 1) / 2 + 5 * N);

    double value = 1.5, stored;
    struct packed more = {2, 0.25};
    void *store_arguments[] = {&total, &value, &more};
    OK(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, stream, store_arguments, NULL));
    OK(cuStreamSynchronize(stream));
    OK(cuMemcpyDtoH(&stored, total, sizeof stored));
    CHECK(stored == 3.75);

    /* Packed arguments, and a captured launch that is replayed. */
    struct {
        CUdeviceptr data;
        int n, bias;
    } buffer = {data, N, 1};
    size_t bytes = sizeof buffer;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                     CU_LAUNCH_PARAM_END};
    CUgraph graph;
    CUgraphExec exec;
    OK(cuMemsetD32(data, 0, N));
    OK(cuCtxSynchronize());
    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuLaunchKernel(add_index, 40, 1, 1, 256, 1, 1, 0, stream, NULL, extra));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiate(&exec, graph, 0));
    OK(cuGraphLaunch(exec, stream));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    OK(cuMemcpyDtoH(&result, data + 9999 * sizeof(int), sizeof result));
    CHECK(result == 2 * (9999 + 1));

    CHECK(skipped() == 0);
    OK(cuLaunchKernel(unknown, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
    OK(cuStreamSynchronize(stream));
    CHECK(skipped() == 1);
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(add_index, 1, 1, 1, 2048, 1, 1, 0, stream, add_arguments, NULL));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(add_index, 0, 1, 1, 1, 1, 1, 0, stream, add_arguments, NULL));
    int blocks;
    OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, sum, 256, 0));
    CHECK(blocks > 0);

    /* A wild pointer breaks the context for good. */
    CUdeviceptr nowhere = 64;
    void *fault_arguments[] = {&nowhere};
    OK(cuLaunchKernel(fault, 1, 1, 1, 1, 1, 1, 0, stream, fault_arguments, NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemcpyDtoH(&result, total, sizeof result));
    return 0;
}
