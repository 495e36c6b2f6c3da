/* SPDX-License-Identifier: MIT */
/*
 * Disposes of free mapped memory: releases it, defragments it, or keeps it out of use because its
 * handle is known outside the process.
 */
#include <errno.h>

#include "pool/backing/mapped_plan.h"
#include "pool/base/metadata.h"

/* ---- giving back ---- */

uint64_t mapped_trim(struct mapped *mapped, uint64_t keep)
{
    uint64_t before = count_get(mapped->reserved_bytes);
    struct plan plan;

    mapped_loose_release(mapped);
    keep = pool_max(keep, mapped->config.keep_bytes);
    if (before <= keep)
        return 0;
    plan_init(&plan);
    plan.gap.room = before - mapped->config.keep_bytes;
    pool_lock_acquire(mapped->lock);
    (void)plan_harvest(mapped, before - keep, &plan); /* what it could set apart goes back */
    pool_lock_release(mapped->lock);
    (void)plan_unmap(mapped, &plan); /* what is still mapped stays */
    plan_undo(mapped, &plan);
    return pool_minus(before, count_get(mapped->reserved_bytes));
}

bool mapped_may_gain(struct mapped *mapped, bool parts)
{
    const pool_count *bytes_of = mapped->range.bytes_of;

    pool_lock_acquire(mapped->lock);
    bool any = count_get(&mapped->pending_bytes) > 0 || mapped->range.leaving ||
               count_get(&bytes_of[EXTENT_EMPTYING]) > 0 || count_get(&bytes_of[EXTENT_SPENT]) > 0;
    if (!any)
        any = parts ? count_get(&bytes_of[EXTENT_FREE]) > 0 : mapped_whole_bytes_locked(mapped) > 0;
    pool_lock_release(mapped->lock);
    return any;
}

/* Returns the largest free extent that could be made next to a hole. */
static uint64_t reach_of(const struct mapped *mapped, const struct extent *hole, uint64_t whole)
{
    uint64_t best = 0, room = hole->node.bytes;
    const struct extent *before = hole->before, *after = hole->after;

    before = before && before->use == EXTENT_FREE ? before : NULL;
    after = after && after->use == EXTENT_FREE ? after : NULL;
    const struct extent *sides[] = {before, after};
    for (unsigned side = 0; side < 2; side++) {
        uint64_t fill = pool_min(whole - mapped_extent_whole_bytes(mapped, sides[side]), room);

        best = pool_max(best, fill + (sides[side] ? sides[side]->node.bytes : 0));
    }
    uint64_t others = whole - mapped_extent_whole_bytes(mapped, before) -
                      mapped_extent_whole_bytes(mapped, after);
    if (before && after && others >= room)
        best = pool_max(best, before->node.bytes + room + after->node.bytes);
    return best;
}

static uint64_t reach_best(const struct mapped *mapped)
{
    const struct range *range = &mapped->range;
    uint64_t whole = mapped_whole_bytes_locked(mapped), best = 0;

    for (struct size_node *node = size_tree_largest(&range->holes); node;
         node = size_tree_previous(&range->holes, node))
        best = pool_max(best, reach_of(mapped, extent_of(node), whole));
    return best > range_largest_free(range) ? best : 0;
}

int mapped_defragment(struct mapped *mapped, struct mapped_grown *ret_grown)
{
    struct mapped_wish wish = {.stitch = true, .anywhere = true};
    struct mapped_grown grown = {0};
    int error;

    pool_lock_acquire(mapped->lock);
    wish.bytes = reach_best(mapped);
    pool_lock_release(mapped->lock);
    *ret_grown = grown;
    if (wish.bytes == 0)
        return 0;
    error = mapped_grow(mapped, &wish, &grown);
    if (error < 0)
        return error == -ENOMEM || error == -EAGAIN ? 0 : error;
    pool_lock_acquire(mapped->lock);
    range_give(&mapped->range, grown.extent);
    pool_lock_release(mapped->lock);
    grown.extent = NULL;
    *ret_grown = grown;
    return 0;
}

static void handle_done(struct mapped *mapped, struct mapped_handle *handle, bool abandon)
{
    const struct pool_backend *backend = mapped->backend;

    if (mapped->entry != 0)
        page_map_replace(handle->address, handle->bytes, 0);
    if (!abandon) {
        backend->page_unmap(backend->state, handle->address, handle->bytes);
        backend->page_release(backend->state, handle->physical);
    }
    metadata_free(METADATA_HANDLE, handle, sizeof(*handle), mapped->account);
}

/* Ends the handles that begin in the pages of an extent. Holes, which may be large, have none. */
static void extent_done(struct mapped *mapped, const struct extent *extent, bool abandon)
{
    uint64_t at = extent->node.address & ~(RANGE_PAGE_BYTES - 1), bytes;

    if (extent->use == EXTENT_HOLE || extent->use == EXTENT_FENCE)
        return;
    for (; at < extent->node.address + extent->node.bytes; at += bytes) {
        struct mapped_handle **slot = mapped_slot(mapped, at);

        bytes = RANGE_PAGE_BYTES;
        if (!*slot)
            continue;
        bytes = (*slot)->bytes;
        handle_done(mapped, *slot, abandon);
        *slot = NULL;
    }
}

