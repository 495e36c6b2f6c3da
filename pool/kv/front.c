/* SPDX-License-Identifier: MIT */
/*
 * A front is chosen by the thread's processor, and skipped if its lock is taken.
 */
#include "pool/kv/front.h"

#include <sched.h>

#include "pool/kv/kv.h"

static struct kv_front *front_here(struct cupool_kv *pool)
{
    int processor = sched_getcpu();

    return &pool->fronts[processor < 0 ? 0 : (unsigned)processor % KV_FRONTS];
}

void kv_fronts_init(struct cupool_kv *pool)
{
    for (unsigned at = 0; at < KV_FRONTS; at++)
        pthread_mutex_init(&pool->fronts[at].lock, NULL);
}

void kv_fronts_done(struct cupool_kv *pool)
{
    for (unsigned at = 0; at < KV_FRONTS; at++)
        pthread_mutex_destroy(&pool->fronts[at].lock);
}

static bool fronts_in_use(struct cupool_kv *pool)
{
    return atomic_load_explicit(&pool->fronts_on, memory_order_relaxed) &&
           atomic_load_explicit(&pool->waiting, memory_order_relaxed) == 0;
}

static int64_t front_change(const struct kv_front *front)
{
    return (int32_t)(front->mutable_change + front->complete_change);
}

bool kv_front_take(struct cupool_kv *pool, uint32_t count, uint64_t *ret_ids)
{
    struct kv_front *front;

    if (!fronts_in_use(pool) || count > KV_FRONT_BLOCKS)
        return false;
    front = front_here(pool);
    if (pthread_mutex_trylock(&front->lock) != 0)
        return false;
    bool enough = front->count >= count && front_change(front) + count <= front->limit;
    if (enough) {
        kv_transit_begin(pool, count);
        for (uint32_t at = 0; at < count; at++)
            ret_ids[at] = front->ids[--front->count];
        front->mutable_change += count;
        front->allocations += count;
        front->calls++;
    }
    pthread_mutex_unlock(&front->lock);
    return enough;
}

bool kv_front_give(struct cupool_kv *pool, const uint32_t *ids, uint32_t count,
                   uint32_t mutable_blocks, uint32_t complete)
{
    struct kv_front *front;

    if (!fronts_in_use(pool) || pool->config.clear || pool->pages.pages)
        return false;
    front = front_here(pool);
    if (pthread_mutex_trylock(&front->lock) != 0)
        return false;
    bool room = front->count + count <= KV_FRONT_BLOCKS;
    for (uint32_t at = 0; at < count && room; at++)
        room = pool->records[ids[at]].fence == 0 && ids[at] < pool->limit;
    for (uint32_t at = 0; at < count && room; at++)
        front->ids[front->count++] = ids[at];
    if (room) {
        front->mutable_change -= mutable_blocks;
        front->complete_change -= complete;
        front->released += count;
    }
    pthread_mutex_unlock(&front->lock);
    return room;
}

static void front_drain(struct cupool_kv *pool, struct kv_front *front)
{
    for (uint32_t at = 0; at < front->count; at++)
        kv_push_free(pool, front->ids[at], 0);
    front->limit -= front_change(front);
    pool->front_limits -= front_change(front);
    pool->mutable_blocks += front->mutable_change;
    pool->complete += front->complete_change;
    pool->counters.allocations += front->allocations;
    pool->counters.allocation_calls += front->calls;
    pool->counters.released += front->released;
    front->count = front->mutable_change = front->complete_change = 0;
    front->allocations = front->calls = front->released = 0;
}

void kv_fronts_peak(struct cupool_kv *pool)
{
    uint64_t *peak = &pool->counters.peak_used;

    if (kv_used(pool) + pool->front_limits <= (int64_t)*peak)
        return;
    /* Also if fronts are not in use: a thread may still be inside one. */
    kv_fronts_lock(pool);
    pool->front_limits = 0;
    for (unsigned at = 0; at < KV_FRONTS; at++) {
        pool->fronts[at].limit = front_change(&pool->fronts[at]);
        pool->front_limits += pool->fronts[at].limit;
    }
    if (kv_used(pool) + pool->front_limits > (int64_t)*peak)
        *peak = (uint64_t)(kv_used(pool) + pool->front_limits);
    kv_fronts_unlock(pool);
}

void kv_front_allow(struct cupool_kv *pool)
{
    int64_t left = (int64_t)pool->counters.peak_used - kv_used(pool) - pool->front_limits;
    struct kv_front *front = front_here(pool);

    if (left <= 0 || !fronts_in_use(pool))
        return;
    if (left > KV_FRONT_BLOCKS)
        left = KV_FRONT_BLOCKS;
    pthread_mutex_lock(&front->lock);
    front->limit += left;
    pthread_mutex_unlock(&front->lock);
    pool->front_limits += left;
}

void kv_fronts_drain(struct cupool_kv *pool)
{
    for (unsigned at = 0; at < KV_FRONTS; at++) {
        pthread_mutex_lock(&pool->fronts[at].lock);
        front_drain(pool, &pool->fronts[at]);
        pthread_mutex_unlock(&pool->fronts[at].lock);
    }
}

void kv_fronts_lock(struct cupool_kv *pool)
{
    for (unsigned at = 0; at < KV_FRONTS; at++)
        pthread_mutex_lock(&pool->fronts[at].lock);
}

void kv_fronts_unlock(struct cupool_kv *pool)
{
    for (unsigned at = 0; at < KV_FRONTS; at++)
        pthread_mutex_unlock(&pool->fronts[at].lock);
}

int kv_lock_all(struct cupool_kv *pool)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    kv_fronts_lock(pool);
    for (unsigned at = 0; at < KV_FRONTS; at++)
        front_drain(pool, &pool->fronts[at]);
    return 0;
}

void kv_unlock_all(struct cupool_kv *pool)
{
    kv_fronts_unlock(pool);
    kv_unlock(pool);
}

void kv_transit_begin(struct cupool_kv *pool, uint32_t count)
{
    atomic_fetch_add(&front_here(pool)->begun, count);
}

void kv_transit_end(struct cupool_kv *pool, uint32_t count)
{
    atomic_fetch_add(&front_here(pool)->ended, count);
}

uint64_t kv_transit_begun(struct cupool_kv *pool)
{
    uint64_t sum = 0;

    for (unsigned at = 0; at < KV_FRONTS; at++)
        sum += atomic_load(&pool->fronts[at].begun);
    return sum;
}

uint64_t kv_transit_ended(struct cupool_kv *pool)
{
    uint64_t sum = 0;

    for (unsigned at = 0; at < KV_FRONTS; at++)
        sum += atomic_load(&pool->fronts[at].ended);
    return sum;
}
