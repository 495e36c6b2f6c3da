/* SPDX-License-Identifier: MIT */
/*
 * Mapped memory: a range of addresses, and pages mapped in it. A call that fails half-way is
 * undone: if the driver refuses to unmap a range at once, the pieces unmapped so far are mapped
 * again. The lock of the pages is held during calls that change access or mappings, so that a peer
 * enabled meanwhile gets access to all of them. It is rarely contended: the pool lets one thread at
 * a time grow or trim, and otherwise only queries about a mapping take it.
 *
 * The trace shows each mapped page as a segment, at its mapped address. So both backings show
 * reserved memory in the same way.
 */
#include "shim/backend/backend_vmm.h"

#include <errno.h>
#include <stdlib.h>

#include "shim/backend/scope.h"
#include "shim/memory/limit.h"
#include "shim/memory/vmm.h"
#include "shim/observe/record.h"
#include "shim/share/ipc_board.h"
#include "shim/share/sync_memops.h"

static struct vmm *vmm_of(const struct context *context)
{
    return atomic_load_explicit(&context->vmm, memory_order_acquire);
}

/* An unsupported call is no fault of the context. */
static int vmm_error(CUresult result)
{
    return result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_ERROR_NOT_PERMITTED
               ? -ENOTSUP
               : scope_error(result);
}

static int attribute(const struct driver_functions *driver, CUdevice_attribute name, int device)
{
    int value = 0;

    if (!driver->cuDeviceGetAttribute ||
        REAL_ASK(driver->cuDeviceGetAttribute(&value, name, device)) != CUDA_SUCCESS)
        return 0;
    return value;
}

static CUmemAllocationProp page_prop(const struct driver_functions *driver,
                                     const struct context *context)
{
    const struct vmm *vmm = vmm_of(context);

    return (CUmemAllocationProp){
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .requestedHandleTypes = vmm->own ? CU_MEM_HANDLE_TYPE_NONE
                                         : CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = context->device},
        .allocFlags.gpuDirectRDMACapable = !vmm->plain,
    };
}

/* Addresses. */

static int range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    struct context *context = state;
    struct vmm *vmm = vmm_of(context);
    struct scope scope;
    CUdeviceptr address = 0;

    if (vmm->bytes)
        return -ENOTSUP;
    int error = scope_enter(&scope, context);
    if (error < 0)
        return error;
    error = vmm_error(scope.driver->cuMemAddressReserve(&address, bytes, POOL_SEGMENT_BYTES, 0, 0));
    if (error == 0 && !vmm_range_set(vmm, address, bytes)) {
        scope.driver->cuMemAddressFree(address, bytes);
        error = -ENOMEM;
    }
    scope_leave(&scope);
    if (error == 0)
        *ret_address = address;
    return error;
}

static int range_release(void *state, uint64_t address, size_t bytes)
{
    struct context *context = state;
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    error = vmm_error(REAL_ASK(scope.driver->cuMemAddressFree(address, bytes)));
    scope_leave(&scope);
    if (error == 0)
        vmm_range_clear(vmm_of(context));
    return error;
}

/* Physical memory. */

/* One attempt. Success with fewer properties is remembered for the next request. */
static CUresult create_with(const struct driver_functions *driver, const struct context *context,
                            size_t bytes, bool plain, bool own,
                            CUmemGenericAllocationHandle *ret_handle)
{
    struct vmm *vmm = vmm_of(context);
    CUmemAllocationProp prop = page_prop(driver, context);

    prop.allocFlags.gpuDirectRDMACapable = !plain;
    prop.requestedHandleTypes = own ? CU_MEM_HANDLE_TYPE_NONE
                                    : CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    CUresult result = driver->cuMemCreate(ret_handle, bytes, &prop, 0);
    if (result == CUDA_SUCCESS) {
        vmm->plain = plain;
        __atomic_store_n(&vmm->own, own, __ATOMIC_RELAXED);
    }
    return result;
}

static bool wishes_refused(CUresult result)
{
    return result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_NOT_SUPPORTED ||
           result == CUDA_ERROR_NOT_PERMITTED;
}

