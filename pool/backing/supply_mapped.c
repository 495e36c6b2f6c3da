/* SPDX-License-Identifier: MIT */
/*
 * The range is reserved when the pool is created: the device may refuse it, and then the caller
 * has to choose another backing.
 */
#include "pool/backing/supply_mapped.h"

#include <errno.h>

#include "pool/backing/mapped.h"
#include "pool/base/metadata.h"
#include "pool/backing/supply_inner.h"
#include "pool/heap/device.h"
#include "pool/heap/figures.h"
#include "pool/heap/quarantine.h"
#include "pool/heap/run_cache.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"

/* Addresses for each byte of the device: enough to find a hole for a large block without moving
 * live memory. */
#define RANGE_SHARE 8u

/* For a device that does not report its size, and the least size of a range in that case. */
#define RANGE_BYTES_UNKNOWN ((uint64_t)1 << 40)
#define RANGE_BYTES_LEAST   ((uint64_t)1 << 30)

/* The largest device whose memory is mapped, and the most handles that it takes: the tables of a
 * range, and the time of a large growth, are bounded by these. */
#define DEVICE_BYTES_MAX ((uint64_t)1 << 42)
#define HANDLES_MAX      ((uint64_t)1 << 18)

/* A handle is at most this fraction of memory: on a small device, a few large handles would
 * each be kept by some small block. */
#define HANDLE_SHARE 2048u

/* Memory reserved from the start may be in large handles: it is not released. */
#define RESERVE_PAGE_BYTES ((uint64_t)1 << 30)

/* ---- growing ---- */

static int page_adopt(struct supply_request *request, struct extent *page)
{
    struct pool *pool = request->pool;
    struct shard *shard = shard_here(pool);

    pool_lock_acquire(&pool->runs.blocks.lock);
    struct run *run = range_run_create_locked(pool, page);
    if (!run)
        range_give(pool->runs.range, page);
    pool_lock_release(&pool->runs.blocks.lock);
    if (!run)
        return -ENOMEM;
    pool_lock_acquire(&shard->extents.blocks.lock);
    bool cut = segment_run_cut_locked(shard, run) == 0;
    pool_lock_release(&shard->extents.blocks.lock);
    if (!cut)
        segment_run_uncut(pool, run);
    return cut ? 0 : -ENOMEM;
}

void supply_stitch_note(struct pool *pool, const struct mapped_grown *grown, uint64_t start_ns)
{
    if (grown->stitched_bytes == 0)
        return;
    figures_count(pool, COUNTER_stitches, 1);
    figures_count(pool, COUNTER_stitched_bytes, grown->stitched_bytes);
    uint64_t now_ns = pool->backend.clock_ns(pool->backend.state);
    device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_STITCH,
                                              .address = grown->address,
                                              .bytes = grown->stitched_bytes,
                                              .duration_ns = pool_minus(now_ns, start_ns)});
}

/* After a refusal the figure is zero, whatever the device has. */
static void room_ask(struct pool *pool)
{
    uint64_t total, room = device_room(pool, &total);

    if (pool->config.limit_bytes != 0)
        room = pool_min(room, pool_minus(pool->config.limit_bytes, count_get(&pool->reserved)));
    if (total != 0)
        count_set(&pool->room, room);
}

static bool room_is_short(const struct pool *pool)
{
    return count_get(&pool->room) < count_get(&pool->reserved) / ROOM_SHORT_SHARE;
}

/* Placement by page ends only when the device has clearly more left than where memory is short. */
#define ROOM_ENOUGH_SHARE 4u

/* It begins when more than this share of reserved memory is in pieces of pages. */
#define PIECES_SHARE 48u

static bool is_in_pieces(struct pool *pool)
{
    pool_lock_acquire(pool->mapped->lock);
    uint64_t pieces = range_pieces_bytes(&pool->mapped->range);
    pool_lock_release(pool->mapped->lock);
    return pieces > count_get(&pool->reserved) / PIECES_SHARE;
}

