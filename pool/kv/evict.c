/* SPDX-License-Identifier: MIT */
/*
 * Handling of cached blocks: priorities, pins, manual eviction, and resizing.
 */
#include <errno.h>
#include <string.h>

#include "pool/kv/kv.h"

static int handles_live(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count)
{
    int error;

    if (count > 0 && !handles)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_handles_find(pool, handles, count);
    return error < 0 ? kv_fail(pool, error, "the handle is stale or not of this pool") : 0;
}

static void priority_set(struct cupool_kv *pool, cupool_kv_handle handle, uint32_t priority,
                         uint64_t expires_ns)
{
    kv_set_priority(&pool->records[(uint32_t)handle], &pool->uses[(uint32_t)handle], priority,
                    expires_ns);
}

static uint64_t expiry(const struct cupool_kv *pool, uint64_t duration_ns)
{
    uint64_t now_ns = duration_ns != 0 ? kv_now(pool) : 0;

    if (duration_ns == 0)
        return 0;
    return now_ns + duration_ns < now_ns ? UINT64_MAX : now_ns + duration_ns;
}

int cupool_kv_set_priority(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count,
                           uint32_t priority, uint64_t duration_ns)
{
    struct cupool_kv_priority_range range = {0, count, priority, duration_ns};

    return cupool_kv_set_priorities(pool, handles, count, &range, 1);
}

static int ranges_validate(struct cupool_kv *pool, uint32_t count,
                           const struct cupool_kv_priority_range *ranges, uint32_t range_count)
{
    uint64_t end = 0;

    if (range_count > 0 && !ranges)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    for (uint32_t at = 0; at < range_count; at++) {
        if (ranges[at].priority > CUPOOL_KV_PRIORITY_MAX)
            return kv_fail(pool, -ERANGE, "a priority is above 100");
        if (ranges[at].first < end || (uint64_t)ranges[at].first + ranges[at].count > count)
            return kv_fail(pool, -EINVAL, "ranges overlap, are unsorted, or exceed the sequence");
        end = (uint64_t)ranges[at].first + ranges[at].count;
    }
    return 0;
}

int cupool_kv_set_priorities(struct cupool_kv *pool, const cupool_kv_handle *handles,
                             uint32_t count, const struct cupool_kv_priority_range *ranges,
                             uint32_t range_count)
{
    int error = ranges_validate(pool, count, ranges, range_count);

    if (error == 0)
        error = kv_lock(pool);
    if (error < 0)
        return error;
    error = handles_live(pool, handles, count);
    for (uint32_t at = 0; at < range_count && error == 0; at++) {
        uint64_t expires_ns = expiry(pool, ranges[at].duration_ns);

        for (uint32_t block = 0; block < ranges[at].count; block++)
            priority_set(pool, handles[ranges[at].first + block], ranges[at].priority, expires_ns);
    }
    kv_unlock(pool);
    return error;
}

int cupool_kv_pin(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    error = handles_live(pool, handles, count);
    for (uint32_t at = 0; at < count && error == 0; at++)
        if (kv_state(kv_load(&pool->records[(uint32_t)handles[at]])) != CUPOOL_KV_ACTIVE)
            error = kv_fail(pool, -EINVAL, "only a registered block can be pinned");
    for (uint32_t at = 0; at < count && error == 0; at++)
        pool->records[(uint32_t)handles[at]].flags |= KV_FLAG_PINNED;
    kv_unlock(pool);
    return error;
}

/* A pinned block joins the order as if its last reference were released now. */
static void unpin(struct cupool_kv *pool, struct kv_record *record, uint64_t now_ns)
{
    if (!(record->flags & KV_FLAG_PINNED))
        return;
    record->flags &= (uint8_t)~KV_FLAG_PINNED;
    if (kv_state(kv_load(record)) != CUPOOL_KV_INACTIVE)
        return;
    kv_make_active(pool, record);
    kv_make_inactive(pool, record, now_ns);
}

int cupool_kv_unpin(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count)
{
    struct kv_after after;
    uint64_t now_ns = kv_now(pool);
    int error;

    if (count > 0 && !hashes)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t id = kv_table_find(&pool->table, &hashes[at], NULL);

        for (; id != KV_NONE; id = pool->records[id].same_next)
            unpin(pool, &pool->records[id], now_ns);
    }
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    return 0;
}

/* Evicts in order while `wanted`; blocks that must stay are put back in front. */
static uint32_t evict_some(struct cupool_kv *pool, enum cupool_kv_evict_mode mode, uint32_t count)
{
    uint64_t now_ns = pool->config.policy != CUPOOL_KV_LRU ? kv_now(pool) : 0;
    uint32_t evicted = 0, kept = KV_NONE;

    while (evicted < count) {
        struct cupool_kv_block block;
        struct kv_record *record = kv_victim_take(pool);

        if (!record)
            break;
        kv_describe(pool, record, now_ns, &block);
        bool stays = mode == CUPOOL_KV_EVICT_NORMAL &&
                     (block.priority > CUPOOL_KV_PRIORITY_DEFAULT ||
                      (pool->config.policy == CUPOOL_KV_CUSTOM && pool->config.custom.may_evict &&
                       !pool->config.custom.may_evict(pool->config.custom.state, &block)));
        if (stays) {
            record->next = kept;
            kept = kv_id(pool, record);
            continue;
        }
        kv_victim_restore(pool, record);
        kv_evict_block(pool, record);
        evicted++;
    }
    kv_victims_restore(pool, kept);
    return evicted;
}

