/* SPDX-License-Identifier: MIT */
/*
 * Elastic memory: a range of addresses for the largest number of blocks. Its pages are mapped
 * while a block on them is used or cached. A block may span several pages, and a page may hold
 * several blocks.
 */
#include <errno.h>

#include "pool/kv/kv.h"

int kv_pages_init(struct cupool_kv *pool)
{
    struct kv_pages *pages = &pool->pages;
    size_t bytes = (size_t)pool->slots * pool->geometry.block_stride;
    int error;

    if (!pool->backend.page_map)
        return kv_fail(pool, -ENOTSUP, "the device cannot map pages");
    pages->page_bytes = pool->config.page_bytes;
    error = pool->backend.range_reserve(pool->backend.state, bytes, &pages->page_bytes,
                                        &pool->memory_address);
    if (error < 0)
        return error;
    pages->count = (uint32_t)((bytes + pages->page_bytes - 1) / pages->page_bytes);
    pages->range_bytes = pages->count * pages->page_bytes;
    pages->pages = kv_heap_allocate(&pool->heap, pages->count, sizeof(*pages->pages));
    if (pages->pages)
        return 0;
    pool->backend.range_release(pool->backend.state, pool->memory_address, pages->range_bytes);
    return -ENOMEM;
}

static uint64_t page_address(const struct cupool_kv *pool, uint32_t at)
{
    return pool->memory_address + (uint64_t)at * pool->pages.page_bytes;
}

static int page_map_locked(struct cupool_kv *pool, uint32_t at)
{
    struct kv_page *page = &pool->pages.pages[at];
    int error;

    if (atomic_load(&page->mapped))
        return 0;
    error = pool->backend.page_map(pool->backend.state, page_address(pool, at),
                                   pool->pages.page_bytes, &page->page);
    if (error == 0) {
        atomic_store(&page->mapped, true);
        atomic_fetch_add(&pool->pages.mapped, 1);
    }
    return error;
}

/* What is mapped there next is not zero. */
static void page_blocks_unclear(struct cupool_kv *pool, uint32_t at)
{
    size_t stride = pool->geometry.block_stride, bytes = pool->pages.page_bytes;
    size_t first = at * bytes / stride, last = ((at + 1) * bytes - 1) / stride;

    if (!pool->config.clear)
        return;
    pthread_mutex_lock(&pool->lock);
    for (size_t id = first; id <= last && id < pool->slots; id++)
        pool->records[id].flags |= KV_FLAG_UNCLEAR;
    pthread_mutex_unlock(&pool->lock);
}

static void page_unmap_locked(struct cupool_kv *pool, uint32_t at)
{
    struct kv_page *page = &pool->pages.pages[at];

    atomic_store(&page->mapped, false);
    if (atomic_load(&page->used) > 0) { /* somebody came, and saw it mapped or waits for us */
        atomic_store(&page->mapped, true);
        return;
    }
    pool->backend.page_unmap(pool->backend.state, page_address(pool, at), pool->pages.page_bytes,
                             page->page);
    page_blocks_unclear(pool, at);
    atomic_fetch_sub(&pool->pages.mapped, 1);
    atomic_fetch_sub(&pool->pages.idle, 1);
}

void kv_pages_done(struct cupool_kv *pool)
{
    struct kv_pages *pages = &pool->pages;

    if (!pages->pages || pool->gone)
        return;
    for (uint32_t at = 0; at < pages->count; at++)
        if (atomic_load(&pages->pages[at].mapped))
            pool->backend.page_unmap(pool->backend.state, page_address(pool, at), pages->page_bytes,
                                     pages->pages[at].page);
    pool->backend.range_release(pool->backend.state, pool->memory_address, pages->range_bytes);
}

static void block_pages(const struct cupool_kv *pool, uint32_t id, uint32_t *ret_first,
                        uint32_t *ret_last)
{
    uint64_t offset = (uint64_t)id * pool->geometry.block_stride;

    *ret_first = (uint32_t)(offset / pool->pages.page_bytes);
    *ret_last = (uint32_t)((offset + pool->geometry.block_bytes - 1) / pool->pages.page_bytes);
}

static int page_need(struct cupool_kv *pool, uint32_t at)
{
    struct kv_page *page = &pool->pages.pages[at];

    if (atomic_fetch_add(&page->used, 1) == 0 && atomic_load(&page->mapped))
        atomic_fetch_sub(&pool->pages.idle, 1);
    if (atomic_load(&page->mapped))
        return 0;
    pthread_mutex_lock(&pool->pages.lock);
    int error = page_map_locked(pool, at);
    pthread_mutex_unlock(&pool->pages.lock);
    return error;
}

int kv_pages_need(struct cupool_kv *pool, const uint64_t *ids, uint32_t count)
{
    int error = 0;

    for (uint32_t at = 0; at < count; at++) {
        uint32_t first, last;

        block_pages(pool, (uint32_t)ids[at], &first, &last);
        for (uint32_t page = first; page <= last; page++) {
            if (error == 0)
                error = page_need(pool, page);
            else
                atomic_fetch_add(&pool->pages.pages[page].used, 1);
        }
    }
    return error;
}

void kv_pages_unneed(struct cupool_kv *pool, uint32_t id)
{
    uint32_t first, last;

    block_pages(pool, id, &first, &last);
    for (uint32_t page = first; page <= last; page++)
        if (atomic_fetch_sub(&pool->pages.pages[page].used, 1) == 1 &&
            atomic_load(&pool->pages.pages[page].mapped))
            atomic_fetch_add(&pool->pages.idle, 1);
}

void kv_pages_trim(struct cupool_kv *pool, uint32_t keep)
{
    struct kv_pages *pages = &pool->pages;
    uint32_t idle = 0;

    if (!pages->pages)
        return;
    pthread_mutex_lock(&pages->lock);
    for (uint32_t at = 0; at < pages->count; at++) {
        struct kv_page *page = &pages->pages[at];

        if (!atomic_load(&page->mapped) || atomic_load(&page->used) > 0)
            continue;
        if (idle++ >= keep)
            page_unmap_locked(pool, at);
    }
    pthread_mutex_unlock(&pages->lock);
}
