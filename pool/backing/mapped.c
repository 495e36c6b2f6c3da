/* SPDX-License-Identifier: MIT */
/*
 * A growth has three phases. First, under the lock, it chooses and claims a gap, pledges the free
 * extents beside it (nobody else can take them) and sets the handles to harvest apart. Then it
 * calls the driver, without the lock. Finally, under the lock again, the gap becomes free memory
 * and the block is cut from it.
 *
 * A failure half-way is undone: harvested handles that are still mapped become free memory in their
 * old place; the others are released.
 */
#include "pool/backing/mapped.h"

#include <errno.h>

#include "pool/backing/mapped_plan.h"
#include "pool/base/metadata.h"

void mapped_config_init(struct mapped_config *config)
{
    *config = (struct mapped_config){
        .page_bytes = UINT64_C(8) << 20,
        .first_bytes = UINT64_C(48) << 20,
        .first_part = 16,
        .slack_bytes = UINT64_C(12) << 20,
        .slack_part = 13,
        .large_slack_part = 20,
        .large_part = 48,
        .growth_part = 20,
    };
}

int mapped_init(struct mapped *mapped, const struct pool_backend *backend,
                const struct mapped_config *config, const struct mapped_place *place)
{
    uint64_t address, bytes = place->bytes;
    int error = backend->range_reserve(backend->state, bytes, &address);

    if (error < 0)
        return error;
    *mapped = (struct mapped){
        .backend = backend,
        .config = *config,
        .lock = place->lock,
        .outer = place->outer,
        .entry = place->entry,
        .account = place->account,
        .reserved_bytes = place->reserved_bytes,
    };
    mapped->handles = metadata_map(mapped_handles_bytes(bytes));
    error = !mapped->handles
                ? -ENOMEM
                : range_init(&mapped->range, address, bytes, place->extent_bytes, place->account);
    if (error < 0) {
        if (mapped->handles)
            metadata_unmap(mapped->handles, mapped_handles_bytes(bytes));
        backend->range_release(backend->state, address, bytes);
    }
    return error;
}

/* ---- handles ---- */

int mapped_handle_create(struct mapped *mapped, uint64_t bytes, struct mapped_handle **ret_handle)
{
    const struct pool_backend *backend = mapped->backend;
    struct mapped_handle *handle = metadata_allocate(METADATA_HANDLE, sizeof(*handle),
                                                     mapped->account);
    int error = -ENOMEM;

    if (handle) {
        error = backend->page_create(backend->state, bytes, &handle->physical);
    }
    if (error < 0) {
        metadata_free(METADATA_HANDLE, handle, sizeof(*handle), mapped->account);
        return error;
    }
    handle->address = 0;
    handle->bytes = bytes;
    handle->pinned = false;
    count_add(mapped->reserved_bytes, bytes);
    count_add_shared(&mapped->pending_bytes, bytes);
    *ret_handle = handle;
    return 0;
}

/* Releases a handle that is mapped nowhere; keeps one that the driver refuses to release. */
void mapped_handle_release(struct mapped *mapped, struct mapped_handle *handle)
{
    const struct pool_backend *backend = mapped->backend;

    if (backend->page_release(backend->state, handle->physical) < 0) {
        handle->next = mapped->loose;
        mapped->loose = handle;
        return;
    }
    count_subtract(mapped->reserved_bytes, handle->bytes);
    count_add_shared(&mapped->pending_bytes, -handle->bytes);
    metadata_free(METADATA_HANDLE, handle, sizeof(*handle), mapped->account);
}

static void release_all(struct mapped *mapped, struct mapped_handle *handle)
{
    for (struct mapped_handle *next; handle; handle = next) {
        next = handle->next;
        mapped_handle_release(mapped, handle);
    }
}

void mapped_loose_release(struct mapped *mapped)
{
    struct mapped_handle *handles = mapped->loose;

    mapped->loose = NULL;
    release_all(mapped, handles);
}

