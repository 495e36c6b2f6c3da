/* SPDX-License-Identifier: MIT */
/*
 * An array over the range finds the page at an address; a list holds all pages, mapped or not.
 */
#include "shim/memory/vmm.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "cupti/base/pages.h"

#define PIECE_BYTES POOL_SEGMENT_BYTES

static size_t covering_bytes(uint64_t range_bytes)
{
    return range_bytes / PIECE_BYTES * sizeof(struct vmm_page *);
}

struct vmm *vmm_create(void)
{
    struct vmm *vmm = calloc(1, sizeof(*vmm));

    if (vmm)
        pthread_mutex_init(&vmm->lock, NULL);
    return vmm;
}

bool vmm_range_set(struct vmm *vmm, uint64_t address, uint64_t bytes)
{
    struct vmm_page **covering = pages_map(covering_bytes(bytes));

    if (!covering)
        return false;
    pthread_mutex_lock(&vmm->lock);
    vmm->covering = covering;
    vmm->address = address;
    __atomic_store_n(&vmm->bytes, bytes, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&vmm->lock);
    return true;
}

void vmm_range_clear(struct vmm *vmm)
{
    pthread_mutex_lock(&vmm->lock);
    struct vmm_page **covering = vmm->covering;
    size_t bytes = covering_bytes(vmm->bytes);
    __atomic_store_n(&vmm->bytes, 0, __ATOMIC_RELEASE);
    vmm->covering = NULL;
    pthread_mutex_unlock(&vmm->lock);
    pages_unmap(covering, bytes);
}

struct vmm_page *vmm_page_add(struct vmm *vmm, CUmemGenericAllocationHandle handle, uint64_t bytes)
{
    static atomic_uint_fast64_t last_id;
    struct vmm_page *page = malloc(sizeof(*page));

    if (!page)
        return NULL;
    pthread_mutex_lock(&vmm->lock);
    *page = (struct vmm_page){
        .handle = handle,
        .id = atomic_fetch_add(&last_id, 1) + 1,
        .bytes = bytes,
        .next = vmm->pages,
        .link = &vmm->pages,
    };
    if (page->next)
        page->next->link = &page->next;
    vmm->pages = page;
    pthread_mutex_unlock(&vmm->lock);
    return page;
}

void vmm_page_remove(struct vmm *vmm, struct vmm_page *page)
{
    pthread_mutex_lock(&vmm->lock);
    *page->link = page->next;
    if (page->next)
        page->next->link = page->link;
    pthread_mutex_unlock(&vmm->lock);
    free(page);
}

static void cover_locked(struct vmm *vmm, const struct vmm_page *page, struct vmm_page *by)
{
    uint64_t first = (page->address - vmm->address) / PIECE_BYTES;

    for (uint64_t i = 0; i < page->bytes / PIECE_BYTES; i++)
        vmm->covering[first + i] = by;
}

void vmm_page_mapped_locked(struct vmm *vmm, struct vmm_page *page, uint64_t address)
{
    page->address = address;
    cover_locked(vmm, page, page);
}

void vmm_page_unmapped_locked(struct vmm *vmm, struct vmm_page *page)
{
    cover_locked(vmm, page, NULL);
    page->address = 0;
}

struct vmm_page *vmm_page_at_locked(const struct vmm *vmm, uint64_t address)
{
    return address - vmm->address < vmm->bytes
               ? vmm->covering[(address - vmm->address) / PIECE_BYTES]
               : NULL;
}

struct context *vmm_context_at(uint64_t address)
{
    for (struct context *context = context_first(); context; context = context_next(context)) {
        const struct vmm *vmm = atomic_load_explicit(&context->vmm, memory_order_acquire);

        /* The range is set before any address in it is handed out. */
        if (vmm && address - vmm->address < __atomic_load_n(&vmm->bytes, __ATOMIC_ACQUIRE))
            return context;
    }
    return NULL;
}

static struct vmm *vmm_at(uint64_t address)
{
    struct context *context = vmm_context_at(address);

    return context ? atomic_load(&context->vmm) : NULL;
}

bool vmm_page_get(uint64_t address, struct vmm_page *ret_page)
{
    struct vmm *vmm = vmm_at(address);

    if (!vmm)
        return false;
    pthread_mutex_lock(&vmm->lock);
    const struct vmm_page *page = vmm_page_at_locked(vmm, address);
    if (page)
        *ret_page = *page;
    pthread_mutex_unlock(&vmm->lock);
    return page;
}

bool vmm_may_export(uint64_t address)
{
    const struct vmm *vmm = vmm_at(address);

    return vmm && !__atomic_load_n(&vmm->own, __ATOMIC_RELAXED);
}

bool vmm_mapping_at(uint64_t address, uint64_t *ret_base, uint64_t *ret_bytes)
{
    struct vmm_page page;

    if (!vmm_page_get(address, &page))
        return false;
    *ret_base = page.address;
    *ret_bytes = page.bytes;
    return true;
}
