/* SPDX-License-Identifier: MIT */
/*
 * Serves the runtime's calls from the pool: cudaMalloc, cudaFree, cudaFreeAsync.
 *
 * The real runtime produces every error that a program sees, so its string, its code and the last
 * error are native. Successful calls touch no state of the runtime, because the pool calls the
 * driver only.
 */
#include "shim/hooks/call.h"
#include "shim/hooks/pooled.h"
#include "shim/hooks/release.h"

/* As in the real cudaMalloc, the first call of a thread makes the device's context current. */
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
        thread_cancel_hold();
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
    bool outer = call_begin_pooled(&call, HOOK_cudaMalloc, __builtin_return_address(0));

    if (outer && serve(&call, devPtr, size)) {
        call_end(&call);
        return cudaSuccess;
    }
    if (outer)
        thread_cancel_hold();
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

static int native_free(const struct release *release, uint64_t address)
{
    const struct runtime_functions *real = real_runtime_at(release->library);
    void *pointer = (void *)(uintptr_t)address;

    if (real && release->hook == HOOK_cudaFree && real->cudaFree)
        return (int)real->cudaFree(pointer);
    if (real && release->hook == HOOK_cudaFreeAsync && real->cudaFreeAsync)
        return (int)real->cudaFreeAsync(pointer, release->stream);
    if (real && release->hook == HOOK_cudaFreeAsync_ptsz && real->cudaFreeAsync_ptsz)
        return (int)real->cudaFreeAsync_ptsz(pointer, release->stream);
    return (int)MISSING_RUNTIME;
}

static int establish(const struct release *release)
{
    return native_free(&(struct release){.hook = HOOK_cudaFree, .library = release->library}, 0);
}

static cudaError_t release_hook(enum hook_id hook, const void *code, void *pointer,
                                cudaStream_t stream)
{
    struct release release = {.native = native_free,
                              .establish = establish,
                              .hook = hook,
                              .stream = stream,
                              .stream_ordered = hook != HOOK_cudaFree};

    return (cudaError_t)release_address(&release, code, (uint64_t)(uintptr_t)pointer);
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
