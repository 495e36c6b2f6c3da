/* SPDX-License-Identifier: MIT */
/*
 * Allocation and free: the path of every operation, from the size or the address to the bin or the
 * extents, and to the supply when these have nothing.
 *
 * A hit takes one lock and one shared atomic (live_requested). An address finds its block through
 * the page map without a lock; the block's state is then checked under its owner's lock.
 */
#include "pool/pool.h"

#include <errno.h>

#include "pool/backing/mapped.h"
#include "pool/heap/bin.h"
#include "pool/heap/device.h"
#include "pool/heap/extents.h"
#include "pool/heap/figures.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"
#include "pool/backing/supply.h"

/* ---- describing ---- */

static void object_describe_locked(struct bin *bin, struct object object, bool live,
                                   struct pool_block *ret_block)
{
    if (!live) /* the site of its free may not have been noted yet */
        figures_live_subtract(bin->pool, bin_settle_locked(bin));
    const struct run *run = object.slab->segment->run;
    const struct object_record *record = object_record(object);
    *ret_block = (struct pool_block){
        .address = object_address(bin, object),
        .requested_bytes = record->requested,
        .allocated_bytes = bin->object_bytes,
        .segment_address = run->address,
        .segment_bytes = run->bytes,
        .allocation_site = record->site,
        .free_site = live ? 0 : record->free_site,
        .outcome = POOL_OUTCOME_HIT,
        .live = live,
        .marks = record->marks,
    };
}

/* ---- allocating ---- */

static inline void object_hand_out(struct bin *bin, struct object object, size_t bytes,
                                   uint32_t site, struct pool_block *ret_block)
{
    struct slab *slab = object.slab;
    struct segment *segment = slab->segment;
    pool_count *live = object_live_word(object, segment_slot(segment, slab->base));

    count_set(live, count_get(live) | UINT64_C(1) << (object.index % 64));
    struct object_record *record = object_record(object);
    record->requested = (uint16_t)bytes;
    record->marks = 0;
    record->identified = false;
    record->site = site;
    count_add(&bin->allocations, 1);

    const struct run *run = segment->run;
    ret_block->address = object_address(bin, object);
    ret_block->requested_bytes = bytes;
    ret_block->allocated_bytes = bin->object_bytes;
    ret_block->segment_address = run->address;
    ret_block->segment_bytes = run->bytes;
    ret_block->allocation_site = site;
    ret_block->free_site = 0;
    ret_block->outcome = POOL_OUTCOME_HIT;
    ret_block->live = true;
    ret_block->isolated = false;
    ret_block->marks = 0;
}

/* Releases the bin, and returns its object if there is one. */
static inline bool small_done(struct bin *bin, struct object object, size_t bytes, uint32_t site,
                              struct pool_block *ret_block)
{
    if (likely(object.slab))
        object_hand_out(bin, object, bytes, site, ret_block);
    pool_lock_release(&bin->lock);
    return object.slab;
}

static bool small_try(struct pool *pool, size_t bytes, uint32_t site, struct pool_block *ret_block)
{
    struct bin *bin = shard_bin_lock(pool, size_class_of(&pool->classes, bytes));

    return small_done(bin, bin_take_locked(bin), bytes, site, ret_block);
}

/* In one shard, if need be from a new slab. */
static bool small_try_in(struct shard *shard, size_t bytes, uint32_t site,
                         struct pool_block *ret_block)
{
    struct bin *bin = &shard->bins[size_class_of(&shard->pool->classes, bytes)];

    pool_lock_acquire(&bin->lock);
    struct object object = bin_take_locked(bin);
    if (!object.slab && bin_grow_locked(bin) == 0)
        object = bin_take_locked(bin);
    return small_done(bin, object, bytes, site, ret_block);
}

static bool middle_try_locked(struct shard *shard, size_t bytes, uint32_t site,
                              struct pool_block *ret_block)
{
    bool done = extents_allocate_locked(shard, bytes, site, ret_block);

    pool_lock_release(&shard->extents.blocks.lock);
    return done;
}

static bool middle_try(struct pool *pool, size_t bytes, uint32_t site, struct pool_block *ret_block)
{
    return middle_try_locked(shard_extents_lock(pool), bytes, site, ret_block);
}

static bool middle_try_in(struct shard *shard, size_t bytes, uint32_t site,
                          struct pool_block *ret_block)
{
    pool_lock_acquire(&shard->extents.blocks.lock);
    return middle_try_locked(shard, bytes, site, ret_block);
}