static void placement_choose(struct pool *pool)
{
    struct range *range = &pool->mapped->range;
    bool by_page = range->by_page;

    if (by_page && count_get(&pool->room) > count_get(&pool->reserved) / ROOM_ENOUGH_SHARE) {
        by_page = false;
    } else if (!by_page && room_is_short(pool) && is_in_pieces(pool)) {
        room_ask(pool);
        by_page = room_is_short(pool);
    }
    if (by_page == range->by_page)
        return;
    pool_lock_acquire(pool->mapped->lock);
    range_by_page_set(range, by_page);
    pool_lock_release(pool->mapped->lock);
}

/* By page, a free page should be a whole handle: any other cannot be mapped elsewhere. */
static uint64_t handle_most(const struct pool *pool)
{
    if (pool->mapped->range.by_page)
        return RANGE_PAGE_BYTES;
    uint64_t share = (count_get(&pool->reserved) + count_get(&pool->room)) / HANDLE_SHARE;

    return share < RANGE_PAGE_BYTES ? RANGE_PAGE_BYTES : UINT64_C(1) << pool_log2_floor(share);
}

/* A handle is divided only while the driver has at least this share of memory to give: otherwise
 * another process could take the released memory. By page it is divided all the same, one at a
 * time: large ones would keep memory that the driver alone would have got back from the program. */
#define DIVIDE_SHARE 16u

static bool may_divide(const struct pool *pool)
{
    uint64_t room = count_get(&pool->room);

    return pool->mapped->range.by_page ||
           room >= (count_get(&pool->reserved) + room) / DIVIDE_SHARE;
}

bool supply_mapped_may_unmap(struct pool *pool)
{
    return pool->config.reuse != POOL_REUSE_IMMEDIATE ||
           quarantine_idle_await_locked(pool, QUARANTINE_BRIEFLY) == 1;
}

bool supply_mapped_may_break(const struct pool *pool)
{
    return pool->config.move && pool->backend.memory_copy;
}

bool supply_mapped_may_gain(struct pool *pool, bool parts)
{
    return mapped_may_gain(pool->mapped, parts && supply_mapped_may_break(pool));
}

/* A growth by more handles than this asks first what the driver has: what it would create in vain
 * is as much as the device can give. */
#define HANDLES_UNASKED 32u

/* What the driver surely gives, as far as a growth needs to know. */
static uint64_t sure_bytes(struct pool *pool, uint64_t wanted, uint64_t handle_bytes)
{
    if (wanted <= handle_bytes)
        return wanted;
    if (wanted > count_get(&pool->room) || wanted / handle_bytes > HANDLES_UNASKED)
        room_ask(pool);
    return count_get(&pool->room);
}

int supply_mapped_grow(struct supply_request *request, size_t more_bytes, bool stitch)
{
    struct pool *pool = request->pool;
    const struct mapped_config *config = &pool->mapped->config;

    placement_choose(pool);
    uint64_t most = handle_most(pool);
    struct mapped_wish wish = {
        .bytes = request->whole_run ? request->wanted_bytes : RANGE_PAGE_BYTES,
        .page = !request->whole_run,
        .anywhere = request->fit >= EXTENTS_FIT_ANY,
        .more_bytes = more_bytes,
        .handle_bytes = pool_min(most, config->page_bytes),
        .first_bytes = pool_min(most, config->first_bytes),
        .divide = may_divide(pool),
        .stitch = stitch && (request->idle || supply_mapped_may_unmap(pool)),
        .create = true,
    };
    struct mapped_grown grown;
    uint64_t start_ns = pool->backend.clock_ns(pool->backend.state);

    wish.sure_bytes = sure_bytes(pool, wish.bytes, wish.handle_bytes);
    request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    int error = mapped_grow(pool->mapped, &wish, &grown);
    if (error < 0)
        return error == -EAGAIN ? 0 : error == -ENOSPC ? -ENOMEM : error;
    supply_stitch_note(pool, &grown, start_ns);
    if (request->whole_run)
        request->extent = grown.extent;
    else
        error = page_adopt(request, grown.extent);
    count_add_shared(&pool->generation, 1);
    figures_sample(pool);
    return error;
}

