/* SPDX-License-Identifier: MIT */
/*
 * How many blocks of each driver allocation want it. See sync_memops.h.
 */
#include "shim/share/sync_memops.h"

#include <pthread.h>
#include <stdlib.h>

#include "shim/context/capture.h"
#include "shim/share/claims.h"
#include "shim/context/context.h"
#include "shim/share/ipc_imports.h"

#define BUCKETS 256 /* power of two */

/** A driver allocation that has the attribute. */
struct allocation {
    uint64_t base;
    uint32_t context; /* number */
    bool imported;
    unsigned blocks; /* that want it */
    struct allocation *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct allocation *buckets[BUCKETS]; /* guarded by lock */

static struct allocation **find_locked(uint64_t base)
{
    struct allocation **link = &buckets[base * UINT64_C(0x9E3779B97F4A7C15) >> 56 & (BUCKETS - 1)];
    while (*link && (*link)->base != base)
        link = &(*link)->next;
    return link;
}

static unsigned wanting_locked(uint64_t base)
{
    const struct allocation *known = *find_locked(base);
    return known ? known->blocks : 0;
}

static bool add_locked(const struct range *range)
{
    struct allocation **link = find_locked(range->allocation);
    if (!*link && (*link = malloc(sizeof(**link))))
        **link = (struct allocation){
            .base = range->allocation,
            .context = range_context(range),
            .imported = range->imported,
        };
    if (*link)
        (*link)->blocks++;
    return *link;
}

static void subtract_locked(uint64_t base)
{
    struct allocation **link = find_locked(base), *known = *link;
    if (!known || --known->blocks)
        return;
    *link = known->next;
    free(known);
}

static bool is_synchronous(const struct range *range)
{
    struct ipc_import import = {0};
    if (!range->imported)
        return claim_stands(range->base, CLAIM_SYNCHRONOUS);
    ipc_import_find(range->base, &import);
    return import.synchronous;
}

/* False when it was so before, or the block is not there any more. */
static bool note(const struct range *range, bool wanted)
{
    if (range->imported)
        return ipc_import_synchronous(range->base, wanted) != wanted;
    return wanted ? claim_add(range->base, CLAIM_SYNCHRONOUS)
                  : claim_drop(range->base, CLAIM_SYNCHRONOUS);
}

/* The program's own setting, with what the neighbours want. */
static CUresult set_locked(const struct driver_functions *real, const struct range *range,
                           CUdeviceptr address, bool wanted)
{
    bool has = is_synchronous(range);
    unsigned value = wanted || wanting_locked(range->allocation) > has;
    if (wanted && !has && !add_locked(range))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real->cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                                                  address);
    bool changed = result == CUDA_SUCCESS && note(range, wanted);
    if (wanted ? !has && !changed : changed)
        subtract_locked(range->allocation);
    return result;
}

CUresult sync_memops_set(const struct driver_functions *real, const struct range *range,
                         CUdeviceptr address, bool wanted)
{
    pthread_mutex_lock(&lock);
    CUresult result = set_locked(real, range, address, wanted);
    pthread_mutex_unlock(&lock);
    return result;
}

/* A call of our own, in the allocation's context and beside every capture. */
static void clear(uint64_t base, CUcontext context)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    unsigned value = 0;
    CUcontext popped;
    if (!driver || !driver->cuPointerSetAttribute ||
        (context && REAL_ASK(driver->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS))
        return;
    bool exchanged = driver->cuThreadExchangeStreamCaptureMode &&
                     REAL_ASK(driver->cuThreadExchangeStreamCaptureMode(&mode)) == CUDA_SUCCESS;
    (void)REAL_ASK(driver->cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, base));
    if (exchanged)
        capture_mode_restore(driver, mode);
    if (context)
        (void)REAL_ASK(driver->cuCtxPopCurrent_v2(&popped));
}

static CUcontext handle_of(uint32_t number)
{
    for (struct context *context = context_first(); context; context = context_next(context))
        if (context->number == number)
            return context->handle;
    return NULL;
}

void sync_memops_end(uint64_t allocation, bool mapped)
{
    pthread_mutex_lock(&lock);
    const struct allocation *known = *find_locked(allocation);
    uint32_t context = known ? known->context : 0;
    subtract_locked(allocation);
    if (mapped && !wanting_locked(allocation))
        clear(allocation, handle_of(context));
    pthread_mutex_unlock(&lock);
}

void sync_memops_forget_context(uint32_t context)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct allocation **link = &buckets[i]; *link;) {
            struct allocation *known = *link;
            if (known->context != context) {
                link = &known->next;
                continue;
            }
            if (!known->imported)
                claims_forget(known->blocks);
            *link = known->next;
            free(known);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* What the parent knew is not freed: its heap may have been left half-way. */
void sync_memops_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    for (unsigned i = 0; i < BUCKETS; i++)
        buckets[i] = NULL;
}