/* A wholly free run of the buddy that fits exactly is better than a cached one. */
static void spare_offer(struct pool *pool, size_t bytes)
{
    struct shard *shard = shard_here(pool);

    if (likely(count_get(&shard->extents.spare_bytes) != extents_run_bytes(bytes)))
        return;
    pool_lock_acquire(&shard->extents.blocks.lock);
    segment_spare_release_locked(shard);
    pool_lock_release(&shard->extents.blocks.lock);
}

static bool large_try(struct pool *pool, size_t bytes, enum extents_fit fit, uint32_t site,
                      struct pool_block *ret_block)
{
    if (!pool->runs.range)
        spare_offer(pool, bytes);
    pool_lock_acquire(&pool->runs.blocks.lock);
    bool done = runs_allocate_locked(pool, bytes, fit, site, ret_block);
    pool_lock_release(&pool->runs.blocks.lock);
    return done;
}

static bool shard_try(struct shard *shard, size_t bytes, uint32_t site,
                      struct pool_block *ret_block)
{
    return bytes <= SIZE_SMALL_MAX ? small_try_in(shard, bytes, site, ret_block)
                                   : middle_try_in(shard, bytes, site, ret_block);
}

/* Tries all shards' free memory. This thread's shard comes first, and again: the thread may be
 * on another processor by now. */
static bool shards_try(struct pool *pool, size_t bytes, uint32_t site, struct pool_block *ret_block)
{
    unsigned index = shard_index(pool);

    for (unsigned step = 0; step < POOL_SHARDS_MAX; step++) {
        struct shard *shard = shard_get(pool, (index + step) % POOL_SHARDS_MAX);

        if (shard && shard_try(shard, bytes, site, ret_block))
            return true;
    }
    return false;
}

/* Whether a request is served from runs, or the mapped range, and not from the segments. */
static inline bool is_large(const struct pool *pool, size_t bytes)
{
    return bytes > SIZE_MIDDLE_MAX || (bytes > SIZE_SMALL_MAX && pool->runs.range);
}

/* A class gets slabs only after it has this many slabs' worth of blocks, if blocks of its sizes
 * can lie side by side without. Empty slabs are then small compared with the memory in use. */
#define SLABS_WORTH 4u

/* Whether a block of a size with slabs is better served by an extent of the range. Only without
 * collisions: when several threads collide, slabs keep them apart. */
static bool is_too_rare(const struct pool *pool, size_t bytes)
{
    if (!pool->runs.range || bytes <= SIZE_TINY_MAX || bytes > SIZE_SMALL_MAX ||
        pool->config.class_count > 0 || atomic_load_explicit(&pool->spread, memory_order_relaxed))
        return false;
    unsigned size_class = size_class_of(&pool->classes, bytes);
    const struct bin *bin = &shard_get(pool, 0)->bins[size_class];
    uint64_t live = count_get(&pool->runs.small_extents[size_class]) +
                    count_get(&bin->allocations) - count_get(&bin->frees);
    return live < (uint64_t)SLABS_WORTH * bin->objects;
}

static size_t supply_bytes(const struct pool *pool, size_t bytes, bool large)
{
    struct size_class size_class;

    if (large && pool->runs.range)
        return pool_round_up(bytes, RANGE_GRAIN_BYTES);
    if (bytes > SIZE_MIDDLE_MAX)
        return extents_run_bytes(bytes);
    if (bytes > SIZE_SMALL_MAX)
        return pool_round_up(bytes, SIZE_LEAF_BYTES);
    size_class_describe(pool->classes.bytes[size_class_of(&pool->classes, bytes)],
                        pool->config.slab_bytes, &size_class);
    return size_class.slab_bytes;
}

/* How often a shard is retried because others have taken the memory that came for it. */
#define APART_ROUNDS 8

/* Tries once more, with everything available without waiting. */
static bool slow_try(struct supply_request *request, size_t bytes, uint32_t site,
                     struct pool_block *ret_block)
{
    struct pool *pool = request->pool;

