/* SPDX-License-Identifier: MIT */
/*
 * Memory of graphs. The address is reserved when the node is made and stays; physical memory comes
 * with the first launch and stays reserved for the graph, as on the device, until
 * cuDeviceGraphMemTrim or the last reference. Live memory outlives its graph: then only a free ends
 * it.
 */
#include "tests/simgpu/driver/call.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "tests/simgpu/driver/context.h"
#include "tests/simgpu/driver/graph.h"
#include "tests/simgpu/driver/stream.h"

static LIST_HEAD(, graph_memory) memories;

CUresult graph_memory_create(struct device *device, size_t bytes, struct graph_memory **ret)
{
    struct graph_memory *made = calloc(1, sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *made = (struct graph_memory){.refs = 1, .device = device, .bytes = bytes};
    made->base = va_take(ROUND_UP(bytes, PAGE_BYTES), PAGE_BYTES, 0);
    if (!made->base) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    LIST_INSERT_HEAD(&memories, made, link);
    *ret = made;
    return CUDA_SUCCESS;
}

struct graph_memory *graph_memory_find(uintptr_t base)
{
    struct graph_memory *each;
    LIST_FOREACH(each, &memories, link)
        if (each->base == base)
            return each;
    return NULL;
}

static void unback(struct graph_memory *memory)
{
    struct allocation *allocation = memory->allocation;
    if (!allocation)
        return;
    for (size_t at = 0; at < allocation->extent; at += PAGE_BYTES)
        va_page(memory->base + at)->allocation = NULL;
    physical_unmap(allocation->physical, memory->base, allocation->extent);
    free(allocation);
    memory->allocation = NULL;
}

void graph_memory_ref(struct graph_memory *memory)
{
    if (memory)
        memory->refs++;
}

void graph_memory_unref(struct graph_memory *memory)
{
    if (!memory || --memory->refs || memory->live)
        return;
    unback(memory);
    va_give(memory->base, ROUND_UP(memory->bytes, PAGE_BYTES));
    LIST_REMOVE(memory, link);
    free(memory);
}

CUresult graph_memory_back(struct graph_memory *memory)
{
    struct physical *physical;
    size_t extent = ROUND_UP(memory->bytes, PAGE_BYTES);
    if (memory->allocation)
        return CUDA_SUCCESS;
    struct allocation *made = calloc(1, sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = physical_create(memory->device, extent, false, &physical);
    if (result != CUDA_SUCCESS) {
        free(made);
        return result;
    }
    result = physical_map(physical, memory->base, 0, extent, PROT_READ | PROT_WRITE);
    physical->handles--;
    physical_check(physical);
    if (result != CUDA_SUCCESS) {
        free(made);
        return result;
    }
    *made = (struct allocation){.kind = MEMORY_GRAPH,
                                .base = memory->base,
                                .bytes = memory->bytes,
                                .extent = extent,
                                .device = memory->device,
                                .physical = physical,
                                .id = memory_next_id()};
    memory->allocation = made;
    for (size_t at = 0; at < extent; at += PAGE_BYTES)
        va_page(memory->base + at)->allocation = made;
    return CUDA_SUCCESS;
}

void graph_memory_trim(struct device *device)
{
    struct graph_memory *each;
    device_wait(device);
    LIST_FOREACH(each, &memories, link)
        if (each->device == device && !each->live)
            unback(each);
}

static CUresult trim(CUdevice ordinal)
{
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    graph_memory_trim(device_get(ordinal));
    return CUDA_SUCCESS;
}

static CUresult attribute_get(CUdevice ordinal, CUgraphMem_attribute attribute, void *ret)
{
    struct device *device = device_get(ordinal);
    struct graph_memory *each;
    uint64_t used = 0, reserved = 0;
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    LIST_FOREACH(each, &memories, link) {
        if (each->device != device || !each->allocation)
            continue;
        reserved += each->allocation->extent;
        used += each->live ? each->allocation->extent : 0;
    }
    switch (attribute) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT: *(cuuint64_t *)ret = used; break;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT: *(cuuint64_t *)ret = reserved; break;
    default: return CUDA_ERROR_NOT_SUPPORTED; /* the high-water marks are not kept */
    }
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGraphMemTrim(CUdevice device)
{
    CALL(cuDeviceGraphMemTrim, trim(device));
}

CUresult CUDAAPI cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr,
                                              void *value)
{
    CALL(cuDeviceGetGraphMemAttribute, attribute_get(device, attr, value));
}
