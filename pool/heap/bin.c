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
#include "pool/heap/bin.h"

#include <errno.h>
#include <string.h>

#include "pool/heap/device.h"
#include "pool/heap/extents.h"
#include "pool/heap/figures.h"
#include "pool/heap/shard.h"

/* Objects to retire when the current slab runs out: enough to pay for the visit, few enough to
 * stay unnoticed in the latency of one allocation. */
#define RETIRE_PER_REFILL 16u

/* How early to prefetch, in objects of the bin, before an object leaves the quarantine: first
 * its slab, then, through the slab, the slot with its live bit. */
#define FETCH_SLAB_AHEAD 8u
#define FETCH_SLOT_AHEAD 3u

void bin_init(struct bin *bin, struct pool *pool, unsigned shard, unsigned size_class)
{
    struct size_class geometry;

    size_class_describe(pool->classes.bytes[size_class], pool->config.slab_bytes, &geometry);
    *bin = (struct bin){
        .object_bytes = geometry.object_bytes,
        .slab_bytes = geometry.slab_bytes,
        .objects = geometry.objects,
        .bucket_scale = (uint16_t)((SLAB_BUCKETS << 10) / geometry.objects),
        .size_class = (uint8_t)size_class,
        .shard = (uint8_t)shard,
        .pool = pool,
    };
    pool_lock_init(&bin->lock, POOL_LOCK_BIN);
}

void bin_done(struct bin *bin)
{
    queue_done(&bin->quarantine, &bin->pool->metadata_bytes);
}

uint64_t block_id_next(void)
{
    static _Atomic uint64_t last;

    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static size_t slab_metadata_bytes(const struct bin *bin)
{
    return slab_metadata_size(bin->objects);
}

static enum metadata_kind slab_metadata_kind(unsigned objects)
{
    return (enum metadata_kind)(METADATA_SLAB + objects - 1);
}

static uint16_t bin_shape(const struct bin *bin)
{
    return (uint16_t)size_shape_of(bin->object_bytes, bin->slab_bytes);
}

/* ---- lists ---- */

static void bucket_insert(struct bin *bin, struct slab *slab)
{
    unsigned bucket = (unsigned)(slab->used * bin->bucket_scale) >> 10;

    slab->place = (uint8_t)bucket;
    slab->next = bin->bucket[bucket];
    if (slab->next)
        slab->next->prev = slab;
    bin->bucket[bucket] = slab;
}

/* The first slab of a bucket has no link to a predecessor, so removing it does not touch the
 * next one. */
static void bucket_remove(struct bin *bin, struct slab *slab)
{
    if (bin->bucket[slab->place] == slab) {
        bin->bucket[slab->place] = slab->next;
        return;
    }
    slab->prev->next = slab->next;
    if (slab->next)
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

        if (slab) {
            bucket_remove(bin, slab);
            return slab;
        }
    }
    struct slab *spare = bin->spare;
    bin->spare = NULL;
    return spare;
}

static bool current_choose(struct bin *bin)
{
    struct slab *slab = fullest_take(bin);

    bin->current = slab;
    if (!slab)
        return false;
    slab->place = SLAB_CURRENT;
    return true;
}

bool bin_refill_locked(struct bin *bin)
{
    bin_retire_locked(bin, RETIRE_PER_REFILL);
    return current_choose(bin);
}

/* Prefetches the slab that current_choose() would take next. */
static void bucket_heads_prefetch(const struct bin *bin)
{
    for (int bucket = SLAB_BUCKETS - 1; bucket >= 0; bucket--) {
        if (bin->bucket[bucket]) {
            __builtin_prefetch(bin->bucket[bucket], 1);
            return;
        }
    }
}

void bin_advance_locked(struct bin *bin)
{
    bin->current->place = SLAB_FULL;
    bin->current = NULL;
    if (bin_retirable_locked(bin, quarantine_retired(bin->pool)) || !current_choose(bin))
        return;
    struct slab *slab = bin->current;
    struct segment *segment = slab->segment;
    __builtin_prefetch(segment);
    __builtin_prefetch(segment_slot(segment, slab->base), 1);
    __builtin_prefetch(object_record(slab_lowest_free(slab)), 1);
    bucket_heads_prefetch(bin);
}

/* ---- slabs ---- */

