/* SPDX-License-Identifier: MIT */
/*
 * The hooks of physical memory and its mappings. Here one call is not one piece of memory: memory
 * is freed by its last release or its last unmapping, and one cuMemUnmap may end several mappings.
 * So the trace records when memory comes into being and when it is gone, and each mapping.
 */
#include <sys/stat.h>

#include "shim/hooks/call.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/mapping.h"
#include "shim/memory/physical.h"
#include "shim/memory/place.h"
#include "shim/memory/vmm.h"
#include "shim/share/ipc_mapped.h"
#include "shim/share/ranges.h"
#include "shim/hooks/pooled.h"

/* How often a request is repeated after pools returned memory: other threads may take it first. */
#define RELIEFS_MAX 2

static int place_on(int device)
{
    return device == LEDGER_HOST ? PLACE_HERE : PLACE_DEVICE(device);
}

static struct record_block block_of(const struct physical_facts *facts)
{
    return (struct record_block){
        .memory = facts->memory,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = facts->id,
        .requested_bytes = facts->bytes,
        .allocated_bytes = facts->bytes,
        .place = place_on(facts->device),
    };
}

static void record_gone(const struct call *call, const struct physical_facts *facts)
{
    struct record_block block = block_of(facts);

    if (facts->id)
        record_free(call, &block);
}

static void record_made(const struct call *call, const struct physical_facts *facts)
{
    struct record_block block = block_of(facts);

    record_allocate(call, &block);
}

/* Memory. */

static CUresult create(const struct driver_functions *real, CUmemGenericAllocationHandle *handle,
                       size_t size, const CUmemAllocationProp *prop, unsigned long long flags,
                       int place)
{
    for (int attempt = 0;; attempt++) {
        CUresult result = limit_hold_at(real, TRACE_MEMORY_PHYSICAL, place, size)
                              ? call_observe(real->cuMemCreate(handle, size, prop, flags))
                              : CUDA_ERROR_OUT_OF_MEMORY;

        if (result != CUDA_SUCCESS)
            limit_hold_end();
        if (attempt == RELIEFS_MAX || result != CUDA_ERROR_OUT_OF_MEMORY ||
            !pooled_relieve_at(place, size))
            return result;
    }
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                     const CUmemAllocationProp *prop, unsigned long long flags)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemCreate)
        return MISSING_DRIVER;
    bool outer = call_begin(&call, HOOK_cuMemCreate, __builtin_return_address(0));
    int place = prop ? place_of((int)prop->type, (int)prop->location.type, prop->location.id)
                     : PLACE_HERE;
    CUresult result = create(real, handle, size, prop, flags, place);
    if (!outer)
        return result;
    struct physical_facts facts = {.memory = place_memory(TRACE_MEMORY_PHYSICAL, place),
                                   .bytes = size};
    if (result == CUDA_SUCCESS && pooled_accounts(&call)) {
        facts.device = place_device(place);
        if (physical_made(*handle, &facts, &facts))
            record_made(&call, &facts);
    } else if (result != CUDA_SUCCESS) {
        struct record_block block = block_of(&facts);

        block.place = place;
        record_allocate_refused(&call, &block, (int)result);
    }
    call_end(&call);
    return result;
}

/* An unknown handle belongs to a multicast object, which is not memory. */
static void record_released(const struct call *call, const struct physical_release *release,
                            int result)
{
    struct physical_facts facts = physical_release_end(release, result == 0);
    struct record_block block = block_of(&facts);

    if (result == 0)
        record_gone(call, &facts);
    else if (facts.id)
        record_free_refused(call, &block, result);
    else
        record_invalid_free(call, release->handle, result, 0, 0);
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemRelease)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemRelease, __builtin_return_address(0)))
        return call_observe(real->cuMemRelease(handle));
    struct physical_release release = physical_release_begin(handle);
    CUresult result = call_observe(real->cuMemRelease(handle));
    if (pooled_accounts(&call))
        record_released(&call, &release, (int)result);
    call_end(&call);
    return result;
}

/* To the program, pool blocks and opened blocks on mapped pages are ordinary memory, not mappings.
 */
static uint64_t not_pooled(uint64_t address)
{
    return vmm_context_at(address) || ipc_mapped_at(address) ? RANGE_NOWHERE : address;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemRetainAllocationHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemRetainAllocationHandle, __builtin_return_address(0)))
        return real->cuMemRetainAllocationHandle(handle, addr);
    addr = (void *)(uintptr_t)not_pooled((uint64_t)(uintptr_t)addr);
    CUresult result = real->cuMemRetainAllocationHandle(handle, addr);
    if (result == CUDA_SUCCESS)
        physical_retained(*handle, (uint64_t)(uintptr_t)addr);
    call_end(&call);
    return result;
}

/* Sharing. */

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < count; i++)
        hash = (hash ^ byte[i]) * UINT64_C(1099511628211); /* FNV-1a */
    return hash;
}

/*
 * The key that identifies a shareable handle made by this process; 0: none. A descriptor is
 * identified by its file. Descriptors of a device node share one file, so there the number must
 * match too.
 */