/* Returns a loose handle of at most `most` bytes that nobody outside knows, or NULL. */
static struct mapped_handle *loose_take(struct mapped *mapped, uint64_t most)
{
    for (struct mapped_handle **link = &mapped->loose; *link; link = &(*link)->next) {
        struct mapped_handle *handle = *link;

        if (handle->bytes > most || handle->pinned)
            continue;
        *link = handle->next;
        return handle;
    }
    return NULL;
}

/* ---- planning, under the lock ---- */

void plan_init(struct plan *plan)
{
    *plan = (struct plan){0};
    plan->free_end = &plan->free;
}

static void plan_add(struct plan *plan, struct mapped_handle *handle)
{
    handle->next = NULL;
    *plan->free_end = handle;
    plan->free_end = &handle->next;
    plan->free_bytes += handle->bytes;
}

/* Undoes a plan: frees its handles that are still mapped, and makes the gap a hole again. */
static void plan_withdraw(struct mapped *mapped, struct plan *plan)
{
    struct range *range = &mapped->range;

    for (struct extent *extent = plan->harvested, *next; extent; extent = next) {
        next = extent_of(extent->node.left);
        range_settle(range, extent, EXTENT_FREE);
    }
    for (unsigned side = 0; side < 2; side++)
        if (plan->pledged[side])
            range_settle(range, plan->pledged[side],
                         plan->pledged[side]->exported ? EXTENT_SPENT : EXTENT_FREE);
    if (plan->target)
        range_settle(range, plan->target, EXTENT_HOLE);
    plan->harvested = plan->pledged[0] = plan->pledged[1] = plan->target = NULL;
    plan->harvested_bytes = 0;
}

static int pledge(struct mapped *mapped, struct plan *plan)
{
    for (unsigned side = 0; side < 2; side++) {
        const struct extent *beside = plan->gap.beside[side];

        if (!beside)
            continue;
        plan->pledged[side] = range_claim(&mapped->range, beside->node.address, beside->node.bytes,
                                          EXTENT_EMPTYING);
        if (!plan->pledged[side])
            return -ENOMEM;
    }
    return 0;
}

static uint64_t gap_begin(const struct plan *plan, uint64_t bytes)
{
    const struct range_gap *gap = &plan->gap;

    return gap->from_end ? gap->address + gap->bytes - bytes : gap->address;
}

/* Claims so much of the hole, the gap included. */
static int target_claim(struct mapped *mapped, struct plan *plan, uint64_t bytes)
{
    plan->target = range_claim(&mapped->range, gap_begin(plan, bytes), bytes, EXTENT_FILLING);
    return plan->target ? 0 : -ENOMEM;
}

/* Chooses the gap for a page: at the end of the range, where segments of small blocks lie
 * together and away from short-lived memory; when that is full, in the largest hole. */
static int page_gap_find(const struct mapped *mapped, struct range_gap *ret_gap)
{
    const struct range *range = &mapped->range;
    const struct extent *hole = range_at(range, range->address + range->bytes - 1);

    if (hole->use != EXTENT_HOLE)
        hole = extent_of(size_tree_largest(&range->holes));
    if (!hole)
        return -ENOSPC;
    *ret_gap = (struct range_gap){
        .address = extent_end(hole) - RANGE_PAGE_BYTES,
        .bytes = RANGE_PAGE_BYTES,
        .room = hole->node.bytes,
        .block = extent_end(hole) - RANGE_PAGE_BYTES,
        .from_end = true,
    };
    return 0;
}

static int gap_find(const struct mapped *mapped, const struct mapped_wish *wish,
                    range_gap_test *test, void *state, struct range_gap *ret_gap)
{
    bool by_page = mapped->range.by_page && !wish->anywhere;
    int error;

    if (!wish->page && !(by_page && wish->bytes < RANGE_PAGE_BYTES))
        return range_gap_find(&mapped->range, wish->bytes, by_page, test, state, ret_gap);
    error = page_gap_find(mapped, ret_gap);
    return error == 0 && test && !test(state, ret_gap) ? -ENOSPC : error;
}

/* What can be had without a new handle. */
struct stock {
    const struct mapped *mapped;
    uint64_t free, whole;
};

