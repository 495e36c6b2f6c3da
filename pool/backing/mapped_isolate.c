/* SPDX-License-Identifier: MIT */
/*
 * Isolated extents: they have memory of their own, and addresses without memory on either side;
 * after a free, the addresses stay without memory for a while. An access beyond one, or to a freed
 * one, finds no memory.
 *
 *   every isolated extent has an extent in use EXTENT_FENCE before and after it, its own
 *
 * They lie in the upper half of the range, one after another, so that memory growing below has
 * room.
 */
#include <errno.h>

#include "pool/backing/mapped_plan.h"

#define FENCE_BYTES RANGE_PAGE_BYTES

/* How many extents to search for a place, before any large enough hole is accepted. */
#define PLACE_TRIES 64u

/* ---- a place ---- */

/* Finds a hole with `bytes` at or after an address, not far from it; *ret_address is the place. */
static bool place_near(const struct range *range, uint64_t from, uint64_t bytes,
                       uint64_t *ret_address)
{
    const struct extent *extent = range_at(range, from);

    for (unsigned tries = 0; extent && tries < PLACE_TRIES; tries++, extent = extent->after) {
        uint64_t begin = pool_max(extent->node.address, from);

        if (extent->use != EXTENT_HOLE || extent_end(extent) - begin < bytes)
            continue;
        *ret_address = begin;
        return true;
    }
    return false;
}

static bool place_find(struct mapped *mapped, uint64_t bytes, uint64_t *ret_address)
{
    const struct range *range = &mapped->range;
    uint64_t middle = range->address + (range->bytes / 2 & ~(RANGE_PAGE_BYTES - 1));
    const struct size_node *node;

    if (mapped->isolate_at < middle || mapped->isolate_at >= range->address + range->bytes)
        mapped->isolate_at = middle;
    if (place_near(range, mapped->isolate_at, bytes, ret_address) ||
        place_near(range, middle, bytes, ret_address))
        return true;
    node = size_tree_best(&range->holes, bytes);
    if (node)
        *ret_address = node->address;
    return node;
}

/* Fence, target and fence, from one hole. */
static int place_claim(struct mapped *mapped, uint64_t bytes, struct plan *plan)
{
    struct range *range = &mapped->range;
    uint64_t address;
    struct extent *front, *back;

    if (!place_find(mapped, bytes + 2 * FENCE_BYTES, &address))
        return -ENOSPC;
    front = range_claim(range, address, FENCE_BYTES, EXTENT_FENCE);
    plan->target = front ? range_claim(range, address + FENCE_BYTES, bytes, EXTENT_FILLING) : NULL;
    back = plan->target
               ? range_claim(range, address + FENCE_BYTES + bytes, FENCE_BYTES, EXTENT_FENCE)
               : NULL;
    if (back) {
        mapped->isolate_at = extent_end(back);
        return 0;
    }
    if (front)
        range_settle(range, front, EXTENT_HOLE);
    if (plan->target)
        range_settle(range, plan->target, EXTENT_HOLE);
    plan->target = NULL;
    return -ENOMEM;
}

/* Makes the fences of an extent holes again; joins them with it when it is a hole, too. */
static void fences_settle(struct range *range, struct extent *extent)
{
    struct extent *before = extent->before, *after = extent->after;

    range_settle(range, before, EXTENT_HOLE);
    range_settle(range, after, EXTENT_HOLE);
}

/* ---- made ---- */

static int place_fill(struct mapped *mapped, uint64_t handle_bytes, struct plan *plan)
{
    int error = plan_create(mapped, handle_bytes, plan);

    if (error == 0)
        error = plan_target_enter(mapped, plan);
    return error == 0 ? plan_map(mapped, plan) : error;
}

static void place_withdraw(struct mapped *mapped, struct plan *plan)
{
    if (plan->target) { /* else something is mapped there that cannot be unmapped */
        pool_lock_acquire(mapped->lock);
        fences_settle(&mapped->range, plan->target);
        pool_lock_release(mapped->lock);
    }
    plan_undo(mapped, plan);
}

