/* SPDX-License-Identifier: MIT */
/*
 * Pinned ranges in an array sorted by address; they never overlap. Guarded by driver_lock.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/simgpu/driver/stream/capture.h"
#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/stream/stream.h"

static struct allocation **ranges;
static size_t range_count, range_room;

/* Index of the first range that ends after the address. */
static size_t range_after(uintptr_t address)
{
    size_t low = 0, high = range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle]->base + ranges[middle]->bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct allocation *host_memory_find(uintptr_t address)
{
    size_t at = range_after(address);
    return at < range_count && ranges[at]->base <= address ? ranges[at] : NULL;
}

static bool range_insert(struct allocation *range)
{
    size_t at = range_after(range->base);
    if (range_count == range_room) {
        size_t room = range_room ? 2 * range_room : 64;
        struct allocation **grown = realloc(ranges, room * sizeof *grown);
        if (!grown)
            return false;
        ranges = grown;
        range_room = room;
    }
    memmove(ranges + at + 1, ranges + at, (range_count - at) * sizeof *ranges);
    ranges[at] = range;
    range_count++;
    return true;
}

static CUresult range_add(CUcontext ctx, enum memory_kind kind, void *base, size_t bytes,
                          unsigned flags)
{
    struct allocation *made = calloc(1, sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->kind = kind;
    made->base = (uintptr_t)base;
    made->bytes = bytes;
    made->extent = ROUND_UP(bytes, 4096);
    made->ctx = ctx;
    made->device = ctx->device;
    made->id = memory_next_id();
    made->flags = flags;
    if (!range_insert(made)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    LIST_INSERT_HEAD(&ctx->allocations, made, link);
    return CUDA_SUCCESS;
}

void host_memory_give(struct allocation *range)
{
    size_t at = range_after(range->base);
    memmove(ranges + at, ranges + at + 1, (range_count - at - 1) * sizeof *ranges);
    range_count--;
    LIST_REMOVE(range, link);
    if (range->kind == MEMORY_HOST)
        munmap((void *)range->base, range->extent);
    free(range);
}

#define HOST_FLAGS                                                                                 \
    (CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED)

static CUresult host_allocate(enum call_id id, void **ret, size_t bytes, unsigned flags)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    if (result == CUDA_SUCCESS && (!ret || !bytes || flags & ~(unsigned)HOST_FLAGS))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    void *made = mmap(NULL, ROUND_UP(bytes, 4096), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = range_add(ctx, MEMORY_HOST, made, bytes, flags);
    if (result != CUDA_SUCCESS) {
        munmap(made, ROUND_UP(bytes, 4096));
        return result;
    }
    call_bytes(id, bytes);
    observed_memory(OBSERVER_ALLOCATE, host_memory_find((uintptr_t)made), NULL, NULL);
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult host_free(void *pointer)
{
    CUcontext ctx;
    struct allocation *range = host_memory_find((uintptr_t)pointer);
    CUresult result = context_current(&ctx);
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    if (!range || range->kind != MEMORY_HOST || range->base != (uintptr_t)pointer)
        return CUDA_ERROR_INVALID_VALUE;
    device_wait(range->device);
    observed_memory(OBSERVER_FREE, range, NULL, NULL);
    host_memory_give(range);
    return CUDA_SUCCESS;
}

static bool overlaps_range(uintptr_t base, size_t bytes)
{
    size_t at = range_after(base);
    return at < range_count && ranges[at]->base < base + bytes;
}

static CUresult host_register(void *pointer, size_t bytes, unsigned flags)
{
    const unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                           CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    if (!pointer || !bytes || flags & ~known)
        return CUDA_ERROR_INVALID_VALUE;
    if (overlaps_range((uintptr_t)pointer, bytes))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return range_add(ctx, MEMORY_REGISTERED, pointer, bytes, flags);
}

static CUresult host_unregister(void *pointer)
{
    CUcontext ctx;
    struct allocation *range = host_memory_find((uintptr_t)pointer);
    CUresult result = context_current(&ctx);
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    if (!pointer)
        return CUDA_ERROR_INVALID_VALUE;
    if (!range || range->kind != MEMORY_REGISTERED || range->base != (uintptr_t)pointer)
        return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    device_wait(range->device);
    host_memory_give(range);
    return CUDA_SUCCESS;
}

static CUresult device_pointer(CUdeviceptr *ret, void *pointer, unsigned flags)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || flags || !host_memory_find((uintptr_t)pointer))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (uintptr_t)pointer;
    return CUDA_SUCCESS;
}

static CUresult host_flags(unsigned *ret, void *pointer)
{
    struct allocation *range = host_memory_find((uintptr_t)pointer);
    if (!ret || !range || range->kind != MEMORY_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = range->flags | CU_MEMHOSTALLOC_DEVICEMAP; /* unified addressing maps all of it */
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemAllocHost_v2(void **pp, size_t bytesize)
{
    CALL(cuMemAllocHost_v2, host_allocate(CALL_cuMemAllocHost_v2, pp, bytesize, 0),
         "bytes=%zu\tptr=0x%llx", bytesize, HEX(OUT(pp)));
}

CUresult CUDAAPI cuMemHostAlloc(void **pp, size_t bytesize, unsigned int Flags)
{
    CALL(cuMemHostAlloc, host_allocate(CALL_cuMemHostAlloc, pp, bytesize, Flags),
         "bytes=%zu\tptr=0x%llx", bytesize, HEX(OUT(pp)));
}

CUresult CUDAAPI cuMemFreeHost(void *p)
{
    CALL(cuMemFreeHost, host_free(p), "ptr=0x%llx", HEX(p));
}

CUresult CUDAAPI cuMemHostRegister_v2(void *p, size_t bytesize, unsigned int Flags)
{
    CALL(cuMemHostRegister_v2, host_register(p, bytesize, Flags), "bytes=%zu\tptr=0x%llx", bytesize,
         HEX(p));
}

CUresult CUDAAPI cuMemHostRegister(void *p, size_t bytesize, unsigned int Flags)
{
    CALL(cuMemHostRegister, host_register(p, bytesize, Flags), "bytes=%zu\tptr=0x%llx", bytesize,
         HEX(p));
}

CUresult CUDAAPI cuMemHostUnregister(void *p)
{
    CALL(cuMemHostUnregister, host_unregister(p), "ptr=0x%llx", HEX(p));
}

CUresult CUDAAPI cuMemHostGetDevicePointer_v2(CUdeviceptr *pdptr, void *p, unsigned int Flags)
{
    CALL(cuMemHostGetDevicePointer_v2, device_pointer(pdptr, p, Flags), "ptr=0x%llx", HEX(p));
}

CUresult CUDAAPI cuMemHostGetFlags(unsigned int *pFlags, void *p)
{
    CALL(cuMemHostGetFlags, host_flags(pFlags, p), "ptr=0x%llx", HEX(p));
}
