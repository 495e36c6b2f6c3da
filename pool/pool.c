/* SPDX-License-Identifier: MIT */
/*
 * Handing out and taking back: the path of every operation, from the size or the address to the bin
 * or the extents, and to the supply when they have nothing.
 *
 * A hit takes one lock and one shared atomic (live_requested). An address finds its block through
 * the page map without a lock; the block's state is then judged under the lock of its owner.
 */
#include "pool/pool.h"

#include <errno.h>

#include "pool/bin.h"
#include "pool/device.h"
#include "pool/extents.h"
#include "pool/figures.h"
#include "pool/segment.h"
#include "pool/shard.h"
#include "pool/supply.h"

/* ---- describing ---- */

static inline void object_describe(const struct bin *bin, const struct slab *slab,
                                   const struct object *object, struct pool_block *ret_block)
{
    ret_block->address = object_address(bin, slab, object);
    ret_block->requested_bytes = object->requested;
    ret_block->allocated_bytes = bin->object_bytes;
    ret_block->segment_address = slab->run->address;
    ret_block->segment_bytes = slab->run->bytes;
    ret_block->allocation_site = object->site;
    ret_block->free_site = object->state == BLOCK_LIVE ? 0 : object->free_site;
    ret_block->outcome = POOL_OUTCOME_HIT;
    ret_block->live = object->state == BLOCK_LIVE;
}

/* ---- allocating ---- */

static inline void object_hand_out(struct bin *bin, struct object *object, size_t bytes,
                                   uint64_t site, struct pool_block *ret_block)
{
    object->site = site;
    object->requested = (uint16_t)bytes;
    object->state = BLOCK_LIVE;
    count_add(&bin->allocations, 1);
    object_describe(bin, object_slab(object), object, ret_block);
}

static bool small_try(struct pool *pool, size_t bytes, uint64_t site, struct pool_block *ret_block)
{
    struct bin *bin = shard_bin_lock(pool, size_class_of(bytes));
    struct object *object = bin_take_locked(bin);
    if (POOL_LIKELY(object != NULL))
        object_hand_out(bin, object, bytes, site, ret_block);
    pool_lock_release(&bin->lock);
    return object != NULL;
}

/* From a new slab, or from what another shard has left over. */
static bool small_try_harder(struct pool *pool, size_t bytes, uint64_t site,
                             struct pool_block *ret_block)
{
    unsigned class = size_class_of(bytes), index = shard_index(pool);
    for (unsigned step = 0; step < POOL_SHARDS_MAX; step++) {
        struct shard *shard = shard_get(pool, (index + step) % POOL_SHARDS_MAX);
        if (shard == NULL)
            continue;
        struct bin *bin = &shard->bins[class];
        pool_lock_acquire(&bin->lock);
        struct object *object = bin_take_locked(bin);
        if (object == NULL && bin_grow_locked(bin) == 0)
            object = bin_take_locked(bin);
        if (object != NULL)
            object_hand_out(bin, object, bytes, site, ret_block);
        pool_lock_release(&bin->lock);
        if (object != NULL)
            return true;
    }
    return false;
}

static bool extent_try(struct pool *pool, size_t bytes, enum extents_fit fit, uint64_t site,
                       struct pool_block *ret_block)
{
    pool_lock_acquire(&pool->extents.lock);
    struct block *block = extents_allocate_locked(pool, bytes, fit);
    if (POOL_LIKELY(block != NULL)) {
        block->site = site;
        extents_block_describe_locked(block, ret_block);
    }
    pool_lock_release(&pool->extents.lock);
    return block != NULL;
}

static size_t supply_bytes(size_t bytes)
{
    struct size_class class;
    if (bytes > SIZE_MIDDLE_MAX)
        return extents_run_bytes(bytes);
    if (bytes > SIZE_SMALL_MAX)
        return pool_round_up(bytes, SIZE_LEAF_BYTES);
    size_class_describe(size_class_of(bytes), &class);
    return class.slab_bytes;
}

