/* SPDX-License-Identifier: MIT */
/*
 * Filling a gap is planned first and done then: the handles to take from elsewhere are chosen
 * before anything is created, and nothing is unmapped before the rest has been created. What fails
 * half-way is undone.
 */
#include "pool/backing/mapped.h"

#include <errno.h>

#include "pool/base/metadata.h"

struct handle {
    uint64_t address, bytes;
    pool_page_handle physical;
    struct handle *next; /* in a plan */
    bool planned;
} __attribute__((aligned(16))); /* as metadata wants it */

static struct handle **slot_of(const struct mapped *mapped, uint64_t address)
{
    return &mapped->handles[(address - mapped->range.address) / RANGE_PAGE_BYTES];
}

int mapped_init(struct mapped *mapped, const struct pool_backend *backend,
                const struct mapped_config *config, uint64_t bytes)
{
    uint64_t address;
    int error = backend->range_reserve(backend->state, bytes, &address);

    *mapped = (struct mapped){.backend = backend, .config = *config};
    if (error < 0)
        return error;
    mapped->handles = metadata_map(bytes / RANGE_PAGE_BYTES * sizeof(*mapped->handles));
    if (!mapped->handles)
        return -ENOMEM;
    return range_init(&mapped->range, address, bytes, &mapped->account);
}

/* ---- handles ---- */

static int handle_create(struct mapped *mapped, uint64_t bytes, struct handle **ret_handle)
{
    const struct pool_backend *backend = mapped->backend;
    struct handle *handle = metadata_allocate(METADATA_HANDLE, sizeof(*handle), &mapped->account);
    int error = handle ? 0 : -ENOMEM;

    if (!error) {
        mapped->statistics.created++;
        error = backend->page_create(backend->state, bytes, &handle->physical);
    }
    if (error < 0) {
        metadata_free(METADATA_HANDLE, handle, sizeof(*handle), &mapped->account);
        return error;
    }
    handle->bytes = bytes;
    handle->planned = false;
    mapped->reserved_bytes += bytes;
    *ret_handle = handle;
    return 0;
}

static void handle_release(struct mapped *mapped, struct handle *handle)
{
    const struct pool_backend *backend = mapped->backend;

    mapped->statistics.released++;
    backend->page_release(backend->state, handle->physical);
    mapped->reserved_bytes -= handle->bytes;
    metadata_free(METADATA_HANDLE, handle, sizeof(*handle), &mapped->account);
}

/* ---- plans: handles on their way to a gap ---- */

struct plan {
    struct handle *first, **last;
    uint64_t bytes;
};

static void plan_init(struct plan *plan)
{
    *plan = (struct plan){.last = &plan->first};
    plan->last = &plan->first;
}

static void plan_add(struct plan *plan, struct handle *handle)
{
    handle->next = NULL;
    handle->planned = true;
    *plan->last = handle;
    plan->last = &handle->next;
    plan->bytes += handle->bytes;
}

static bool is_beside(const struct range_gap *gap, const struct extent *extent)
{
    return extent == gap->beside[0] || extent == gap->beside[1];
}

/* The whole handles inside a free extent: from, and how many bytes in a row. */
static uint64_t whole_bytes(const struct mapped *mapped, const struct extent *extent,
                            struct handle **ret_first)
{
    uint64_t at = pool_round_up(extent->node.address, RANGE_PAGE_BYTES), bytes = 0;
    struct handle *handle;

    *ret_first = NULL;
    while (at < extent_end(extent)) {
        handle = *slot_of(mapped, at);
        if (handle && handle->address + handle->bytes <= extent_end(extent)) {
            if (!*ret_first)
                *ret_first = handle;
            bytes += handle->bytes;
            at += handle->bytes;
        } else if (handle) {
            break;
        } else {
            at += RANGE_PAGE_BYTES;
        }
    }
    return bytes;
}

/* Plans whole handles of one free extent, from its high end, until `wanted` bytes are there. */
static void extent_harvest(struct mapped *mapped, const struct extent *extent, uint64_t wanted,
                           uint64_t room, struct plan *plan)
{
    struct handle *first, *handle;
    uint64_t whole = whole_bytes(mapped, extent, &first), end = first ? first->address + whole : 0;
    uint64_t at = end;

    while (first && at > first->address && plan->bytes < wanted) {
        at -= RANGE_PAGE_BYTES;
        handle = *slot_of(mapped, at);
        if (handle && !handle->planned && plan->bytes + handle->bytes <= room)
            plan_add(plan, handle);
    }
}

/*
 * Plans whole free handles for `wanted` bytes: from the smallest extent that has them all, else
 * from the largest ones in turn. At most `room` bytes fit into the gap.
 */
