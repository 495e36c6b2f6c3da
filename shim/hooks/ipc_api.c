/* SPDX-License-Identifier: MIT */
/*
 * Memory shared with other processes through the legacy IPC handles.
 *
 * A driver handle always means a whole driver allocation and opens at its base. A block at the base
 * of its segment is exported by the driver's own handle. A block elsewhere gets a token
 * (shim/share/ipc_board.h), from which the same hooks in the other process find the segment's
 * handle and the offset. Where no token can be made, the export is refused with the driver's
 * "invalid value"; otherwise it would open as other bytes. A segment with any exported block is
 * never handed out again.
 *
 * A block on mapped pages has a token, too, which gives access to the pages
 * (shim/share/ipc_export.h, ipc_mapped.h). The driver's hooks do this, because a runtime calls the
 * driver through them and makes its own error and context. The real driver is called first: so it
 * refuses whatever it would refuse natively, and only then the memory that is not its own.
 *
 * Callers that ask for the range first export its base: the block's, or the segment's with
 * `ipc_range:segment`.
 *
 * The content of a board is trusted only within the allocation that the driver opened.
 *
 * Threading: every function from any thread.
 */
#include <assert.h>
#include <string.h>

#include "shim/backend/backend_driver.h"
#include "shim/hooks/call.h"
#include "shim/share/claims.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/share/ipc_board.h"
#include "shim/share/ipc_export.h"
#include "shim/share/ipc_imports.h"
#include "shim/share/ipc_mapped.h"
#include "shim/memory/guarded.h"
#include "shim/memory/ledger.h"
#include "shim/memory/vmm.h"
#include "shim/hooks/pooled.h"
#include "shim/share/sync_memops.h"

static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(CUipcMemHandle), "one handle, two names");

/* The driver's errors for memory and for handles that are not its own. */
static bool is_not_its_own(CUresult result)
{
    return result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_INVALID_HANDLE;
}

/* ---- export ---- */

/** One export: the program's arguments, and those for the real function. */
struct export_call {
    uint64_t address; /* for the real function; null makes it fail natively */
    bool pooled;      /* `block` is exported, by its driver allocation */
    uint32_t context;
    struct pool_block block;
};

static bool exports_segments(void)
{
    return shim_options()->ipc_range == OPTION_IPC_RANGE_SEGMENT;
}

/* Pins the pages of a block; sets the address to null if there is no block. */
static void export_find_mapped(struct export_call *made, int error)
{
    if (error < 0 || !vmm_may_export(made->address) || pool_pin_segment(made->address) < 0)
        made->address = 0;
}

/* Finds and pins a block of the pool, or with `ipc_range:segment` the base of a segment. */
static void export_find(struct export_call *made)
{
    struct pool *pool;
    int error = guarded_range_get(made->address, &made->block);

    if (error == -ENOENT)
        return;
    if (vmm_context_at(made->address)) {
        export_find_mapped(made, error);
        return;
    }
    if ((error < 0 && !exports_segments()) || pool_pin_segment(made->address) < 0 ||
        (error == 0 && guarded_find(made->address, NULL, &pool) < 0)) {
        made->address = 0;
    } else if (error == 0) {
        const struct context *context = context_of_pool(pool);

        made->context = context ? context->number : 0;
        made->pooled = true;
        made->address = made->block.segment_address;
    }
}

static struct export_call export_of(uint64_t address, const void *ret_handle)
{
    struct export_call made = {.address = address};

    if (shim_mode() != SHIM_POOL || !ret_handle)
        return made;
    gate_enter();
    export_find(&made);
    gate_leave();
    return made;
}

/**
 * Replaces the segment's handle by a token for a block that is not at the base of its segment;
 * false when no token can be made. For a block at the base it publishes the size for the importer,
 * if possible.
 */
