/* SPDX-License-Identifier: MIT */
/*
 * A growth has three phases. Under the lock a gap is chosen, the free extents beside it are pledged
 * (nobody else can take them) and the handles to harvest become holes. Then the driver is called,
 * without the lock. Under the lock again the gap becomes free memory and the block is cut from it.
 *
 * What fails half-way is undone: harvested handles that are still mapped go back to where they
 * were, and those that are not are released.
 */
#include "pool/backing/mapped.h"

#include <errno.h>

#include "pool/base/metadata.h"

struct mapped_handle {
    uint64_t address, bytes; /* address 0: not mapped */
    pool_page_handle physical;
    struct mapped_handle *next; /* in a plan */
} __attribute__((aligned(16))); /* as metadata wants it */

/* Handles on their way to a gap. */
struct plan {
    struct range_gap gap;
    struct extent *pledged[2];
    struct mapped_handle *created, *harvested; /* the harvested ones from high to low in runs */
    struct mapped_handle **created_end, **harvested_end;
    uint64_t bytes;
};

static struct mapped_handle **slot_of(const struct mapped *mapped, uint64_t address)
{
    return &mapped->handles[(address - mapped->range.address) / RANGE_PAGE_BYTES];
}

void mapped_config_init(struct mapped_config *config)
{
    *config = (struct mapped_config){
        .page_bytes = UINT64_C(8) << 20,
        .slack_bytes = UINT64_C(12) << 20,
        .slack_part = 12,
        .growth_part = 20,
    };
}

int mapped_init(struct mapped *mapped, const struct pool_backend *backend,
                const struct mapped_config *config, uint64_t bytes)
{
    uint64_t address;
    int error = backend->range_reserve(backend->state, bytes, &address);

    if (error < 0)
        return error;
    *mapped = (struct mapped){.backend = backend, .config = *config};
    pool_lock_init(&mapped->lock, POOL_LOCK_RUNS);
    mapped->handles = metadata_map(bytes / RANGE_PAGE_BYTES * sizeof(*mapped->handles));
    error = mapped->handles ? range_init(&mapped->range, address, bytes, &mapped->account)
                            : -ENOMEM;
    if (error < 0)
        backend->range_release(backend->state, address, bytes);
    return error;
}

/* ---- handles ---- */

static int handle_create(struct mapped *mapped, uint64_t bytes, struct mapped_handle **ret_handle)
{
    const struct pool_backend *backend = mapped->backend;
    struct mapped_handle *handle = metadata_allocate(METADATA_HANDLE, sizeof(*handle),
                                                     &mapped->account);
    int error = -ENOMEM;

    if (handle) {
        mapped->statistics.created++;
        error = backend->page_create(backend->state, bytes, &handle->physical);
    }
    if (error < 0) {
        metadata_free(METADATA_HANDLE, handle, sizeof(*handle), &mapped->account);
        return error;
    }
    handle->address = 0;
    handle->bytes = bytes;
    mapped->reserved_bytes += bytes;
    *ret_handle = handle;
    return 0;
}

static void handle_release(struct mapped *mapped, struct mapped_handle *handle)
{
    const struct pool_backend *backend = mapped->backend;

    mapped->statistics.released++;
    backend->page_release(backend->state, handle->physical);
    mapped->reserved_bytes -= handle->bytes;
    metadata_free(METADATA_HANDLE, handle, sizeof(*handle), &mapped->account);
}

/*
 * The handles that lie wholly inside a free extent: their bytes in a row, and the first. Handles
 * cover everything that is not a hole, so the first one begins at the first boundary inside.
 */
static uint64_t whole_handles(const struct mapped *mapped, const struct extent *extent,
                              struct mapped_handle **ret_first)
{
    uint64_t at = pool_round_up(extent->node.address, RANGE_PAGE_BYTES), bytes = 0;

    *ret_first = NULL;
    while (at < extent_end(extent)) {
        struct mapped_handle *handle = *slot_of(mapped, at);
        if (handle && handle->bytes > extent_end(extent) - at)
            break;
        if (handle && !*ret_first)
            *ret_first = handle;
        bytes += handle ? handle->bytes : 0;
        at += handle ? handle->bytes : RANGE_PAGE_BYTES;
    }
    return bytes;
}