    supply_attempt(request);
    if (request->extent) {
        pool_lock_acquire(&pool->runs.blocks.lock);
        runs_adopt_locked(pool, request->extent, bytes, site, ret_block);
        pool_lock_release(&pool->runs.blocks.lock);
        return true;
    }
    if (request->whole_run)
        return large_try(pool, bytes, request->fit, site, ret_block);
    for (int round = 0; round < APART_ROUNDS; round++) {
        if (shard_try(shard_here(pool), bytes, site, ret_block))
            return true;
        if (!supply_apart(request))
            break;
        supply_attempt(request);
    }
    return shards_try(pool, bytes, site, ret_block);
}

/* In mapped memory, a block with slabs that gets no memory of one kind may get what is left of the
 * other: in segments, or in holes too small for one. */
static bool elsewhere_try(struct pool *pool, size_t bytes, bool large, uint32_t site,
                          struct pool_block *ret_block)
{
    if (!pool->runs.range || bytes > SIZE_SMALL_MAX)
        return false;
    return large ? shards_try(pool, bytes, site, ret_block)
                 : large_try(pool, bytes, EXTENTS_FIT_WHOLE, site, ret_block);
}

static POOL_NOINLINE int allocate_slow(struct pool *pool, size_t bytes, uint32_t site,
                                       struct pool_block *ret_block)
{
    bool large = is_too_rare(pool, bytes) || is_large(pool, bytes);
    struct supply_request request = {
        .pool = pool,
        .wanted_bytes = supply_bytes(pool, bytes, large),
        .whole_run = large,
        .outcome = POOL_OUTCOME_HIT,
        .last_number = quarantine_label(pool),
    };

    while (!slow_try(&request, bytes, site, ret_block)) {
        if (request.rung > SUPPLY_GROW && elsewhere_try(pool, bytes, large, site, ret_block))
            break; /* before anything is waited for */
        int error = supply_more(&request);

        if (error == -ENOMEM && elsewhere_try(pool, bytes, large, site, ret_block))
            break;
        if (error < 0) {
            supply_failed(pool, bytes, error);
            return error;
        }
    }
    if (request.outcome != POOL_OUTCOME_HIT)
        figures_count(pool, request.outcome == POOL_OUTCOME_WAITED ? COUNTER_waits : COUNTER_misses,
                      1);
    ret_block->outcome = request.outcome;
    return 0;
}

static inline int allocate(struct pool *pool, size_t bytes, uint32_t site,
                           struct pool_block *ret_block)
{
    bool hit;

    if (likely(bytes <= SIZE_SMALL_MAX))
        hit = small_try(pool, bytes, site, ret_block);
    else if (!is_large(pool, bytes))
        hit = middle_try(pool, bytes, site, ret_block);
    else
        hit = large_try(pool, bytes, EXTENTS_FIT_CLOSE, site, ret_block);
    int error = likely(hit) ? 0 : allocate_slow(pool, bytes, site, ret_block);
    if (likely(error == 0))
        figures_live_add(pool, bytes);
    return error;
}

/* Fills the block as configured, or gives it back: half a promise is none. */
static POOL_NOINLINE int allocate_filled(struct pool *pool, size_t bytes, uint32_t site,
                                         struct pool_block *ret_block)
{
    struct pool_block block;
    int error = allocate(pool, bytes, site, &block);

    if (error < 0)
        return error;
    error = device_fill(pool, block.address, block.allocated_bytes, pool->config.fill);
    if (error < 0)
        pool_free(block.address, site, NULL);
    else
        *ret_block = block;
    return error;
}

int pool_allocate(struct pool *pool, size_t bytes, uint32_t site, struct pool_block *ret_block)
{
    if (unlikely(bytes == 0))
        return -EINVAL;
    if (unlikely(bytes > SIZE_REQUEST_MAX))
        return -ENOMEM;
    if (unlikely(pool->config.fill != POOL_FILL_NONE))
        return allocate_filled(pool, bytes, site, ret_block);
    return allocate(pool, bytes, site, ret_block);
}

static int isolated_fill(struct pool *pool, const struct pool_block *block)
{
    if (pool->config.fill == POOL_FILL_NONE)
        return 0;
    return device_fill(pool, block->address, block->requested_bytes, pool->config.fill);
}

int pool_allocate_isolated(struct pool *pool, size_t bytes, uint32_t site,
                           struct pool_block *ret_block)
{
    struct extent *extent;
    struct pool_block block;