static bool export_finish(const struct export_call *made, CUipcMemHandle *handle)
{
    struct ipc_block block = {
        .allocation = *handle,
        .offset = made->block.address - made->block.segment_address,
        .bytes = made->block.requested_bytes,
    };

    if (!made->pooled || (!block.offset && exports_segments()))
        return true;
    bool claimed = claim_add(made->block.address, CLAIM_EXPORTED);
    int error = ipc_board_publish(made->block.address, made->context, &block, handle);
    if (error < 0 && claimed)
        claim_drop(made->block.address, CLAIM_EXPORTED);
    if (error == 0 || !block.offset)
        return true;
    *handle = (CUipcMemHandle){0};
    return false;
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *devPtr)
{
    struct call call;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();

    if (!real || !real->cudaIpcGetMemHandle)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaIpcGetMemHandle, __builtin_return_address(0)))
        return real->cudaIpcGetMemHandle(handle, devPtr);
    struct export_call made = export_of((uint64_t)(uintptr_t)devPtr, handle);
    cudaError_t result = real->cudaIpcGetMemHandle(handle, (void *)(uintptr_t)made.address);
    if (result == cudaSuccess && !export_finish(&made, (CUipcMemHandle *)handle))
        result = real->cudaIpcGetMemHandle(handle, NULL);
    call_end(&call);
    return result;
}

/* Called for a runtime, too; its hook has already checked the address. */
static CUresult export_really(const struct driver_functions *real, CUipcMemHandle *handle,
                              CUdeviceptr address)
{
    CUresult result = real->cuIpcGetMemHandle(handle, address);
    bool mapped = is_not_its_own(result) && handle && mode_now() == SHIM_POOL &&
                  vmm_context_at(address);

    return mapped ? ipc_export_mapped(real, address, handle) : result;
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *pHandle, CUdeviceptr dptr)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuIpcGetMemHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuIpcGetMemHandle, __builtin_return_address(0)))
        return export_really(real, pHandle, dptr);
    struct export_call made = export_of(dptr, pHandle);
    CUresult result = export_really(real, pHandle, made.address);
    if (result == CUDA_SUCCESS && !export_finish(&made, pHandle))
        result = real->cuIpcGetMemHandle(pHandle, 0);
    call_end(&call);
    return result;
}

/* ---- import ---- */

/** One opening, of a token or of a driver's handle. */
struct opening {
    CUipcMemHandle given;
    CUipcMemHandle handle;  /* for the real function */
    struct ipc_block block; /* bytes 0: unknown */
    bool inside;            /* the handle is a token */
    bool mapped;            /* the block lies on mapped pages */
};

static struct opening opening_of(const void *handle)
{
    struct opening opening = {0};
    struct ipc_pages pages;

    memcpy(&opening.given, handle, sizeof(opening.given));
    opening.inside = ipc_board_look_up(&opening.given, &opening.block) == 0;
    opening.mapped = opening.inside && ipc_pages_parse(&opening.block.allocation, &pages);
    opening.handle = opening.inside && !opening.mapped ? opening.block.allocation : opening.given;
    if (!ipc_token_is(&opening.given) &&
        ipc_board_look_up_whole(&opening.given, &opening.block) < 0)
        opening.block = (struct ipc_block){0};
    return opening;
}

/* Returns the bytes of the allocation that begins at an address; 0 when none does. */
static uint64_t allocation_bytes(const struct driver_functions *driver, uint64_t base)
{
    CUdeviceptr begin = 0;
    size_t bytes = 0;

    if (!driver || !driver->cuMemGetAddressRange_v2 ||
        REAL_ASK(driver->cuMemGetAddressRange_v2(&begin, &bytes, base)) != CUDA_SUCCESS)
        return 0;
    return begin == base ? bytes : 0;
}

/*
 * Closes mapped pages here, and any other opening through the driver. The driver is called first in
 * either case, so that it refuses as natively; it does not know the address of mapped pages.
 */