static void harvest(struct mapped *mapped, const struct range_gap *gap, uint64_t wanted,
                    struct plan *plan)
{
    struct extent *best = NULL, *largest;
    struct handle *first;

    for (struct size_node *node = size_tree_largest(&mapped->range.free);
         node && node->bytes >= wanted; node = size_tree_previous(&mapped->range.free, node)) {
        struct extent *extent = extent_of(node);
        if (!is_beside(gap, extent) && whole_bytes(mapped, extent, &first) >= wanted)
            best = extent;
    }
    if (best) {
        extent_harvest(mapped, best, wanted, gap->room, plan);
        if (plan->bytes >= wanted)
            return;
    }
    for (struct size_node *node = size_tree_largest(&mapped->range.free);
         node && node->bytes >= RANGE_PAGE_BYTES && plan->bytes < wanted;
         node = size_tree_previous(&mapped->range.free, node)) {
        largest = extent_of(node);
        if (!is_beside(gap, largest))
            extent_harvest(mapped, largest, wanted, gap->room, plan);
    }
}

/* Adds new handles until the plan has `wanted` bytes; smaller ones where the device refuses. */
static int create(struct mapped *mapped, uint64_t wanted, struct plan *plan)
{
    uint64_t most = mapped->config.page_bytes;

    while (plan->bytes < wanted) {
        uint64_t bytes = pool_min(wanted - plan->bytes, most);
        struct handle *handle;
        int error = handle_create(mapped, bytes, &handle);
        if (error == -ENOMEM && bytes > RANGE_PAGE_BYTES) {
            most = pool_round_up(bytes / 2, RANGE_PAGE_BYTES);
            continue;
        }
        if (error < 0)
            return error;
        handle->address = 0; /* not mapped */
        plan_add(plan, handle);
    }
    return 0;
}

/* ---- carrying a plan out ---- */

/* Takes the memory below mapped handles away: one call for handles in a row. */
static int unmap_harvested(struct mapped *mapped, struct plan *plan)
{
    const struct pool_backend *backend = mapped->backend;
    struct handle *handle = plan->first;

    while (handle) {
        uint64_t low = handle->address, high = handle->address + handle->bytes;
        struct handle *next = handle->next;
        int error;
        if (!handle->address) {
            handle = next;
            continue;
        }
        while (next && next->address && next->address + next->bytes == low) {
            low = next->address;
            next = next->next;
        }
        error = range_empty(&mapped->range, low, high - low);
        if (error < 0)
            return error;
        mapped->statistics.unmapped++;
        error = backend->page_unmap(backend->state, low, high - low);
        if (error < 0)
            return error;
        for (; handle != next; handle = handle->next)
            *slot_of(mapped, handle->address) = NULL;
    }
    return 0;
}

static int map_all(struct mapped *mapped, const struct range_gap *gap, struct plan *plan)
{
    const struct pool_backend *backend = mapped->backend;
    uint64_t begin = gap->from_end ? gap->address + gap->bytes - plan->bytes : gap->address;
    uint64_t at = begin;

    for (struct handle *handle = plan->first; handle; handle = handle->next) {
        int error = backend->page_map(backend->state, at, handle->bytes, handle->physical);
        mapped->statistics.mapped++;
        if (error < 0)
            return error;
        handle->address = at;
        handle->planned = false;
        *slot_of(mapped, at) = handle;
        at += handle->bytes;
    }
    mapped->statistics.enabled++;
    return range_fill(&mapped->range, begin, plan->bytes);
}

static void plan_undo(struct mapped *mapped, struct plan *plan)
{
    for (struct handle *handle = plan->first, *next; handle; handle = next) {
        next = handle->next;
        handle->planned = false;
        if (!handle->address)
            handle_release(mapped, handle);
    }
}

/* ---- growing ---- */

static uint64_t ceiling(const struct mapped *mapped)
{
    const struct mapped_config *config = &mapped->config;
    uint64_t peak = mapped->peak_live_bytes;

    return peak + pool_max(config->slack_bytes, peak / config->slack_part);
}

/* What can be had without a new handle. */
struct stock {
    const struct mapped *mapped;
    uint64_t created, whole; /* handles not mapped yet; whole free handles in the range */
};

static struct stock stock_take(const struct mapped *mapped, const struct plan *plan)
{
    struct stock stock = {.mapped = mapped, .created = plan->bytes};
    struct handle *first;

