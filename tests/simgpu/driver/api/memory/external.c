/* SPDX-License-Identifier: MIT */
/*
 * Imported memory was taken elsewhere, so it does not count against the device. A
 * buffer lives until cuMemFree, also when the memory object is destroyed before: it holds a mapping
 * of its own. Mipmapped arrays over such memory are not simulated.
 */
#include "tests/simgpu/driver/api/memory/external.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/simgpu/driver/base/call.h"
#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/work.h"

struct CUextMemory_st {
    struct handle handle;
    int fd;
    size_t bytes;
};

/* Header of the file of a semaphore. */
struct semaphore_state {
    _Atomic uint64_t value;
    _Atomic uint64_t signals;
    _Atomic uint64_t waits;
};

struct CUextSemaphore_st {
    struct handle handle;
    bool timeline; /* the program names the values */
    struct semaphore_state *state;
};

static struct handle_cache memory_cache = {
    HANDLE_EXTERNAL_MEMORY, sizeof(struct CUextMemory_st), {NULL}, {NULL}};
static struct handle_cache semaphore_cache = {
    HANDLE_EXTERNAL_SEMAPHORE, sizeof(struct CUextSemaphore_st), {NULL}, {NULL}};

static bool is_file_of(int fd, uint64_t bytes)
{
    struct stat status;

    return !fstat(fd, &status) && S_ISREG(status.st_mode) && (uint64_t)status.st_size >= bytes;
}

/* On success the descriptor is the driver's. */
static CUresult memory_import(CUexternalMemory *ret, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *desc)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || !desc || !desc->size || desc->flags & ~(unsigned)CUDA_EXTERNAL_MEMORY_DEDICATED)
        return CUDA_ERROR_INVALID_VALUE;
    if (desc->type != CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!is_file_of(desc->handle.fd, desc->size))
        return CUDA_ERROR_INVALID_VALUE;
    CUexternalMemory made = handle_take(&memory_cache);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->fd = desc->handle.fd;
    made->bytes = desc->size;
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult memory_map(CUdeviceptr *ret, CUexternalMemory memory,
                           const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *desc)
{
    CUcontext ctx;
    struct physical *physical;
    struct allocation *made;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!handle_is(memory, HANDLE_EXTERNAL_MEMORY))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || !desc || !desc->size || desc->flags || desc->offset > memory->bytes ||
        desc->size > memory->bytes - desc->offset)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t skip = desc->offset % PAGE_BYTES;
    result = physical_import(ctx->device, memory->fd, desc->offset - skip,
                             ROUND_UP(skip + desc->size, PAGE_BYTES), &physical);
    if (result != CUDA_SUCCESS)
        return result;
    result = memory_adopt(physical, context_memory(ctx), MEMORY_EXTERNAL, skip, desc->size, &made);
    physical->handles--;
    physical_check(physical);
    if (result == CUDA_SUCCESS)
        *ret = made->base;
    return result;
}

static CUresult memory_destroy(CUexternalMemory memory)
{
    if (!handle_is(memory, HANDLE_EXTERNAL_MEMORY))
        return CUDA_ERROR_INVALID_HANDLE;
    close(memory->fd);
    handle_give(&memory_cache, memory);
    return CUDA_SUCCESS;
}

static CUresult semaphore_import(CUexternalSemaphore *ret,
                                 const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC *desc)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || !desc || desc->flags)
        return CUDA_ERROR_INVALID_VALUE;
    bool timeline = desc->type == CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD;
    if (!timeline && desc->type != CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!is_file_of(desc->handle.fd, sizeof(struct semaphore_state)))
        return CUDA_ERROR_INVALID_VALUE;
    CUexternalSemaphore made = handle_take(&semaphore_cache);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->timeline = timeline;
    made->state = mmap(NULL, sizeof *made->state, PROT_READ | PROT_WRITE, MAP_SHARED,
                       desc->handle.fd, 0);
    if (made->state == MAP_FAILED) {
        handle_give(&semaphore_cache, made);
        return CUDA_ERROR_OPERATING_SYSTEM;
    }
    close(desc->handle.fd);
    *ret = made;
    return CUDA_SUCCESS;
}

