/* SPDX-License-Identifier: MIT */
/*
 * Allocation and release of blocks.
 *
 * A request is served from free blocks, then from free ones with device work that its stream can be
 * ordered behind, then from victims. Victims are removed from the order one by one; when they are
 * not enough, they are restored in front, newest first, so a failed request leaves no trace.
 */
#include <errno.h>

#include "pool/kv/kv.h"

/* The progress of a request. */
struct take {
    uint32_t stack, drain, victims; /* from each source */
    uint32_t victim_first;          /* chosen, through records' next; newest first */
    uint32_t passed_first;          /* not usable now */
    bool blocked;                   /* by device work */
};

static void settle(struct cupool_kv *pool, uint32_t id)
{
    if (pool->pages.pages)
        kv_pages_unneed(pool, id);
    if (id < pool->limit) {
        pool->stack[pool->stack_count++] = id;
        return;
    }
    kv_set_state(&pool->records[id], CUPOOL_KV_RETIRED);
    pool->retired++;
}

void kv_push_free(struct cupool_kv *pool, uint32_t id, uint32_t fence)
{
    struct kv_record *record = &pool->records[id];
    struct kv_fence *entry = kv_fences_find(&pool->fences, fence);

    if (!entry) {
        record->fence = 0;
        settle(pool, id);
        return;
    }
    record->fence = fence;
    record->next = entry->first;
    entry->first = id;
    pool->draining++;
}

static void drained(void *state, uint32_t first)
{
    struct cupool_kv *pool = state;

    for (uint32_t id = first, next; id != KV_NONE; id = next) {
        struct kv_record *record = &pool->records[id];
        uint32_t fence = record->fence;

        next = record->next;
        pool->draining--;
        kv_push_free(pool, id, fence); /* a joint fence may have replaced it */
    }
}

void kv_fences_look(struct cupool_kv *pool)
{
    if (pool->fences.count > 0)
        kv_fences_poll(&pool->fences, drained, pool);
}

void kv_describe(struct cupool_kv *pool, struct kv_record *record, uint64_t now_ns,
                 struct cupool_kv_block *ret_block)
{
    const struct kv_use *use = &pool->uses[kv_id(pool, record)];
    uint64_t word = kv_load(record);
    bool expired = use->expires_ns != 0 && use->expires_ns <= now_ns;

    *ret_block = (struct cupool_kv_block){
        .handle = kv_references(word) > 0 ? kv_handle(word, kv_id(pool, record)) : 0,
        .id = kv_id(pool, record),
        .state = kv_state(word),
        .references = kv_references(word),
        .priority = expired ? CUPOOL_KV_PRIORITY_DEFAULT : kv_priority(record),
        .hits = use->hits,
        .tokens = record->flags & KV_FLAG_PARTIAL ? use->tokens : pool->config.block_tokens,
        .last_use_ns = use->last_ns,
        .pinned = (record->flags & KV_FLAG_PINNED) != 0,
        .hash = record->key,
    };
}

void kv_make_inactive(struct cupool_kv *pool, struct kv_record *record, uint64_t now_ns)
{
    uint32_t id = kv_id(pool, record);
    struct kv_use *use = &pool->uses[id];
    uint64_t rank = 0, expires_ns = 0, word = kv_load(record);

    atomic_store_explicit(&record->word,
                          kv_word(kv_generation_next(kv_generation(word)), CUPOOL_KV_INACTIVE, 0),
                          memory_order_release);
    pool->active--;
    if (atomic_load_explicit(&pool->dated, memory_order_relaxed))
        use->last_ns = now_ns;
    if (record->flags & KV_FLAG_PINNED) {
        pool->pinned++;
        return;
    }
    if (record->priority & KV_PRIORITY_EXPIRES) {
        if (use->expires_ns <= now_ns)
            kv_set_priority(record, use, CUPOOL_KV_PRIORITY_DEFAULT, 0);
        expires_ns = use->expires_ns;
    }
    if (pool->config.policy == CUPOOL_KV_CUSTOM) {
        struct cupool_kv_block block;

        kv_describe(pool, record, now_ns, &block);
        rank = pool->config.custom.rank(pool->config.custom.state, &block);
    }
    kv_order_insert(&pool->order, id, kv_priority(record), rank, expires_ns);
    if (id >= pool->limit)
        kv_evict_block(pool, record);
}

