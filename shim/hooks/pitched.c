/* SPDX-License-Identifier: MIT */
/*
 * Pitched memory: rows that the driver pads to a pitch of its choice.
 *
 * How the driver chooses the pitch is not documented; only width and element size matter. So the
 * first request for a width, by each function and on each device, goes to the driver and teaches
 * the pitch. Later requests are ordinary pool blocks of pitch times rows. Any other request goes to
 * the real function, which reports the error.
 *
 * Threading: the table of pitches is lock-free and only grows; when it is full, no more pitches are
 * learned.
 */
#include "shim/hooks/call.h"
#include "shim/context/context.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/hooks/pooled.h"

#define PITCHES     1024 /* power of two */
#define PROBES      16
#define WIDTH_BITS  40
#define DEVICES_MAX 256

/* Functions that may choose different pitches; a driver request adds its element size. */
enum { BY_MALLOC_PITCH = 1, BY_MALLOC_3D, BY_DRIVER };

struct pitch {
    _Atomic uint64_t key; /* 0: empty; immutable once set */
    _Atomic size_t bytes; /* 0: not written yet */
};

static struct pitch pitches[PITCHES];

/** A request as every function asks it. */
struct pitched {
    unsigned by;
    unsigned element_bytes; /* of a driver request */
    size_t width;           /* bytes */
    size_t rows;
};

/* 0: no pitch is learned for it. */
static uint64_t key_of(const struct pitched *wanted, int device)
{
    if (!wanted->width || !wanted->rows || wanted->width >> WIDTH_BITS || device < 0 ||
        device >= DEVICES_MAX || wanted->element_bytes > 255)
        return 0;
    return (uint64_t)wanted->width << (64 - WIDTH_BITS) | (uint64_t)device << 16 |
           wanted->element_bytes << 8 | wanted->by;
}

/* Returns the slot of a key, or an empty slot for it; NULL when there is neither. */
static struct pitch *place_of(uint64_t key)
{
    uint64_t first = key * UINT64_C(0x9E3779B97F4A7C15) >> 32;

    for (unsigned i = 0; i < PROBES; i++) {
        struct pitch *place = &pitches[(first + i) % PITCHES];
        uint64_t present = atomic_load_explicit(&place->key, memory_order_acquire);

        if (present == key || !present)
            return place;
    }
    return NULL;
}

static size_t pitch_known(uint64_t key)
{
    const struct pitch *place = key ? place_of(key) : NULL;

    if (!place || atomic_load_explicit(&place->key, memory_order_acquire) != key)
        return 0;
    return atomic_load_explicit(&place->bytes, memory_order_acquire);
}

static void pitch_learn(uint64_t key, size_t bytes)
{
    uint64_t empty = 0;
    struct pitch *place = key ? place_of(key) : NULL;

    if (place && (atomic_load(&place->key) == key ||
                  atomic_compare_exchange_strong(&place->key, &empty, key)))
        atomic_store_explicit(&place->bytes, bytes, memory_order_release);
}

static uint64_t key_here(const struct pitched *wanted)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    const struct context *context = driver ? context_current(driver) : NULL;

    return context ? key_of(wanted, context->device) : 0;
}

/* True when the pool served it. */
static bool serve(const struct call *call, const struct pitched *wanted, uint64_t *ret_address,
                  size_t *ret_pitch)
{
    size_t bytes;

    if (!call_may_pool(call))
        return false;
    size_t pitch = pitch_known(key_here(wanted));
    if (!pitch || __builtin_mul_overflow(pitch, wanted->rows, &bytes) ||
        pooled_allocate(call, bytes, ret_address) < 0)
        return false;
    *ret_pitch = pitch;
    return true;
}

/* What the real function answered. */
static void answered(const struct call *call, const struct pitched *wanted, uint64_t address,
                     size_t pitch, int result)
{
    size_t requested;

    if (__builtin_mul_overflow(wanted->width, wanted->rows, &requested))
        requested = SIZE_MAX; /* and refused */
    const struct record_block block = {
        .memory = TRACE_MEMORY_DEVICE,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = address,
        .requested_bytes = requested,
        .allocated_bytes = pitch * wanted->rows,
    };

    if (result != 0) {
        record_allocate_refused(call, &block, result);
        return;
    }
    if (address)
        pitch_learn(key_here(wanted), pitch);
    pooled_foreign_taken(call, &block);
}

