/* SPDX-License-Identifier: MIT */
/*
 * Memory of graphs. The address is reserved when the node is made and stays; physical memory comes
 * with the first launch and stays reserved for the graph, as on the device, until
 * cuDeviceGraphMemTrim or the last reference. Live memory outlives its graph: then only a free ends
 * it.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/work/graph.h"
#include "tests/simgpu/driver/work/stream.h"

static LIST_HEAD(, graph_memory) memories;

static void pages_mark(const struct graph_memory *memory, struct allocation *value)
{
    for (size_t at = 0; at < memory->allocation.extent; at += PAGE_BYTES)
        va_page(memory->allocation.base + at)->allocation = value;
}

CUresult graph_memory_create(struct device *device, size_t bytes, struct graph_memory **ret)
{
    struct graph_memory *made = calloc(1, sizeof *made);

    if (!made || bytes > SIZE_MAX - PAGE_BYTES)
        goto fail;
    made->refs = 1;
    made->allocation = (struct allocation){.kind = MEMORY_GRAPH,
                                           .bytes = bytes,
                                           .extent = ROUND_UP(bytes, PAGE_BYTES),
                                           .device = device,
                                           .id = memory_next_id()};
    made->allocation.base = va_take(made->allocation.extent, PAGE_BYTES, 0);
    if (!made->allocation.base)
        goto fail;
    pages_mark(made, &made->allocation);
    LIST_INSERT_HEAD(&memories, made, link);
    *ret = made;
    return CUDA_SUCCESS;
fail:
    free(made);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

struct graph_memory *graph_memory_find(uintptr_t base)
{
    struct graph_memory *each;

    LIST_FOREACH(each, &memories, link)
        if (each->allocation.base == base)
            return each;
    return NULL;
}

static void unback(struct graph_memory *memory)
{
    struct allocation *allocation = &memory->allocation;

    if (allocation->physical)
        physical_unmap(allocation->physical, allocation->base, allocation->extent);
    allocation->physical = NULL;
}

void graph_memory_ref(struct graph_memory *memory)
{
    if (memory)
        memory->refs++;
}

static void memory_end(struct graph_memory *memory)
{
    unback(memory);
    pages_mark(memory, NULL);
    va_give(memory->allocation.base, memory->allocation.extent);
    LIST_REMOVE(memory, link);
    free(memory);
}

void graph_memory_unref(struct graph_memory *memory)
{
    if (memory && !--memory->refs && !memory->live)
        memory_end(memory);
}

static void totals(const struct device *device, uint64_t *ret_used, uint64_t *ret_reserved)
{
    const struct graph_memory *each;

    *ret_used = *ret_reserved = 0;
    LIST_FOREACH(each, &memories, link) {
        if (each->allocation.device != device || !each->allocation.physical)
            continue;
        *ret_reserved += each->allocation.extent;
        *ret_used += each->live ? each->allocation.extent : 0;
    }
}

static void marks_raise(struct device *device)
{
    uint64_t used, reserved;

    totals(device, &used, &reserved);
    if (used > device->graph_used_high)
        device->graph_used_high = used;
    if (reserved > device->graph_reserved_high)
        device->graph_reserved_high = reserved;
}

void graph_memory_use(struct graph_memory *memory)
{
    memory->live = true;
    marks_raise(memory->allocation.device);
}

void graph_memory_free(struct graph_memory *memory)
{
    memory->live = false;
    if (!memory->refs)
        memory_end(memory);
}

void graph_memory_end(struct graph_memory *memory)
{
    memory->handed = false;
    graph_memory_free(memory);
}

CUresult graph_memory_back(struct graph_memory *memory)
{
    struct allocation *allocation = &memory->allocation;
    struct physical *physical;

    if (allocation->physical)
        return CUDA_SUCCESS;
    CUresult result = physical_create(allocation->device, allocation->extent, false, &physical);
    if (result != CUDA_SUCCESS)
        return result;
    result = physical_map(physical, allocation->base, 0, allocation->extent,
                          PROT_READ | PROT_WRITE);
    if (result == CUDA_SUCCESS)
        allocation->physical = physical;
    physical->handles--;
    physical_check(physical);
    marks_raise(allocation->device);
    return result;
}

/* Graphs may run on the streams of any device. */
void graph_memory_trim(struct device *device)
{
    struct graph_memory *each;

    for (int i = 0; device_get(i); i++)
        device_wait(device_get(i));
    LIST_FOREACH(each, &memories, link)
        if (each->allocation.device == device && !each->live)
            unback(each);
}

static CUresult trim(CUdevice ordinal)
{
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    graph_memory_trim(device_get(ordinal));
    return CUDA_SUCCESS;
}

static CUresult attribute_get(CUdevice ordinal, CUgraphMem_attribute attribute, cuuint64_t *ret)
{
    const struct device *device = device_get(ordinal);
    uint64_t used, reserved;

    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    totals(device, &used, &reserved);
    switch (attribute) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT: *ret = used; break;
    case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH: *ret = device->graph_used_high; break;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT: *ret = reserved; break;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH: *ret = device->graph_reserved_high; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

/* The high-water marks can only be reset. */
static CUresult attribute_set(CUdevice ordinal, CUgraphMem_attribute attribute,
                              const cuuint64_t *value)
{
    struct device *device = device_get(ordinal);
    uint64_t used, reserved;

    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!value || *value)
        return CUDA_ERROR_INVALID_VALUE;
    totals(device, &used, &reserved);
    switch (attribute) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH: device->graph_used_high = used; break;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH: device->graph_reserved_high = reserved; break;
    default: return CUDA_ERROR_INVALID_VALUE;
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

CUresult CUDAAPI cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr,
                                              void *value)
{
    CALL(cuDeviceSetGraphMemAttribute, attribute_set(device, attr, value));
}