static CUresult close_really(const struct driver_functions *driver, CUdeviceptr address)
{
    if (!ipc_mapped_bytes(address))
        return call_observe(driver->cuIpcCloseMemHandle(address));
    CUresult result = call_observe(driver->cuIpcCloseMemHandle(address | 1));
    return is_not_its_own(result) ? ipc_mapped_close(driver, address, backend_driver_wait) : result;
}

/*
 * After the real function opened the allocation at `base`, finds the address for the program.
 * False when the block was freed meanwhile, or its description cannot be true; then the allocation
 * is closed again.
 */
static bool opening_finish(struct opening *opening, uint64_t base, uint64_t *ret_address)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    struct context *context = driver ? context_current(driver) : NULL;
    struct ipc_import import = {
        .address = base + opening->block.offset,
        .bytes = opening->block.bytes,
        .base = base,
        .base_bytes = opening->mapped ? ipc_mapped_bytes(base) : allocation_bytes(driver, base),
        .mapped = opening->mapped,
        .context = context ? context->number : 0,
    };
    struct ipc_block now;
    bool fits = ipc_block_fits(&opening->block, import.base_bytes);
    bool stands = !opening->inside || (fits && ipc_board_look_up(&opening->given, &now) == 0);

    if (!fits)
        import.bytes = 0;
    opening->block.bytes = import.bytes ? import.bytes : import.base_bytes;
    if (stands && ipc_import_add(&import)) {
        *ret_address = import.address;
        return true;
    }
    if (driver && driver->cuIpcCloseMemHandle)
        close_really(driver, base);
    return false;
}

/* For an opening that cannot be kept: what is refused as a handle that stands for nothing any more.
 * The token itself would open mapped pages again, at their base. */
static CUipcMemHandle refused_of(const struct opening *opening)
{
    CUipcMemHandle handle = opening->given;

    if (opening->mapped)
        ipc_token_make(&(struct ipc_token){0}, &handle);
    return handle;
}

static void record_opening(const struct call *call, const struct opening *opening, uint64_t address,
                           int result)
{
    struct record_block block = {
        .memory = TRACE_MEMORY_IMPORTED,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = address,
    };

    if (result != 0) {
        record_allocate_refused(call, &block, result);
        return;
    }
    if (ledger_retain(TRACE_MEMORY_IMPORTED, address))
        return; /* opened before: the same memory */
    block.allocated_bytes = opening->block.bytes;
    block.requested_bytes = block.allocated_bytes;
    pooled_foreign_taken(call, &block);
}

cudaError_t cudaIpcOpenMemHandle(void **devPtr, cudaIpcMemHandle_t handle, unsigned int flags)
{
    struct call call;
    cudaIpcMemHandle_t real_handle;
    uint64_t address = 0;
    void *opened = NULL;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();

    if (!real || !real->cudaIpcOpenMemHandle)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaIpcOpenMemHandle, __builtin_return_address(0)))
        return real->cudaIpcOpenMemHandle(devPtr, handle, flags);
    struct opening opening = opening_of(&handle);
    memcpy(&real_handle, &opening.handle, sizeof(real_handle));
    cudaError_t result = real->cudaIpcOpenMemHandle(devPtr ? &opened : NULL, real_handle, flags);
    if (result == cudaSuccess) {
        if (opening_finish(&opening, (uint64_t)(uintptr_t)opened, &address)) {
            *devPtr = (void *)(uintptr_t)address;
        } else {
            CUipcMemHandle refused = refused_of(&opening);

            memcpy(&real_handle, &refused, sizeof(real_handle));
            result = real->cudaIpcOpenMemHandle(devPtr, real_handle, flags);
        }
    }
    record_opening(&call, &opening, address, (int)result);
    call_end(&call);
    return result;
}

typedef CUresult driver_open(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int flags);

/* Opens a token of mapped pages. To the program, a token whose block is gone is a handle of freed
 * memory. */