void kv_make_active(struct cupool_kv *pool, struct kv_record *record)
{
    uint64_t word = kv_load(record);

    if (record->bucket != KV_BUCKET_NONE)
        kv_order_remove(&pool->order, kv_id(pool, record));
    else
        pool->pinned--;
    atomic_store_explicit(&record->word, kv_word(kv_generation(word), CUPOOL_KV_ACTIVE, 1),
                          memory_order_release);
    pool->active++;
}

void kv_unregister(struct cupool_kv *pool, struct kv_record *record)
{
    struct kv_use *use = &pool->uses[kv_id(pool, record)];

    if (kv_table_remove(&pool->table, kv_id(pool, record)))
        kv_events_removed(&pool->events, &record->key);
    record->flags &= (uint8_t) ~(KV_FLAG_PINNED | KV_FLAG_PARTIAL);
    kv_set_priority(record, use, CUPOOL_KV_PRIORITY_DEFAULT, 0);
    use->hits = 0;
}

/* Turns an inactive block that is in no place into a free one in no place. */
static void victim_strip(struct cupool_kv *pool, struct kv_record *record)
{
    uint64_t word = kv_load(record);

    kv_unregister(pool, record);
    pool->counters.evictions++;
    if (pool->config.clear)
        record->flags |= KV_FLAG_UNCLEAR;
    atomic_store_explicit(&record->word, kv_word(kv_generation(word), CUPOOL_KV_FREE, 0),
                          memory_order_release);
}

void kv_evict_block(struct cupool_kv *pool, struct kv_record *record)
{
    if (record->bucket != KV_BUCKET_NONE)
        kv_order_remove(&pool->order, kv_id(pool, record));
    else
        pool->pinned--;
    victim_strip(pool, record);
    kv_push_free(pool, kv_id(pool, record), record->fence);
}

/* Moves blocks with expired priorities to the default's list. */
static void priorities_expire(struct cupool_kv *pool, uint64_t now_ns)
{
    for (;;) {
        uint32_t id = kv_order_expired(&pool->order, now_ns);

        if (id == KV_NONE)
            return;
        kv_order_remove(&pool->order, id);
        kv_set_priority(&pool->records[id], &pool->uses[id], CUPOOL_KV_PRIORITY_DEFAULT, 0);
        kv_order_insert(&pool->order, id, CUPOOL_KV_PRIORITY_DEFAULT, 0, 0);
    }
}

static bool victim_vetoed(struct cupool_kv *pool, struct kv_record *record, uint64_t now_ns)
{
    struct cupool_kv_block block;

    if (pool->config.policy != CUPOOL_KV_CUSTOM || !pool->config.custom.may_evict)
        return false;
    kv_describe(pool, record, now_ns, &block);
    return !pool->config.custom.may_evict(pool->config.custom.state, &block);
}

static bool victim_usable(struct cupool_kv *pool, struct take *take, struct kv_record *record,
                          cupool_stream stream, uint64_t now_ns)
{
    if (kv_fences_find(&pool->fences, record->fence) &&
        !(stream != CUPOOL_STREAM_NONE &&
          kv_fences_order(&pool->fences, record->fence, stream) == 0)) {
        take->blocked = true;
        return false;
    }
    return !victim_vetoed(pool, record, now_ns);
}

struct kv_record *kv_victim_take(struct cupool_kv *pool)
{
    uint64_t rank, serial;
    uint32_t id = kv_order_take(&pool->order, &rank, &serial);

    if (id == KV_NONE)
        return NULL;
    pool->uses[id].rank = rank;
    pool->uses[id].serial = serial;
    return &pool->records[id];
}

void kv_victim_restore(struct cupool_kv *pool, struct kv_record *record)
{
    uint32_t id = kv_id(pool, record);

    record->flags &= (uint8_t)~KV_FLAG_BATCH;
    kv_order_restore(&pool->order, id, pool->uses[id].rank, pool->uses[id].serial);
}

void kv_victims_restore(struct cupool_kv *pool, uint32_t first)
{
    for (uint32_t id = first, next; id != KV_NONE; id = next) {
        next = pool->records[id].next;
        kv_victim_restore(pool, &pool->records[id]);
    }
}