static POOL_NOINLINE int allocate_slow(struct pool *pool, size_t bytes, uint64_t site,
                                       struct pool_block *ret_block)
{
    struct supply_request request = {
        .pool = pool,
        .wanted_bytes = supply_bytes(bytes),
        .whole_run = bytes > SIZE_MIDDLE_MAX,
        .outcome = POOL_OUTCOME_HIT,
    };
    for (;;) {
        supply_attempt(&request);
        if (bytes <= SIZE_SMALL_MAX ? small_try_harder(pool, bytes, site, ret_block)
                                    : extent_try(pool, bytes, request.fit, site, ret_block))
            break;
        int rc = supply_more(&request);
        if (rc < 0)
            return rc;
    }
    if (request.outcome == POOL_OUTCOME_HIT && quarantine_nudge(pool) > 0)
        request.outcome = POOL_OUTCOME_MISS;
    if (request.outcome != POOL_OUTCOME_HIT)
        figures_count(pool, request.outcome == POOL_OUTCOME_WAITED ? COUNTER_waits : COUNTER_misses,
                      1);
    ret_block->outcome = request.outcome;
    return 0;
}

static inline int allocate(struct pool *pool, size_t bytes, uint64_t site,
                           struct pool_block *ret_block)
{
    bool hit = bytes <= SIZE_SMALL_MAX
                   ? small_try(pool, bytes, site, ret_block)
                   : extent_try(pool, bytes, EXTENTS_FIT_CLOSE, site, ret_block);
    int rc = POOL_LIKELY(hit) ? 0 : allocate_slow(pool, bytes, site, ret_block);
    if (POOL_LIKELY(rc == 0))
        figures_live_add(pool, bytes);
    return rc;
}

/* The caller's block is filled as configured, or given back: half a promise is none. */
static POOL_NOINLINE int allocate_filled(struct pool *pool, size_t bytes, uint64_t site,
                                         struct pool_block *ret_block)
{
    struct pool_block block;
    int rc = allocate(pool, bytes, site, &block);
    if (rc < 0)
        return rc;
    rc = device_fill(pool, block.address, block.allocated_bytes, pool->config.fill);
    if (rc < 0)
        pool_free(block.address, site, NULL);
    else
        *ret_block = block;
    return rc;
}

int pool_allocate(struct pool *pool, size_t bytes, uint64_t site, struct pool_block *ret_block)
{
    if (POOL_UNLIKELY(bytes == 0))
        return -EINVAL;
    if (POOL_UNLIKELY(bytes > SIZE_REQUEST_MAX))
        return -ENOMEM;
    if (POOL_UNLIKELY(pool->config.fill != POOL_FILL_NONE))
        return allocate_filled(pool, bytes, site, ret_block);
    return allocate(pool, bytes, site, ret_block);
}

/* ---- finding ---- */

/* Locks the bin that owns a slab; NULL when the slab is not in use or has moved on. */
static inline struct bin *slab_bin_lock(struct slab *slab, uint64_t address)
{
    struct bin *bin = atomic_load_explicit(&slab->bin, memory_order_acquire);
    if (POOL_UNLIKELY(bin == NULL))
        return NULL;
    pool_lock_acquire(&bin->lock);
    if (POOL_LIKELY(atomic_load_explicit(&slab->bin, memory_order_relaxed) == bin &&
                    address - slab->base < bin->slab_bytes))
        return bin;
    pool_lock_release(&bin->lock);
    return NULL;
}

/* The object an address lies in, or NULL for the tail of the slab. */
static inline struct object *slab_object(const struct bin *bin, struct slab *slab, uint64_t address)
{
    uint32_t index = size_class_index(bin->reciprocal, (uint32_t)(address - slab->base));
    return POOL_LIKELY(index < slab->objects) ? &slab->object[index] : NULL;
}

static struct pool *entry_pool(page_entry entry)
{
    if (entry & PAGE_ENTRY_RUN)
        return ((struct run *)(entry & ~PAGE_ENTRY_RUN))->pool;
    return ((struct segment *)entry)->pool;
}

static window_entry entry_window(page_entry entry, uint64_t address)
{
    if (entry & PAGE_ENTRY_RUN)
        return 0;
    return segment_window_get((struct segment *)entry, address);
}

static int slab_find(struct slab *slab, uint64_t address, struct pool_block *ret_block)
{
    struct bin *bin = slab_bin_lock(slab, address);
    if (bin == NULL)
        return -ENOENT;
    struct object *object = slab_object(bin, slab, address);
    bool known = object != NULL && object->state != BLOCK_UNUSED;
    if (known)
        object_describe(bin, slab, object, ret_block);
    pool_lock_release(&bin->lock);
    return known ? 0 : -ENOENT;
}