int cupool_kv_evict(struct cupool_kv *pool, enum cupool_kv_evict_mode mode, uint32_t count,
                    uint32_t *ret_evicted)
{
    struct kv_after after;
    int error;

    if (mode != CUPOOL_KV_EVICT_NORMAL && mode != CUPOOL_KV_EVICT_AGGRESSIVE)
        return kv_fail(pool, -EINVAL, "unknown way to evict");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    uint32_t evicted = evict_some(pool, mode, count);
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    kv_pages_trim(pool, pool->config.idle_pages);
    if (ret_evicted)
        *ret_evicted = evicted;
    return 0;
}

int cupool_kv_forget(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                     uint32_t *ret_forgotten)
{
    struct kv_after after;
    uint32_t forgotten = 0;
    int error;

    if (count > 0 && !hashes)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    for (uint32_t at = count; at > 0; at--) {
        uint32_t id = kv_table_find(&pool->table, &hashes[at - 1], NULL), next;

        forgotten += id != KV_NONE;
        for (; id != KV_NONE; id = next) {
            struct kv_record *record = &pool->records[id];

            next = record->same_next;
            if (kv_state(kv_load(record)) == CUPOOL_KV_INACTIVE) {
                kv_evict_block(pool, record);
                continue;
            }
            kv_unregister(pool, record); /* still in use: complete, without identity */
            kv_set_state(record, CUPOOL_KV_COMPLETE);
            pool->active--;
            pool->complete++;
        }
    }
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    if (ret_forgotten)
        *ret_forgotten = forgotten;
    return 0;
}

int cupool_kv_trim(struct cupool_kv *pool, uint32_t keep, uint32_t *ret_evicted)
{
    struct kv_after after;
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    uint32_t evicted = pool->order.count <= keep
                           ? 0
                           : evict_some(pool, CUPOOL_KV_EVICT_AGGRESSIVE, pool->order.count - keep);
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    kv_pages_trim(pool, 0);
    if (ret_evicted)
        *ret_evicted = evicted;
    return 0;
}

/* Retires free and cached blocks beyond the limit; those in use follow when they are released. */
static uint32_t shrink(struct cupool_kv *pool)
{
    uint32_t kept = 0, overflow = 0;

    for (uint32_t at = 0; at < pool->stack_count; at++) {
        uint32_t id = pool->stack[at];

        if (id < pool->limit) {
            pool->stack[kept++] = id;
            continue;
        }
        kv_set_state(&pool->records[id], CUPOOL_KV_RETIRED);
        pool->retired++;
    }
    pool->stack_count = kept;
    for (uint32_t id = pool->limit; id < pool->slots; id++) {
        struct kv_record *record = &pool->records[id];
        uint64_t word = kv_load(record);

        if (kv_state(word) == CUPOOL_KV_INACTIVE)
            kv_evict_block(pool, record);
        overflow += kv_references(word) > 0;
    }
    pool->counters.overflow += overflow;
    return overflow;
}

/* New blocks are placed beneath those that are already free, which are warm. */
static void grow(struct cupool_kv *pool, uint32_t limit)
{
    uint32_t fresh = 0;

    for (uint32_t id = pool->first; id < limit; id++)
        fresh += kv_state(kv_load(&pool->records[id])) == CUPOOL_KV_RETIRED;
    memmove(pool->stack + fresh, pool->stack, pool->stack_count * sizeof(*pool->stack));
    pool->stack_count += fresh;
    pool->retired -= fresh;
    for (uint32_t id = pool->first; id < limit && fresh > 0; id++) {
        struct kv_record *record = &pool->records[id];

        if (kv_state(kv_load(record)) != CUPOOL_KV_RETIRED)
            continue;
        kv_set_state(record, CUPOOL_KV_FREE);
        pool->stack[--fresh] = id;
    }
}

int cupool_kv_resize(struct cupool_kv *pool, uint32_t blocks, uint32_t *ret_overflow)
{
    struct kv_after after;
    uint32_t overflow = 0;
    int error;

    if (blocks == 0 || blocks > pool->config.max_blocks)
        return kv_fail(pool, -ERANGE, "a pool has 1 to max_blocks blocks");
    error = kv_lock_all(pool);
    if (error < 0)
        return error;
    uint32_t limit = pool->first + blocks;
    bool larger = limit > pool->limit;
    pool->limit = limit;
    if (larger)
        grow(pool, limit);
    else
        overflow = shrink(pool);
    kv_pressure_bounds(pool);
    kv_after_fill(pool, &after);
    kv_unlock_all(pool);
    kv_after_run(pool, &after);
    kv_pages_trim(pool, pool->config.idle_pages);
    if (ret_overflow)
        *ret_overflow = overflow;
    return 0;
}

int cupool_kv_reset(struct cupool_kv *pool, uint32_t *ret_in_use)
{
    struct kv_after after;
    int error = kv_lock_all(pool);

    if (error < 0)
        return error;
    uint32_t in_use = kv_used(pool);
    struct kv_events events = pool->events;
    pool->events.capacity = 0; /* one event for all of it */
    for (uint32_t id = pool->slots; id > pool->first && in_use == 0; id--)
        if (kv_state(kv_load(&pool->records[id - 1])) == CUPOOL_KV_INACTIVE)
            kv_evict_block(pool, &pool->records[id - 1]);
    pool->events = events;
    if (in_use == 0)
        kv_events_cleared(&pool->events);
    kv_after_fill(pool, &after);
    kv_unlock_all(pool);
    kv_after_run(pool, &after);
    if (ret_in_use)
        *ret_in_use = in_use;
    return in_use > 0 ? kv_fail(pool, -EBUSY, "blocks are in use") : 0;
}
