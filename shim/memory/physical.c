/* SPDX-License-Identifier: MIT */
/*
 * Physical memory and its mappings where one call is not one piece of memory: a handle that is
 * asked for again has to be released once more, and one cuMemUnmap may end several mappings.
 */
#include "shim/hooks/call.h"
#include "shim/memory/ledger.h"
#include "shim/hooks/pooled.h"

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();
    if (!real || !real->cuMemRetainAllocationHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemRetainAllocationHandle, __builtin_return_address(0)))
        return real->cuMemRetainAllocationHandle(handle, addr);
    CUresult result = real->cuMemRetainAllocationHandle(handle, addr);
    if (result == CUDA_SUCCESS)
        ledger_retain(TRACE_MEMORY_PHYSICAL, *handle);
    call_end(&call);
    return result;
}

/* Every mapping that ended, or what was asked when none of them is known. */
static void record_unmapped(const struct call *call, uint64_t address, struct ledger_chain *chain,
                            int result)
{
    struct ledger_entry entry = {0};
    bool known = ledger_chain_pop(chain, &entry);
    do {
        pooled_foreign_freed(call, TRACE_MEMORY_MAPPING, known ? entry.address : address, NULL,
                             &entry, result);
    } while (known && ledger_chain_pop(chain, &entry));
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    struct call call;
    struct ledger_chain chain;
    const struct driver_functions *real = CALL_REAL_DRIVER();
    if (!real || !real->cuMemUnmap)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemUnmap, __builtin_return_address(0)))
        return real->cuMemUnmap(ptr, size);
    ledger_take_chain(TRACE_MEMORY_MAPPING, ptr, size, &chain);
    CUresult result = real->cuMemUnmap(ptr, size);
    record_unmapped(&call, ptr, &chain, (int)result);
    call_end(&call);
    return result;
}