static int extent_find(page_entry entry, uint64_t address, struct pool_block *ret_block)
{
    struct extents *extents = &entry_pool(entry)->extents;
    pool_lock_acquire(&extents->lock);
    struct block *block = extents_block_around_locked(address, entry);
    if (block != NULL)
        extents_block_describe_locked(block, ret_block);
    pool_lock_release(&extents->lock);
    return block != NULL ? 0 : -ENOENT;
}

int pool_find(uint64_t address, struct pool_block *ret_block, struct pool **ret_pool)
{
    page_entry entry = page_map_get(address);
    if (entry == 0)
        return -ENOENT;
    struct pool_block block;
    window_entry window = entry_window(entry, address);
    int rc = window & WINDOW_SLAB ? slab_find(window_slab(window), address, &block)
                                  : extent_find(entry, address, &block);
    if (rc < 0)
        return rc;
    if (ret_block != NULL)
        *ret_block = block;
    if (ret_pool != NULL)
        *ret_pool = entry_pool(entry);
    return 0;
}

/* ---- freeing ---- */

static inline void object_release_locked(struct bin *bin, struct slab *slab, struct object *object)
{
    struct pool *pool = bin->pool;
    count_add(&bin->frees, 1);
    if (POOL_UNLIKELY(pool->config.reuse == POOL_REUSE_IMMEDIATE) &&
        device_fill(pool, object_address(bin, slab, object), bin->object_bytes,
                    pool->config.scrub) == 0) {
        count_add(&bin->retired, 1);
        bin_put_locked(bin, slab, object);
        return;
    }
    bin_quarantine_locked(bin, object, quarantine_label(pool));
}

/* Asks for the object's line while the slab's is still on its way: the two would otherwise be
 * waited for one after the other. */
static inline void object_prefetch(window_entry window, uint64_t address)
{
    const struct size_shape *shape = &size_shapes[window_class(window)];
    uint64_t offset = address & ((UINT64_C(1) << shape->alignment_bits) - 1);
    __builtin_prefetch(
        &window_slab(window)->object[size_class_index(shape->reciprocal, (uint32_t)offset)]);
}

static inline int object_free(window_entry window, uint64_t address, uint64_t site,
                              struct pool_block *ret_block)
{
    struct slab *slab = window_slab(window);
    object_prefetch(window, address);
    struct bin *bin = slab_bin_lock(slab, address);
    if (POOL_UNLIKELY(bin == NULL))
        return -EINVAL;
    struct pool *pool = bin->pool;
    int rc = -EINVAL;
    struct object *object = slab_object(bin, slab, address);
    if (POOL_UNLIKELY(object == NULL || object_address(bin, slab, object) != address))
        goto unlock;
    if (POOL_UNLIKELY(object->state != BLOCK_LIVE)) {
        if (object->state == BLOCK_UNUSED)
            goto unlock;
        rc = -EALREADY;
        object_describe(bin, slab, object, ret_block);
        goto unlock;
    }
    bool pinned = slab->place == SLAB_PINNED;
    uint32_t requested_bytes = object->requested;
    object->free_site = site;
    object_describe(bin, slab, object, ret_block);
    ret_block->live = false;
    ret_block->free_site = site;
    object_release_locked(bin, slab, object);
    pool_lock_release(&bin->lock);

    figures_live_subtract(pool, requested_bytes);
    if (POOL_UNLIKELY(pool->config.reuse == POOL_REUSE_SYNC))
        quarantine_sync(pool);
    if (POOL_UNLIKELY(pinned))
        supply_doomed_return(pool);
    return 0;

unlock:
    pool_lock_release(&bin->lock);
    return rc;
}

static int block_free_locked(struct pool *pool, page_entry entry, uint64_t address, uint64_t site,
                             struct pool_block *ret_block, bool *ret_pinned)
{
    struct block *block;
    int rc = extents_block_at_locked(address, entry, &block);
    if (rc < 0)
        return rc;
    if (block->state == BLOCK_UNUSED)
        return -EINVAL;
    extents_block_describe_locked(block, ret_block);
    if (block->state != BLOCK_LIVE)
        return -EALREADY;
    *ret_pinned = block_run(block)->pinned;
    ret_block->live = false;
    ret_block->free_site = site;
    extents_free_locked(pool, block, site);
    return 0;
}

