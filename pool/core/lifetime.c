/* SPDX-License-Identifier: MIT */
/*
 * Creates and destroys pools.
 *
 * Destruction never walks live blocks: slabs, blocks and segments are found through the runs and
 * freed in host memory, and the runs go back to the driver. Addresses are forgotten first.
 */
#include <errno.h>

#include "pool/backing/supply_mapped.h"
#include "pool/base/barrier.h"
#include "pool/heap/bin.h"
#include "pool/heap/device.h"
#include "pool/pool.h"
#include "pool/core/registry.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"
#include "pool/heap/quarantine.h"

/* Reused runs may exceed the request by this fraction: chosen by replay (docs/allocator.md). */
#define LARGE_WASTE_PERCENT 12u

#define PAGE_BYTES_DEFAULT ((uint64_t)8 << 20)
#define PAGE_BYTES_MAX     ((uint64_t)1 << 30)

void pool_config_init(struct pool_config *config)
{
    *config = (struct pool_config){
        .reuse = POOL_REUSE_DEFERRED,
        .fill = POOL_FILL_NONE,
        .scrub = POOL_FILL_NONE,
        .large_waste_percent = LARGE_WASTE_PERCENT,
        .backing = POOL_BACKING_DRIVER,
    };
}

static bool page_bytes_valid(uint64_t bytes)
{
    return bytes == 0 ||
           (bytes >= POOL_SEGMENT_BYTES && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) == 0);
}

static bool config_valid(const struct pool_config *config)
{
    struct size_classes classes;

    return size_classes_init(config->class_bytes, config->class_count, &classes) == 0 &&
           config->reuse <= POOL_REUSE_IMMEDIATE && config->fill <= POOL_FILL_POISON &&
           config->scrub <= POOL_FILL_POISON && config->backing <= POOL_BACKING_MAPPED &&
           size_slab_valid(config->slab_bytes) && page_bytes_valid(config->page_bytes) &&
           config->large_waste_percent <= 100 && config->ceiling_percent <= 100 &&
           config->growth_percent <= 100 &&
           (config->limit_bytes == 0 || config->limit_bytes >= POOL_SEGMENT_BYTES);
}

static bool backend_valid(const struct pool_config *config, const struct pool_backend *backend)
{
    bool fills = config->fill != POOL_FILL_NONE || config->scrub != POOL_FILL_NONE;

    return backend->segment_allocate && backend->segment_free && backend->fence_record &&
           backend->fence_query && backend->fence_wait && backend->fence_release &&
           backend->device_wait && backend->clock_ns && (!fills || backend->memory_fill);
}

/* A block is scrubbed after the work that was submitted before its free. Nobody may wait for that
 * with the block's lock held, so the free waits first. */
static enum pool_reuse reuse_of(const struct pool_config *config)
{
    bool waits = config->reuse == POOL_REUSE_IMMEDIATE && config->scrub != POOL_FILL_NONE;

    return waits ? POOL_REUSE_SYNC : config->reuse;
}

int pool_create(const struct pool_config *config, const struct pool_backend *backend,
                struct pool **ret_pool)
{
    if (!config_valid(config) || !backend_valid(config, backend))
        return -EINVAL;
    pool_count account = 0;
    struct pool *pool = metadata_allocate(METADATA_POOL, sizeof(*pool), &account);
    if (!pool)
        return -ENOMEM;
    *pool = (struct pool){.config = *config, .backend = *backend};
    pool->config.reuse = reuse_of(config);
    count_set(&pool->metadata_bytes, sizeof(*pool));
    pool_lock_init(&pool->backend_lock, POOL_LOCK_BACKEND);
    pool_lock_init(&pool->runs.blocks.lock, POOL_LOCK_RUNS);
    pool_lock_init(&pool->sample_lock, POOL_LOCK_METADATA);
    size_classes_init(config->class_bytes, config->class_count, &pool->classes);
    quarantine_init(&pool->quarantine);
    atomic_store_explicit(&pool->frees_wait, pool->config.reuse == POOL_REUSE_SYNC,
                          memory_order_relaxed);
    if (shard_init(pool) < 0) {
        metadata_free(METADATA_POOL, pool, sizeof(*pool), &account);
        return -ENOMEM;
    }
    int error = config->backing == POOL_BACKING_MAPPED ? supply_mapped_init(pool) : 0;
    if (error < 0) {
        shard_done(pool);
        metadata_free(METADATA_POOL, pool, sizeof(*pool), &account);
        return error;
    }
    barrier_init();
    registry_add(pool);
    *ret_pool = pool;
    return 0;
}

static void slot_forget(struct pool *pool, struct segment *segment, unsigned index)
{
    struct segment_slot *slot = &segment->slot[index];
    slot_entry entry = atomic_load_explicit(&slot->entry, memory_order_relaxed);
    struct slab *slab = slot_slab(entry);
    uint64_t address = segment->address + ((uint64_t)index << SEGMENT_SLOT_BITS);

    if (entry & SLOT_SLAB) {
        if (slab->base == address)
            slab_metadata_free(slab, &pool->metadata_bytes);
        return;
    }
    for (unsigned half = 0; half < 2; half++)
        metadata_free(METADATA_BLOCK, segment_window_get_locked(segment, 2 * index + half),
                      sizeof(struct block), &pool->metadata_bytes);
}

static void segment_forget(struct pool *pool, struct segment *segment)
{
    /* From the end, so that a slab's other slots are read before its memory is freed. */
    for (unsigned index = SEGMENT_SLOTS; index-- > 0;) {
        slot_forget(pool, segment, index);
        atomic_store_explicit(&segment->slot[index].entry, 0, memory_order_relaxed);
        atomic_store_explicit(&segment->slot[index].upper, 0, memory_order_relaxed);
    }
    metadata_free(METADATA_SEGMENT, segment, sizeof(*segment), &pool->metadata_bytes);
}

static void run_forget(struct pool *pool, struct run *run, enum pool_end end)
{
    for (size_t offset = 0; run->use == RUN_BUDDY && offset < run->bytes;
         offset += POOL_SEGMENT_BYTES)
        segment_forget(pool, segment_of_page(run->address + offset));
    page_map_replace(run->address, run->bytes, 0);
    if (end == POOL_END_RETURN && !pool->mapped)
        device_segment_free(pool, run->address, run->bytes);
    metadata_free(METADATA_RUN, run, sizeof(*run), &pool->metadata_bytes);
}

static void unused_blocks_forget(struct shard *shard)
{
    if (!shard)
        return;
    for (struct block *block = shard->extents.unused_blocks, *next; block; block = next) {
        next = block->next;
        metadata_free(METADATA_BLOCK, block, sizeof(*block), &shard->pool->metadata_bytes);
    }
}

void pool_destroy(struct pool *pool, enum pool_end end)
{
    if (!pool)
        return;
    registry_remove(pool);
    quarantine_done(pool);
    for (struct run *run = pool->runs.all, *next; run; run = next) {
        next = run->next;
        run_forget(pool, run, end);
    }
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++)
        unused_blocks_forget(shard_get(pool, index));
    supply_mapped_done(pool, end == POOL_END_ABANDON);
    shard_done(pool);
    pool_count account = sizeof(*pool);
    metadata_free(METADATA_POOL, pool, sizeof(*pool), &account);
}