static bool stock_fills(void *state, const struct range_gap *gap)
{
    const struct stock *stock = state;
    uint64_t beside = mapped_extent_whole_bytes(stock->mapped, gap->beside[0]) +
                      mapped_extent_whole_bytes(stock->mapped, gap->beside[1]);

    return stock->free <= gap->room && stock->free + stock->whole - beside >= gap->bytes;
}

/* Plans the smallest gap among those that need no new memory. */
static bool plan_from_stock(struct mapped *mapped, const struct mapped_wish *wish,
                            struct plan *plan)
{
    struct stock stock = {mapped, plan->free_bytes, mapped_whole_bytes_locked(mapped)};

    if (gap_find(mapped, wish, stock_fills, &stock, &plan->gap) == 0 && pledge(mapped, plan) == 0 &&
        plan_harvest(mapped, plan->gap.bytes, plan) == 0 && plan_bytes(plan) >= plan->gap.bytes &&
        target_claim(mapped, plan, plan_bytes(plan)) == 0)
        return true;
    plan_withdraw(mapped, plan);
    return false;
}

uint64_t mapped_ceiling(struct mapped *mapped, uint64_t peak)
{
    const struct mapped_config *config = &mapped->config;
    uint64_t ceiling = peak + pool_max(config->slack_bytes, peak / config->slack_part);

    count_set(&mapped->ceiling_bytes, ceiling);
    count_set(&mapped->large_ceiling_bytes,
              peak + pool_max(config->slack_bytes, peak / config->large_slack_part));
    return ceiling;
}

bool mapped_above_ceiling(const struct mapped *mapped, uint64_t bytes)
{
    uint64_t reserved = count_get(mapped->reserved_bytes);
    bool large = bytes >= reserved / mapped->config.large_part;
    const pool_count *ceiling = large ? &mapped->large_ceiling_bytes : &mapped->ceiling_bytes;

    return reserved + bytes > count_get(ceiling);
}

static uint64_t handle_most(const struct mapped *mapped, const struct mapped_wish *wish)
{
    return wish->handle_bytes != 0 ? wish->handle_bytes : mapped->config.page_bytes;
}

/* Largest size of a new handle now: before the first stitch it may be larger. */
static uint64_t handle_most_now(const struct mapped *mapped, const struct mapped_wish *wish)
{
    uint64_t most = handle_most(mapped, wish);
    uint64_t all = count_get(mapped->reserved_bytes) + wish->bytes;

    if (mapped->stitched || wish->first_bytes <= most)
        return most;
    return pool_max(most, pool_min(wish->first_bytes,
                                   all / mapped->config.first_part & ~(RANGE_PAGE_BYTES - 1)));
}

static uint64_t headroom(const struct mapped *mapped)
{
    return pool_minus(count_get(&mapped->ceiling_bytes), count_get(mapped->reserved_bytes)) &
           ~(RANGE_PAGE_BYTES - 1);
}

/* Below the ceiling: takes slightly more than needed, in whole handles. */
static uint64_t growth_bytes(const struct mapped *mapped, const struct mapped_wish *wish,
                             const struct range_gap *gap, uint64_t room)
{
    uint64_t part = mapped->config.growth_part;
    uint64_t share = part > 0 ? count_get(mapped->reserved_bytes) / part & ~(RANGE_PAGE_BYTES - 1)
                              : 0;
    uint64_t most = gap->beside[1] ? gap->bytes : gap->room;

    if (wish->page)
        share = wish->more_bytes;
    uint64_t bytes = pool_max(gap->bytes, pool_min(share, room));
    uint64_t whole_bytes = handle_most(mapped, wish), whole = pool_round_up(bytes, whole_bytes);
    bool begun = count_get(mapped->reserved_bytes) >= whole_bytes;
    if (!wish->page && begun && whole <= room)
        bytes = whole;
    return pool_min(bytes, most);
}

/* Chooses the gap and the handles to harvest for it. The target gives the planned bytes; the
 * rest comes from new handles. */
