/* SPDX-License-Identifier: MIT */
/*
 * Answers queries about an address: its range and its attributes.
 *
 * The real function answers first, so errors are its own; then its statements about the segment are
 * replaced by the facts of the block. For an address in a segment that belongs to no block, the
 * real function is asked about an address where nothing can be: the answer is the same as for freed
 * memory.
 *
 * With `ipc_range:segment` range and id remain the segment's (docs/transparency.md says for whom).
 */
#include <errno.h>

#include "shim/resolve/hooks.h"
#include "shim/memory/vmm.h"
#include "shim/share/ranges.h"
#include "shim/resolve/real.h"
#include "shim/shim.h"
#include "shim/share/sync_memops.h"
#include "shim/context/thread_state.h"

/* Returns the range that the program sees. */
static struct address_range range_seen(uint64_t address)
{
    struct address_range range = address_range_of(address);
    bool segment = shim_options()->ipc_range == OPTION_IPC_RANGE_SEGMENT;

    if (segment && range.kind == RANGE_HOLE)
        range.kind = RANGE_DRIVER;
    return range;
}

static bool segment_counts(const struct address_range *range)
{
    return !range->imported && shim_options()->ipc_range == OPTION_IPC_RANGE_SEGMENT;
}

static CUdeviceptr asked_about(const struct address_range *range, CUdeviceptr address)
{
    return range->kind == RANGE_HOLE ? RANGE_NOWHERE : address;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *pbase, size_t *psize, CUdeviceptr dptr)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuMemGetAddressRange_v2)
        return MISSING_DRIVER;
    struct address_range range = range_seen(dptr);
    CUresult result = real->cuMemGetAddressRange_v2(pbase, psize, asked_about(&range, dptr));
    if (result != CUDA_SUCCESS || range.kind != RANGE_BLOCK || segment_counts(&range))
        return result;
    if (pbase)
        *pbase = range.base;
    if (psize)
        *psize = range.bytes;
    return result;
}

/* Answers as for a driver allocation where the driver answered for a mapping. */
static void answer_mapped(const struct address_range *range, CUpointer_attribute attribute,
                          void *data)
{
    switch ((int)attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)data = address_range_handle(range); break;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: *(uint64_t *)data = 0; break;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        *(bool *)data = !range->imported && vmm_may_export(range->base);
        break;
    default: break;
    }
}

/* Replaces the answer for the segment by that for the block; `data` holds the former. */
static CUresult answer(const struct address_range *range, CUpointer_attribute attribute, void *data)
{
    uint64_t id;

    if (range->kind != RANGE_BLOCK)
        return CUDA_SUCCESS;
    if (attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS) {
        *(unsigned int *)data = range->synchronous;
        return CUDA_SUCCESS;
    }
    if (range->mapped)
        answer_mapped(range, attribute, data);
    if (segment_counts(range))
        return CUDA_SUCCESS;
    switch ((int)attribute) {
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR: *(CUdeviceptr *)data = range->base; break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE: *(size_t *)data = range->bytes; break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        if (address_range_id(range, &id) < 0)
            return CUDA_ERROR_OUT_OF_MEMORY;
        *(unsigned long long *)data = id;
        break;
    default: break;
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuPointerGetAttribute)
        return MISSING_DRIVER;
    struct address_range range = range_seen(ptr);
    CUresult result = real->cuPointerGetAttribute(data, attribute, asked_about(&range, ptr));
    return result == CUDA_SUCCESS ? answer(&range, attribute, data) : result;
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute *attributes,
                                void **data, CUdeviceptr ptr)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuPointerGetAttributes)
        return MISSING_DRIVER;
    struct address_range range = range_seen(ptr);
    CUresult result = real->cuPointerGetAttributes(numAttributes, attributes, data,
                                                   asked_about(&range, ptr));
    for (unsigned int i = 0; result == CUDA_SUCCESS && i < numAttributes; i++)
        result = answer(&range, attributes[i], data[i]);
    return result;
}

CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuPointerSetAttribute)
        return MISSING_DRIVER;
    struct address_range range = address_range_of(ptr);
    if (range.kind != RANGE_BLOCK || !value || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
        return real->cuPointerSetAttribute(value, attribute, asked_about(&range, ptr));
    int saved_errno = errno;
    thread_enter(); /* what runs beneath, a callback too, only forwards */
    CUresult result = sync_memops_set(real, &range, ptr, *(const unsigned int *)value);
    thread_leave();
    errno = saved_errno;
    return result;
}