int mapped_isolate(struct mapped *mapped, const struct mapped_wish *wish,
                   struct extent **ret_extent)
{
    struct plan plan;
    uint64_t bytes = wish->bytes;
    bool sure = bytes <= wish->sure_bytes || bytes <= wish->handle_bytes;
    int error = sure ? 0 : mapped_probe(mapped, bytes);

    if (error < 0)
        return error;
    plan_init(&plan);
    pool_lock_acquire(mapped->lock);
    error = place_claim(mapped, bytes, &plan);
    pool_lock_release(mapped->lock);
    if (error < 0)
        return error;
    error = place_fill(mapped, wish->handle_bytes, &plan);
    if (error < 0) {
        place_withdraw(mapped, &plan);
        return error;
    }
    pool_lock_acquire(mapped->lock);
    (void)plan_place(mapped, &plan);
    range_settle(&mapped->range, plan.target, EXTENT_LIVE);
    plan.target->isolated = true;
    pool_lock_release(mapped->lock);
    *ret_extent = plan.target;
    return 0;
}

/* ---- given back ---- */

static bool fenced_too_many(const struct mapped *mapped)
{
    return mapped->fenced_count > MAPPED_FENCED_COUNT ||
           mapped->fenced_bytes > mapped->range.bytes / MAPPED_FENCED_SHARE;
}

/* The oldest: its addresses may be used again. */
static void fenced_drop(struct mapped *mapped)
{
    struct extent *oldest = mapped->fenced_first;

    mapped->fenced_first = extent_of(oldest->node.left);
    if (!mapped->fenced_first)
        mapped->fenced_last = NULL;
    mapped->fenced_bytes -= oldest->node.bytes;
    mapped->fenced_count--;
    if (mapped->entry != 0)
        page_map_replace(oldest->node.address, oldest->node.bytes, 0);
    oldest->isolated = false;
    fences_settle(&mapped->range, oldest);
    range_settle(&mapped->range, oldest, EXTENT_HOLE);
}

/* The page map keeps its entry for the range there, so that a free of such an address is
 * recognised. */
static void fenced_add(struct mapped *mapped, struct extent *extent)
{
    range_settle(&mapped->range, extent, EXTENT_FENCE);
    extent->node.left = NULL;
    if (mapped->fenced_last)
        mapped->fenced_last->node.left = &extent->node;
    else
        mapped->fenced_first = extent;
    mapped->fenced_last = extent;
    mapped->fenced_bytes += extent->node.bytes;
    mapped->fenced_count++;
    while (fenced_too_many(mapped))
        fenced_drop(mapped);
}

static struct extent *leaving_take(struct mapped *mapped)
{
    struct extent *extent;

    pool_lock_acquire(mapped->lock);
    extent = mapped->range.leaving;
    if (extent)
        mapped->range.leaving = extent_of(extent->node.left);
    pool_lock_release(mapped->lock);
    return extent;
}

static void leaving_return(struct mapped *mapped, struct extent *extent)
{
    pool_lock_acquire(mapped->lock);
    extent->node.left = mapped->range.leaving ? &mapped->range.leaving->node : NULL;
    mapped->range.leaving = extent;
    pool_lock_release(mapped->lock);
}

uint64_t mapped_isolated_release(struct mapped *mapped)
{
    uint64_t released = 0;
    struct extent *extent;

    mapped_loose_release(mapped);
    while ((extent = leaving_take(mapped))) {
        struct plan plan;
        uint64_t bytes = extent->node.bytes;

        if (mapped_unmap(mapped, extent->node.address, bytes) < 0) {
            leaving_return(mapped, extent);
            break;
        }
        plan_init(&plan);
        pool_lock_acquire(mapped->lock);
        plan_collect(mapped, extent->node.address, bytes, &plan);
        count_add_shared(&mapped->pending_bytes, bytes);
        fenced_add(mapped, extent);
        pool_lock_release(mapped->lock);
        plan_release(mapped, &plan);
        released += bytes;
    }
    return released;
}
