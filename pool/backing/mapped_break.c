/* SPDX-License-Identifier: MIT */
/*
 * Breaking: replaces a partly live handle by handles of 2 MiB below its live pages, under the same
 * addresses, so that the memory of its free pages can be used elsewhere.
 *
 * The live pages are copied to new memory at another place of the range, the handle is unmapped,
 * and the new memory is mapped in the pages' place. Until the last step has succeeded the handle
 * keeps the bytes, so any failure is undone by mapping it again.
 */
#include <errno.h>

#include "pool/backing/mapped_plan.h"
#include "pool/base/metadata.h"

#define PAGES_MAX 512u /* of a handle that is broken */

struct breaking {
    struct mapped_handle *handle;
    struct mapped_handle *copies;  /* one for each live page, in order; `address` is the page's */
    uint64_t live[PAGES_MAX / 64]; /* bit p: page p is not free */
    unsigned pages, live_pages;
    struct extent *freed;   /* EXTENT_EMPTYING, by their left links */
    struct extent *scratch; /* EXTENT_FILLING */
    uint64_t scratch_bytes; /* of it mapped */
};

static bool is_live(const struct breaking *breaking, unsigned page)
{
    return breaking->live[page / 64] >> (page % 64) & 1;
}

/* Finds the pages of a handle that contain anything but free memory; false: it cannot be broken
 * now. Free memory in a pinned handle is spent. */
static bool pages_look(const struct mapped *mapped, const struct mapped_handle *handle,
                       struct breaking *breaking)
{
    uint64_t end = handle->address + handle->bytes;

    *breaking = (struct breaking){.pages = (unsigned)(handle->bytes / RANGE_PAGE_BYTES)};
    if (handle->bytes == RANGE_PAGE_BYTES || breaking->pages > PAGES_MAX)
        return false;
    for (const struct extent *extent = range_at(&mapped->range, handle->address);
         extent && extent->node.address < end; extent = extent->after) {
        if (extent->use == EXTENT_FREE)
            continue;
        if (extent->use != EXTENT_LIVE)
            return false;
        uint64_t low = pool_max(extent->node.address, handle->address) - handle->address;
        uint64_t high = pool_min(extent_end(extent), end) - handle->address;
        for (uint64_t page = low / RANGE_PAGE_BYTES; page * RANGE_PAGE_BYTES < high; page++)
            breaking->live[page / 64] |= UINT64_C(1) << page % 64;
    }
    for (unsigned word = 0; word < PAGES_MAX / 64; word++)
        breaking->live_pages += (unsigned)__builtin_popcountll(breaking->live[word]);
    return breaking->live_pages > 0 && breaking->live_pages < breaking->pages;
}

/* Returns the handle with the most free pages, among those with live pages that fit into `most`
 * bytes. */
static struct mapped_handle *best_find(const struct mapped *mapped, uint64_t most,
                                       struct breaking *ret_breaking)
{
    struct mapped_handle *best = NULL;
    unsigned best_free = 0;

    EACH_LARGE_EXTENT(mapped, node)
    {
        const struct extent *extent = extent_of(node);
        uint64_t ends[] = {extent->node.address, extent_end(extent) - 1};
        for (unsigned side = 0; side < 2; side++) {
            struct mapped_handle *handle = mapped_handle_at(mapped, ends[side]);
            struct breaking breaking;

            if (!pages_look(mapped, handle, &breaking) ||
                breaking.live_pages * RANGE_PAGE_BYTES > most ||
                breaking.pages - breaking.live_pages <= best_free)
                continue;
            best = handle;
            best_free = breaking.pages - breaking.live_pages;
            *ret_breaking = breaking;
        }
    }
    if (best)
        ret_breaking->handle = best;
    return best;
}

static uint64_t page_address(const struct breaking *breaking, unsigned page)
{
    return breaking->handle->address + page * RANGE_PAGE_BYTES;
}