static uint64_t bits_below(unsigned count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static void slab_init(struct bin *bin, struct slab *slab)
{
    memset(slab, 0, slab_metadata_bytes(bin));
    slab->size_class = bin->size_class;
    slab->shape = bin_shape(bin);
    slab->objects = (uint8_t)bin->objects;
    slab->free_mask[0] = bits_below(bin->objects);
    slab->free_mask[1] = bin->objects > 64 ? bits_below(bin->objects - 64u) : 0;
}

int bin_grow_locked(struct bin *bin)
{
    struct pool *pool = bin->pool;
    struct shard *shard = shard_get(pool, bin->shard);
    uint64_t objects = (count_get(&bin->slabs) + 1) * bin->objects;

    if (!extents_may_have_room(shard, bin->slab_bytes))
        return -EAGAIN;
    if (queue_reserve(&bin->quarantine, objects, &pool->metadata_bytes) < 0)
        return -ENOMEM;
    struct slab *slab = metadata_allocate(slab_metadata_kind(bin->objects),
                                          slab_metadata_bytes(bin), &pool->metadata_bytes);
    if (!slab)
        return -ENOMEM;
    slab_init(bin, slab);
    pool_lock_acquire(&shard->extents.blocks.lock);
    bool placed = extents_slab_place_locked(shard, slab, bin->slab_bytes);
    pool_lock_release(&shard->extents.blocks.lock);
    if (!placed) {
        slab_metadata_free(slab, &pool->metadata_bytes);
        return -EAGAIN;
    }
    count_add(&bin->slabs, 1);
    bucket_insert(bin, slab);
    return 0;
}

void slab_metadata_free(struct slab *slab, pool_count *account)
{
    metadata_free(METADATA_IDS, *slab_ids(slab), SLAB_IDS_BYTES, account);
    metadata_free(slab_metadata_kind(slab->objects), slab, slab_metadata_size(slab->objects),
                  account);
}

int bin_object_id_locked(struct bin *bin, struct object object, uint64_t *ret_id)
{
    uint64_t **ids = slab_ids(object.slab);

    if (!*ids)
        *ids = metadata_allocate(METADATA_IDS, SLAB_IDS_BYTES, &bin->pool->metadata_bytes);
    if (!*ids)
        return -ENOMEM;
    uint64_t *id = &(*ids)[object.index];
    struct object_record *record = object_record(object);
    if (!record->identified)
        *id = block_id_next();
    record->identified = true;
    *ret_id = *id;
    return 0;
}

/* The slab is empty and in no list. */
static void slab_release(struct bin *bin, struct slab *slab)
{
    struct pool *pool = bin->pool;
    struct extents *extents = &shard_get(pool, bin->shard)->extents;

    pool_lock_acquire(&extents->blocks.lock);
    extents_slab_remove_locked(slab, bin->slab_bytes);
    pool_lock_release(&extents->blocks.lock);
    count_subtract(&bin->slabs, 1);
    slab_metadata_free(slab, &pool->metadata_bytes);
    queue_shrink(&bin->quarantine, count_get(&bin->slabs) * bin->objects, &pool->metadata_bytes);
}

static void slab_emptied(struct bin *bin, struct slab *slab)
{
    bool have_empty = bin->spare || (bin->current && bin->current->used == 0);

    if (slab->place == SLAB_CURRENT && !bin->spare)
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

void bin_put_locked(struct bin *bin, struct object object)
{
    struct slab *slab = object.slab;

    slab->free_mask[object.index / 64] |= UINT64_C(1) << (object.index % 64);
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

uint64_t bin_settle_locked(struct bin *bin)
{
    uint64_t bytes = 0;

    for (unsigned index = 0; index < BIN_UNSETTLED_MAX; index++) {
        struct object_record *record = bin->unsettled[index];

        bytes += !record ? 0 : object_record_settle(record, bin->unsettled_site[index]);
        bin->unsettled[index] = NULL;
    }
    return bytes;
}

void bin_oldest_drop_locked(struct bin *bin)
{
    struct queue *queue = &bin->quarantine;

    /* Settles first: a reused object no longer has the record of its free. */
    if (unlikely(queue->count <= BIN_UNSETTLED_MAX))
        figures_live_subtract(bin->pool, bin_settle_locked(bin));
    uint64_t far = queue_ahead(queue, FETCH_SLAB_AHEAD),
             near = queue_ahead(queue, FETCH_SLOT_AHEAD);
    if (likely(far != 0)) {
        struct object object = queue_object(far);

        __builtin_prefetch(object.slab, 1);
        __builtin_prefetch(object_record(object), 1);
    }
    if (likely(near != 0)) {
        const struct slab *slab = queue_entry_slab(near);

        __builtin_prefetch(segment_slot(slab->segment, slab->base), 1);
    }
    queue_pop(queue);
}

unsigned bin_retire_locked(struct bin *bin, unsigned limit)
{
    struct pool *pool = bin->pool;
    struct queue *queue = &bin->quarantine;
    uint32_t retired = quarantine_retired(pool);
    unsigned count = 0;

    while (count < limit && bin_retirable_locked(bin, retired)) {
        struct object object = queue_object(queue_peek(queue));

        if (unlikely(pool->config.scrub != POOL_FILL_NONE) &&
            device_fill(pool, object_address(bin, object), bin->object_bytes, pool->config.scrub) <
                0)
            break;
        bin_oldest_drop_locked(bin);
        bin_put_locked(bin, object);
        count++;
    }
    count_add(&bin->retired, count);
    return count;
}

void bin_release_empty_locked(struct bin *bin)
{
    struct slab *empty[] = {bin->spare, bin->current};

    for (unsigned which = 0; which < 2; which++) {
        if (!empty[which] || empty[which]->used > 0)
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

const char *bin_slab_check_locked(const struct bin *bin, const struct slab *slab)
{
    unsigned free = (unsigned)(__builtin_popcountll(slab->free_mask[0]) +
                               __builtin_popcountll(slab->free_mask[1]));

    if (slab->objects != bin->objects || slab->size_class != bin->size_class ||
        slab->shape != bin_shape(bin) || slab->segment->shard != shard_get(bin->pool, bin->shard))
        return "slab: a slab belongs to another bin";
    if (free + slab->used != slab->objects)
        return "slab: used + free differ from capacity";
    for (unsigned index = 0; index < 128; index++) {
        struct object object = {(struct slab *)slab, index};
        bool live = object_live(object), known = index < slab->objects;

        if (!known && (live || object_free(object)))
            return "slab: a bit has no object";
        if (live && object_free(object))
            return "slab: a live object is free";
        if (live && object_record(object)->requested == 0)
            return "slab: a live object was never allocated";
    }
    return NULL;
}

static const char *buckets_check(const struct bin *bin)
{
    for (unsigned bucket = 0; bucket < SLAB_BUCKETS; bucket++) {
        for (const struct slab *slab = bin->bucket[bucket]; slab; slab = slab->next) {
            const char *why = bin_slab_check_locked(bin, slab);

            if (why)
                return why;
            if (slab->place != bucket || (unsigned)(slab->used * bin->bucket_scale) >> 10 != bucket)
                return "bin: a slab is in the wrong bucket";
            if (slab->used == slab->objects)
                return "bin: a full slab is in a bucket";
        }
    }
    return NULL;
}

static const char *quarantine_check(const struct bin *bin)
{
    const struct queue *queue = &bin->quarantine;
    uint32_t count = 0, last_label = 0;

    for (struct queue_cursor cursor = queue_begin(queue); cursor.chunk;
         queue_next(queue, &cursor), count++) {
        uint64_t entry = cursor.chunk->entry[cursor.index];
        struct object object = queue_object(entry);
        uint32_t label = queue_entry_label(cursor.chunk, entry);
        if (object_live(object) || object_free(object))
            return "bin: a block in the quarantine has another state";
        if (count > 0 && !quarantine_passed(last_label, label))
            return "bin: labels decrease along the quarantine";
        last_label = label;
    }
    if (count != queue->count || count_get(&bin->frees) - count_get(&bin->retired) != count)
        return "bin: frees - retired differ from the quarantine";
    if (queue->chunks * QUEUE_CHUNK_ENTRIES < count_get(&bin->slabs) * bin->objects)
        return "bin: the quarantine lacks room for all objects";
    return NULL;
}

const char *bin_check_locked(const struct bin *bin)
{
    const char *why = buckets_check(bin);

    if (why)
        return why;
    if (bin->current && (why = bin_slab_check_locked(bin, bin->current)) != NULL)
        return why;
    if (bin->current && bin->current->used == bin->objects)
        return "bin: the current slab is full";
    if (bin->spare && bin->spare->used > 0)
        return "bin: the spare slab is not empty";
    return quarantine_check(bin);
}