static int block_free(page_entry entry, uint64_t address, uint64_t site,
                      struct pool_block *ret_block)
{
    struct pool *pool = entry_pool(entry);
    bool pinned = false;
    pool_lock_acquire(&pool->extents.lock);
    int rc = block_free_locked(pool, entry, address, site, ret_block, &pinned);
    pool_lock_release(&pool->extents.lock);
    if (rc < 0)
        return rc;

    figures_live_subtract(pool, ret_block->requested_bytes);
    if (pool->config.reuse == POOL_REUSE_SYNC)
        quarantine_sync(pool);
    if (pinned)
        supply_doomed_return(pool);
    supply_cache_bound(pool);
    return 0;
}

static POOL_NOINLINE int free_refuse(page_entry entry, int rc)
{
    if (entry != 0)
        figures_count(entry_pool(entry), COUNTER_invalid_frees, 1);
    return rc;
}

int pool_free(uint64_t address, uint64_t site, struct pool_block *ret_block)
{
    struct pool_block ignored;
    if (ret_block == NULL)
        ret_block = &ignored;
    page_entry entry = page_map_get(address);
    if (POOL_UNLIKELY(entry == 0))
        return -ENOENT;
    window_entry window = entry_window(entry, address);
    int rc = POOL_LIKELY(window & WINDOW_SLAB) ? object_free(window, address, site, ret_block)
                                               : block_free(entry, address, site, ret_block);
    return POOL_LIKELY(rc == 0) ? 0 : free_refuse(entry, rc);
}

/* ---- exporting ---- */

static void segment_slabs_pin(struct segment *segment)
{
    for (unsigned window = 0; window < SEGMENT_WINDOWS; window++) {
        window_entry entry = atomic_load_explicit(&segment->window[window], memory_order_acquire);
        if (!(entry & WINDOW_SLAB))
            continue;
        struct slab *slab = window_slab(entry);
        uint64_t address = segment->address + ((uint64_t)window << SEGMENT_WINDOW_BITS);
        struct bin *bin = slab_bin_lock(slab, address);
        if (bin == NULL)
            continue;
        bin_slab_pin_locked(bin, slab);
        pool_lock_release(&bin->lock);
    }
}

/* A live block of the driver allocation that begins at an address. Rare, so it asks every place
 * where a block may begin rather than keep a count of live ones. */
static bool live_block_find(uint64_t base, uint64_t *ret_address)
{
    struct pool_block block;
    for (uint64_t offset = 0; offset < SEGMENT_CUT_MAX; offset += SIZE_GRAIN_BYTES) {
        if (pool_find(base + offset, &block, NULL) < 0 || !block.live)
            continue;
        *ret_address = block.address;
        return block.segment_address == base;
    }
    return false;
}

int pool_pin_segment(uint64_t address)
{
    struct pool_block block;
    struct pool *pool;
    uint64_t neighbour;
    int rc = pool_find(address, &block, &pool);
    if (rc < 0 && page_map_get(address) == 0)
        return -ENOENT;
    if (rc < 0 || !block.live)
        return live_block_find(address, &neighbour) ? pool_pin_segment(neighbour) : -EINVAL;

    /* The block is live, so its run stays; no slab is placed in it once its segments are unlisted.
     */
    pool_lock_acquire(&pool->backend_lock);
    pool_lock_acquire(&pool->extents.lock);
    page_entry entry = page_map_get(address);
    bool cut = !(entry & PAGE_ENTRY_RUN);
    struct run *run = cut ? ((struct segment *)entry)->run
                          : (struct run *)(entry & ~PAGE_ENTRY_RUN);
    bool fresh = !run->pinned;
    if (fresh && cut)
        segment_run_pin_locked(run);
    run->pinned = true;
    pool_lock_release(&pool->extents.lock);
    for (size_t offset = 0; fresh && cut && offset < run->bytes; offset += POOL_SEGMENT_BYTES)
        segment_slabs_pin(segment_of_page(run->address + offset));
    pool_lock_release(&pool->backend_lock);
    return 0;
}