bool supply_mapped_break(struct pool *pool)
{
    struct mapped_broken broken;
    uint64_t start_ns = pool->backend.clock_ns(pool->backend.state);

    if (!supply_mapped_may_break(pool) || mapped_break(pool->mapped, &broken) < 0)
        return false;
    figures_count(pool, COUNTER_breaks, 1);
    figures_count(pool, COUNTER_broken_bytes, broken.bytes);
    uint64_t now_ns = pool->backend.clock_ns(pool->backend.state);
    device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_BREAK,
                                              .address = broken.address,
                                              .bytes = broken.bytes,
                                              .duration_ns = pool_minus(now_ns, start_ns)});
    return true;
}

uint64_t supply_mapped_return(struct pool *pool, uint64_t bytes)
{
    uint64_t reserved = count_get(&pool->reserved);

    if (!supply_mapped_may_unmap(pool))
        return 0;
    uint64_t returned = mapped_trim(pool->mapped, pool_minus(reserved, bytes));
    figures_count(pool, COUNTER_returned_bytes, returned);
    count_add(&pool->room, returned);
    return returned;
}

/* ---- isolated ---- */

void supply_isolated_try(struct pool *pool)
{
    uint64_t released = pool->mapped ? mapped_isolated_release(pool->mapped) : 0;

    if (released == 0)
        return;
    figures_count(pool, COUNTER_returned_bytes, released);
    count_add(&pool->room, released);
}

void supply_isolated_return(struct pool *pool)
{
    struct blocks *blocks = &pool->runs.blocks;

    pool_lock_acquire(&pool->backend_lock);
    pool_lock_acquire(&blocks->lock);
    unsigned retired = blocks_retire_locked(pool, blocks, UINT32_MAX);
    pool_lock_release(&blocks->lock);
    if (retired > 0)
        count_add_shared(&pool->generation, 1);
    supply_isolated_try(pool);
    pool_lock_release(&pool->backend_lock);
}

static int isolate(struct pool *pool, uint64_t bytes, struct extent **ret_extent)
{
    uint64_t limit = pool->config.limit_bytes;

    if (limit != 0 && count_get(&pool->reserved) + bytes > limit)
        return -ENOMEM;
    const struct mapped_wish wish = {
        .bytes = bytes,
        .handle_bytes = pool->mapped->config.page_bytes,
        .sure_bytes = sure_bytes(pool, bytes, pool->mapped->config.page_bytes),
    };
    return mapped_isolate(pool->mapped, &wish, ret_extent);
}

/* Isolated blocks together may waste this fraction of memory beyond their requested sizes.
 * Otherwise a program with many small ones would fill the device. */
#define ISOLATED_WASTE_SHARE 4u

static bool isolated_may_waste(const struct pool *pool, uint64_t waste)
{
    uint64_t most = (count_get(&pool->reserved) + count_get(&pool->room)) / ISOLATED_WASTE_SHARE;

    return count_get(&pool->runs.isolated_waste) + waste <= most;
}

int supply_isolate(struct pool *pool, size_t wanted, struct extent **ret_extent)
{
    uint64_t bytes = pool_round_up(wanted, RANGE_PAGE_BYTES), returned = 0;

    if (!isolated_may_waste(pool, bytes - wanted))
        return -ENOMEM;
    pool_lock_acquire(&pool->backend_lock);
    supply_isolated_try(pool);
    int error = isolate(pool, bytes, ret_extent);
    if (error == -ENOMEM && quarantine_idle_await_locked(pool, QUARANTINE_BRIEFLY) == 1) {
        quarantine_flush_locked(pool);
        supply_empties_release(pool);
        supply_isolated_try(pool);
        supply_cached_return(pool, UINT64_MAX, &returned);
        error = isolate(pool, bytes, ret_extent);
    }
    if (error == 0)
        count_set(&pool->room, pool_minus(count_get(&pool->room), bytes));
    figures_sample(pool);
    pool_lock_release(&pool->backend_lock);
    return error == -ENOSPC ? -ENOMEM : error;
}

/* ---- making and ending ---- */

static bool backend_maps(const struct pool_backend *backend)
{
    return backend->range_reserve && backend->range_release && backend->page_create &&
           backend->page_release && backend->page_map && backend->page_enable &&
           backend->page_unmap;
}