/* Requests memory that RDMA and other processes can use; without these if the driver refuses. */
static CUresult create(const struct driver_functions *driver, const struct context *context,
                       size_t bytes, CUmemGenericAllocationHandle *ret_handle)
{
    const struct vmm *vmm = vmm_of(context);
    bool plain = vmm->plain, own = vmm->own;
    CUresult result = create_with(driver, context, bytes, plain, own, ret_handle);

    if (wishes_refused(result) && !plain)
        result = create_with(driver, context, bytes, true, own, ret_handle);
    if (wishes_refused(result) && !own && !plain)
        result = create_with(driver, context, bytes, false, true, ret_handle);
    if (wishes_refused(result) && !own)
        result = create_with(driver, context, bytes, true, true, ret_handle);
    return result;
}

static int page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    struct context *context = state;
    struct scope scope;
    struct vmm_page *page = NULL;
    CUmemGenericAllocationHandle handle = 0;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    if (!limit_take_segment(scope.driver, context, bytes)) {
        scope_leave(&scope);
        return -ENOMEM;
    }
    error = vmm_error(create(scope.driver, context, bytes, &handle));
    if (error == 0) {
        page = vmm_page_add(vmm_of(context), handle, bytes);
        if (!page) {
            scope.driver->cuMemRelease(handle);
            error = -ENOMEM;
        }
    }
    scope_leave(&scope);
    if (error < 0) {
        limit_give_segment(context, bytes);
        return error;
    }
    *ret_handle = (pool_page_handle)(uintptr_t)page;
    return 0;
}

static struct vmm_page *page_of(pool_page_handle handle)
{
    return (struct vmm_page *)(uintptr_t)handle;
}

static int page_release(void *state, pool_page_handle handle)
{
    struct context *context = state;
    struct vmm_page *page = page_of(handle);
    struct scope scope;
    uint64_t bytes = page->bytes;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    error = vmm_error(REAL_ASK(scope.driver->cuMemRelease(page->handle)));
    scope_leave(&scope);
    if (error < 0)
        return error;
    vmm_page_remove(vmm_of(context), page);
    limit_give_segment(context, bytes);
    return 0;
}

/* Mappings. */

static void segment_note(const struct context *context, enum pool_event_kind kind, uint64_t address,
                         uint64_t bytes)
{
    record_pool_event_of(context, TRACE_MEMORY_MAPPING,
                         &(struct pool_event){.kind = kind, .address = address, .bytes = bytes});
}

static int page_map(void *state, uint64_t address, size_t bytes, pool_page_handle handle)
{
    struct context *context = state;
    struct vmm *vmm = vmm_of(context);
    struct vmm_page *page = page_of(handle);
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    pthread_mutex_lock(&vmm->lock);
    error = vmm_error(REAL_ASK(scope.driver->cuMemMap(address, bytes, 0, page->handle, 0)));
    if (error == 0)
        vmm_page_mapped_locked(vmm, page, address);
    pthread_mutex_unlock(&vmm->lock);
    scope_leave(&scope);
    if (error == 0)
        segment_note(context, POOL_EVENT_SEGMENT_ALLOCATE, address, bytes);
    return error;
}

static CUmemAccessDesc access_for(int device, CUmemAccess_flags flags)
{
    return (CUmemAccessDesc){
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device},
        .flags = flags,
    };
}

