/* SPDX-License-Identifier: MIT */
/*
 * Pointer attributes. cuPointerGetAttribute fails for memory unknown to CUDA;
 * cuPointerGetAttributes answers zeros for it, and needs no context.
 */
#include "tests/simgpu/simgpu.h"
#include "tests/simgpu/driver/base/call.h"

#include <string.h>

#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/memory/vmm.h"

#define CU_POINTER_ATTRIBUTE_LAST CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE

union value {
    CUcontext ctx;
    CUmemorytype type;
    CUdeviceptr device;
    void *host;
    CUDA_POINTER_ATTRIBUTE_P2P_TOKENS tokens;
    unsigned flag; /* booleans and small masks are 32 bits wide */
    unsigned long long id;
    int ordinal;
    size_t bytes;
    CUmemoryPool pool;
    uint64_t mask;
};

/* How many bytes the program's variable has. */
static size_t value_bytes(CUpointer_attribute attribute)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS: return sizeof(CUDA_POINTER_ATTRIBUTE_P2P_TOKENS);
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID: return 8;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE: return 1;
    default: return 4;
    }
}

static bool is_host(const struct allocation *found)
{
    return found->kind == MEMORY_HOST || found->kind == MEMORY_REGISTERED;
}

static bool ipc_capable(const struct allocation *found)
{
    return found->kind == MEMORY_DEVICE;
}

static unsigned access_flags(const struct allocation *found)
{
    if (found->kind != MEMORY_MAPPED)
        return CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
    CUcontext ctx = thread_context() ? context_owner(thread_context()) : NULL;
    return (unsigned)mapping_access(found, ctx ? (unsigned)ctx->device->ordinal : 0);
}

static uint64_t handle_types(const struct allocation *found)
{
    return found->kind == MEMORY_MAPPED ? (uint64_t)found->physical->prop.requestedHandleTypes : 0;
}

static CUresult look(const struct allocation *found, CUpointer_attribute attribute,
                     CUdeviceptr address, union value *ret)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: ret->ctx = found->ctx; break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        ret->type = is_host(found) ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: ret->device = address; break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (!is_host(found) && found->kind != MEMORY_MANAGED)
            return CUDA_ERROR_INVALID_VALUE;
        ret->host = (void *)address;
        break;
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS: return CUDA_ERROR_NOT_SUPPORTED;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: ret->flag = found->sync_memops; break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID: ret->id = found->id; break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: ret->flag = found->kind == MEMORY_MANAGED; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        ret->ordinal = found->device ? found->device->ordinal : -1;
        break;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: ret->flag = ipc_capable(found); break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR: ret->device = found->base; break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE: ret->bytes = found->bytes; break;
    case CU_POINTER_ATTRIBUTE_MAPPED: ret->flag = 1; break;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: ret->mask = handle_types(found); break;
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE: ret->flag = !is_host(found); break;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS: ret->flag = access_flags(found); break;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: ret->pool = found->pool; break;
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE: ret->flag = 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

static struct allocation *find(CUdeviceptr address)
{
    struct allocation *found = memory_find(address);

    return found ? found : host_memory_find(address);
}

/* Reserved address space without a mapping has a few attributes. */
static CUresult look_unmapped(CUpointer_attribute attribute, CUdeviceptr address, union value *ret)
{
    struct page *page = va_page(address);

    if (!page || !page->reservation || attribute != CU_POINTER_ATTRIBUTE_MAPPED)
        return CUDA_ERROR_INVALID_VALUE;
    ret->flag = 0;
    return CUDA_SUCCESS;
}

static CUresult attribute_get(void *data, CUpointer_attribute attribute, CUdeviceptr address)
{
    CUcontext ctx;
    union value value;

    memset(&value, 0, sizeof value);
    CUresult result = context_current(&ctx);
    if (result != CUDA_SUCCESS)
        return result;
    if (!data || attribute < 1 || attribute > CU_POINTER_ATTRIBUTE_LAST)
        return CUDA_ERROR_INVALID_VALUE;
    const struct allocation *found = find(address);
    result = found ? look(found, attribute, address, &value)
                   : look_unmapped(attribute, address, &value);
    if (result == CUDA_SUCCESS)
        memcpy(data, &value, value_bytes(attribute));
    return result;
}

static CUresult attributes_get(unsigned count, const CUpointer_attribute *attributes, void **data,
                               CUdeviceptr address)
{
    if (!attributes || !data)
        return CUDA_ERROR_INVALID_VALUE;
    const struct allocation *found = find(address);
    for (unsigned i = 0; i < count; i++) {
        union value value;

        if (attributes[i] < 1 || attributes[i] > CU_POINTER_ATTRIBUTE_LAST)
            return CUDA_ERROR_INVALID_VALUE;
        memset(&value, 0, sizeof value);
        if (found && look(found, attributes[i], address, &value) != CUDA_SUCCESS)
            memset(&value, 0, sizeof value);
        else if (!found && attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)
            value.ordinal = -2; /* what cuda.h calls an invalid device */
        memcpy(data[i], &value, value_bytes(attributes[i]));
    }
    return CUDA_SUCCESS;
}

static CUresult attribute_set(const void *value, CUpointer_attribute attribute, CUdeviceptr address)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    struct allocation *found = find(address);

    if (result != CUDA_SUCCESS)
        return result;
    if (!value || !found || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
        return CUDA_ERROR_INVALID_VALUE;
    found->sync_memops = *(const unsigned *)value != 0;
    return CUDA_SUCCESS;
}

int simgpu_sync_memops(uint64_t address)
{
    pthread_mutex_lock(&driver_lock);
    const struct allocation *found = find(address);
    int set = found ? found->sync_memops : -1;
    pthread_mutex_unlock(&driver_lock);
    return set;
}

CUresult CUDAAPI cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    CALL(cuPointerGetAttribute, attribute_get(data, attribute, ptr), "ptr=0x%llx\tattribute=%d",
         ptr, attribute);
}

CUresult CUDAAPI cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute *attributes,
                                        void **data, CUdeviceptr ptr)
{
    CALL(cuPointerGetAttributes, attributes_get(numAttributes, attributes, data, ptr), "ptr=0x%llx",
         ptr);
}

CUresult CUDAAPI cuPointerSetAttribute(const void *value, CUpointer_attribute attribute,
                                       CUdeviceptr ptr)
{
    CALL(cuPointerSetAttribute, attribute_set(value, attribute, ptr),
         "ptr=0x%llx\tattribute=%d\tvalue=%u", ptr, attribute, OUT((const unsigned *)value));
}
