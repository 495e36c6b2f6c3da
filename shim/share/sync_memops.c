/* SPDX-License-Identifier: MIT */
/*
 * Counts, for each driver allocation or page of mapped memory, the blocks that want the attribute.
 * See sync_memops.h.
 */
#include "shim/share/sync_memops.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "shim/context/capture.h"
#include "shim/share/claims.h"
#include "shim/context/context.h"
#include "shim/share/ipc_imports.h"

#define BUCKETS 256 /* power of two */

/* A block on mapped memory counts in each of these pages: a mapping may be replaced by smaller
 * ones. */
#define PAGE_BYTES POOL_SEGMENT_BYTES

/** A driver allocation, or 2 MiB of a mapping, with blocks that want the attribute. */
struct allocation {
    uint64_t base;
    uint32_t context; /* number */
    bool imported, mapped;
    unsigned blocks; /* that want it */
    unsigned claims; /* of these, that begin in it: each is a claim of its own */
    struct allocation *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct allocation *buckets[BUCKETS]; /* guarded by lock */
static atomic_uint wanted_pages;            /* entries of blocks on mappings */

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

static uint64_t first_of(const struct address_range *range)
{
    return range->mapped ? range->base & ~(PAGE_BYTES - 1) : range->allocation;
}

static uint64_t last_of(const struct address_range *range)
{
    return range->mapped ? (range->base + range->bytes - 1) & ~(PAGE_BYTES - 1) : range->allocation;
}

static bool add_one_locked(const struct address_range *range, uint64_t base, uint32_t context)
{
    struct allocation **link = find_locked(base);

    if (!*link && (*link = malloc(sizeof(**link)))) {
        **link = (struct allocation){
            .base = base,
            .context = context,
            .imported = range->imported,
            .mapped = range->mapped,
        };
        atomic_fetch_add(&wanted_pages, range->mapped);
    }
    if (!*link)
        return false;
    (*link)->blocks++;
    (*link)->claims += base == first_of(range);
    return true;
}

static void forget_locked(struct allocation **link)
{
    struct allocation *known = *link;

    *link = known->next;
    atomic_fetch_sub(&wanted_pages, known->mapped);
    free(known);
}

static void subtract_one_locked(const struct address_range *range, uint64_t base)
{
    struct allocation **link = find_locked(base), *known = *link;

    if (!known)
        return;
    known->claims -= base == first_of(range);
    if (--known->blocks)
        return;
    forget_locked(link);
}

static void subtract_locked(const struct address_range *range)
{
    for (uint64_t base = first_of(range); base <= last_of(range); base += PAGE_BYTES)
        subtract_one_locked(range, base);
}

static bool add_locked(const struct address_range *range)
{
    uint32_t context = address_range_context(range);

    for (uint64_t base = first_of(range); base <= last_of(range); base += PAGE_BYTES) {
        if (add_one_locked(range, base, context))
            continue;
        while (base > first_of(range))
            subtract_one_locked(range, base -= PAGE_BYTES);
        return false;
    }
    return true;
}

/* Whether any other block in a piece wants the attribute; `counted`: the asking block is in the
 * table. A piece is what the driver sets at once. */
static bool others_want_locked(const struct address_range *range, uint64_t piece, uint64_t bytes,
                               bool counted)
{
    if (!range->mapped)
        return wanting_locked(range->allocation) > counted;
    for (uint64_t base = piece; base < piece + bytes; base += PAGE_BYTES)
        if (wanting_locked(base) > (counted && base >= first_of(range) && base <= last_of(range)))
            return true;
    return false;
}

static bool is_synchronous(const struct address_range *range)
{
    struct ipc_import import = {0};

    if (!range->imported)
        return claim_stands(range->base, CLAIM_SYNCHRONOUS);
    ipc_import_find(range->base, &import);
    return import.synchronous;
}

/* Notes the wish of a block. False when it was so before, or the block is gone. */
static bool note(const struct address_range *range, bool wanted)
{
    if (range->imported)
        return ipc_import_synchronous(range->base, wanted) != wanted;
    return wanted ? claim_add(range->base, CLAIM_SYNCHRONOUS)
                  : claim_drop(range->base, CLAIM_SYNCHRONOUS);
}

/* Sets the driver's attribute of one piece, including what the neighbours want. */
static CUresult piece_set_locked(const struct driver_functions *real,
                                 const struct address_range *range, uint64_t address, bool wanted,
                                 bool counted)
{
    uint64_t piece = range->allocation, bytes = 0;

    if (range->mapped && !address_range_page(range, address, &piece, &bytes))
        return CUDA_ERROR_INVALID_VALUE; /* it is being freed meanwhile */
    unsigned value = wanted || others_want_locked(range, piece, bytes, counted);
    return real->cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, address);
}