static int victims_choose(struct cupool_kv *pool, struct take *take, cupool_stream stream)
{
    uint64_t now_ns = pool->config.policy == CUPOOL_KV_LRU ? 0 : kv_now(pool);
    uint32_t chosen = 0, all = KV_NONE;

    if (pool->config.policy == CUPOOL_KV_PRIORITY)
        priorities_expire(pool, now_ns);
    while (chosen < take->victims) {
        struct kv_record *record = kv_victim_take(pool);

        if (!record)
            break;
        bool usable = victim_usable(pool, take, record, stream, now_ns);
        record->flags |= usable ? KV_FLAG_BATCH : 0;
        record->next = all;
        all = kv_id(pool, record);
        chosen += usable;
    }
    if (chosen < take->victims) {
        kv_victims_restore(pool, all);
        return -ENOMEM;
    }
    /* Separates chosen blocks from those passed over, each newest first. */
    uint32_t *victim_end = &take->victim_first, *passed_end = &take->passed_first;
    for (uint32_t id = all, next; id != KV_NONE; id = next) {
        struct kv_record *record = &pool->records[id];
        uint32_t **end = record->flags & KV_FLAG_BATCH ? &victim_end : &passed_end;

        record->flags &= (uint8_t)~KV_FLAG_BATCH;
        next = record->next;
        **end = id;
        *end = &record->next;
    }
    *victim_end = *passed_end = KV_NONE;
    kv_victims_restore(pool, take->passed_first);
    return 0;
}

/* Visits blocks that wait on an entry, from the newest release back. Own work first, then
 * others'. */
static int drain_take(struct cupool_kv *pool, uint32_t count, cupool_stream stream, bool dry,
                      uint64_t *ret_ids)
{
    struct kv_fences *fences = &pool->fences;
    uint32_t taken = 0;

    for (int foreign = 0; foreign < 2; foreign++) {
        for (uint32_t at = fences->newest; at != 0 && taken < count;
             at = fences->entries[at - 1].older) {
            struct kv_fence *entry = &fences->entries[at - 1];
            if (entry->first == KV_NONE ||
                kv_fences_same(fences, entry->serial, stream) != (foreign == 0))
                continue;
            int error = dry ? kv_fences_order(fences, entry->serial, stream) : 0;
            if (error < 0)
                return error;
            for (uint32_t id = entry->first, next; id != KV_NONE && taken < count; id = next) {
                next = pool->records[id].next;
                if (!dry) {
                    ret_ids[taken] = id;
                    entry->first = next;
                    pool->draining--;
                }
                taken++;
            }
        }
    }
    return 0;
}

static int take_plan(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                     struct take *take)
{
    bool ordered = stream != CUPOOL_STREAM_NONE;

    if (pool->stack_count < count) {
        kv_fronts_drain(pool);
        kv_fences_look(pool);
    }
    take->stack = pool->stack_count < count ? pool->stack_count : count;
    count -= take->stack;
    if (ordered)
        take->drain = pool->draining < count ? pool->draining : count;
    count -= take->drain;
    take->victims = count;
    take->victim_first = KV_NONE;
    take->blocked = !ordered && pool->draining > 0;
    if (pool->order.count < count)
        return pool->order.count + (ordered ? 0 : pool->draining) < count ? -ENOMEM : -EAGAIN;
    int error = take->drain == 0 ? 0 : drain_take(pool, take->drain, stream, true, NULL);
    if (error == 0 && count > 0)
        error = victims_choose(pool, take, stream);
    return error == -ENOMEM && take->blocked ? -EAGAIN : error;
}

int kv_take(struct cupool_kv *pool, uint32_t count, cupool_stream stream, uint64_t *ret_ids)
{
    struct take take = {0};
    int error = take_plan(pool, count, stream, &take);

    if (error < 0) {
        pool->counters.failures++;
        return error;
    }
    kv_transit_begin(pool, count);
    pool->mutable_blocks += count;
    pool->counters.allocations += count;
    pool->counters.allocation_calls++;
    for (uint32_t at = 0; at < take.stack; at++)
        *ret_ids++ = pool->stack[--pool->stack_count];
    if (take.drain > 0)
        drain_take(pool, take.drain, stream, false, ret_ids);
    ret_ids += take.drain;
    /* The chain begins with the newest; the caller and the event get the first victim first. */
    uint64_t *end = ret_ids + take.victims;
    for (uint32_t id = take.victim_first; id != KV_NONE; id = pool->records[id].next)
        *--end = id;
    for (uint32_t at = 0; at < take.victims; at++)
        victim_strip(pool, &pool->records[ret_ids[at]]);
    kv_fronts_peak(pool);
    return 0;
}

