/* SPDX-License-Identifier: MIT */
/*
 * Memory shared with other processes through the legacy IPC handles.
 *
 * A driver's handle always means a whole driver allocation and opens at its base. So a block that
 * begins one is exported by the driver's own handle, and so is the base of a range, which is what
 * callers do that ask for the address range first. A block elsewhere in its segment gets a token
 * (shim/share/ipc_board.h), from which the same hooks in the other process find the segment's
 * handle and the offset. Where no token can be made, the export is refused with the driver's
 * "invalid value" rather than open as other bytes. A segment of which anything was exported is
 * never handed out again.
 *
 * The driver counts how often a handle was opened in a process and maps it once, so each opening
 * of a token is one opening of the segment and each close is one close. What was opened is
 * remembered by the address that the program was given, so that a close too many of one block
 * cannot take the mapping from under another.
 *
 * Threading: every function from any thread; imports_lock guards the list of what was opened.
 */
#include "shim/hooks/ipc.h"

#include <stdlib.h>
#include <string.h>

#include "shim/hooks/call.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/share/ipc_board.h"
#include "shim/memory/ledger.h"
#include "shim/hooks/pooled.h"

_Static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(CUipcMemHandle), "one handle, two names");

/* ---- export ---- */

/** One export: what the program gave, and what the real function is to be given for it. */
struct export_call {
    uint64_t address; /* for the real function; null is what makes it fail in the native way */
    bool inside; /* the block does not begin its driver allocation, which is exported instead */
    uint32_t context;
    struct pool_block block;
};

static struct export_call export_of(uint64_t address, const void *ret_handle)
{
    struct export_call made = {.address = address};
    struct pool *pool;
    if (shim_mode() != SHIM_POOL)
        return made;
    gate_enter();
    int error = pool_pin_segment(address);
    if (error == -EINVAL) {
        made.address = 0;
    } else if (ret_handle && error == 0 && pool_find(address, &made.block, &pool) == 0 &&
               made.block.live && made.block.address != made.block.segment_address) {
        const struct context *context = context_of_pool(pool);
        made.inside = true;
        made.address = made.block.segment_address;
        made.context = context ? context->number : 0;
    }
    gate_leave();
    return made;
}

/** Puts a token in place of the segment's handle; false when there is none for the block. */
static bool export_finish(const struct export_call *made, CUipcMemHandle *handle)
{
    struct ipc_block block = {
        .allocation = *handle,
        .offset = made->block.address - made->block.segment_address,
        .bytes = made->block.requested_bytes,
    };
    if (!made->inside || ipc_board_publish(made->block.address, made->context, &block, handle) == 0)
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

CUresult cuIpcGetMemHandle(CUipcMemHandle *pHandle, CUdeviceptr dptr)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();
    if (!real || !real->cuIpcGetMemHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuIpcGetMemHandle, __builtin_return_address(0)))
        return real->cuIpcGetMemHandle(pHandle, dptr);
    struct export_call made = export_of(dptr, pHandle);
    CUresult result = real->cuIpcGetMemHandle(pHandle, made.address);
    if (result == CUDA_SUCCESS && !export_finish(&made, pHandle))
        result = real->cuIpcGetMemHandle(pHandle, 0);
    call_end(&call);
    return result;
}

/* ---- import ---- */

/** Memory of another process that was opened. */
struct import {
    uint64_t address; /* as the program knows it */
    uint64_t base;    /* as the driver knows it; another one for a token */
    uint32_t context; /* number of the context it was opened in; 0: unknown */
    uint32_t opened;  /* how often */
    struct import *next;
};

static pthread_mutex_t imports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct import *imports;    /* guarded by imports_lock */
static atomic_uint imports_count; /* written under imports_lock */

static struct import **import_find_locked(uint64_t address)
{
    struct import **link = &imports;
    while (*link && (*link)->address != address)
        link = &(*link)->next;
    return link;
}

static void import_remove_locked(struct import **link)
{
    struct import *gone = *link;
    *link = gone->next;
    atomic_fetch_sub(&imports_count, 1);
    free(gone);
}

/* False without host memory. */
static bool import_add(uint64_t base, uint64_t address, uint32_t context)
{
    struct import *fresh = malloc(sizeof(*fresh));
    pthread_mutex_lock(&imports_lock);
    struct import *known = *import_find_locked(address);
    bool added = known || fresh;
    if (known) {
        known->opened++;
    } else if (fresh) {
        *fresh = (struct import){address, base, context, 1, imports};
        imports = fresh;
        fresh = NULL;
        atomic_fetch_add(&imports_count, 1);
    }
    pthread_mutex_unlock(&imports_lock);
    free(fresh);
    return added;
}

static bool import_is_base_locked(uint64_t address)
{
    const struct import *each = imports;
    while (each && each->base != address)
        each = each->next;
    return each;
}

/* What the driver is to close for an address: an odd one when it must refuse. */
static uint64_t import_base(uint64_t address)
{
    if (!atomic_load(&imports_count))
        return address;
    pthread_mutex_lock(&imports_lock);
    const struct import *known = *import_find_locked(address);
    uint64_t base = known ? known->base : import_is_base_locked(address) ? address | 1 : address;
    pthread_mutex_unlock(&imports_lock);
    return base;
}