/* Returns an address in the next piece of a block, after the one around `at`; 0: there is none. */
static uint64_t piece_after(const struct address_range *range, uint64_t at)
{
    uint64_t piece, bytes;

    if (!range->mapped || !address_range_page(range, at, &piece, &bytes) ||
        piece + bytes - range->base >= range->bytes)
        return 0;
    return piece + bytes;
}

/* Of every piece, or of none. */
static CUresult pieces_set_locked(const struct driver_functions *real,
                                  const struct address_range *range, CUdeviceptr address,
                                  bool wanted, bool has)
{
    CUresult result = CUDA_SUCCESS;
    uint64_t end = 0;

    for (uint64_t at = range->mapped ? range->base : address; at && result == CUDA_SUCCESS;
         at = piece_after(range, at)) {
        bool own = end != 0; /* the first call is the program's */
        result = own ? REAL_ASK(piece_set_locked(real, range, at, wanted, has || wanted))
                     : piece_set_locked(real, range, at, wanted, has || wanted);
        end = at;
    }
    if (result == CUDA_SUCCESS || !range->mapped)
        return result;
    for (uint64_t at = range->base; at && at < end; at = piece_after(range, at))
        (void)REAL_ASK(piece_set_locked(real, range, at, has, has || wanted));
    return result;
}

/* The program's own setting. */
static CUresult set_locked(const struct driver_functions *real, const struct address_range *range,
                           CUdeviceptr address, bool wanted)
{
    bool has = is_synchronous(range);

    if (wanted && !has && !add_locked(range))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = pieces_set_locked(real, range, address, wanted, has);
    bool changed = result == CUDA_SUCCESS && note(range, wanted);
    if (wanted ? !has && !changed : changed)
        subtract_locked(range);
    return result;
}

CUresult sync_memops_set(const struct driver_functions *real, const struct address_range *range,
                         CUdeviceptr address, bool wanted)
{
    pthread_mutex_lock(&lock);
    CUresult result = set_locked(real, range, address, wanted);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Makes a call of our own, in the allocation's context and outside every capture. */
static void set_aside(uint64_t address, CUcontext context, unsigned value)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUstreamCaptureMode mode;
    CUcontext popped;

    if (!driver || !driver->cuPointerSetAttribute ||
        (context && REAL_ASK(driver->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS))
        return;
    bool exchanged = capture_mode_relax(driver, &mode);
    (void)REAL_ASK(
        driver->cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, address));
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

/* Clears the attribute for each piece where no block wants it any more. */
static void pieces_clear_locked(const struct address_range *range, CUcontext context)
{
    for (uint64_t at = range->mapped ? range->base : range->allocation; at;
         at = piece_after(range, at)) {
        uint64_t piece = range->allocation, bytes = 0;
        if (range->mapped && !address_range_page(range, at, &piece, &bytes))
            return;
        if (!others_want_locked(range, piece, bytes, false))
            set_aside(at, context, 0);
    }
}

void sync_memops_end(const struct address_range *range, bool stands)
{
    pthread_mutex_lock(&lock);
    const struct allocation *known = *find_locked(first_of(range));
    uint32_t context = known ? known->context : 0;
    subtract_locked(range);
    if (stands)
        pieces_clear_locked(range, handle_of(context));
    pthread_mutex_unlock(&lock);
}

void sync_memops_mapped(uint64_t address, uint64_t bytes)
{
    if (!atomic_load_explicit(&wanted_pages, memory_order_relaxed))
        return;
    pthread_mutex_lock(&lock);
    for (uint64_t base = address; base < address + bytes; base += PAGE_BYTES)
        if (wanting_locked(base))
            set_aside(base, NULL, 1);
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
                claims_forget(known->claims);
            forget_locked(link);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* Does not free what the parent knew: its heap may have been left half-way through an operation. */
void sync_memops_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    atomic_store(&wanted_pages, 0);
    for (unsigned i = 0; i < BUCKETS; i++)
        buckets[i] = NULL;
}