cudaError_t cudaMallocPitch(void **devPtr, size_t *pitch, size_t width, size_t height)
{
    struct call call;
    uint64_t address;
    const struct pitched wanted = {.by = BY_MALLOC_PITCH, .width = width, .rows = height};
    bool outer = call_begin_pooled(&call, HOOK_cudaMallocPitch, __builtin_return_address(0));

    if (outer && devPtr && pitch && serve(&call, &wanted, &address, pitch)) {
        *devPtr = (void *)(uintptr_t)address;
        call_end(&call);
        return cudaSuccess;
    }
    if (outer)
        thread_cancel_hold();
    const struct runtime_functions *real = CALL_REAL_RUNTIME();
    cudaError_t result = real && real->cudaMallocPitch
                             ? real->cudaMallocPitch(devPtr, pitch, width, height)
                             : MISSING_RUNTIME;
    if (!outer)
        return result;
    bool made = result == cudaSuccess;
    answered(&call, &wanted, made ? (uint64_t)(uintptr_t)*devPtr : 0, made ? *pitch : 0,
             (int)result);
    call_end(&call);
    return result;
}

cudaError_t cudaMalloc3D(struct cudaPitchedPtr *pitchedDevPtr, struct cudaExtent extent)
{
    struct call call;
    uint64_t address;
    size_t pitch;
    struct pitched wanted = {.by = BY_MALLOC_3D, .width = extent.width};

    if (__builtin_mul_overflow(extent.height, extent.depth, &wanted.rows))
        wanted.rows = SIZE_MAX;
    bool outer = call_begin_pooled(&call, HOOK_cudaMalloc3D, __builtin_return_address(0));
    if (outer && pitchedDevPtr && serve(&call, &wanted, &address, &pitch)) {
        *pitchedDevPtr = (struct cudaPitchedPtr){.ptr = (void *)(uintptr_t)address,
                                                 .pitch = pitch,
                                                 .xsize = extent.width,
                                                 .ysize = extent.height};
        call_end(&call);
        return cudaSuccess;
    }
    if (outer)
        thread_cancel_hold();
    const struct runtime_functions *real = CALL_REAL_RUNTIME();
    cudaError_t result = real && real->cudaMalloc3D ? real->cudaMalloc3D(pitchedDevPtr, extent)
                                                    : MISSING_RUNTIME;
    if (!outer)
        return result;
    bool made = result == cudaSuccess;
    answered(&call, &wanted, made ? (uint64_t)(uintptr_t)pitchedDevPtr->ptr : 0,
             made ? pitchedDevPtr->pitch : 0, (int)result);
    call_end(&call);
    return result;
}

static CUresult driver_allocate(const struct driver_functions *real, const struct pitched *wanted,
                                CUdeviceptr *dptr, size_t *ret_pitch)
{
    size_t pitch = pitch_known(key_here(wanted)), bytes;
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;

    if (!pitch)
        pitch = wanted->width;
    if (__builtin_mul_overflow(pitch, wanted->rows, &bytes) ||
        limit_hold_here(real, TRACE_MEMORY_DEVICE, bytes))
        result = call_observe(real->cuMemAllocPitch_v2(dptr, ret_pitch, wanted->width, wanted->rows,
                                                       wanted->element_bytes));
    if (result != CUDA_SUCCESS)
        limit_hold_end();
    return result;
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *pPitch, size_t width, size_t height,
                            unsigned int elementSize)
{
    struct call call;
    uint64_t address;
    const struct pitched wanted = {
        .by = BY_DRIVER, .element_bytes = elementSize, .width = width, .rows = height};
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuMemAllocPitch_v2)
        return MISSING_DRIVER;
    bool outer = call_begin_pooled(&call, HOOK_cuMemAllocPitch_v2, __builtin_return_address(0));
    if (outer && dptr && pPitch && serve(&call, &wanted, &address, pPitch)) {
        *dptr = address;
        call_end(&call);
        return CUDA_SUCCESS;
    }
    if (outer)
        thread_cancel_hold();
    CUresult result = driver_allocate(real, &wanted, dptr, pPitch);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && pooled_relieve(0))
        result = driver_allocate(real, &wanted, dptr, pPitch);
    if (!outer)
        return result;
    bool made = result == CUDA_SUCCESS;
    answered(&call, &wanted, made ? *dptr : 0, made ? *pPitch : 0, (int)result);
    call_end(&call);
    return result;
}