    for (struct size_node *node = size_tree_largest(&mapped->range.free);
         node && node->bytes >= RANGE_PAGE_BYTES;
         node = size_tree_previous(&mapped->range.free, node))
        stock.whole += whole_bytes(mapped, extent_of(node), &first);
    return stock;
}

static bool stock_fills(void *state, const struct range_gap *gap)
{
    const struct stock *stock = state;
    uint64_t beside = 0;
    struct handle *first;

    for (unsigned side = 0; side < 2; side++)
        if (gap->beside[side])
            beside += whole_bytes(stock->mapped, gap->beside[side], &first);
    return stock->created + stock->whole - beside >= gap->bytes;
}

/* Below the ceiling: new handles, a little more of them than is missing. */
static int grow_by_creating(struct mapped *mapped, const struct range_gap *gap, uint64_t room,
                            struct plan *plan)
{
    uint64_t part = mapped->config.growth_part;
    uint64_t share = part ? mapped->reserved_bytes / part & ~(RANGE_PAGE_BYTES - 1) : 0;
    uint64_t most = gap->beside[1] ? gap->bytes : gap->room;

    return create(mapped, pool_min(pool_max(gap->bytes, pool_min(share, room)), most), plan);
}

/* Forgets what was planned to be taken from elsewhere; what was created stays in the plan. */
static void plan_keep_created(struct plan *plan)
{
    struct plan kept;

    plan_init(&kept);
    for (struct handle *handle = plan->first, *next; handle; handle = next) {
        next = handle->next;
        handle->planned = false;
        if (!handle->address)
            plan_add(&kept, handle);
    }
    *plan = kept;
    if (!plan->first)
        plan->last = &plan->first;
}

/* Plans to fill the gap that takes least, of those that need nothing new. */
static bool plan_from_stock(struct mapped *mapped, uint64_t bytes, struct range_gap *gap,
                            struct plan *plan)
{
    struct stock stock;

    plan_keep_created(plan);
    stock = stock_take(mapped, plan);
    if (range_gap_find(&mapped->range, bytes, stock_fills, &stock, gap) < 0)
        return false;
    harvest(mapped, gap, gap->bytes, plan);
    return plan->bytes >= gap->bytes;
}

/* Above the ceiling: from elsewhere, and only what that does not give is created. */
static int plan_fill(struct mapped *mapped, uint64_t bytes, struct range_gap *gap,
                     struct plan *plan)
{
    int error;

    if (plan_from_stock(mapped, bytes, gap, plan))
        return 0;
    harvest(mapped, gap, gap->bytes, plan);
    error = create(mapped, gap->bytes, plan);
    return error == -ENOMEM && plan_from_stock(mapped, bytes, gap, plan) ? 0 : error;
}

static int grow(struct mapped *mapped, uint64_t bytes, struct extent **ret_extent)
{
    uint64_t room = pool_minus(ceiling(mapped), mapped->reserved_bytes) & ~(RANGE_PAGE_BYTES - 1);
    struct range_gap gap;
    struct plan plan;
    int error = range_gap_find(&mapped->range, bytes, NULL, NULL, &gap);

    plan_init(&plan);
    if (error < 0)
        return error;
    if (gap.bytes <= room)
        error = grow_by_creating(mapped, &gap, room, &plan);
    if (plan.bytes < gap.bytes)
        error = plan_fill(mapped, bytes, &gap, &plan);
    if (plan.bytes < gap.bytes) {
        plan_undo(mapped, &plan);
        return error < 0 ? error : -ENOMEM;
    }
    error = unmap_harvested(mapped, &plan);
    if (error == 0)
        error = map_all(mapped, &gap, &plan);
    if (error < 0)
        return error;
    struct extent *joined = range_free_at(&mapped->range, gap.address);
    if (!joined || joined->node.bytes < bytes)
        __builtin_trap();
    *ret_extent = gap.from_end ? range_take_end(&mapped->range, joined, bytes)
                               : range_take_from(&mapped->range, joined, bytes);
    return 0;
}

int mapped_allocate(struct mapped *mapped, uint64_t bytes, struct extent **ret_extent)
{
    uint64_t rounded = pool_round_up(bytes, RANGE_GRAIN_BYTES);
    struct extent *extent;
    int error;

    mapped->peak_live_bytes = pool_max(mapped->peak_live_bytes, mapped->range.live_bytes + rounded);
    extent = range_take(&mapped->range, rounded);
    if (!extent) {
        error = grow(mapped, rounded, &extent);
        if (error < 0)
            return error;
    }
    if (!extent)
        return -ENOMEM;
    *ret_extent = extent;
    return 0;
}

void mapped_free(struct mapped *mapped, struct extent *extent)
{
    range_give(&mapped->range, extent);
}
