/* SPDX-License-Identifier: MIT */
/*
 * The writers of the page map. Insertion first ensures that every leaf exists and every page is
 * vacant, then writes; so a failure leaves nothing but empty leaves.
 */
#include "pool/base/page_map.h"

#include <errno.h>
#include <sys/mman.h>

#include "pool/base/lock.h"
#include "pool/base/metadata.h"

_Atomic(page_map_leaf *) page_map_root[PAGE_MAP_ROOT_COUNT];

/* Guards every write to the root and the leaves. */
static struct pool_lock write_lock = POOL_LOCK_INITIALIZER(PAGE_MAP);

static _Atomic(page_map_leaf *) *root_slot(uint64_t page)
{
    return &page_map_root[page >> PAGE_MAP_LEAF_BITS];
}

static _Atomic page_entry *entry_slot(uint64_t page)
{
    page_map_leaf *leaf = atomic_load_explicit(root_slot(page), memory_order_relaxed);

    return &(*leaf)[page & (PAGE_MAP_LEAF_COUNT - 1)];
}

static int page_vacate_locked(uint64_t page)
{
    if (!atomic_load_explicit(root_slot(page), memory_order_relaxed)) {
        page_map_leaf *leaf = metadata_map(sizeof(*leaf));

        if (!leaf)
            return -ENOMEM;
        atomic_store_explicit(root_slot(page), leaf, memory_order_release);
    }
    return atomic_load_explicit(entry_slot(page), memory_order_relaxed) == 0 ? 0 : -EEXIST;
}

int page_map_insert(uint64_t address, size_t bytes, page_entry entry)
{
    uint64_t first = address >> PAGE_MAP_PAGE_BITS, pages = bytes >> PAGE_MAP_PAGE_BITS;

    if (pages == 0 || first + pages > UINT64_C(1) << (PAGE_MAP_ROOT_BITS + PAGE_MAP_LEAF_BITS))
        return -ERANGE;

    int error = 0;
    pool_lock_acquire(&write_lock);
    for (uint64_t page = first; error == 0 && page < first + pages; page++)
        error = page_vacate_locked(page);
    for (uint64_t page = first; error == 0 && page < first + pages; page++)
        atomic_store_explicit(entry_slot(page), entry, memory_order_release);
    pool_lock_release(&write_lock);
    return error;
}

void page_map_replace(uint64_t address, size_t bytes, page_entry entry)
{
    uint64_t first = address >> PAGE_MAP_PAGE_BITS, pages = bytes >> PAGE_MAP_PAGE_BITS;

    pool_lock_acquire(&write_lock);
    for (uint64_t page = first; page < first + pages; page++)
        atomic_store_explicit(entry_slot(page), entry, memory_order_release);
    pool_lock_release(&write_lock);
}

void page_map_fork_prepare(void)
{
    pool_lock_acquire_among_equals(&write_lock);
}

void page_map_fork_parent(void)
{
    pool_lock_release(&write_lock);
}

void page_map_fork_child(void)
{
    for (unsigned slot = 0; slot < PAGE_MAP_ROOT_COUNT; slot++) {
        page_map_leaf *leaf = atomic_load_explicit(&page_map_root[slot], memory_order_relaxed);

        if (!leaf)
            continue;
        atomic_store_explicit(&page_map_root[slot], NULL, memory_order_relaxed);
        munmap((void *)leaf, sizeof(*leaf));
    }
    pool_lock_init(&write_lock, POOL_LOCK_PAGE_MAP);
}