static uint64_t whole_bytes(const struct mapped *mapped, const struct extent *extent)
{
    struct mapped_handle *first;

    return extent ? whole_handles(mapped, extent, &first) : 0;
}

/* Free extents from the largest down, as long as they may hold a handle. */
#define EACH_LARGE_EXTENT(mapped, node)                                                            \
    for (struct size_node *node = size_tree_largest(&(mapped)->range.free);                        \
         node && node->bytes >= RANGE_PAGE_BYTES;                                                  \
         node = size_tree_previous(&(mapped)->range.free, node))

static uint64_t whole_bytes_locked(const struct mapped *mapped)
{
    uint64_t bytes = 0;

    EACH_LARGE_EXTENT(mapped, node)
    bytes += whole_bytes(mapped, extent_of(node));
    return bytes;
}

/* ---- planning, under the lock ---- */

static void plan_init(struct plan *plan)
{
    *plan = (struct plan){0};
    plan->created_end = &plan->created;
    plan->harvested_end = &plan->harvested;
}

static void plan_add(struct plan *plan, struct mapped_handle ***end, struct mapped_handle *handle)
{
    handle->next = NULL;
    **end = handle;
    *end = &handle->next;
    plan->bytes += handle->bytes;
}

/* Takes [low, high) out of the free memory: no longer handed out, still mapped. */
static int harvest_run(struct mapped *mapped, uint64_t low, uint64_t high, struct plan *plan)
{
    int error = range_empty(&mapped->range, low, high - low);

    for (uint64_t at = high; error == 0 && at > low;) {
        struct mapped_handle **slot = slot_of(mapped, at -= RANGE_PAGE_BYTES);
        if (!*slot)
            continue;
        plan_add(plan, &plan->harvested_end, *slot);
        *slot = NULL;
    }
    return error;
}

/* Harvests whole handles of a free extent, from its high end, until the plan has `wanted` bytes or
 * the gap has no more room. */
static int harvest_extent(struct mapped *mapped, const struct extent *extent, uint64_t wanted,
                          struct plan *plan)
{
    struct mapped_handle *first;
    uint64_t whole = whole_handles(mapped, extent, &first), taken = 0;
    uint64_t high = first ? first->address + whole : 0, low = high;

    for (uint64_t at = high; first && at > first->address && plan->bytes + taken < wanted;) {
        const struct mapped_handle *handle = *slot_of(mapped, at -= RANGE_PAGE_BYTES);
        if (!handle)
            continue;
        if (plan->bytes + taken + handle->bytes > plan->gap.room)
            break;
        taken += handle->bytes;
        low = at;
    }
    return low < high ? harvest_run(mapped, low, high, plan) : 0;
}

/* The smallest extent whose whole handles are enough, else the one with most of them. */
static struct extent *harvest_best(const struct mapped *mapped, uint64_t wanted)
{
    struct extent *enough = NULL, *most = NULL;
    uint64_t most_bytes = 0;

    EACH_LARGE_EXTENT(mapped, node)
    {
        uint64_t whole = whole_bytes(mapped, extent_of(node));
        if (whole >= wanted)
            enough = extent_of(node);
        if (whole > most_bytes) {
            most_bytes = whole;
            most = extent_of(node);
        }
    }
    return enough ? enough : most;
}

/* Plans whole free handles until `wanted` bytes are there or none is left that fits. */
static int harvest(struct mapped *mapped, uint64_t wanted, struct plan *plan)
{
    while (plan->bytes < wanted) {
        uint64_t before = plan->bytes;
        struct extent *extent = harvest_best(mapped, wanted - plan->bytes);
        int error = extent ? harvest_extent(mapped, extent, wanted, plan) : 0;
        if (error < 0)
            return error;
        if (plan->bytes == before)
            return 0;
    }
    return 0;
}

/* Puts harvested handles back to where they are still mapped. */
static void plan_restore(struct mapped *mapped, struct plan *plan)
{
    struct mapped_handle *handle = plan->harvested;

    for (; handle; handle = handle->next) {
        *slot_of(mapped, handle->address) = handle;
        /* The extents that the harvest made are there for it, so this does not fail. */
        range_fill(&mapped->range, handle->address, handle->bytes);
        plan->bytes -= handle->bytes;
    }
    plan->harvested = NULL;
    plan->harvested_end = &plan->harvested;
}