/* Finds the devices of the context and its peers. Few devices: one call. */
static CUresult enable_locked(const struct driver_functions *driver, const struct context *context,
                              uint64_t address, uint64_t bytes)
{
    const struct vmm *vmm = vmm_of(context);
    CUmemAccessDesc access[8];
    size_t count = 0;
    CUresult result = CUDA_SUCCESS;

    access[count++] = access_for(context->device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    for (int device = 0; device < VMM_DEVICES_MAX && result == CUDA_SUCCESS; device++) {
        if (!vmm->peers[device] || device == context->device)
            continue;
        access[count++] = access_for(device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        if (count < sizeof(access) / sizeof(*access))
            continue;
        result = REAL_ASK(driver->cuMemSetAccess(address, bytes, access, count));
        count = 0;
    }
    return result == CUDA_SUCCESS && count
               ? REAL_ASK(driver->cuMemSetAccess(address, bytes, access, count))
               : result;
}

static int page_enable(void *state, uint64_t address, size_t bytes)
{
    struct context *context = state;
    struct vmm *vmm = vmm_of(context);
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    pthread_mutex_lock(&vmm->lock);
    error = vmm_error(enable_locked(scope.driver, context, address, bytes));
    pthread_mutex_unlock(&vmm->lock);
    if (error == 0)
        sync_memops_mapped(address, bytes);
    scope_leave(&scope);
    return error;
}

static bool is_one_page_locked(const struct vmm *vmm, uint64_t address, uint64_t bytes)
{
    const struct vmm_page *page = vmm_page_at_locked(vmm, address);

    return page && page->bytes == bytes;
}

/* Maps again the part of [address, end) that was unmapped before a call failed. */
static void map_again_locked(const struct driver_functions *driver, const struct context *context,
                             uint64_t address, uint64_t end)
{
    for (uint64_t at = address; at < end;) {
        const struct vmm_page *page = vmm_page_at_locked(vmm_of(context), at);

        (void)REAL_ASK(driver->cuMemMap(at, page->bytes, 0, page->handle, 0));
        at += page->bytes;
    }
    if (address < end)
        (void)enable_locked(driver, context, address, end - address);
}

/* Unmapping several mappings by one call works in practice, but is not documented. */
static CUresult unmap_locked(const struct driver_functions *driver, const struct context *context,
                             uint64_t address, uint64_t bytes)
{
    const struct vmm *vmm = vmm_of(context);
    CUresult result = REAL_ASK(driver->cuMemUnmap(address, bytes));

    if (result != CUDA_ERROR_INVALID_VALUE || is_one_page_locked(vmm, address, bytes))
        return result;
    for (uint64_t at = address; at < address + bytes;) {
        const struct vmm_page *page = vmm_page_at_locked(vmm, at);

        result = REAL_ASK(driver->cuMemUnmap(at, page->bytes));
        if (result != CUDA_SUCCESS) {
            map_again_locked(driver, context, address, at);
            return result;
        }
        at += page->bytes;
    }
    return CUDA_SUCCESS;
}

static void forget_locked(const struct context *context, uint64_t address, uint64_t bytes)
{
    struct vmm *vmm = vmm_of(context);

    for (uint64_t at = address; at < address + bytes;) {
        struct vmm_page *page = vmm_page_at_locked(vmm, at);

        segment_note(context, POOL_EVENT_SEGMENT_FREE, at, page->bytes);
        at += page->bytes;
        vmm_page_unmapped_locked(vmm, page);
    }
}

static int page_unmap(void *state, uint64_t address, size_t bytes)
{
    struct context *context = state;
    struct vmm *vmm = vmm_of(context);
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    pthread_mutex_lock(&vmm->lock);
    error = vmm_error(unmap_locked(scope.driver, context, address, bytes));
    if (error == 0)
        forget_locked(context, address, bytes);
    pthread_mutex_unlock(&vmm->lock);
    scope_leave(&scope);
    return error;
}

/* Peers. Sets access mapping by mapping: a hole between them has no access to set. Giving access
 * ends with the first error; taking it away goes on. */
static CUresult access_set_locked(const struct driver_functions *driver, const struct vmm *vmm,
                                  int device, bool enabled)
{
    CUmemAccessDesc access = access_for(device, enabled ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                                                        : CU_MEM_ACCESS_FLAGS_PROT_NONE);
    CUresult result = CUDA_SUCCESS;

    for (const struct vmm_page *page = vmm->pages; page && result == CUDA_SUCCESS;
         page = page->next)
        if (page->address) {
            CUresult one = REAL_ASK(driver->cuMemSetAccess(page->address, page->bytes, &access, 1));

            result = enabled ? one : CUDA_SUCCESS;
        }
    return result;
}

static CUresult peer_change(struct context *owner, int device, int by)
{
    struct vmm *vmm = vmm_of(owner);
    struct scope scope;
    CUresult result = CUDA_SUCCESS;

    if (!vmm || device < 0 || device >= VMM_DEVICES_MAX || device == owner->device)
        return result;
    if (scope_enter(&scope, owner) < 0)
        return CUDA_SUCCESS; /* it has no memory any more */
    pthread_mutex_lock(&vmm->lock);
    unsigned before = vmm->peers[device], now = before + (unsigned)by;
    if (by > 0 || before)
        vmm->peers[device] = (uint16_t)now;
    if (!before && by > 0)
        result = access_set_locked(scope.driver, vmm, device, true);
    if (result != CUDA_SUCCESS) /* enabled for some */
        vmm->peers[device] = (uint16_t)before;
    if (result != CUDA_SUCCESS || (before == 1 && by < 0))
        (void)access_set_locked(scope.driver, vmm, device, false);
    pthread_mutex_unlock(&vmm->lock);
    scope_leave(&scope);
    return result;
}

CUresult backend_vmm_peer_enabled(struct context *owner, int device)
{
    return peer_change(owner, device, 1);
}

void backend_vmm_peer_disabled(struct context *owner, int device)
{
    (void)peer_change(owner, device, -1);
}

static bool page_reclaim(const struct driver_functions *driver, struct vmm *vmm,
                         struct vmm_page *page)
{
    if (page->address) {
        if (REAL_ASK(driver->cuMemUnmap(page->address, page->bytes)) != CUDA_SUCCESS)
            return false;
        pthread_mutex_lock(&vmm->lock);
        vmm_page_unmapped_locked(vmm, page);
        pthread_mutex_unlock(&vmm->lock);
    }
    if (REAL_ASK(driver->cuMemRelease(page->handle)) != CUDA_SUCCESS)
        return false;
    vmm_page_remove(vmm, page);
    return true;
}

/* At the end: these calls need no context, and none is left. False: the driver refused some; what
 * was done is not done again. */
static bool reclaim(const struct driver_functions *driver, struct vmm *vmm)
{
    bool all = true;

    for (struct vmm_page *page = vmm->pages, *next; page; page = next) {
        next = page->next;
        all = page_reclaim(driver, vmm, page) && all;
    }
    if (!all || (vmm->bytes &&
                 REAL_ASK(driver->cuMemAddressFree(vmm->address, vmm->bytes)) != CUDA_SUCCESS))
        return false;
    vmm_range_clear(vmm);
    return true;
}

void backend_vmm_drop(struct context *context)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    struct vmm *vmm = atomic_exchange(&context->vmm, NULL);

    if (!vmm)
        return;
    if (driver)
        (void)reclaim(driver, vmm);
    pthread_mutex_destroy(&vmm->lock);
    free(vmm);
}

/* It keeps its vmm, and so its place in the list, until the driver has taken all back. */
static void context_reclaim(const struct driver_functions *driver, struct context *context)
{
    if (atomic_exchange(&context->reclaimed_now, true))
        return;
    struct vmm *vmm = vmm_of(context);
    if (vmm && reclaim(driver, vmm))
        atomic_store(&context->vmm, NULL);
    atomic_store(&context->reclaimed_now, false);
}

void backend_vmm_reclaim(void)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    for (struct context *context = atomic_load_explicit(&context_list, memory_order_acquire);
         context && driver; context = atomic_load_explicit(&context->next, memory_order_acquire))
        if (context_life(context) == CONTEXT_GONE &&
            atomic_load_explicit(&context->over, memory_order_acquire))
            context_reclaim(driver, context);
}