static uint64_t share_key(CUmemAllocationHandleType type, const void *shareable, int descriptor)
{
    uint64_t hash = mix(UINT64_C(14695981039346656037), &type, sizeof(type));
    struct stat file;

    if (type == CU_MEM_HANDLE_TYPE_FABRIC)
        return shareable ? mix(hash, shareable, sizeof(CUmemFabricHandle)) : 0;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || fstat(descriptor, &file) != 0)
        return 0;
    hash = mix(hash, &file.st_dev, sizeof(file.st_dev));
    hash = mix(hash, &file.st_ino, sizeof(file.st_ino));
    return S_ISCHR(file.st_mode) ? mix(hash, &descriptor, sizeof(descriptor)) : hash;
}

CUresult cuMemExportToShareableHandle(void *shareableHandle, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType handleType,
                                      unsigned long long flags)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemExportToShareableHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemExportToShareableHandle, __builtin_return_address(0)))
        return real->cuMemExportToShareableHandle(shareableHandle, handle, handleType, flags);
    CUresult result = real->cuMemExportToShareableHandle(shareableHandle, handle, handleType,
                                                         flags);
    if (result == CUDA_SUCCESS && pooled_accounts(&call)) {
        bool is_file = handleType == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

        physical_exported(
            handle, share_key(handleType, shareableHandle, is_file ? *(int *)shareableHandle : -1));
    }
    call_end(&call);
    return result;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *osHandle,
                                        CUmemAllocationHandleType shHandleType)
{
    struct call call;
    struct physical_facts facts;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemImportFromShareableHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemImportFromShareableHandle, __builtin_return_address(0)))
        return real->cuMemImportFromShareableHandle(handle, osHandle, shHandleType);
    uint64_t key = share_key(shHandleType, osHandle, (int)(intptr_t)osHandle);
    CUresult result = real->cuMemImportFromShareableHandle(handle, osHandle, shHandleType);
    if (result != CUDA_SUCCESS)
        record_allocate_refused(&call, &(struct record_block){.memory = TRACE_MEMORY_PHYSICAL},
                                (int)result);
    else if (pooled_accounts(&call) && physical_imported(*handle, key, &facts))
        record_made(&call, &facts);
    call_end(&call);
    return result;
}

/* Mappings. */

static struct record_block mapping_block(uint64_t address, uint64_t bytes, int device)
{
    return (struct record_block){
        .memory = TRACE_MEMORY_MAPPING,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = address,
        .requested_bytes = bytes,
        .allocated_bytes = bytes,
        .place = place_on(device),
    };
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    struct call call;
    struct physical_facts facts, gone;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemMap)
        return MISSING_DRIVER;
    bool outer = call_begin(&call, HOOK_cuMemMap, __builtin_return_address(0));
    if (!outer)
        return call_observe(real->cuMemMap(ptr, size, offset, handle, flags));
    struct physical *physical = physical_map_begin(handle, &facts);
    CUresult result = call_observe(real->cuMemMap(ptr, size, offset, handle, flags));
    struct record_block block = mapping_block(ptr, size, facts.device);
    if (pooled_accounts(&call)) {
        gone = physical_map_end(physical, ptr, size, result == CUDA_SUCCESS);
        record_gone(&call, &gone);
        if (result == CUDA_SUCCESS)
            record_allocate(&call, &block);
        else
            record_allocate_refused(&call, &block, (int)result);
    }
    call_end(&call);
    return result;
}

static void record_kept(const struct call *call, const struct mapping *was, uint64_t address,
                        uint64_t end)
{
    struct record_block block = mapping_block(address, end - address,
                                              physical_of_mapping(was).device);

    if (address < end)
        record_allocate(call, &block);
}

/* Records the end of a mapping or of a part; the rest becomes a new mapping. */
static void record_unmapped(const struct call *call, struct mapping *taken, uint64_t address,
                            uint64_t bytes)
{
    struct record_block block = mapping_block(taken->address, taken->bytes,
                                              physical_of_mapping(taken).device);

    record_free(call, &block);
    record_kept(call, taken, taken->address, address);
    record_kept(call, taken, address + bytes, taken->address + taken->bytes);
    struct physical_facts gone = physical_unmap_end(taken, address, bytes);
    record_gone(call, &gone);
}

static void record_not_unmapped(const struct call *call, uint64_t address, struct mapping *taken,
                                int result)
{
    bool known = taken && taken->address == address;
    struct record_block block = mapping_block(address, known ? taken->bytes : 0, LEDGER_HOST);

    physical_unmap_undo(taken);
    if (known)
        record_free_refused(call, &block, result);
    else
        record_invalid_free(call, address, result, 0, 0);
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemUnmap)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemUnmap, __builtin_return_address(0)))
        return call_observe(real->cuMemUnmap(ptr, size));
    ptr = not_pooled(ptr);
    struct mapping *taken = physical_unmap_begin(ptr, size);
    CUresult result = call_observe(real->cuMemUnmap(ptr, size));
    if (result != CUDA_SUCCESS)
        record_not_unmapped(&call, ptr, taken, (int)result);
    while (taken && result == CUDA_SUCCESS) {
        struct mapping *next = taken->next[0];

        record_unmapped(&call, taken, ptr, size);
        taken = next;
    }
    call_end(&call);
    return result;
}

CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuMemSetAccess)
        return MISSING_DRIVER;
    return real->cuMemSetAccess(shim_mode() == SHIM_OFF ? ptr : not_pooled(ptr), size, desc, count);
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr ptr)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuMemGetAccess)
        return MISSING_DRIVER;
    return real->cuMemGetAccess(flags, location, shim_mode() == SHIM_OFF ? ptr : not_pooled(ptr));
}
