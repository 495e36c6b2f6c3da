/* SPDX-License-Identifier: MIT */
/*
 * Makes blocks of every kind that stay, and contexts that end, then calls every function that
 * makes, frees or asks about memory, a fixed number of times, in a function of its own: cost.py
 * counts the instructions that libcupool spends there, with few and with many.
 *
 *   cost BLOCKS
 */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include "tests/check.h"

#define PAGE    ((size_t)2 << 20)
#define TURNS   400
#define HOST_AT 4096

static const CUmemAllocationProp on_device = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                              .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
static const CUmemPoolProps pool_on_device = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                              .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
static const CUDA_ARRAY_DESCRIPTOR flat = {16, 4, CU_AD_FORMAT_FLOAT, 1};
static CUstream stream;
static CUmemoryPool pool;

static CUgraphExec graph_make(CUdeviceptr *ret_pointer)
{
    CUDA_MEM_ALLOC_NODE_PARAMS wanted = {.poolProps = pool_on_device, .bytesize = 512};
    CUgraphNode node;
    CUgraph graph;
    CUgraphExec exec;

    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &wanted));
    OK(cuGraphInstantiate(&exec, graph, 0));
    OK(cuGraphDestroy(graph));
    *ret_pointer = wanted.dptr;
    return exec;
}

/* Kinds that take addresses or maps of the host stay fewer: valgrind leaves a program little. */
static size_t at_most(size_t blocks, size_t most)
{
    return blocks < most ? blocks : most;
}

/* Each had a pool. */
static void contexts_end(size_t contexts)
{
    CUcontext context, current;
    void *pointer;

    OK(cuCtxGetCurrent(&current));
    for (size_t i = 0; i < contexts; i++) {
        OK(cuCtxCreate(&context, NULL, 0, 0));
        OK(cudaMalloc(&pointer, 512));
        OK(cuCtxDestroy(context));
        OK(cuCtxSetCurrent(current));
    }
}

static void stay(size_t blocks)
{
    CUmemGenericAllocationHandle handle;
    CUdeviceptr address, range;
    CUarray array;
    CUmemoryPool other;
    void *pointer;
    char *pages = aligned_alloc(HOST_AT, at_most(blocks, 20000) * HOST_AT);
    size_t mappings = at_most(blocks, 3000);

    OK(cuMemAddressReserve(&range, mappings * PAGE, 0, 0, 0));
    for (size_t i = 0; i < mappings; i++) { /* one behind the other: the host joins them */
        OK(cuMemCreate(&handle, PAGE, &on_device, 0));
        OK(cuMemMap(range + i * PAGE, PAGE, 0, handle, 0));
        OK(cuMemRelease(handle));
    }
    for (size_t i = 0; i < blocks; i++) {
        OK(cudaMalloc(&pointer, 512));
        OK(cudaMallocAsync(&pointer, 512, stream));
        OK(cuMemAllocFromPoolAsync(&address, 512, pool, stream));
        OK(cuMemAllocManaged(&address, 512, CU_MEM_ATTACH_GLOBAL));
        OK(cuMemCreate(&handle, PAGE, &on_device, 0));
        OK(cuArrayCreate(&array, &flat));
    }
    for (size_t i = 0; i < at_most(blocks, 20000); i++) {
        OK(cudaMallocHost(&pointer, 512));
        OK(cudaHostRegister(pages + i * HOST_AT, HOST_AT, 0));
        OK(cuMemPoolCreate(&other, &pool_on_device));
    }
    for (size_t i = 0; i < at_most(blocks, 3000); i++)
        OK(cuMemAddressReserve(&address, PAGE, 0, 0, 0));
    for (size_t i = 0; i < at_most(blocks, 1500); i++)
        OK(cuGraphLaunch(graph_make(&address), stream));
    OK(cuStreamSynchronize(stream));
}

static void ordinary(void)
{
    size_t free_bytes, total;
    CUdeviceptr address;
    void *pointer;

    OK(cudaMalloc(&pointer, 512));
    OK(cudaFree(pointer));
    OK(cuMemAlloc(&address, 512));
    OK(cuMemFree(address));
    OK(cudaMemGetInfo(&free_bytes, &total));
    OK(cuMemAllocManaged(&address, 512, CU_MEM_ATTACH_GLOBAL));
    OK(cudaFree((void *)address));
}

static void in_order(void)
{
    CUmemoryPool other;
    CUdeviceptr address;
    void *pointer;

    OK(cudaMallocAsync(&pointer, 512, stream));
    OK(cudaFreeAsync(pointer, stream));
    OK(cuMemAllocFromPoolAsync(&address, 512, pool, stream));
    OK(cuMemFreeAsync(address, stream));
    OK(cuMemPoolCreate(&other, &pool_on_device));
    OK(cuMemPoolDestroy(other));
}

static void host(char *page)
{
    void *pointer;

    OK(cudaMallocHost(&pointer, 512));
    OK(cudaFreeHost(pointer));
    OK(cudaHostRegister(page, HOST_AT, 0));
    OK(cudaHostUnregister(page));
}

static void mapped(CUdeviceptr range)
{
    CUmemGenericAllocationHandle handle, again;
    CUdeviceptr address;
    CUarray array;

    OK(cuMemCreate(&handle, PAGE, &on_device, 0));
    OK(cuMemMap(range, PAGE, 0, handle, 0));
    OK(cuMemRelease(handle));
    OK(cuMemRetainAllocationHandle(&again, (void *)(range + 17)));
    OK(cuMemRelease(again));
    OK(cuMemUnmap(range, PAGE));
    OK(cuMemAddressReserve(&address, PAGE, 0, 0, 0));
    OK(cuMemAddressFree(address, PAGE));
    OK(cuArrayCreate(&array, &flat));
    OK(cuArrayDestroy(array));
}

static void measured(CUdeviceptr range, char *page, CUgraphExec exec, CUdeviceptr of_graph)
{
    CUcontext context, current;

    for (int i = 0; i < TURNS; i++) {
        ordinary();
        in_order();
        host(page);
        mapped(range);
        OK(cuGraphLaunch(exec, stream));
        OK(cuStreamSynchronize(stream));
        OK(cuMemFree(of_graph));
    }
    OK(cuCtxGetCurrent(&current));
    OK(cuCtxCreate(&context, NULL, 0, 0));
    ordinary();
    OK(cuCtxDestroy(context));
    OK(cuCtxSetCurrent(current));
}

int main(int count, char **words)
{
    size_t blocks = count > 1 ? strtoul(words[1], NULL, 10) : 1000;
    char *page = aligned_alloc(HOST_AT, HOST_AT);
    CUdeviceptr range, of_graph;

    OK(cudaFree(NULL));
    OK(cudaStreamCreate(&stream));
    OK(cuMemPoolCreate(&pool, &pool_on_device));
    contexts_end(at_most(blocks / 10, 600));
    stay(blocks);
    OK(cuMemAddressReserve(&range, PAGE, 0, 0, 0));
    CUgraphExec exec = graph_make(&of_graph);
    measured(range, page, exec, of_graph); /* what is done once only */
    CALLGRIND_START_INSTRUMENTATION;
    measured(range, page, exec, of_graph);
    CALLGRIND_STOP_INSTRUMENTATION;
    puts("done");
    return 0;
}