static void unpledge(struct mapped *mapped, struct plan *plan)
{
    for (unsigned side = 0; side < 2; side++)
        if (plan->pledged[side])
            range_give(&mapped->range, plan->pledged[side]);
    plan->pledged[0] = plan->pledged[1] = NULL;
}

static void pledge(struct mapped *mapped, struct plan *plan)
{
    for (unsigned side = 0; side < 2; side++) {
        struct extent *beside = plan->gap.beside[side];
        if (beside)
            plan->pledged[side] = range_take_from(&mapped->range, beside, beside->node.bytes);
    }
}

/* What can be had without a new handle. */
struct stock {
    const struct mapped *mapped;
    uint64_t created, whole;
};

static bool stock_fills(void *state, const struct range_gap *gap)
{
    const struct stock *stock = state;
    uint64_t beside = whole_bytes(stock->mapped, gap->beside[0]) +
                      whole_bytes(stock->mapped, gap->beside[1]);

    return stock->created <= gap->room && stock->created + stock->whole - beside >= gap->bytes;
}

/* Plans the gap that takes least among those that need nothing new. */
static bool plan_from_stock(struct mapped *mapped, uint64_t bytes, struct plan *plan)
{
    struct stock stock = {mapped, plan->bytes, whole_bytes_locked(mapped)};

    if (range_gap_find(&mapped->range, bytes, stock_fills, &stock, &plan->gap) < 0)
        return false;
    pledge(mapped, plan);
    return harvest(mapped, plan->gap.bytes, plan) == 0 && plan->bytes >= plan->gap.bytes;
}

static uint64_t headroom(const struct mapped *mapped)
{
    const struct mapped_config *config = &mapped->config;
    uint64_t peak = mapped->peak_live_bytes;
    uint64_t ceiling = peak + pool_max(config->slack_bytes, peak / config->slack_part);

    return pool_minus(ceiling, mapped->reserved_bytes) & ~(RANGE_PAGE_BYTES - 1);
}

/* Chooses the gap and what to harvest for it; returns how many bytes the plan is to have, the rest
 * from new handles. */
static int plan_first(struct mapped *mapped, uint64_t bytes, struct plan *plan,
                      uint64_t *ret_wanted)
{
    const struct mapped_config *config = &mapped->config;
    uint64_t room, share, most;
    int error;

    mapped->peak_live_bytes = pool_max(mapped->peak_live_bytes, mapped->range.live_bytes + bytes);
    room = headroom(mapped);
    error = range_gap_find(&mapped->range, bytes, NULL, NULL, &plan->gap);
    if (error < 0)
        return error;
    *ret_wanted = plan->gap.bytes;
    if (plan->gap.bytes > room) {
        if (plan_from_stock(mapped, bytes, plan))
            return 0;
        plan_restore(mapped, plan);
        unpledge(mapped, plan);
        error = range_gap_find(&mapped->range, bytes, NULL, NULL, &plan->gap);
        if (error < 0)
            return error;
        *ret_wanted = plan->gap.bytes;
        pledge(mapped, plan);
        return harvest(mapped, plan->gap.bytes, plan);
    }
    /* Below the ceiling: a little more than is missing. */
    share = config->growth_part
                ? mapped->reserved_bytes / config->growth_part & ~(RANGE_PAGE_BYTES - 1)
                : 0;
    most = plan->gap.beside[1] ? plan->gap.bytes : plan->gap.room;
    *ret_wanted = pool_min(pool_max(plan->gap.bytes, pool_min(share, room)), most);
    pledge(mapped, plan);
    return 0;
}

/* ---- driver calls, without the lock ---- */

/* Adds new handles until the plan has `wanted` bytes; smaller ones where the device refuses. */
static int create(struct mapped *mapped, uint64_t wanted, struct plan *plan)
{
    uint64_t most = mapped->config.page_bytes;

    while (plan->bytes < wanted) {
        uint64_t bytes = pool_min(wanted - plan->bytes, most);
        struct mapped_handle *handle;
        int error = handle_create(mapped, bytes, &handle);
        if (error == -ENOMEM && bytes > RANGE_PAGE_BYTES) {
            most = pool_round_up(bytes / 2, RANGE_PAGE_BYTES);
            continue;
        }
        if (error < 0)
            return error;
        plan_add(plan, &plan->created_end, handle);
    }
    return 0;
}