    if (bytes == 0)
        return -EINVAL;
    if (!pool->mapped)
        return -ENOTSUP;
    if (bytes > SIZE_REQUEST_MAX)
        return -ENOMEM;
    int error = supply_isolate(pool, bytes, &extent);
    if (error < 0)
        return error;
    pool_lock_acquire(&pool->runs.blocks.lock);
    runs_adopt_isolated_locked(pool, extent, bytes, site, &block);
    pool_lock_release(&pool->runs.blocks.lock);
    block.outcome = POOL_OUTCOME_MISS;
    figures_count(pool, COUNTER_misses, 1);
    figures_live_add(pool, bytes);
    error = isolated_fill(pool, &block);
    if (error < 0)
        pool_free(block.address, site, NULL);
    else
        *ret_block = block;
    return error;
}

/* ---- finding ---- */

/** Finds a place in a slab by arithmetic alone, without reading the slab. */
struct place {
    struct object object; /* index beyond the last: the tail of the slab */
    uint32_t offset;      /* in the object */
    struct segment_slot *first;
};

static inline struct place place_of(struct segment *segment, slot_entry entry, uint64_t address)
{
    const struct size_shape *shape = &size_shapes[slot_shape(entry)];
    uint32_t offset = (uint32_t)(address & ((UINT64_C(1) << shape->alignment_bits) - 1));
    uint32_t index = size_class_index(shape->reciprocal, offset);

    return (struct place){
        .object = {slot_slab(entry), index},
        .offset = offset - index * shape->object_bytes,
        .first = segment_slot(segment, address - offset),
    };
}

static struct pool *entry_pool(page_entry entry)
{
    if (entry & PAGE_ENTRY_RUN)
        return ((struct run *)(entry & ~PAGE_ENTRY_RUN))->pool;
    return atomic_load_explicit(&((struct segment *)entry)->shard, memory_order_acquire)->pool;
}

static inline slot_entry entry_slot(page_entry entry, uint64_t address)
{
    if (entry & PAGE_ENTRY_RUN)
        return 0;
    return segment_slot_get((struct segment *)entry, address);
}

static int slab_find(struct segment *segment, slot_entry entry, uint64_t address,
                     struct pool_block *ret_block)
{
    struct bin *bin = slab_bin_lock(segment, entry, address);

    if (!bin)
        return -ENOENT;
    struct object object = place_of(segment, entry, address).object;
    bool known = object.index < bin->objects && object_record(object)->requested != 0;
    if (known)
        object_describe_locked(bin, object, object_live(object), ret_block);
    pool_lock_release(&bin->lock);
    return known ? 0 : -ENOENT;
}

static int extent_find(page_entry entry, uint64_t address, struct pool_block *ret_block)
{
    struct blocks *blocks = blocks_lock(address, entry);

    if (!blocks)
        return -ENOENT;
    struct block *block = block_around_locked(address, entry);
    if (block)
        block_describe_locked(block, ret_block);
    pool_lock_release(&blocks->lock);
    return block ? 0 : -ENOENT;
}

int pool_find(uint64_t address, struct pool_block *ret_block, struct pool **ret_pool)
{
    page_entry entry = page_map_get(address);

    if (entry == 0)
        return -ENOENT;
    struct pool_block block;
    slot_entry slot = entry_slot(entry, address);
    int error = slot & SLOT_SLAB ? slab_find((struct segment *)entry, slot, address, &block)
                                 : extent_find(entry, address, &block);
    if (error < 0)
        return error;
    if (ret_block)
        *ret_block = block;
    if (ret_pool)
        *ret_pool = entry_pool(entry);
    return 0;
}

struct pool *pool_at(uint64_t address)
{
    page_entry entry = page_map_get(address);

    return entry ? entry_pool(entry) : NULL;
}

int pool_range_get(uint64_t address, struct pool_block *ret_block)
{
    struct pool_block block;
    int error = pool_find(address, &block, NULL);

    if (error < 0)
        return page_map_get(address) == 0 ? -ENOENT : -EINVAL;
    if (!block.live || address - block.address >= block.requested_bytes)
        return -EINVAL;
    *ret_block = block;
    return 0;
}

/** A query or change of a live block, made under its owner's lock. */
struct wish {
    uint8_t set, clear; /* marks */
    uint8_t before;     /* the marks it had */
    uint64_t *ret_id;   /* NULL: no matter */
};

static void marks_change(uint8_t *marks, struct wish *wish)
{
    wish->before = *marks;
    *marks = (uint8_t)((*marks | wish->set) & ~wish->clear);
}