void mapped_done(struct mapped *mapped, bool abandon)
{
    const struct pool_backend *backend = mapped->backend;
    struct range *range = &mapped->range;

    for (const struct extent *extent = range->first; extent; extent = extent->after)
        extent_done(mapped, extent, abandon);
    for (const struct extent *extent = mapped->fenced_first; extent && mapped->entry != 0;
         extent = extent_of(extent->node.left))
        page_map_replace(extent->node.address, extent->node.bytes, 0);
    for (struct mapped_handle *handle = mapped->loose, *next; handle; handle = next) {
        next = handle->next;
        if (!abandon)
            backend->page_release(backend->state, handle->physical);
        metadata_free(METADATA_HANDLE, handle, sizeof(*handle), mapped->account);
    }
    if (!abandon)
        backend->range_release(backend->state, range->address, range->bytes);
    metadata_unmap(mapped->handles, mapped_handles_bytes(range->bytes));
    range_done(range);
}

/* ---- handles known outside ---- */

struct mapped_handle *mapped_handle_at(const struct mapped *mapped, uint64_t address)
{
    struct mapped_handle **slot = mapped_slot(mapped, address);

    while (!*slot)
        slot--;
    return *slot;
}

/* Stops handing out free memory in [low, high); live memory there will be spent when it is
 * freed. */
static int free_spend(struct mapped *mapped, uint64_t low, uint64_t high)
{
    struct range *range = &mapped->range;

    for (uint64_t at = low; at < high;) {
        struct extent *extent = range_at(range, at);
        uint64_t end = pool_min(extent_end(extent), high);

        if (extent->use == EXTENT_FREE) {
            struct extent *claimed = range_claim(range, at, end - at, EXTENT_EMPTYING);

            if (!claimed)
                return -ENOMEM;
            range_settle(range, claimed, EXTENT_SPENT);
        }
        extent->exported = extent->exported || extent->use == EXTENT_LIVE ||
                           extent->use == EXTENT_EMPTYING;
        at = end;
    }
    return 0;
}

int mapped_pin_locked(struct mapped *mapped, struct extent *live)
{
    for (uint64_t at = live->node.address; at < extent_end(live);) {
        struct mapped_handle *handle = mapped_handle_at(mapped, at);
        int error = handle->pinned
                        ? 0
                        : free_spend(mapped, handle->address, handle->address + handle->bytes);

        if (error < 0)
            return error;
        handle->pinned = true;
        at = handle->address + handle->bytes;
    }
    return 0;
}

/* Frees the parts of a spent extent in handles that are not pinned. Whole pinned handles go to
 * the plan; parts of others stay spent. Returns false when something was changed: begin again. */
static bool spent_sort(struct mapped *mapped, struct extent *extent, struct plan *plan)
{
    struct range *range = &mapped->range;

    for (uint64_t at = extent->node.address; at < extent_end(extent);) {
        const struct mapped_handle *handle = mapped_handle_at(mapped, at);
        uint64_t handle_end = handle->address + handle->bytes;
        uint64_t end = pool_min(handle_end, extent_end(extent));
        bool whole = at == handle->address && end == handle_end;

        if (!handle->pinned || whole) {
            struct extent *claimed = range_claim(range, at, end - at, EXTENT_EMPTYING);

            if (!claimed)
                return true;
            if (!handle->pinned) {
                range_settle(range, claimed, EXTENT_FREE);
                return false;
            }
            claimed->node.left = plan->harvested ? &plan->harvested->node : NULL;
            plan->harvested = claimed;
            plan->harvested_bytes += claimed->node.bytes;
            return false;
        }
        at = end;
    }
    return true;
}

void mapped_spent_release(struct mapped *mapped)
{
    struct range *range = &mapped->range;
    struct plan plan;

    plan_init(&plan);
    pool_lock_acquire(mapped->lock);
    for (struct size_node *node = size_tree_largest(&range->spent); node;)
        node = spent_sort(mapped, extent_of(node), &plan) ? size_tree_previous(&range->spent, node)
                                                          : size_tree_largest(&range->spent);
    pool_lock_release(mapped->lock);
    (void)plan_unmap(mapped, &plan);
    pool_lock_acquire(mapped->lock);
    for (struct extent *extent = plan.harvested, *next; extent; extent = next) {
        next = extent_of(extent->node.left);
        range_settle(range, extent, EXTENT_SPENT); /* still mapped: another time */
    }
    plan.harvested = NULL;
    pool_lock_release(mapped->lock);
    plan_undo(mapped, &plan);
}

/* ---- check ---- */

static const char *extent_check(const struct mapped *mapped, const struct extent *extent,
                                uint64_t *covered, uint64_t *bytes)
{
    bool without = extent->use == EXTENT_HOLE || extent->use == EXTENT_FILLING ||
                   extent->use == EXTENT_FENCE;
    uint64_t at = pool_round_up(extent->node.address, RANGE_PAGE_BYTES);

    for (; at < extent_end(extent); at += RANGE_PAGE_BYTES) {
        const struct mapped_handle *handle = *mapped_slot(mapped, at);

        if (handle && handle->address != at)
            return "mapped: a handle has the wrong address";
        if (handle && at < *covered)
            return "mapped: two handles overlap";
        if (without == (handle || at < *covered))
            return "mapped: a hole has memory, or an extent lacks memory";
        if (handle && handle->pinned && extent->use == EXTENT_FREE)
            return "mapped: free memory in a pinned handle";
        if (handle) {
            *bytes += handle->bytes;
            *covered = at + handle->bytes;
        }
    }
    return NULL;
}

const char *mapped_check_locked(const struct mapped *mapped)
{
    const char *why = range_check(&mapped->range);
    uint64_t bytes = 0, covered = mapped->range.address;

    for (const struct extent *extent = mapped->range.first; extent && !why; extent = extent->after)
        why = extent_check(mapped, extent, &covered, &bytes);
    if (!why && bytes + count_get(&mapped->pending_bytes) != count_get(mapped->reserved_bytes))
        why = "mapped: bytes of handles differ from the reserved bytes";
    return why;
}