/* Unmaps the harvested handles, one call for those in a row; they join the created ones. */
static int unmap_harvested(struct mapped *mapped, struct plan *plan)
{
    const struct pool_backend *backend = mapped->backend;

    while (plan->harvested) {
        struct mapped_handle *first = plan->harvested, *last = first;
        uint64_t low = first->address, high = low + first->bytes;
        int error;
        while (last->next && last->next->address + last->next->bytes == low) {
            last = last->next;
            low = last->address;
        }
        mapped->statistics.unmapped++;
        error = backend->page_unmap(backend->state, low, high - low);
        if (error < 0)
            return error;
        plan->harvested = last->next;
        last->next = NULL;
        *plan->created_end = first;
        plan->created_end = &last->next;
        for (struct mapped_handle *handle = first; handle; handle = handle->next)
            handle->address = 0;
    }
    plan->harvested_end = &plan->harvested;
    return 0;
}

static uint64_t gap_begin(const struct plan *plan)
{
    const struct range_gap *gap = &plan->gap;

    return gap->from_end ? gap->address + gap->bytes - plan->bytes : gap->address;
}

/* Maps every handle of the plan into the gap. What was mapped before an error is unmapped again. */
static int map_all(struct mapped *mapped, struct plan *plan)
{
    const struct pool_backend *backend = mapped->backend;
    uint64_t begin = gap_begin(plan), at = begin;
    int error = 0;

    for (struct mapped_handle *handle = plan->created; handle && error == 0;
         handle = handle->next) {
        mapped->statistics.mapped++;
        error = backend->page_map(backend->state, at, handle->bytes, handle->physical);
        at += error == 0 ? handle->bytes : 0;
    }
    if (error == 0) {
        mapped->statistics.enabled++;
        error = backend->page_enable(backend->state, begin, at - begin);
    }
    if (error < 0 && at > begin) {
        mapped->statistics.unmapped++;
        backend->page_unmap(backend->state, begin, at - begin);
    }
    return error;
}

static void release_all(struct mapped *mapped, struct mapped_handle *handle)
{
    for (struct mapped_handle *next; handle; handle = next) {
        next = handle->next;
        handle_release(mapped, handle);
    }
}

/* ---- growing ---- */

/* Cuts the block from what the gap has become. */
static struct extent *settle(struct mapped *mapped, uint64_t bytes, struct plan *plan)
{
    uint64_t begin = gap_begin(plan), at = begin;
    struct extent *joined;

    for (struct mapped_handle *handle = plan->created; handle; handle = handle->next) {
        handle->address = at;
        *slot_of(mapped, at) = handle;
        at += handle->bytes;
    }
    if (range_fill(&mapped->range, begin, at - begin) < 0)
        return NULL;
    unpledge(mapped, plan);
    joined = range_free_at(&mapped->range, begin);
    return plan->gap.from_end ? range_take_end(&mapped->range, joined, bytes)
                              : range_take_from(&mapped->range, joined, bytes);
}

/* Collects the memory: harvested under the lock, the rest created without it. */
static int collect(struct mapped *mapped, uint64_t bytes, struct plan *plan)
{
    uint64_t wanted = 0;
    int error;

    pool_lock_acquire(&mapped->lock);
    error = plan_first(mapped, bytes, plan, &wanted);
    pool_lock_release(&mapped->lock);
    if (error == 0)
        error = create(mapped, wanted, plan);
    if (plan->gap.bytes && plan->bytes >= plan->gap.bytes)
        return 0;
    if (error == -ENOMEM && plan->gap.bytes) {
        /* The device is full: what is free in the range, wherever that leads. */
        pool_lock_acquire(&mapped->lock);
        plan_restore(mapped, plan);
        unpledge(mapped, plan);
        error = plan_from_stock(mapped, bytes, plan) ? 0 : -ENOMEM;
        pool_lock_release(&mapped->lock);
    }
    return error;
}

static void plan_undo(struct mapped *mapped, struct plan *plan)
{
    pool_lock_acquire(&mapped->lock);
    plan_restore(mapped, plan);
    unpledge(mapped, plan);
    pool_lock_release(&mapped->lock);
    release_all(mapped, plan->created);
}