/* Sets aside the free pages and a place for the copies. */
static int claim(struct mapped *mapped, struct breaking *breaking)
{
    struct range *range = &mapped->range;
    uint64_t bytes = breaking->live_pages * RANGE_PAGE_BYTES;
    const struct extent *hole = extent_of(size_tree_best(&range->holes, bytes));

    if (!hole)
        return -ENOMEM;
    breaking->scratch = range_claim(range, hole->node.address, bytes, EXTENT_FILLING);
    for (unsigned page = 0; breaking->scratch && page < breaking->pages; page++) {
        if (is_live(breaking, page))
            continue;
        struct extent *freed = range_claim(range, page_address(breaking, page), RANGE_PAGE_BYTES,
                                           EXTENT_EMPTYING);
        if (!freed)
            return -ENOMEM;
        freed->node.left = breaking->freed ? &breaking->freed->node : NULL;
        breaking->freed = freed;
    }
    return breaking->scratch ? 0 : -ENOMEM;
}

/* Gives the free pages the new use, or that of free memory in a handle that was exported meanwhile;
 * the place of the copies becomes a hole. */
static void settle(struct mapped *mapped, struct breaking *breaking, enum extent_use use)
{
    for (struct extent *extent = breaking->freed, *next; extent; extent = next) {
        next = extent_of(extent->node.left);
        if (use == EXTENT_HOLE && mapped->entry != 0)
            page_map_replace(extent->node.address, extent->node.bytes, 0);
        range_settle(&mapped->range, extent,
                     use == EXTENT_FREE && extent->exported ? EXTENT_SPENT : use);
    }
    if (breaking->scratch)
        range_settle(&mapped->range, breaking->scratch, EXTENT_HOLE);
}

/* ---- driver calls, without the lock ---- */

/* Gets memory for the copies: new, or from whole free handles if the device has none. */
static int copies_create(struct mapped *mapped, struct breaking *breaking)
{
    uint64_t bytes = breaking->live_pages * RANGE_PAGE_BYTES;
    struct mapped_handle **end = &breaking->copies;
    int error = 0;

    for (unsigned page = 0; error == 0 && page < breaking->pages; page++) {
        if (!is_live(breaking, page))
            continue;
        error = mapped_handle_create(mapped, RANGE_PAGE_BYTES, end);
        if (error == -ENOMEM &&
            mapped_trim(mapped, pool_minus(count_get(mapped->reserved_bytes), bytes)) > 0)
            error = mapped_handle_create(mapped, RANGE_PAGE_BYTES, end);
        if (error < 0)
            break;
        (*end)->address = page_address(breaking, page);
        (*end)->next = NULL;
        end = &(*end)->next;
    }
    return error;
}

/* Maps the new pages one after another into the scratch place and copies the live bytes. */
static int copies_write(struct mapped *mapped, struct breaking *breaking)
{
    const struct pool_backend *backend = mapped->backend;
    uint64_t begin = breaking->scratch->node.address, at = begin;
    int error = 0;

    for (const struct mapped_handle *copy = breaking->copies; error == 0 && copy;
         copy = copy->next) {
        error = backend->page_map(backend->state, begin + breaking->scratch_bytes, RANGE_PAGE_BYTES,
                                  copy->physical);
        breaking->scratch_bytes += error == 0 ? RANGE_PAGE_BYTES : 0;
    }
    if (error == 0)
        error = mapped_enable(mapped, begin, breaking->scratch_bytes);
    for (const struct mapped_handle *copy = breaking->copies; error == 0 && copy;
         copy = copy->next, at += RANGE_PAGE_BYTES)
        error = backend->memory_copy(backend->state, at, copy->address, RANGE_PAGE_BYTES);
    return error;
}

/* If the driver refuses to unmap the copies, and they may be used, they become free memory
 * there.
 */
static void scratch_keep(struct mapped *mapped, struct breaking *breaking)
{
    uint64_t at = breaking->scratch->node.address, bytes = breaking->scratch->node.bytes;
    bool usable = breaking->scratch_bytes == bytes &&
                  (mapped->entry == 0 || page_map_insert(at, bytes, mapped->entry) == 0);

    pool_lock_acquire(mapped->lock);
    for (struct mapped_handle *copy = breaking->copies; usable && copy; copy = copy->next) {
        copy->address = at;
        *mapped_slot(mapped, at) = copy;
        at += RANGE_PAGE_BYTES;
    }
    if (usable) {
        count_add_shared(&mapped->pending_bytes, -bytes);
        range_settle(&mapped->range, breaking->scratch, EXTENT_FREE);
    }
    breaking->copies = NULL;
    breaking->scratch = NULL;
    pool_lock_release(mapped->lock);
}

