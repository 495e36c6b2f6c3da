/* SPDX-License-Identifier: MIT */
/*
 * Entry points of pinned host memory.
 */
#include "tests/simgpu/driver/base/call.h"

#include <sys/mman.h>

#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/stream.h"

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
    result = host_memory_add(context_memory(ctx), MEMORY_HOST, made, bytes, flags);
    if (result != CUDA_SUCCESS) {
        munmap(made, ROUND_UP(bytes, 4096));
        return result;
    }
    call_bytes(id, bytes);
    observed_memory(OBSERVER_ALLOCATE, host_memory_find((uintptr_t)made), NULL);
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult host_free(void *pointer)
{
    CUcontext ctx;
    struct allocation *range = host_memory_find((uintptr_t)pointer);
    CUresult result = capture_enter_unsafe(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!range || range->kind != MEMORY_HOST || range->base != (uintptr_t)pointer)
        return CUDA_ERROR_INVALID_VALUE;
    device_wait(range->device);
    observed_memory(OBSERVER_FREE, range, NULL);
    host_memory_give(range);
    return CUDA_SUCCESS;
}

static CUresult host_register(void *pointer, size_t bytes, unsigned flags)
{
    const unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                           CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    CUcontext ctx;
    CUresult result = capture_enter_unsafe(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!pointer || !bytes || flags & ~known)
        return CUDA_ERROR_INVALID_VALUE;
    if (host_memory_overlaps((uintptr_t)pointer, bytes))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return host_memory_add(context_memory(ctx), MEMORY_REGISTERED, pointer, bytes, flags);
}

static CUresult host_unregister(void *pointer)
{
    CUcontext ctx;
    struct allocation *range = host_memory_find((uintptr_t)pointer);
    CUresult result = capture_enter_unsafe(&ctx);

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
    *ret = range->flags | CU_MEMHOSTALLOC_DEVICEMAP; /* unified addressing maps all host memory */
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