static CUresult open_really(driver_open *open, CUdeviceptr *ret_pointer, CUipcMemHandle handle,
                            unsigned int flags)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUresult result = call_observe(open(ret_pointer, handle, flags));

    if (result == CUDA_ERROR_OUT_OF_MEMORY && pooled_relieve(0))
        result = open(ret_pointer, handle, flags);
    bool valid = ret_pointer && flags == CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
    if (is_not_its_own(result) && valid && ipc_token_is(&handle))
        result = mode_now() == SHIM_OFF ? CUDA_ERROR_INVALID_HANDLE
                                        : ipc_mapped_open(driver, &handle, ret_pointer);
    return result;
}

/* Below the runtime's hook the handle is already the driver's own, and only forwarded. */
static CUresult driver_open_hook(enum hook_id hook, driver_open *open, const void *code,
                                 CUdeviceptr *ret_pointer, CUipcMemHandle handle,
                                 unsigned int flags)
{
    struct call call;
    uint64_t address = 0;
    CUdeviceptr opened = 0;

    if (!open)
        return MISSING_DRIVER;
    bool outer = call_begin(&call, hook, code);
    struct opening opening;
    if (!outer)
        return open_really(open, ret_pointer, handle, flags);
    opening = opening_of(&handle);
    CUresult result = open_really(open, ret_pointer ? &opened : NULL, opening.handle, flags);
    if (result == CUDA_SUCCESS) {
        if (opening_finish(&opening, opened, &address))
            *ret_pointer = address;
        else
            result = open_really(open, ret_pointer, refused_of(&opening), flags);
    }
    record_opening(&call, &opening, address, (int)result);
    call_end(&call);
    return result;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int flags)
{
    const struct driver_functions *real = CALL_REAL_DRIVER();

    return driver_open_hook(HOOK_cuIpcOpenMemHandle, real ? real->cuIpcOpenMemHandle : NULL,
                            __builtin_return_address(0), pdptr, handle, flags);
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int flags)
{
    const struct driver_functions *real = CALL_REAL_DRIVER();

    return driver_open_hook(HOOK_cuIpcOpenMemHandle_v2, real ? real->cuIpcOpenMemHandle_v2 : NULL,
                            __builtin_return_address(0), pdptr, handle, flags);
}

/* Records a close, and forgets an opening of the block. */
static void closed(const struct call *call, uint64_t address, const struct ledger_entry *entry,
                   int result)
{
    struct ipc_import gone;

    if (result == 0 && ipc_import_closed(address, &gone) && gone.synchronous)
        sync_memops_end(&(struct address_range){.kind = RANGE_BLOCK,
                                                .imported = true,
                                                .mapped = gone.mapped,
                                                .base = gone.address,
                                                .bytes = gone.bytes,
                                                .allocation = gone.base},
                        ipc_import_mapped(gone.base));
    pooled_foreign_freed(call, TRACE_MEMORY_IMPORTED, address, NULL, entry, result);
}

cudaError_t cudaIpcCloseMemHandle(void *devPtr)
{
    struct call call;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();

    if (!real || !real->cudaIpcCloseMemHandle)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaIpcCloseMemHandle, __builtin_return_address(0)))
        return real->cudaIpcCloseMemHandle(devPtr);
    uint64_t address = (uint64_t)(uintptr_t)devPtr;
    struct ledger_entry entry = pooled_foreign_take(&call, TRACE_MEMORY_IMPORTED, address);
    cudaError_t result = real->cudaIpcCloseMemHandle((void *)(uintptr_t)ipc_import_base(address));
    closed(&call, address, &entry, (int)result);
    call_end(&call);
    return result;
}

CUresult cuIpcCloseMemHandle(CUdeviceptr dptr)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuIpcCloseMemHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuIpcCloseMemHandle, __builtin_return_address(0)))
        return close_really(real, dptr);
    struct ledger_entry entry = pooled_foreign_take(&call, TRACE_MEMORY_IMPORTED, dptr);
    CUresult result = close_really(real, ipc_import_base(dptr));
    closed(&call, dptr, &entry, (int)result);
    call_end(&call);
    return result;
}
