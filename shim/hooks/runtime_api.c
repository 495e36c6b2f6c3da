/* SPDX-License-Identifier: MIT */
/*
 * Serves the runtime's calls from the pool: cudaMalloc, cudaFree, cudaFreeAsync.
 *
 * Every error a program sees is made by the real runtime, so that its text, its code and the last
 * error are the native ones. What succeeds inside touches no state of the runtime, because the pool
 * calls the driver only.
 */
#include "pool/pool.h"
#include "shim/hooks/call.h"
#include "shim/memory/ledger.h"
#include "shim/hooks/pooled.h"

/* As the real cudaMalloc would: the first call of a thread makes the device's context current. */
static bool context_establish(const struct runtime_functions *real)
{
    return real->cudaFree && real->cudaFree(NULL) == cudaSuccess;
}

static bool serve(const struct call *call, void **ret_pointer, size_t size)
{
    uint64_t address;
    if (!ret_pointer || size == 0 || !call_may_pool(call))
        return false;
    int error = pooled_allocate(call, size, &address);
    if (error == -ENODEV) {
        const struct runtime_functions *real = real_runtime_at(call->library);
        if (real && context_establish(real))
            error = pooled_allocate(call, size, &address);
    }
    if (error < 0)
        return false;
    *ret_pointer = (void *)(uintptr_t)address;
    return true;
}

cudaError_t cudaMalloc(void **devPtr, size_t size)
{
    struct call call;
    bool outer = call_begin(&call, HOOK_cudaMalloc, __builtin_return_address(0));
    if (outer && serve(&call, devPtr, size)) {
        call_end(&call);
        return cudaSuccess;
    }
    const struct runtime_functions *real = real_runtime_at(call.library);
    cudaError_t result = real && real->cudaMalloc ? real->cudaMalloc(devPtr, size)
                                                  : MISSING_RUNTIME;
    if (!outer)
        return result;
    if (size)
        pooled_native_allocated(&call, result == 0 ? (uint64_t)(uintptr_t)*devPtr : 0, size,
                                (int)result);
    call_end(&call);
    return result;
}

/* One of the free functions, bound to everything but the pointer. */
struct release {
    unsigned library;
    enum hook_id hook;
    cudaStream_t stream;
};

static cudaError_t release_call(const struct release *release, void *pointer)
{
    const struct runtime_functions *real = real_runtime_at(release->library);
    if (real && release->hook == HOOK_cudaFree && real->cudaFree)
        return real->cudaFree(pointer);
    if (real && release->hook == HOOK_cudaFreeAsync && real->cudaFreeAsync)
        return real->cudaFreeAsync(pointer, release->stream);
    if (real && release->hook == HOOK_cudaFreeAsync_ptsz && real->cudaFreeAsync_ptsz)
        return real->cudaFreeAsync_ptsz(pointer, release->stream);
    return MISSING_RUNTIME;
}

static cudaError_t release_captured(const struct call *call, const struct release *release,
                                    void *pointer)
{
    cudaError_t result = release_call(release, pointer);
    pooled_free_captured(call, (uint64_t)(uintptr_t)pointer, release->stream, (int)result);
    return result;
}

static cudaError_t release_foreign(const struct call *call, const struct release *release,
                                   void *pointer)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer;
    struct ledger_entry entry = pooled_foreign_take(call, TRACE_MEMORY_DEVICE, address);
    cudaError_t result = release_call(release, pointer);
    pooled_foreign_freed(call, TRACE_MEMORY_DEVICE, address, release->stream, &entry, (int)result);
    return result;
}

static cudaError_t release_any(const struct call *call, const struct release *release,
                               void *pointer)
{
    cudaError_t result;
    uint64_t refused;
    const struct pooled_request request = {
        .address = (uint64_t)(uintptr_t)pointer,
        .stream = release->stream,
        .stream_ordered = release->hook != HOOK_cudaFree,
    };
    if (!pointer)
        return release_call(release, pointer);
    switch (pooled_free(call, &request, &refused)) {
    case POOLED_FREE_DONE: return cudaSuccess;
    case POOLED_FREE_INVALID: return release_call(release, (void *)(uintptr_t)refused);
    case POOLED_FREE_REFUSED:
        result = release_call(release, (void *)(uintptr_t)refused);
        pooled_refused(call, &request, (int)result);
        return result;
    default:
        return pooled_free_is_captured(&request) ? release_captured(call, release, pointer)
                                                 : release_foreign(call, release, pointer);
    }
}

static cudaError_t release_hook(enum hook_id hook, const void *code, void *pointer,
                                cudaStream_t stream)
{
    struct call call;
    pool_prefetch((uint64_t)(uintptr_t)pointer);
    bool outer = call_begin(&call, hook, code);
    struct release release = {.library = call.library, .hook = hook, .stream = stream};
    if (!outer)
        return release_call(&release, pointer);
    cudaError_t result = release_any(&call, &release, pointer);
    call_end(&call);
    return result;
}

cudaError_t cudaFree(void *devPtr)
{
    return release_hook(HOOK_cudaFree, __builtin_return_address(0), devPtr, NULL);
}

cudaError_t cudaFreeAsync(void *devPtr, cudaStream_t stream)
{
    return release_hook(HOOK_cudaFreeAsync, __builtin_return_address(0), devPtr, stream);
}

cudaError_t cudaFreeAsync_ptsz(void *devPtr, cudaStream_t stream)
{
    return release_hook(HOOK_cudaFreeAsync_ptsz, __builtin_return_address(0), devPtr,
                        stream ? stream : cudaStreamPerThread);
}