/* Reserves as many addresses as possible, from the wanted size down to the device's size. */
static int range_make(struct pool *pool, const struct mapped_config *config, uint64_t device)
{
    uint64_t wanted = pool->config.range_bytes;
    uint64_t least = device != 0 ? device : RANGE_BYTES_LEAST;
    struct mapped_place place = {
        .lock = &pool->runs.blocks.lock,
        .outer = &pool->backend_lock,
        .extent_bytes = sizeof(struct extent_block),
        .entry = (page_entry)&pool->range_run | PAGE_ENTRY_RUN,
        .account = &pool->metadata_bytes,
        .reserved_bytes = &pool->reserved,
    };

    if (wanted == 0)
        wanted = device != 0 ? RANGE_SHARE * device : RANGE_BYTES_UNKNOWN;
    int error = -ENOTSUP;
    for (uint64_t bytes = wanted; error < 0 && bytes >= pool_min(least, wanted); bytes /= 2) {
        place.bytes = pool_round_up(bytes, RANGE_PAGE_BYTES);
        error = mapped_init(pool->mapped, &pool->mapped_backend, config, &place);
        if (error == -EIO || error == -EPERM)
            return error;
    }
    return error < 0 ? -ENOTSUP : 0;
}

/* What is refused now may be had when it is needed. */
static void reserve_make(struct pool *pool)
{
    struct mapped *mapped = pool->mapped;
    struct mapped_grown grown;
    struct mapped_wish wish = {
        .bytes = pool_round_up(pool->config.reserve_bytes, RANGE_PAGE_BYTES),
        .handle_bytes = RESERVE_PAGE_BYTES,
        .sure_bytes = UINT64_MAX,
        .create = true,
    };

    if (wish.bytes == 0)
        return;
    pool_lock_acquire(&pool->backend_lock);
    int error = mapped_grow(mapped, &wish, &grown);
    pool_lock_release(&pool->backend_lock);
    if (error < 0)
        return;
    mapped->config.keep_bytes = wish.bytes;
    pool_lock_acquire(mapped->lock);
    range_give(&mapped->range, grown.extent);
    pool_lock_release(mapped->lock);
}

static void handles_configure(const struct pool *pool, uint64_t device,
                              struct mapped_config *ret_config)
{
    mapped_config_init(ret_config);
    if (pool->config.page_bytes != 0)
        ret_config->page_bytes = ret_config->first_bytes = pool->config.page_bytes;
    while (device / ret_config->page_bytes > HANDLES_MAX)
        ret_config->page_bytes *= 2;
    ret_config->first_bytes = pool_max(ret_config->first_bytes, ret_config->page_bytes);
}

int supply_mapped_init(struct pool *pool)
{
    struct mapped_config config;
    uint64_t device;

    if (!backend_maps(&pool->backend))
        return -ENOTSUP;
    pool->mapped = metadata_map(sizeof(*pool->mapped));
    if (!pool->mapped)
        return -ENOMEM;
    pool->mapped_backend = device_mapped_backend(pool);
    pool->range_run = (struct run){.pool = pool, .use = RUN_RANGE};
    uint64_t room = device_room(pool, &device);
    handles_configure(pool, device, &config);
    int error = device > DEVICE_BYTES_MAX
                    ? -ENOTSUP
                    : range_make(pool, &config, pool_round_up(device, RANGE_PAGE_BYTES));
    if (error < 0) {
        metadata_unmap(pool->mapped, sizeof(*pool->mapped));
        pool->mapped = NULL;
        return error;
    }
    count_add(&pool->metadata_bytes, sizeof(*pool->mapped));
    pool->runs.range = &pool->mapped->range;
    count_set(&pool->room,
              pool->config.limit_bytes != 0 ? pool_min(room, pool->config.limit_bytes) : room);
    reserve_make(pool);
    return 0;
}

void supply_mapped_done(struct pool *pool, bool abandon)
{
    if (!pool->mapped)
        return;
    if (!abandon)
        device_wait(pool, 0); /* nothing else does where a live block is unmapped */
    mapped_done(pool->mapped, abandon);
    metadata_unmap(pool->mapped, sizeof(*pool->mapped));
    pool->mapped = NULL;
    pool->runs.range = NULL;
}