static int plan_first(struct mapped *mapped, const struct mapped_wish *wish, struct plan *plan)
{
    uint64_t room = headroom(mapped), wanted;
    int error = gap_find(mapped, wish, NULL, NULL, &plan->gap);

    if (error < 0)
        return error;
    if (!wish->create || (mapped_above_ceiling(mapped, plan->gap.bytes) && wish->stitch)) {
        if (plan_from_stock(mapped, wish, plan))
            return 0;
        if (!wish->create)
            return -ENOMEM;
        error = gap_find(mapped, wish, NULL, NULL, &plan->gap);
    }
    if (error == 0)
        error = pledge(mapped, plan);
    if (error == 0 && plan->gap.bytes > room && wish->stitch)
        error = plan_harvest(mapped, plan->gap.bytes, plan);
    wanted = pool_max(growth_bytes(mapped, wish, &plan->gap, room), plan_bytes(plan));
    if (error == 0)
        error = target_claim(mapped, plan, wanted);
    return error;
}

/* ---- driver calls, without the lock ---- */

int plan_create(struct mapped *mapped, uint64_t most, struct plan *plan)
{
    uint64_t wanted = plan->target->node.bytes;

    while (plan_bytes(plan) < wanted) {
        uint64_t bytes = pool_min(wanted - plan_bytes(plan), most);
        struct mapped_handle *handle = loose_take(mapped, bytes);
        int error = handle ? 0 : mapped_handle_create(mapped, bytes, &handle);

        if (error == -ENOMEM && bytes > RANGE_PAGE_BYTES) {
            most = pool_round_up(bytes / 2, RANGE_PAGE_BYTES);
            continue;
        }
        if (error < 0)
            return error;
        plan_add(plan, handle);
    }
    return 0;
}

/* An unmapping may wait for work that ends only when other threads continue. */
int mapped_unmap(struct mapped *mapped, uint64_t address, uint64_t bytes)
{
    const struct pool_backend *backend = mapped->backend;
    int error;

    pool_lock_release(mapped->outer);
    error = backend->page_unmap(backend->state, address, bytes);
    pool_lock_acquire(mapped->outer);
    return error;
}

int mapped_enable(struct mapped *mapped, uint64_t address, uint64_t bytes)
{
    const struct pool_backend *backend = mapped->backend;
    int error;

    pool_lock_release(mapped->outer);
    error = backend->page_enable(backend->state, address, bytes);
    pool_lock_acquire(mapped->outer);
    return error;
}

/* From the highest down. */
void plan_collect(struct mapped *mapped, uint64_t address, uint64_t bytes, struct plan *plan)
{
    for (uint64_t at = address + bytes; at > address;) {
        struct mapped_handle **slot = mapped_slot(mapped, at -= RANGE_PAGE_BYTES);

        if (!*slot)
            continue;
        (*slot)->address = 0;
        plan_add(plan, *slot);
        *slot = NULL;
    }
}

/* After an extent was unmapped: moves its handles to the plan. */
static void extent_unmapped(struct mapped *mapped, struct extent *extent, struct plan *plan)
{
    pool_lock_acquire(mapped->lock);
    plan_collect(mapped, extent->node.address, extent->node.bytes, plan);
    if (mapped->entry != 0)
        page_map_replace(extent->node.address, extent->node.bytes, 0);
    count_add_shared(&mapped->pending_bytes, extent->node.bytes);
    range_settle(&mapped->range, extent, EXTENT_HOLE);
    pool_lock_release(mapped->lock);
}

/* Unmaps the harvested extents, one call for each. */
int plan_unmap(struct mapped *mapped, struct plan *plan)
{
    while (plan->harvested) {
        struct extent *extent = plan->harvested;
        uint64_t bytes = extent->node.bytes;
        int error = mapped_unmap(mapped, extent->node.address, bytes);

        if (error < 0)
            return error;
        plan->harvested = extent_of(extent->node.left);
        plan->harvested_bytes -= bytes;
        extent_unmapped(mapped, extent, plan);
    }
    return 0;
}

int plan_map(struct mapped *mapped, struct plan *plan)
{
    const struct pool_backend *backend = mapped->backend;
    uint64_t begin = plan->target->node.address, at = begin;
    int error = 0;

    for (const struct mapped_handle *handle = plan->free; handle && error == 0;
         handle = handle->next) {
        error = backend->page_map(backend->state, at, handle->bytes, handle->physical);
        at += error == 0 ? handle->bytes : 0;
    }
    if (error == 0)
        error = mapped_enable(mapped, begin, at - begin);
    if (error < 0 && at > begin && mapped_unmap(mapped, begin, at - begin) < 0) {
        plan->target = NULL;
        plan->free = NULL;
    }
    return error;
}