static int slab_wish(struct segment *segment, slot_entry entry, uint64_t address, struct wish *wish)
{
    struct bin *bin = slab_bin_lock(segment, entry, address);

    if (!bin)
        return -ENOENT;
    struct object object = place_of(segment, entry, address).object;
    int error = object.index < bin->objects && object_live(object) ? 0 : -ENOENT;
    if (error == 0)
        marks_change(&object_record(object)->marks, wish);
    if (error == 0 && wish->ret_id)
        error = bin_object_id_locked(bin, object, wish->ret_id);
    pool_lock_release(&bin->lock);
    return error;
}

static int extent_wish(page_entry entry, uint64_t address, struct wish *wish)
{
    struct blocks *blocks = blocks_lock(address, entry);

    if (!blocks)
        return -ENOENT;
    struct block *block = block_around_locked(address, entry);
    bool live = block && block->state == BLOCK_LIVE;
    if (live)
        marks_change(&block->marks, wish);
    if (live && wish->ret_id) {
        if (block->id == 0)
            block->id = block_id_next();
        *wish->ret_id = block->id;
    }
    pool_lock_release(&blocks->lock);
    return live ? 0 : -ENOENT;
}

static int wish_fulfil(uint64_t address, struct wish *wish)
{
    page_entry entry = page_map_get(address);

    if (entry == 0)
        return -ENOENT;
    slot_entry slot = entry_slot(entry, address);
    return slot & SLOT_SLAB ? slab_wish((struct segment *)entry, slot, address, wish)
                            : extent_wish(entry, address, wish);
}

int pool_block_identify(uint64_t address, uint64_t *ret_id)
{
    return wish_fulfil(address, &(struct wish){.ret_id = ret_id});
}

int pool_block_mark(uint64_t address, uint8_t set, uint8_t clear, uint8_t *ret_before)
{
    struct wish wish = {.set = set, .clear = clear};
    int error = wish_fulfil(address, &wish);

    if (error == 0 && ret_before)
        *ret_before = wish.before;
    return error;
}

/* ---- freeing ---- */

/* Puts an object with its live bit cleared in quarantine, or back. */
static inline void object_release_locked(struct bin *bin, struct object object)
{
    struct pool *pool = bin->pool;

    count_add(&bin->frees, 1);
    if (unlikely(pool->config.reuse == POOL_REUSE_IMMEDIATE)) {
        count_add(&bin->retired, 1);
        bin_put_locked(bin, object);
        return;
    }
    bin_quarantine_locked(bin, object, quarantine_label(pool));
}

/* Sees to it that figures_sample() finds the bin. */
static POOL_NOINLINE void unsettled_tell_locked(struct bin *bin)
{
    atomic_fetch_or_explicit(&shard_get(bin->pool, bin->shard)->unsettled,
                             UINT32_C(1) << bin->size_class, memory_order_relaxed);
    bin->unsettled_known = true;
}

/* Frees a live object; returns the bytes to subtract from live_requested now. */
static inline uint64_t object_take_back_locked(struct bin *bin, struct object object, uint32_t site)
{
    struct object_record *record = object_record(object);

    if (unlikely(bin->pool->config.reuse != POOL_REUSE_DEFERRED)) {
        uint64_t bytes = object_record_settle(record, site);

        object_release_locked(bin, object);
        return bytes;
    }
    if (unlikely(!bin->unsettled_known))
        unsettled_tell_locked(bin);
    object_release_locked(bin, object);
    return bin_unsettled_push_locked(bin, record, site);
}

/* Why an address that is no live object is refused. */
static POOL_NOINLINE int object_refuse_locked(struct bin *bin, const struct place *place,
                                              struct pool_block *ret_block)
{
    struct object object = place->object;

    if (place->offset != 0 || object.index >= bin->objects || object_record(object)->requested == 0)
        return -EINVAL;
    if (ret_block)
        object_describe_locked(bin, object, false, ret_block);
    return -EALREADY;
}

/* So many small blocks of a class have been freed that their total is worth checking. */
static POOL_NOINLINE void chunk_filled(const struct bin *bin)
{
    struct shard *shard = shard_get(bin->pool, bin->shard);

    count_add_shared(&shard->open_bytes, (uint64_t)QUEUE_CHUNK_ENTRIES * bin->object_bytes);
    supply_freed(shard);
}

