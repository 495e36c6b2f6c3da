/* SPDX-License-Identifier: MIT */
/*
 * Free memory that can be mapped elsewhere: the handles that lie wholly inside free extents, and
 * the choice of those that a growth takes. What it costs depends on the number of free extents, not
 * on their size; one walk of them is good for many that are taken.
 *
 * Threading: the pool's lock is held.
 */
#include <errno.h>

#include "pool/backing/mapped_plan.h"

/*
 * Finds the handles that lie wholly inside a free extent: their contiguous bytes, and the first.
 * Handles cover everything that is not a hole, so from either end the next boundary is at most one
 * handle away, however large the extent is.
 */
static uint64_t whole_handles(const struct mapped *mapped, const struct extent *extent,
                              struct mapped_handle **ret_first)
{
    uint64_t end = extent_end(extent), low = pool_round_up(extent->node.address, RANGE_PAGE_BYTES);
    uint64_t high = end / RANGE_PAGE_BYTES * RANGE_PAGE_BYTES;

    *ret_first = NULL;
    while (low < high && !*mapped_slot(mapped, low))
        low += RANGE_PAGE_BYTES;
    if (low >= high)
        return 0;
    uint64_t at = high;
    do
        at -= RANGE_PAGE_BYTES;
    while (!*mapped_slot(mapped, at)); /* not below `low`, where one begins */
    if ((*mapped_slot(mapped, at))->bytes > end - at)
        high = at;
    if (high > low)
        *ret_first = *mapped_slot(mapped, low);
    return high - low;
}

uint64_t mapped_extent_whole_bytes(const struct mapped *mapped, const struct extent *extent)
{
    struct mapped_handle *first;

    return extent ? whole_handles(mapped, extent, &first) : 0;
}

uint64_t mapped_whole_bytes_locked(const struct mapped *mapped)
{
    uint64_t bytes = 0;

    EACH_LARGE_EXTENT(mapped, node)
    bytes += mapped_extent_whole_bytes(mapped, extent_of(node));
    return bytes;
}

/* ---- the choice ---- */

/* Harvests whole handles of a free extent, from its high end, until the plan has `wanted` bytes
 * or the gap is full. They are no longer handed out, but still mapped. */
static int harvest_extent(struct mapped *mapped, const struct extent *extent, uint64_t wanted,
                          struct plan *plan)
{
    struct mapped_handle *first;
    uint64_t whole = whole_handles(mapped, extent, &first), taken = 0;
    uint64_t high = first ? first->address + whole : 0, low = high;

    for (uint64_t at = high; first && at > first->address && plan_bytes(plan) + taken < wanted;) {
        const struct mapped_handle *handle = *mapped_slot(mapped, at -= RANGE_PAGE_BYTES);

        if (!handle)
            continue;
        if (plan_bytes(plan) + taken + handle->bytes > plan->gap.room)
            break;
        taken += handle->bytes;
        low = at;
    }
    if (taken == 0)
        return 0;
    struct extent *claimed = range_claim(&mapped->range, low, high - low, EXTENT_EMPTYING);
    if (!claimed)
        return -ENOMEM;
    claimed->node.left = plan->harvested ? &plan->harvested->node : NULL;
    plan->harvested = claimed;
    plan->harvested_bytes += taken;
    return 0;
}

#define HARVEST_FIRST 16u /* extents that one walk of all finds */

/** Free extents to take handles from. */
struct harvest {
    struct extent *enough; /* the smallest with as many bytes as are wanted, if there is one */
    struct {
        struct extent *extent;
        uint64_t whole_bytes;
    } first[HARVEST_FIRST]; /* those with the most bytes, descending */
    unsigned count;
};

static void harvest_note(struct harvest *harvest, struct extent *extent, uint64_t whole_bytes)
{
    unsigned at = harvest->count;

    while (at > 0 && whole_bytes > harvest->first[at - 1].whole_bytes)
        at--;
    if (at == HARVEST_FIRST)
        return;
    harvest->count += harvest->count < HARVEST_FIRST;
    for (unsigned i = harvest->count - 1; i > at; i--)
        harvest->first[i] = harvest->first[i - 1];
    harvest->first[at].extent = extent;
    harvest->first[at].whole_bytes = whole_bytes;
}

/* No extent has more than `most` bytes in whole handles. The walk ends where no later extent can be
 * wanted more. */
static void harvest_find(const struct mapped *mapped, uint64_t wanted, uint64_t most,
                         struct harvest *ret_harvest)
{
    ret_harvest->enough = NULL;
    ret_harvest->count = 0;
    EACH_LARGE_EXTENT(mapped, node)
    {
        if (node->bytes < wanted && ret_harvest->count == HARVEST_FIRST &&
            pool_min(node->bytes, most) <= ret_harvest->first[HARVEST_FIRST - 1].whole_bytes)
            break;
        uint64_t whole = mapped_extent_whole_bytes(mapped, extent_of(node));

        if (whole >= wanted)
            ret_harvest->enough = extent_of(node);
        if (whole)
            harvest_note(ret_harvest, extent_of(node), whole);
    }
}

/* From the smallest extent with enough, else from those with the most, as long as none of them has
 * enough for the rest. No extent has more than `most`, which the next call gets. */
static int harvest_some(struct mapped *mapped, uint64_t wanted, uint64_t *most, struct plan *plan)
{
    struct harvest harvest;

    harvest_find(mapped, wanted - plan_bytes(plan), *most, &harvest);
    if (harvest.enough)
        return harvest_extent(mapped, harvest.enough, wanted, plan);
    for (unsigned i = 0; i < harvest.count; i++) {
        uint64_t before = plan_bytes(plan);

        if (harvest.first[i].whole_bytes >= wanted - before)
            return 0;
        int error = harvest_extent(mapped, harvest.first[i].extent, wanted, plan);
        if (error < 0 || plan_bytes(plan) == before)
            return error;
        *most = harvest.first[i].whole_bytes;
    }
    return 0;
}

/* Plans whole free handles until `wanted` bytes are there or none is left that fits. */
int plan_harvest(struct mapped *mapped, uint64_t wanted, struct plan *plan)
{
    uint64_t most = UINT64_MAX;

    while (plan_bytes(plan) < wanted) {
        uint64_t before = plan_bytes(plan);
        int error = harvest_some(mapped, wanted, &most, plan);

        if (error < 0)
            return error;
        if (plan_bytes(plan) == before)
            return 0;
    }
    return 0;
}
