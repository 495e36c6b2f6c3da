/* SPDX-License-Identifier: MIT */
/*
 * Slabs moving between the lists of their bin.
 *
 *   current     being served from, has a free object
 *   bucket 0-3  partial; bucket = quarter of fullness
 *   full        in no list
 *   spare       empty, kept; every other empty slab goes back to the buddy
 *   pinned      in no list, only drains
 */
#include "pool/bin.h"

#include <errno.h>

#include "pool/device.h"
#include "pool/extents.h"

/* Objects brought back when the current slab runs out: enough to pay for the visit, few enough to
 * stay unnoticed in the latency of one allocation. */
#define RETIRE_PER_REFILL 16u

void bin_init(struct bin *bin, struct pool *pool, unsigned class)
{
    struct size_class geometry;
    size_class_describe(class, &geometry);
    *bin = (struct bin){
        .object_bytes = geometry.object_bytes,
        .reciprocal = geometry.reciprocal,
        .slab_bytes = geometry.slab_bytes,
        .objects = geometry.objects,
        .bucket_scale = (uint16_t)((SLAB_BUCKETS << 10) / geometry.objects),
        .class = (uint8_t) class,
        .pool = pool,
    };
    pool_lock_init(&bin->lock, POOL_LOCK_BIN);
}

static size_t slab_metadata_bytes(const struct bin *bin)
{
    return slab_metadata_size(bin->objects);
}

/* ---- lists ---- */

static void bucket_insert(struct bin *bin, struct slab *slab)
{
    unsigned bucket = (unsigned)(slab->used * bin->bucket_scale) >> 10;
    slab->place = (uint8_t)bucket;
    slab->prev = NULL;
    slab->next = bin->bucket[bucket];
    if (slab->next != NULL)
        slab->next->prev = slab;
    bin->bucket[bucket] = slab;
}

static void bucket_remove(struct bin *bin, struct slab *slab)
{
    *(slab->prev != NULL ? &slab->prev->next : &bin->bucket[slab->place]) = slab->next;
    if (slab->next != NULL)
        slab->next->prev = slab->prev;
}

static void slab_unlist(struct bin *bin, struct slab *slab)
{
    if (slab->place < SLAB_BUCKETS)
        bucket_remove(bin, slab);
    else if (slab->place == SLAB_CURRENT)
        bin->current = NULL;
    else if (slab->place == SLAB_SPARE)
        bin->spare = NULL;
}

static struct slab *fullest_take(struct bin *bin)
{
    for (int bucket = SLAB_BUCKETS - 1; bucket >= 0; bucket--) {
        struct slab *slab = bin->bucket[bucket];
        if (slab != NULL) {
            bucket_remove(bin, slab);
            return slab;
        }
    }
    struct slab *spare = bin->spare;
    bin->spare = NULL;
    return spare;
}

bool bin_refill_locked(struct bin *bin)
{
    bin_retire_locked(bin, RETIRE_PER_REFILL);
    struct slab *slab = fullest_take(bin);
    if (slab == NULL)
        return false;
    slab->place = SLAB_CURRENT;
    bin->current = slab;
    return true;
}

/* ---- slabs ---- */

static void slab_init(struct bin *bin, struct slab *slab)
{
    slab->class = bin->class;
    slab->objects = (uint8_t)bin->objects;
    slab->used = 0;
    slab->free_mask[0] = bin->objects >= 64 ? UINT64_MAX : (UINT64_C(1) << bin->objects) - 1;
    slab->free_mask[1] = bin->objects == 128 ? UINT64_MAX : 0;
    for (unsigned index = 0; index < bin->objects; index++)
        slab->object[index] = (struct object){.index = (uint8_t)index, .state = BLOCK_UNUSED};
    atomic_store_explicit(&slab->bin, bin, memory_order_relaxed);
}

int bin_grow_locked(struct bin *bin)
{
    struct pool *pool = bin->pool;
    struct slab *slab = metadata_allocate(METADATA_SLAB + bin->class, slab_metadata_bytes(bin),
                                          &pool->metadata_bytes);
    if (slab == NULL)
        return -ENOMEM;
    slab_init(bin, slab);
    pool_lock_acquire(&pool->extents.lock);
    bool placed = extents_slab_place_locked(pool, slab, bin->slab_bytes);
    pool_lock_release(&pool->extents.lock);
    if (!placed) {
        atomic_store_explicit(&slab->bin, NULL, memory_order_relaxed);
        metadata_free(METADATA_SLAB + bin->class, slab, slab_metadata_bytes(bin),
                      &pool->metadata_bytes);
        return -EAGAIN;
    }
    count_add(&bin->slabs, 1);
    bucket_insert(bin, slab);
    return 0;
}

/* The slab is empty and in no list. */
static void slab_release(struct bin *bin, struct slab *slab)
{
    struct pool *pool = bin->pool;
    atomic_store_explicit(&slab->bin, NULL, memory_order_relaxed);
    pool_lock_acquire(&pool->extents.lock);
    extents_slab_remove_locked(slab, bin->slab_bytes);
    pool_lock_release(&pool->extents.lock);
    count_subtract(&bin->slabs, 1);
    metadata_free(METADATA_SLAB + bin->class, slab, slab_metadata_bytes(bin),
                  &pool->metadata_bytes);
}