int mapped_grow(struct mapped *mapped, uint64_t bytes, struct extent **ret_extent)
{
    uint64_t rounded = pool_round_up(bytes, RANGE_GRAIN_BYTES), harvested = 0;
    struct extent *extent;
    struct plan plan;
    int error;

    plan_init(&plan);
    error = collect(mapped, rounded, &plan);
    for (struct mapped_handle *handle = plan.harvested; handle; handle = handle->next)
        harvested += handle->bytes;
    if (error == 0)
        error = unmap_harvested(mapped, &plan);
    if (error == 0)
        error = map_all(mapped, &plan);
    if (error < 0) {
        plan_undo(mapped, &plan);
        return error;
    }
    mapped->statistics.stitches += harvested != 0;
    mapped->statistics.stitched_bytes += harvested;
    pool_lock_acquire(&mapped->lock);
    extent = settle(mapped, rounded, &plan);
    pool_lock_release(&mapped->lock);
    if (!extent)
        return -ENOMEM;
    *ret_extent = extent;
    return 0;
}

struct extent *mapped_take(struct mapped *mapped, uint64_t bytes)
{
    struct extent *extent;

    pool_lock_acquire(&mapped->lock);
    extent = range_take(&mapped->range, pool_round_up(bytes, RANGE_GRAIN_BYTES));
    mapped->peak_live_bytes = pool_max(mapped->peak_live_bytes, mapped->range.live_bytes);
    pool_lock_release(&mapped->lock);
    return extent;
}

void mapped_give(struct mapped *mapped, struct extent *extent)
{
    pool_lock_acquire(&mapped->lock);
    range_give(&mapped->range, extent);
    pool_lock_release(&mapped->lock);
}

/* ---- giving back ---- */

uint64_t mapped_whole_bytes(struct mapped *mapped)
{
    uint64_t bytes;

    pool_lock_acquire(&mapped->lock);
    bytes = whole_bytes_locked(mapped);
    pool_lock_release(&mapped->lock);
    return bytes;
}

uint64_t mapped_trim(struct mapped *mapped, uint64_t keep)
{
    uint64_t before = mapped->reserved_bytes;
    struct plan plan;
    int error;

    if (before <= keep)
        return 0;
    plan_init(&plan);
    plan.gap.room = UINT64_MAX;
    pool_lock_acquire(&mapped->lock);
    error = harvest(mapped, before - keep, &plan);
    pool_lock_release(&mapped->lock);
    if (error == 0)
        (void)unmap_harvested(mapped, &plan); /* what is still mapped goes back */
    plan_undo(mapped, &plan);
    return before - mapped->reserved_bytes;
}

void mapped_done(struct mapped *mapped)
{
    const struct pool_backend *backend = mapped->backend;

    for (uint64_t at = 0; at < mapped->range.bytes; at += RANGE_PAGE_BYTES) {
        struct mapped_handle *handle = mapped->handles[at / RANGE_PAGE_BYTES];
        if (!handle)
            continue;
        backend->page_unmap(backend->state, handle->address, handle->bytes);
        handle_release(mapped, handle);
    }
    backend->range_release(backend->state, mapped->range.address, mapped->range.bytes);
}

const char *mapped_check_locked(const struct mapped *mapped)
{
    const char *why = range_check(&mapped->range);
    uint64_t bytes = 0, covered = mapped->range.address;

    for (const struct extent *extent = mapped->range.first; extent && !why;
         extent = extent->after) {
        uint64_t at = pool_round_up(extent->node.address, RANGE_PAGE_BYTES);
        for (; at < extent_end(extent) && !why; at += RANGE_PAGE_BYTES) {
            const struct mapped_handle *handle = *slot_of(mapped, at);
            if (handle && handle->address != at)
                why = "mapped: a handle is not where it says";
            else if (handle && at < covered)
                why = "mapped: two handles overlap";
            else if ((extent->use == EXTENT_HOLE) == (handle || at < covered))
                why = "mapped: a hole has memory, or an extent has none";
            if (handle && !why) {
                bytes += handle->bytes;
                covered = at + handle->bytes;
            }
        }
    }
    if (!why && bytes != mapped->reserved_bytes)
        why = "mapped: the handles are not what is reserved";
    return why;
}
