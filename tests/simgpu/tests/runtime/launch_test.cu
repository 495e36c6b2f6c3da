/* SPDX-License-Identifier: MIT */
/*
 * An nvcc-compiled program on the simulated runtime: a kernel with a host twin runs, one without is
 * skipped and counted, and launches that cannot be are refused as documented. This file is the
 * program and, compiled for the host, the twin.
 */
#include "tests/simgpu/host_kernel.h"

__global__ void vector_add(float *sum, const float *other, int count)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < count)
        sum[i] += other[i];
}
HOST_TWIN(vector_add);

#ifdef __CUDACC__
#include "tests/simgpu/tests/runtime/support.h"

/* No twin on purpose. */
__global__ void overwrite(float *values)
{
    values[threadIdx.x] = -1;
}

static const int count = 1000;
static float host[count];

static void test_twin(float *sum, float *other)
{
    int wrong = 0;

    for (int i = 0; i < count; i++)
        host[i] = (float)i;
    OK(cudaMemcpy(sum, host, sizeof(host), cudaMemcpyHostToDevice));
    OK(cudaMemcpy(other, host, sizeof(host), cudaMemcpyHostToDevice));
    vector_add<<<(count + 127) / 128, 128>>>(sum, other, count);
    OK(cudaGetLastError());
    OK(cudaMemcpy(host, sum, sizeof(host), cudaMemcpyDeviceToHost));
    for (int i = 0; i < count; i++)
        wrong += host[i] != 2 * i;
    EQUAL(wrong, 0);
}

static void test_other_ways_in(float *sum, float *other)
{
    void *arguments[] = {&sum, &other, (void *)&count};
    cudaLaunchConfig_t config = {};
    cudaKernel_t kernel = NULL;

    OK(cudaLaunchKernel((const void *)vector_add, dim3(8), dim3(128), arguments, 0, 0));
    config.gridDim = dim3(8);
    config.blockDim = dim3(128);
    OK(cudaLaunchKernelExC(&config, (const void *)vector_add, arguments));
    OK(cudaGetKernel(&kernel, (const void *)vector_add));
    OK(cudaLaunchKernel((const void *)kernel, dim3(8), dim3(128), arguments, 0, 0));
    OK(cudaLaunchCooperativeKernel((const void *)vector_add, dim3(8), dim3(128), arguments, 0, 0));
    OK(cudaMemcpy(host, sum, sizeof(host), cudaMemcpyDeviceToHost));
    EQUAL(host[count - 1], 6 * (count - 1));
}

static void test_graph_node(float *sum, float *other)
{
    void *arguments[] = {&sum, &other, (void *)&count};
    cudaKernelNodeParams parameters = {}, asked = {};
    cudaGraphNode_t node;
    cudaGraph_t graph;
    cudaGraphExec_t exec;

    parameters.func = (void *)vector_add;
    parameters.gridDim = dim3(8);
    parameters.blockDim = dim3(128);
    parameters.kernelParams = arguments;
    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphAddKernelNode(&node, graph, NULL, 0, &parameters));
    OK(cudaGraphKernelNodeGetParams(node, &asked));
    CHECK(asked.func == (void *)vector_add);
    EQUAL(asked.blockDim.x, 128);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphLaunch(exec, 0));
    OK(cudaDeviceSynchronize());
    OK(cudaMemcpy(host, sum, sizeof(host), cudaMemcpyDeviceToHost));
    EQUAL(host[count - 1], 7 * (count - 1));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

static void test_without_twin(float *sum)
{
    unsigned long (*skipped)(void) = (unsigned long (*)(void))check_control(
        "simgpu_kernels_skipped");
    unsigned long before = skipped();
    float first = 0;

    overwrite<<<1, 1>>>(sum);
    OK(cudaDeviceSynchronize());
    EQUAL(skipped(), before + 1);
    OK(cudaMemcpy(&first, sum + 1, sizeof(first), cudaMemcpyDeviceToHost));
    EQUAL(first, 7);
}

static void test_refused(float *sum, float *other)
{
    vector_add<<<0, 128>>>(sum, other, count);
    EXPECT(cudaErrorInvalidConfiguration, cudaGetLastError());
    vector_add<<<1, 4096>>>(sum, other, count);
    EXPECT(cudaErrorInvalidConfiguration, cudaGetLastError());
    EXPECT(cudaErrorInvalidDeviceFunction,
           cudaLaunchKernel((const void *)&check_failures, dim3(1), dim3(1), NULL, 0, 0));
    EXPECT(cudaErrorInvalidDeviceFunction, cudaGetLastError());
    OK(cudaDeviceSynchronize());
}

static void test_attributes()
{
    cudaFuncAttributes attributes;
    const char *name = NULL;
    int blocks = 0;

    OK(cudaFuncGetAttributes(&attributes, (const void *)vector_add));
    CHECK(attributes.maxThreadsPerBlock > 0);
    OK(cudaFuncGetName(&name, (const void *)vector_add));
    CHECK(name && !strcmp(name, "_Z10vector_addPfPKfi"));
    OK(cudaFuncSetAttribute((const void *)vector_add, cudaFuncAttributeMaxDynamicSharedMemorySize,
                            4096));
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, (const void *)vector_add, 128, 0));
    CHECK(blocks > 0);
}

/* An error of a kernel comes with a later call, stays, and fails everything in its context. */
static void test_broken_context()
{
    void *pointer;

    EXPECT(cudaSuccess, cudaGetLastError());
    vector_add<<<1, 1>>>(nullptr, nullptr, 1);
    EXPECT(cudaErrorIllegalAddress, cudaDeviceSynchronize());
    EXPECT(cudaErrorIllegalAddress, cudaMalloc(&pointer, 1));
    EXPECT(cudaErrorIllegalAddress, cudaGetLastError());
    EXPECT(cudaErrorIllegalAddress, cudaGetLastError());
}

int main()
{
    float *sum, *other;

    OK(cudaMalloc(&sum, sizeof(host)));
    OK(cudaMalloc(&other, sizeof(host)));
    test_twin(sum, other);
    test_other_ways_in(sum, other);
    test_graph_node(sum, other);
    test_without_twin(sum);
    test_refused(sum, other);
    test_attributes();
    OK(cudaFree(sum));
    OK(cudaFree(other));
    test_broken_context();
    return check_done();
}
#endif