/* Pieces are multiples of 2 MiB; the driver's unit has to divide that. */
static bool granularity_fits(const struct driver_functions *driver, const struct context *context)
{
    CUmemAllocationProp prop = page_prop(driver, context);
    size_t bytes = 0;

    return REAL_ASK(driver->cuMemGetAllocationGranularity(
               &bytes, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM)) == CUDA_SUCCESS &&
           bytes && POOL_SEGMENT_BYTES % bytes == 0;
}

static bool has_functions(const struct driver_functions *driver)
{
    return driver->cuMemAddressReserve && driver->cuMemAddressFree && driver->cuMemCreate &&
           driver->cuMemRelease && driver->cuMemMap && driver->cuMemUnmap &&
           driver->cuMemSetAccess && driver->cuMemGetAllocationGranularity;
}

const char *backend_vmm_add(struct pool_backend *backend, struct context *context,
                            const struct driver_functions *driver)
{
    if (!has_functions(driver))
        return "the driver has no virtual memory management";
    if (!attribute(driver, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                   context->device))
        return "the device has no virtual memory management";
    struct vmm *vmm = vmm_create();
    if (!vmm)
        return "no host memory";
    vmm->plain = !attribute(driver, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED,
                            context->device);
    vmm->own = !ipc_board_is_on() ||
               !attribute(driver, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
                          context->device);
    atomic_store_explicit(&context->vmm, vmm, memory_order_release);
    if (!granularity_fits(driver, context))
        return "2 MiB is not a multiple of the device's mapping granularity";
    backend->range_reserve = range_reserve;
    backend->range_release = range_release;
    backend->page_create = page_create;
    backend->page_release = page_release;
    backend->page_map = page_map;
    backend->page_enable = page_enable;
    backend->page_unmap = page_unmap;
    return NULL;
}
