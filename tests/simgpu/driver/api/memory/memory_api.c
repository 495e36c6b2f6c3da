/* SPDX-License-Identifier: MIT */
/*
 * cuMemAlloc and its family, cuMemFree, and queries of address ranges.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/api/memory/ipc.h"
#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/memory/pool.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/graph.h"
#include "tests/simgpu/driver/work/stream.h"

#define PITCH_ALIGN 512

static CUresult allocate(enum call_id id, CUdeviceptr *ret, size_t bytes)
{
    CUcontext ctx;
    struct allocation *made;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && (!ret || !bytes))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result == CUDA_SUCCESS)
        result = memory_take(&ctx->arena, context_memory(ctx), MEMORY_DEVICE, bytes, &made);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        pools_trim_all(ctx->device);
        result = memory_take(&ctx->arena, context_memory(ctx), MEMORY_DEVICE, bytes, &made);
    }
    if (result != CUDA_SUCCESS)
        return result;
    call_bytes(id, bytes);
    observed_memory(OBSERVER_ALLOCATE, made, NULL);
    *ret = made->base;
    return CUDA_SUCCESS;
}

static CUresult allocate_pitch(CUdeviceptr *ret, size_t *ret_pitch, size_t width, size_t height,
                               unsigned element_bytes)
{
    size_t pitch = ROUND_UP(width, PITCH_ALIGN), bytes;
    bool known_element = element_bytes == 4 || element_bytes == 8 || element_bytes == 16;

    if (!ret || !ret_pitch || !width || !height || !known_element || pitch < width)
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(pitch, height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = allocate(CALL_cuMemAllocPitch_v2, ret, bytes);
    if (result == CUDA_SUCCESS)
        *ret_pitch = pitch;
    return result;
}

/* Managed memory can exceed the device's: its physical memory belongs to no device. */
static CUresult allocate_managed(CUdeviceptr *ret, size_t bytes, unsigned flags)
{
    static struct arena arena;
    CUcontext ctx;
    struct allocation *made;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS &&
        (!ret || !bytes || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result == CUDA_SUCCESS)
        result = memory_take(&arena, context_memory(ctx), MEMORY_MANAGED, bytes, &made);
    if (result != CUDA_SUCCESS)
        return result;
    made->flags = flags;
    call_bytes(CALL_cuMemAllocManaged, bytes);
    observed_memory(OBSERVER_ALLOCATE, made, NULL);
    *ret = made->base;
    return CUDA_SUCCESS;
}

static bool may_free(const struct allocation *found, CUdeviceptr address)
{
    if (!found || found->base != address || found->freeing || found->of_image)
        return false;
    return found->kind == MEMORY_DEVICE || found->kind == MEMORY_MANAGED ||
           found->kind == MEMORY_ASYNC || found->kind == MEMORY_EXTERNAL ||
           (found->kind == MEMORY_GRAPH && graph_memory_find(address)->handed);
}

static CUresult free_memory(enum call_id id, CUdeviceptr address)
{
    CUcontext ctx;
    CUresult result = capture_enter_unsafe(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!may_free(memory_find(address), address))
        return CUDA_ERROR_INVALID_VALUE;
    struct device *device = memory_find(address)->device;
    if (!device) /* memory of a pool on the host */
        device = ctx->device;
    if (device_is_busy(device))
        call_add_ns(thread_self(), profile.cost[id].busy_ns);
    device_wait(device);
    /* The lock was released: somebody may have freed it meanwhile. */
    struct allocation *found = memory_find(address);
    if (!may_free(found, address))
        return CUDA_ERROR_INVALID_VALUE;
    if (ctx->sticky != CUDA_SUCCESS)
        return ctx->sticky;
    call_bytes(id, found->bytes);
    ipc_forget(found);
    if (found->kind != MEMORY_GRAPH)
        observed_memory(OBSERVER_FREE, found, NULL);
    if (found->kind == MEMORY_ASYNC)
        pool_free_now(found);
    else if (found->kind == MEMORY_GRAPH)
        graph_memory_end(graph_memory_find(address));
    else
        memory_give(found);
    return CUDA_SUCCESS;
}

static CUresult info_get(size_t *ret_free, size_t *ret_total)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (ret_free)
        *ret_free = ctx->device->capacity - ctx->device->used;
    if (ret_total)
        *ret_total = ctx->device->capacity;
    return CUDA_SUCCESS;
}

static CUresult range_get(CUdeviceptr *ret_base, size_t *ret_bytes, CUdeviceptr address)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    struct allocation *found = memory_find(address);

    if (result != CUDA_SUCCESS)
        return result;
    if (!found)
        found = host_memory_find(address);
    if (!found)
        return CUDA_ERROR_NOT_FOUND;
    if (ret_base)
        *ret_base = found->base;
    if (ret_bytes)
        *ret_bytes = found->bytes;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytesize)
{
    CALL(cuMemAlloc_v2, allocate(CALL_cuMemAlloc_v2, dptr, bytesize), "bytes=%zu\tptr=0x%llx",
         bytesize, OUT(dptr));
}

CUresult CUDAAPI cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *pPitch, size_t WidthInBytes,
                                    size_t Height, unsigned int ElementSizeBytes)
{
    CALL(cuMemAllocPitch_v2, allocate_pitch(dptr, pPitch, WidthInBytes, Height, ElementSizeBytes),
         "bytes=%zu\tptr=0x%llx", OUT(pPitch) * Height, OUT(dptr));
}

CUresult CUDAAPI cuMemAllocManaged(CUdeviceptr *dptr, size_t bytesize, unsigned int flags)
{
    CALL(cuMemAllocManaged, allocate_managed(dptr, bytesize, flags), "bytes=%zu\tptr=0x%llx",
         bytesize, OUT(dptr));
}

CUresult CUDAAPI cuMemFree_v2(CUdeviceptr dptr)
{
    CALL(cuMemFree_v2, dptr ? free_memory(CALL_cuMemFree_v2, dptr) : CUDA_SUCCESS, "ptr=0x%llx",
         dptr);
}

CUresult CUDAAPI cuMemGetInfo_v2(size_t *free, size_t *total)
{
    CALL(cuMemGetInfo_v2, info_get(free, total), "free=%zu\ttotal=%zu", OUT(free), OUT(total));
}

CUresult CUDAAPI cuMemGetAddressRange_v2(CUdeviceptr *pbase, size_t *psize, CUdeviceptr dptr)
{
    CALL(cuMemGetAddressRange_v2, range_get(pbase, psize, dptr), "ptr=0x%llx\tbytes=%zu", dptr,
         OUT(psize));
}