static void import_closed(uint64_t address)
{
    if (!atomic_load(&imports_count))
        return;
    pthread_mutex_lock(&imports_lock);
    struct import **link = import_find_locked(address);
    if (*link && --(*link)->opened == 0)
        import_remove_locked(link);
    pthread_mutex_unlock(&imports_lock);
}

void ipc_forget_context(uint32_t context)
{
    ipc_board_forget_context(context);
    pthread_mutex_lock(&imports_lock);
    for (struct import **link = &imports; *link;) {
        if ((*link)->context == context)
            import_remove_locked(link);
        else
            link = &(*link)->next;
    }
    pthread_mutex_unlock(&imports_lock);
}

/** One opening, of a token or of a driver's handle. */
struct opening {
    CUipcMemHandle given;
    CUipcMemHandle handle;  /* for the real function */
    struct ipc_block block; /* of a token; offset 0 for a driver's handle */
    bool inside;            /* it is a token */
};

static struct opening opening_of(const void *handle)
{
    struct opening opening = {0};
    memcpy(&opening.given, handle, sizeof(opening.given));
    opening.inside = ipc_board_look_up(&opening.given, &opening.block) == 0;
    opening.handle = opening.inside ? opening.block.allocation : opening.given;
    return opening;
}

/*
 * After the real function opened the allocation at `base`: the address for the program. False when
 * the block was freed meanwhile; the allocation is closed again then.
 */
static bool opening_finish(const struct opening *opening, uint64_t base, uint64_t *ret_address)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    struct context *context = driver ? context_current(driver) : NULL;
    struct ipc_block now;
    uint64_t address = base + opening->block.offset;
    bool stands = !opening->inside || ipc_board_look_up(&opening->given, &now) == 0;
    if (stands && import_add(base, address, context ? context->number : 0)) {
        *ret_address = address;
        return true;
    }
    if (driver && driver->cuIpcCloseMemHandle)
        driver->cuIpcCloseMemHandle(base);
    return false;
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
    block.allocated_bytes = opening->inside ? opening->block.bytes : record_range_bytes(address);
    block.requested_bytes = block.allocated_bytes;
    pooled_foreign_taken(call, &block);
}

cudaError_t cudaIpcOpenMemHandle(void **devPtr, cudaIpcMemHandle_t handle, unsigned int flags)
{
    struct call call;
    cudaIpcMemHandle_t real_handle;
    uint64_t address = 0;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();
    if (!real || !real->cudaIpcOpenMemHandle)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaIpcOpenMemHandle, __builtin_return_address(0)))
        return real->cudaIpcOpenMemHandle(devPtr, handle, flags);
    struct opening opening = opening_of(&handle);
    memcpy(&real_handle, &opening.handle, sizeof(real_handle));
    cudaError_t result = real->cudaIpcOpenMemHandle(devPtr, real_handle, flags);
    if (result == cudaSuccess) {
        if (opening_finish(&opening, (uint64_t)(uintptr_t)*devPtr, &address))
            *devPtr = (void *)(uintptr_t)address;
        else
            result = real->cudaIpcOpenMemHandle(devPtr, handle, flags);
    }
    record_opening(&call, &opening, address, (int)result);
    call_end(&call);
    return result;
}

typedef CUresult driver_open(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int flags);

/* A token that stands for nothing any more is to the program a handle of freed memory. */
static CUresult open_really(driver_open *open, CUdeviceptr *ret_pointer, CUipcMemHandle handle,
                            unsigned int flags)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUresult result = open(ret_pointer, handle, flags);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && pooled_relieve(driver))
        result = open(ret_pointer, handle, flags);
    bool valid = ret_pointer && flags == CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
    if (result == CUDA_ERROR_INVALID_VALUE && valid && ipc_board_is_token(&handle))
        result = CUDA_ERROR_INVALID_HANDLE;
    return result;
}

/* Below the runtime's hook the handle is the driver's own already, and only forwarded. */
static CUresult driver_open_hook(enum hook_id hook, driver_open *open, const void *code,
                                 CUdeviceptr *ret_pointer, CUipcMemHandle handle,
                                 unsigned int flags)
{
    struct call call;
    uint64_t address = 0;
    if (!open)
        return MISSING_DRIVER;
    bool outer = call_begin(&call, hook, code);
    struct opening opening = {.handle = handle};
    if (outer)
        opening = opening_of(&handle);
    CUresult result = open_really(open, ret_pointer, opening.handle, flags);
    if (!outer)
        return result;
    if (result == CUDA_SUCCESS) {
        if (opening_finish(&opening, *ret_pointer, &address))
            *ret_pointer = address;
        else
            result = open_really(open, ret_pointer, handle, flags);
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
    if (result == 0)
        import_closed(address);
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
    cudaError_t result = real->cudaIpcCloseMemHandle((void *)(uintptr_t)import_base(address));
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
        return real->cuIpcCloseMemHandle(dptr);
    struct ledger_entry entry = pooled_foreign_take(&call, TRACE_MEMORY_IMPORTED, dptr);
    CUresult result = real->cuIpcCloseMemHandle(import_base(dptr));
    closed(&call, dptr, &entry, (int)result);
    call_end(&call);
    return result;
}

void ipc_fork_child(void)
{
    pthread_mutex_init(&imports_lock, NULL);
    imports = NULL;
    atomic_store(&imports_count, 0);
    ipc_board_fork_child();
}