static void slab_emptied(struct bin *bin, struct slab *slab)
{
    bool have_empty = bin->spare != NULL || (bin->current != NULL && bin->current->used == 0);
    if (slab->place == SLAB_CURRENT && bin->spare == NULL)
        return;
    slab_unlist(bin, slab);
    if (slab->place == SLAB_PINNED) {
        count_subtract(&bin->pinned_free, bin->objects);
        slab_release(bin, slab);
    } else if (have_empty) {
        slab_release(bin, slab);
    } else {
        slab->place = SLAB_SPARE;
        bin->spare = slab;
    }
}

void bin_put_locked(struct bin *bin, struct slab *slab, struct object *object)
{
    object->state = BLOCK_FREED;
    slab->free_mask[object->index / 64] |= UINT64_C(1) << (object->index % 64);
    slab->used--;
    if (slab->place == SLAB_PINNED)
        count_add(&bin->pinned_free, 1);
    if (slab->used == 0)
        slab_emptied(bin, slab);
    else if (slab->place == SLAB_FULL)
        bucket_insert(bin, slab);
    else if (slab->place < SLAB_BUCKETS &&
             (unsigned)(slab->used * bin->bucket_scale) >> 10 != slab->place) {
        bucket_remove(bin, slab);
        bucket_insert(bin, slab);
    }
}

unsigned bin_retire_locked(struct bin *bin, unsigned limit)
{
    struct pool *pool = bin->pool;
    uint32_t retired = quarantine_retired(pool);
    unsigned count = 0;
    while (count < limit && bin_retirable_locked(bin, retired)) {
        struct object *object = bin->quarantine_head;
        struct slab *slab = object_slab(object);
        if (POOL_UNLIKELY(pool->config.scrub != POOL_FILL_NONE) &&
            device_fill(pool, object_address(bin, slab, object), bin->object_bytes,
                        pool->config.scrub) < 0)
            break;
        bin->quarantine_head = object_linked(object->next);
        object_link_prefetch(object->next);
        bin_put_locked(bin, slab, object);
        count++;
    }
    count_add(&bin->retired, count);
    return count;
}

void bin_release_empty_locked(struct bin *bin)
{
    struct slab *empty[] = {bin->spare, bin->current};
    for (unsigned which = 0; which < 2; which++) {
        if (empty[which] == NULL || empty[which]->used > 0)
            continue;
        slab_unlist(bin, empty[which]);
        slab_release(bin, empty[which]);
    }
}

void bin_slab_pin_locked(struct bin *bin, struct slab *slab)
{
    if (slab->place == SLAB_PINNED)
        return;
    slab_unlist(bin, slab);
    slab->place = SLAB_PINNED;
    count_add(&bin->pinned_free, (uint64_t)slab->objects - slab->used);
    if (slab->used == 0) {
        count_subtract(&bin->pinned_free, bin->objects);
        slab_release(bin, slab);
    }
}

/* ---- check ---- */

static const char *slab_check(const struct bin *bin, const struct slab *slab)
{
    unsigned used = 0;
    for (unsigned index = 0; index < slab->objects; index++) {
        const struct object *object = &slab->object[index];
        bool free = slab->free_mask[index / 64] >> (index % 64) & 1;
        bool held = object->state == BLOCK_LIVE || object->state == BLOCK_QUARANTINED;
        if (object->index != index)
            return "slab: an object does not know its index";
        if (free == held)
            return "slab: the state of an object contradicts the bitmap";
        used += held;
    }
    if (used != slab->used || slab->objects != bin->objects)
        return "slab: used + free differ from capacity";
    if (atomic_load_explicit(&slab->bin, memory_order_relaxed) != bin)
        return "slab: it belongs to another bin";
    return NULL;
}

static const char *buckets_check(const struct bin *bin)
{
    for (unsigned bucket = 0; bucket < SLAB_BUCKETS; bucket++) {
        for (const struct slab *slab = bin->bucket[bucket]; slab != NULL; slab = slab->next) {
            const char *why = slab_check(bin, slab);
            if (why != NULL)
                return why;
            if (slab->place != bucket || (unsigned)(slab->used * bin->bucket_scale) >> 10 != bucket)
                return "bin: a slab hangs in the wrong bucket";
            if (slab->used == slab->objects)
                return "bin: a full slab hangs in a bucket";
        }
    }
    return NULL;
}

const char *bin_check_locked(const struct bin *bin)
{
    const char *why = buckets_check(bin);
    if (why != NULL)
        return why;
    if (bin->current != NULL && (why = slab_check(bin, bin->current)) != NULL)
        return why;
    if (bin->current != NULL && bin->current->used == bin->objects)
        return "bin: the current slab is full";
    if (bin->spare != NULL && ((why = slab_check(bin, bin->spare)) != NULL || bin->spare->used > 0))
        return why != NULL ? why : "bin: the spare slab is not empty";

    uint64_t quarantined = 0;
    for (const struct object *object = bin->quarantine_head; object != NULL;
         object = object_linked(object->next)) {
        if (object->state != BLOCK_QUARANTINED)
            return "bin: a block in the quarantine is in another state";
        if (object->next != 0 &&
            !quarantine_passed(object->epoch, object_linked(object->next)->epoch))
            return "bin: labels decrease along the quarantine";
        quarantined++;
    }
    if (count_get(&bin->frees) - count_get(&bin->retired) != quarantined)
        return "bin: frees - retired differ from the quarantine";
    return NULL;
}
