/* SPDX-License-Identifier: MIT */
/*
 * Finding blocks by their hashes. Look-up and reference are one step under one lock: what is found
 * cannot be evicted before the caller has it.
 */
#include <errno.h>

#include "pool/kv/kv.h"

#define AHEAD_SLOT   24u /* hashes whose slot is fetched in advance */
#define AHEAD_RECORD 10u

static void ahead(const struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                  uint32_t at)
{
    if (at + AHEAD_SLOT < count)
        kv_table_prefetch(&pool->table, kv_table_tag(&hashes[at + AHEAD_SLOT]));
    if (at + AHEAD_RECORD < count)
        kv_table_prefetch_record(&pool->table, kv_table_tag(&hashes[at + AHEAD_RECORD]));
}

static void ahead_begin(const struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                        uint32_t count)
{
    for (uint32_t at = 0; at < AHEAD_SLOT && at < count; at++)
        kv_table_prefetch(&pool->table, kv_table_tag(&hashes[at]));
}

static cupool_kv_handle reference_take(struct cupool_kv *pool, uint32_t id, uint64_t now_ns)
{
    struct kv_record *record = &pool->records[id];

    if (kv_state(kv_load(record)) == CUPOOL_KV_INACTIVE) {
        kv_make_active(pool, record);
    } else {
        uint64_t word = kv_load(record);
        do {
            if (kv_references(word) == KV_REFERENCES_MASK)
                return 0;
        } while (!kv_swap(record, &word, word + KV_REFERENCE));
    }
    if (pool->config.policy != CUPOOL_KV_LRU) {
        pool->uses[id].hits++;
        pool->uses[id].last_ns = now_ns;
    }
    return kv_handle(kv_load(record), id);
}

static uint32_t look(struct cupool_kv *pool, const struct cupool_kv_hash *hash)
{
    bool collision = false;
    uint32_t id = kv_table_find(&pool->table, hash, &collision);

    pool->counters.collisions += collision;
    return id;
}

static void window_add(struct cupool_kv *pool, uint32_t queries, uint32_t hits)
{
    struct kv_window_entry *entry = &pool->window[pool->window_at];

    pool->counters.matches++;
    pool->counters.queries += queries;
    pool->counters.hits += hits;
    pool->window_queries += queries - (uint64_t)entry->queries;
    pool->window_hits += hits - (uint64_t)entry->hits;
    *entry = (struct kv_window_entry){queries, hits};
    if (++pool->window_at == pool->config.window)
        pool->window_at = 0;
}

static int match_any(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                     bool scattered, cupool_kv_handle *ret_handles, uint32_t *ret_matched)
{
    struct kv_after after;
    uint32_t found = 0;
    uint64_t now_ns;
    int rc;

    if (ret_matched == NULL || (count > 0 && (hashes == NULL || ret_handles == NULL)))
        return kv_fail(pool, -EINVAL, "an array is missing");
    now_ns = pool->config.policy != CUPOOL_KV_LRU ? kv_now(pool) : 0;
    rc = kv_lock(pool);
    if (rc < 0)
        return rc;
    ahead_begin(pool, hashes, count);
    for (uint32_t at = 0; at < count; at++) {
        ahead(pool, hashes, count, at);
        uint32_t id = look(pool, &hashes[at]);
        cupool_kv_handle handle = id != KV_NONE ? reference_take(pool, id, now_ns) : 0;
        if (handle == 0 && !scattered)
            break;
        ret_handles[at] = handle;
        found += handle != 0;
    }
    window_add(pool, count, found);
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    *ret_matched = found;
    return 0;
}

int cupool_kv_match(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                    cupool_kv_handle *ret_handles, uint32_t *ret_matched)
{
    return match_any(pool, hashes, count, false, ret_handles, ret_matched);
}

int cupool_kv_match_scattered(struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                              uint32_t count, cupool_kv_handle *ret_handles, uint32_t *ret_matched)
{
    return match_any(pool, hashes, count, true, ret_handles, ret_matched);
}

int cupool_kv_peek(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                   uint32_t *ret_matched)
{
    uint32_t at = 0;
    int rc;

    if (ret_matched == NULL || (count > 0 && hashes == NULL))
        return kv_fail(pool, -EINVAL, "an array is missing");
    rc = kv_lock(pool);
    if (rc < 0)
        return rc;
    ahead_begin(pool, hashes, count);
    for (; at < count; at++) {
        ahead(pool, hashes, count, at);
        if (kv_table_find(&pool->table, &hashes[at], NULL) == KV_NONE)
            break;
    }
    kv_unlock(pool);
    *ret_matched = at;
    return 0;
}

int cupool_kv_downgrade(struct cupool_kv *pool, cupool_kv_handle handle, cupool_kv_weak *ret_weak)
{
    int rc = kv_lock(pool);

    if (rc < 0)
        return rc;
    const struct kv_record *record = kv_find(pool, handle, &rc);
    if (record != NULL)
        rc = kv_state(kv_load(record)) == CUPOOL_KV_ACTIVE ? 0 : -EINVAL;
    if (rc == 0)
        *ret_weak = (uint64_t)pool->uses[(uint32_t)handle].registration << 32 | (uint32_t)handle;
    kv_unlock(pool);
    return rc < 0 ? kv_fail(pool, rc, "no handle of a registered block") : 0;
}

int cupool_kv_upgrade(struct cupool_kv *pool, cupool_kv_weak weak, cupool_kv_handle *ret_handle)
{
    uint32_t id = (uint32_t)weak;
    uint64_t now_ns;
    cupool_kv_handle handle = 0;
    int rc;

    if (weak >> 32 == 0 || id < pool->first || id >= pool->slots)
        return kv_fail(pool, -EINVAL, "no weak handle of this pool");
    now_ns = pool->config.policy != CUPOOL_KV_LRU ? kv_now(pool) : 0;
    rc = kv_lock(pool);
    if (rc < 0)
        return rc;
    enum cupool_kv_state state = kv_state(kv_load(&pool->records[id]));
    if (pool->uses[id].registration == weak >> 32 &&
        (state == CUPOOL_KV_ACTIVE || state == CUPOOL_KV_INACTIVE))
        handle = reference_take(pool, id, now_ns);
    kv_unlock(pool);
    if (handle == 0)
        return kv_fail(pool, -ESTALE, "the block was evicted");
    *ret_handle = handle;
    return 0;
}