static int scratch_unmap(struct mapped *mapped, struct breaking *breaking)
{
    int error = breaking->scratch_bytes == 0 ? 0
                                             : mapped_unmap(mapped, breaking->scratch->node.address,
                                                            breaking->scratch_bytes);

    if (error < 0)
        scratch_keep(mapped, breaking);
    return error;
}

static int copy_place(struct mapped *mapped, const struct mapped_handle *copy)
{
    const struct pool_backend *backend = mapped->backend;
    int error = backend->page_map(backend->state, copy->address, RANGE_PAGE_BYTES, copy->physical);

    if (error < 0)
        return error;
    error = mapped_enable(mapped, copy->address, RANGE_PAGE_BYTES);
    if (error < 0)
        (void)mapped_unmap(mapped, copy->address, RANGE_PAGE_BYTES);
    return error;
}

/* Whether another process may have mapped the handle since it was chosen: what it writes would be
 * missing in the copies. */
static bool is_exported(const struct mapped *mapped, const struct mapped_handle *handle)
{
    pool_lock_acquire(mapped->lock);
    bool exported = handle->pinned;
    pool_lock_release(mapped->lock);
    return exported;
}

/* Maps the copies in the handle's place or, if that fails, the handle again. */
static int handle_replace(struct mapped *mapped, const struct breaking *breaking)
{
    const struct pool_backend *backend = mapped->backend;
    const struct mapped_handle *handle = breaking->handle, *copy = breaking->copies;
    int error = is_exported(mapped, handle) ? -EBUSY
                                            : mapped_unmap(mapped, handle->address, handle->bytes);

    if (error < 0)
        return error;
    error = is_exported(mapped, handle) ? -EBUSY : 0;
    while (copy && error == 0) {
        error = copy_place(mapped, copy);
        copy = error == 0 ? copy->next : copy;
    }
    if (error == 0)
        return 0;
    for (const struct mapped_handle *placed = breaking->copies; placed != copy;
         placed = placed->next)
        (void)mapped_unmap(mapped, placed->address, RANGE_PAGE_BYTES);
    if (backend->page_map(backend->state, handle->address, handle->bytes, handle->physical) == 0)
        (void)mapped_enable(mapped, handle->address, handle->bytes);
    return error;
}

/* ---- the whole ---- */

static void copies_enter(struct mapped *mapped, struct breaking *breaking)
{
    struct mapped_handle *handle = breaking->handle;

    *mapped_slot(mapped, handle->address) = NULL;
    for (struct mapped_handle *copy = breaking->copies; copy; copy = copy->next) {
        copy->pinned = handle->pinned; /* exported in its new place */
        *mapped_slot(mapped, copy->address) = copy;
    }
    breaking->copies = NULL;
    count_add_shared(&mapped->pending_bytes,
                     handle->bytes - breaking->live_pages * RANGE_PAGE_BYTES);
    settle(mapped, breaking, EXTENT_HOLE);
    handle->address = 0;
}

int mapped_break(struct mapped *mapped, struct mapped_broken *ret_broken)
{
    struct breaking breaking;
    uint64_t most;
    int error = -ENOMEM;

    pool_lock_acquire(mapped->lock);
    most = pool_max(mapped_whole_bytes_locked(mapped), RANGE_PAGE_BYTES);
    bool any = best_find(mapped, most, &breaking);
    if (any)
        error = claim(mapped, &breaking);
    if (any && error < 0)
        settle(mapped, &breaking, EXTENT_FREE);
    pool_lock_release(mapped->lock);
    if (error < 0)
        return error;

    struct mapped_broken broken = {breaking.handle->address, breaking.handle->bytes};
    error = copies_create(mapped, &breaking);
    if (error == 0)
        error = copies_write(mapped, &breaking);
    int unmapped = scratch_unmap(mapped, &breaking);
    error = error == 0 ? unmapped : error;
    if (error == 0)
        error = handle_replace(mapped, &breaking);
    pool_lock_acquire(mapped->lock);
    if (error == 0)
        copies_enter(mapped, &breaking);
    else
        settle(mapped, &breaking, EXTENT_FREE);
    pool_lock_release(mapped->lock);
    for (struct mapped_handle *copy = breaking.copies, *next; copy; copy = next) {
        next = copy->next;
        mapped_handle_release(mapped, copy);
    }
    if (error == 0) {
        mapped_handle_release(mapped, breaking.handle);
        *ret_broken = broken;
    }
    return error;
}