/* Replaces a large handle by smaller ones of the same sum. Releases first, so that reserved memory
 * does not grow. */
static int handle_divide(struct mapped *mapped, struct mapped_handle *handle, uint64_t most,
                         struct plan *plan)
{
    uint64_t missing = handle->bytes;
    int error = 0;

    mapped_handle_release(mapped, handle);
    while (error == 0 && missing > 0) {
        struct mapped_handle *part;

        error = mapped_handle_create(mapped, pool_min(missing, most), &part);
        if (error == 0) {
            missing -= part->bytes;
            plan_add(plan, part);
        }
    }
    return error;
}

/* Divides the large handles of a plan, except those reserved at the start. */
static int plan_divide(struct mapped *mapped, uint64_t most, struct plan *plan)
{
    const struct mapped_config *config = &mapped->config;
    struct mapped_handle *handle = plan->free;
    int error = 0;

    plan->free = NULL;
    plan->free_end = &plan->free;
    plan->free_bytes = 0;
    for (struct mapped_handle *next; handle; handle = next) {
        uint64_t least = mapped->range.by_page ? most : config->page_bytes;
        uint64_t growth = pool_max(config->page_bytes, config->first_bytes);
        bool large = handle->bytes > least && handle->bytes <= growth;

        next = handle->next;
        if (error == 0 && large)
            error = handle_divide(mapped, handle, most, plan);
        else
            plan_add(plan, handle);
    }
    return error;
}

/* ---- growing ---- */

uint64_t plan_place(struct mapped *mapped, struct plan *plan)
{
    uint64_t begin = plan->target->node.address, at = begin;

    for (struct mapped_handle *handle = plan->free; handle; handle = handle->next) {
        handle->address = at;
        *mapped_slot(mapped, at) = handle;
        at += handle->bytes;
    }
    count_add_shared(&mapped->pending_bytes, -(at - begin));
    return at;
}

/* Cuts the block from what the gap has become. */
static struct extent *settle(struct mapped *mapped, const struct mapped_wish *wish,
                             struct plan *plan)
{
    struct range *range = &mapped->range;
    uint64_t block = plan->gap.block;
    struct extent *joined;

    plan_place(mapped, plan);
    range_settle(range, plan->target, EXTENT_FREE);
    plan->target = NULL;
    plan_withdraw(mapped, plan);
    joined = range_free_at(range, block);
    if (!joined || extent_end(joined) - block < wish->bytes)
        return NULL; /* what is beside it has been exported meanwhile */
    return range_take_at(range, joined, block, wish->bytes);
}

/* The plan fills the gap, though with less than intended: shrinks the target to it. */
static int target_fit(struct mapped *mapped, struct plan *plan)
{
    int error = 0;

    if (plan->target->node.bytes != plan_bytes(plan)) {
        pool_lock_acquire(mapped->lock);
        range_settle(&mapped->range, plan->target, EXTENT_HOLE);
        plan->target = NULL;
        error = target_claim(mapped, plan, plan_bytes(plan));
        pool_lock_release(mapped->lock);
    }
    return error;
}

int mapped_probe(struct mapped *mapped, uint64_t bytes)
{
    struct mapped_handle *whole;
    int error = mapped_handle_create(mapped, bytes, &whole);

    if (error == 0)
        mapped_handle_release(mapped, whole);
    return error;
}

static uint64_t plan_missing(const struct plan *plan)
{
    return pool_minus(plan->gap.bytes, plan_bytes(plan));
}

/* Sees to it that the device has what the plan lacks. If that is not sure, what is free in the
 * range comes first: the two together may be enough. */