/* Puts back blocks that could not be handed out, the first on top. */
static void taken_return(struct cupool_kv *pool, uint32_t count, const uint64_t *ids)
{
    pthread_mutex_lock(&pool->lock);
    while (count-- > 0) {
        uint32_t id = (uint32_t)ids[count];

        pool->mutable_blocks--;
        kv_push_free(pool, id, pool->records[id].fence);
        kv_transit_end(pool, 1);
    }
    pthread_mutex_unlock(&pool->lock);
}

/* A fence behind the zeroing: the blocks may go to another stream without other work. */
static int cleared_fence(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                         const uint64_t *ids)
{
    uint64_t fence;
    int error = pool->backend.fence_record(pool->backend.state, stream, &fence);

    if (error < 0)
        return error;
    pthread_mutex_lock(&pool->lock);
    uint32_t serial = kv_fences_add(&pool->fences, fence, stream);
    for (uint32_t at = 0; at < count && serial != 0; at++) {
        struct kv_record *record = &pool->records[ids[at]];

        if (record->flags & KV_FLAG_UNCLEAR)
            record->fence = kv_fences_join(&pool->fences, record->fence, serial);
    }
    pthread_mutex_unlock(&pool->lock);
    if (serial == 0)
        pool->backend.fence_release(pool->backend.state, fence);
    return serial != 0 ? 0 : -ENOBUFS;
}

/* Zeroes blocks that nobody has zeroed. After an error all of them still count as not zero. */
static int taken_clear(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                       const uint64_t *ids)
{
    uint32_t cleared = 0;
    int error = 0;

    for (uint32_t at = 0; at < count && error == 0; at++) {
        if (!(pool->records[ids[at]].flags & KV_FLAG_UNCLEAR))
            continue;
        error = cleared++ == 0 ? kv_stream_usable(pool, stream) : 0;
        if (error == 0)
            error = kv_memory_clear(pool, (uint32_t)ids[at], stream);
    }
    if (cleared > 0 && error != -EBUSY && stream != CUPOOL_STREAM_NONE &&
        pool->backend.fence_record) {
        int fenced = cleared_fence(pool, count, stream, ids);

        error = error == 0 ? fenced : error;
    }
    for (uint32_t at = 0; at < count && error == 0 && cleared > 0; at++)
        pool->records[ids[at]].flags &= (uint8_t)~KV_FLAG_UNCLEAR;
    return error;
}

int kv_hand_out(struct cupool_kv *pool, uint32_t count, cupool_stream stream, uint64_t *handles)
{
    int error = pool->pages.pages ? kv_pages_need(pool, handles, count) : 0;

    if (error < 0) {
        taken_return(pool, count, handles);
        return kv_fail(pool, error, "no device memory for the blocks' pages");
    }
    if (pool->config.clear)
        error = taken_clear(pool, count, stream, handles);
    if (error < 0) {
        taken_return(pool, count, handles);
        return kv_fail(pool, error, "a block could not be cleared");
    }
    for (uint32_t at = 0; at < count; at++) {
        struct kv_record *record = &pool->records[handles[at]];
        uint64_t word = atomic_load_explicit(&record->word, memory_order_relaxed);

        word = kv_word(kv_generation(word), CUPOOL_KV_MUTABLE, 1);
        atomic_store_explicit(&record->word, word, memory_order_release);
        handles[at] = kv_handle(word, (uint32_t)handles[at]);
    }
    kv_transit_end(pool, count);
    return 0;
}

void kv_after_fill(struct cupool_kv *pool, struct kv_after *after)
{
    kv_pressure_look(pool, after);
    after->wake = atomic_load_explicit(&pool->waiting, memory_order_relaxed) > 0;
}

void kv_after_run(struct cupool_kv *pool, const struct kv_after *after)
{
    if (after->pressure)
        after->callback(after->callback_state, after->level, after->usage);
    if (after->wake)
        kv_requests_serve(pool);
}