static inline int slab_free(struct segment *segment, slot_entry entry, uint64_t address,
                            uint32_t site, struct pool_block *ret_block)
{
    struct place place = place_of(segment, entry, address);
    struct bin *bin = slab_bin_lock(segment, entry, address);

    if (unlikely(!bin))
        return -EINVAL;
    struct pool *pool = bin->pool;
    uint64_t bit = UINT64_C(1) << (place.object.index % 64);
    pool_count *live = object_live_word(place.object, place.first);
    if (unlikely(place.offset != 0 || place.object.index >= bin->objects ||
                 !(count_get(live) & bit))) {
        int error = object_refuse_locked(bin, &place, ret_block);
        pool_lock_release(&bin->lock);
        return error;
    }
    count_set(live, count_get(live) & ~bit);
    bool pinned = atomic_load_explicit(&segment->pinned, memory_order_relaxed);
    uint64_t freed_bytes = object_take_back_locked(bin, place.object, site);
    bool chunk_full = bin->quarantine.last == QUEUE_CHUNK_ENTRIES;
    pool_lock_release(&bin->lock);

    if (ret_block)
        *ret_block = (struct pool_block){.address = address,
                                         .allocated_bytes = bin->object_bytes,
                                         .free_site = site,
                                         .owner = pool->config.observe_state};
    figures_live_subtract(pool, freed_bytes);
    if (unlikely(chunk_full))
        chunk_filled(bin);
    if (unlikely(atomic_load_explicit(&pool->frees_wait, memory_order_relaxed)))
        quarantine_sync(pool);
    if (unlikely(pinned))
        supply_doomed_return(pool);
    return 0;
}

static int block_free_locked(struct pool *pool, struct blocks *blocks, struct block *block,
                             uint32_t site, struct pool_block *ret_block, bool *ret_pinned)
{
    block_describe_locked(block, ret_block);
    if (block->state != BLOCK_LIVE)
        return -EALREADY;
    *ret_pinned = block_pinned(block);
    ret_block->live = false;
    ret_block->free_site = site;
    ret_block->owner = pool->config.observe_state;
    blocks_free_locked(pool, blocks, block, site);
    return 0;
}

static int block_free(page_entry entry, uint64_t address, uint32_t site,
                      struct pool_block *ret_block)
{
    struct pool_block ignored;

    if (!ret_block)
        ret_block = &ignored;
    bool pinned = false;
    int error = -EINVAL;
    struct blocks *blocks = blocks_lock(address, entry);
    if (!blocks)
        return -ENOENT;
    struct pool *pool = entry_pool(entry);
    struct shard *shard = blocks == &pool->runs.blocks
                              ? shard_here(pool)
                              : pool_container_of(blocks, struct shard, extents.blocks);
    struct block *block = block_around_locked(address, entry);
    if (block && block->address == address)
        error = block_free_locked(pool, blocks, block, site, ret_block, &pinned);
    pool_lock_release(&blocks->lock);
    if (error < 0)
        return error;

    figures_live_subtract(pool, ret_block->requested_bytes);
    supply_freed(shard);
    if (ret_block->isolated || atomic_load_explicit(&pool->frees_wait, memory_order_relaxed))
        quarantine_sync(pool);
    if (ret_block->isolated)
        supply_isolated_return(pool);
    if (pinned)
        supply_doomed_return(pool);
    supply_cache_bound(pool);
    return 0;
}

static POOL_NOINLINE int free_refuse(page_entry entry, int error)
{
    if (entry != 0)
        figures_count(entry_pool(entry), COUNTER_invalid_frees, 1);
    return error;
}

int pool_free(uint64_t address, uint32_t site, struct pool_block *ret_block)
{
    page_entry entry = page_map_get(address);

    if (unlikely(entry == 0))
        return -ENOENT;
    slot_entry slot = entry_slot(entry, address);
    int error = likely(slot & SLOT_SLAB)
                    ? slab_free((struct segment *)entry, slot, address, site, ret_block)
                    : block_free(entry, address, site, ret_block);
    return likely(error == 0) ? 0 : free_refuse(entry, error);
}

/* The segment may already belong to others: harmless, because it is not read. */
void pool_prefetch(uint64_t address)
{
    page_entry entry = page_map_get(address);

    if (entry == 0 || entry & PAGE_ENTRY_RUN)
        return;
    struct segment *segment = (struct segment *)entry;
    __builtin_prefetch(segment);
    __builtin_prefetch(segment_slot(segment, address), 1);
}