/* Work that names it has to be done: natively that is the program's to see to. */
static CUresult semaphore_destroy(CUexternalSemaphore semaphore)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && !handle_is(semaphore, HANDLE_EXTERNAL_SEMAPHORE))
        result = CUDA_ERROR_INVALID_HANDLE;
    if (result != CUDA_SUCCESS)
        return result;
    context_wait(ctx);
    munmap(semaphore->state, sizeof *semaphore->state);
    handle_give(&semaphore_cache, semaphore);
    return CUDA_SUCCESS;
}

static CUresult submit(CUstream stream, CUexternalSemaphore semaphore, uint64_t value, bool wait)
{
    struct work *work = work_create(wait ? WORK_WAIT_VALUE : WORK_WRITE_VALUE);

    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->value.address = (uintptr_t)&semaphore->state->value;
    work->value.value = value;
    work->value.bytes = sizeof value;
    work->value.flags = CU_STREAM_WAIT_VALUE_GEQ;
    return stream_submit(stream, work, false);
}

/* Nodes of graphs for them are not simulated, so neither is their capture. */
static CUresult ready(const CUexternalSemaphore *semaphores, const void *params, unsigned count,
                      CUstream given, bool per_thread, CUstream *ret)
{
    CUresult result = stream_resolve(given, per_thread, ret);

    if (result != CUDA_SUCCESS)
        return result;
    if (count && (!semaphores || !params))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++)
        if (!handle_is(semaphores[i], HANDLE_EXTERNAL_SEMAPHORE))
            return CUDA_ERROR_INVALID_HANDLE;
    return (*ret)->capture ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

static_assert(offsetof(CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS, params.fence.value) == 0 &&
                  offsetof(CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS, params.fence.value) == 0,
              "what a timeline is to reach comes first in both");

struct semaphores {
    const CUexternalSemaphore *semaphores;
    const void *params; /* of either kind */
    size_t param_bytes;
    unsigned count;
    bool wait;
};

static CUresult submit_all(const struct semaphores *all, CUstream given, bool per_thread)
{
    CUstream stream;
    CUresult result = ready(all->semaphores, all->params, all->count, given, per_thread, &stream);

    for (unsigned i = 0; i < all->count && result == CUDA_SUCCESS; i++) {
        CUexternalSemaphore semaphore = all->semaphores[i];
        struct semaphore_state *state = semaphore->state;
        uint64_t value;

        if (semaphore->timeline)
            memcpy(&value, (const char *)all->params + i * all->param_bytes, sizeof value);
        else
            value = atomic_fetch_add(all->wait ? &state->waits : &state->signals, 1) + 1;
        result = submit(stream, semaphore, value, all->wait);
    }
    return result;
}

CUresult external_signal(const CUexternalSemaphore *semaphores,
                         const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *params, unsigned count,
                         CUstream given, bool per_thread)
{
    return submit_all(&(struct semaphores){semaphores, params, sizeof *params, count, false}, given,
                      per_thread);
}

CUresult external_wait(const CUexternalSemaphore *semaphores,
                       const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *params, unsigned count,
                       CUstream given, bool per_thread)
{
    return submit_all(&(struct semaphores){semaphores, params, sizeof *params, count, true}, given,
                      per_thread);
}

CUresult CUDAAPI cuImportExternalMemory(CUexternalMemory *extMem_out,
                                        const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *memHandleDesc)
{
    CALL(cuImportExternalMemory, memory_import(extMem_out, memHandleDesc), "bytes=%llu",
         memHandleDesc ? memHandleDesc->size : 0);
}

CUresult CUDAAPI cuExternalMemoryGetMappedBuffer(CUdeviceptr *devPtr, CUexternalMemory extMem,
                                                 const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *bufferDesc)
{
    CALL(cuExternalMemoryGetMappedBuffer, memory_map(devPtr, extMem, bufferDesc),
         "bytes=%llu\tptr=0x%llx", bufferDesc ? bufferDesc->size : 0, OUT(devPtr));
}

CUresult CUDAAPI cuDestroyExternalMemory(CUexternalMemory extMem)
{
    CALL(cuDestroyExternalMemory, memory_destroy(extMem));
}

CUresult CUDAAPI cuImportExternalSemaphore(CUexternalSemaphore *extSem_out,
                                           const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC *semHandleDesc)
{
    CALL(cuImportExternalSemaphore, semaphore_import(extSem_out, semHandleDesc));
}

CUresult CUDAAPI cuDestroyExternalSemaphore(CUexternalSemaphore extSem)
{
    CALL(cuDestroyExternalSemaphore, semaphore_destroy(extSem));
}