static int gap_secure(struct mapped *mapped, const struct mapped_wish *wish, struct plan *plan)
{
    uint64_t sure = pool_max(wish->sure_bytes, handle_most_now(mapped, wish));
    int error = 0;

    if (plan_missing(plan) > sure && wish->stitch) {
        pool_lock_acquire(mapped->lock);
        error = plan_harvest(mapped, plan->gap.bytes, plan);
        pool_lock_release(mapped->lock);
    }
    if (error == 0 && plan_missing(plan) > sure)
        error = mapped_probe(mapped, plan_missing(plan));
    mapped->stitched = mapped->stitched || plan->harvested_bytes > 0;
    return error;
}

/* Collects the memory: harvested under the lock, the rest created without it. */
static int collect(struct mapped *mapped, const struct mapped_wish *wish, struct plan *plan)
{
    int error;

    pool_lock_acquire(mapped->lock);
    error = plan_first(mapped, wish, plan);
    pool_lock_release(mapped->lock);
    if (error < 0)
        return error;
    mapped->stitched = mapped->stitched || plan->harvested_bytes > 0;
    error = gap_secure(mapped, wish, plan);
    if (error == 0)
        error = plan_create(mapped, handle_most_now(mapped, wish), plan);
    if (plan_bytes(plan) >= plan->gap.bytes)
        return target_fit(mapped, plan);
    if (error == -ENOMEM && wish->stitch) {
        /* The device is full: plans free handles of the range, whatever gap that leads to. */
        pool_lock_acquire(mapped->lock);
        plan_withdraw(mapped, plan);
        error = plan_from_stock(mapped, wish, plan) ? 0 : -ENOMEM;
        pool_lock_release(mapped->lock);
    }
    return error;
}

int plan_target_enter(struct mapped *mapped, struct plan *plan)
{
    const struct size_node *node = &plan->target->node;
    int error = mapped->entry != 0 ? page_map_insert(node->address, node->bytes, mapped->entry) : 0;

    plan->entered = error == 0 && mapped->entry != 0;
    return error == -EEXIST || error == -ERANGE ? -ENOTSUP : error;
}

void plan_release(struct mapped *mapped, struct plan *plan)
{
    release_all(mapped, plan->free);
}

void plan_undo(struct mapped *mapped, struct plan *plan)
{
    pool_lock_acquire(mapped->lock);
    if (plan->entered && plan->target)
        page_map_replace(plan->target->node.address, plan->target->node.bytes, 0);
    plan_withdraw(mapped, plan);
    pool_lock_release(mapped->lock);
    release_all(mapped, plan->free);
}

/* What came free while the caller took `outer`. */
static struct extent *free_take(struct mapped *mapped, const struct mapped_wish *wish)
{
    struct extent *extent;

    pool_lock_acquire(mapped->lock);
    if (wish->page)
        extent = range_take_page(&mapped->range);
    else
        extent = wish->anywhere ? range_take_anywhere(&mapped->range, wish->bytes)
                                : range_take(&mapped->range, wish->bytes);
    pool_lock_release(mapped->lock);
    return extent;
}

int mapped_grow(struct mapped *mapped, const struct mapped_wish *wish,
                struct mapped_grown *ret_grown)
{
    struct mapped_grown grown = {.extent = free_take(mapped, wish)};
    struct plan plan;
    int error;

    if (grown.extent) {
        *ret_grown = grown;
        return 0;
    }
    plan_init(&plan);
    error = collect(mapped, wish, &plan);
    grown.stitched_bytes = plan.harvested_bytes;
    mapped->stitched = mapped->stitched || plan.harvested_bytes > 0;
    if (error == 0)
        error = plan_target_enter(mapped, &plan);
    if (error == 0)
        error = plan_unmap(mapped, &plan);
    if (error == 0 && wish->divide && grown.stitched_bytes > 0)
        error = plan_divide(mapped, handle_most(mapped, wish), &plan);
    if (error == 0)
        error = plan_map(mapped, &plan);
    if (error < 0) {
        plan_undo(mapped, &plan);
        return error;
    }
    grown.address = plan.target->node.address;
    pool_lock_acquire(mapped->lock);
    grown.extent = settle(mapped, wish, &plan);
    pool_lock_release(mapped->lock);
    if (!grown.extent)
        return -EAGAIN;
    *ret_grown = grown;
    return 0;
}
