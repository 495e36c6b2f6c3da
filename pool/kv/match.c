/* SPDX-License-Identifier: MIT */
/*
 * Finds blocks by their hashes. Look-up and reference are one step under one lock: a found block
 * cannot be evicted before the caller has it.
 */
#include <errno.h>
#include <string.h>

#include "pool/kv/kv.h"

#define AHEAD_SLOT   80u /* hashes whose slot is fetched in advance */
#define AHEAD_RECORD 64u
#define AHEAD_HASH   32u /* the caller's array, which may not be cached either */
#define AHEAD_BYTES  ((int64_t)(AHEAD_RECORD * sizeof(struct kv_record)))

/** A walk along the hashes of a sequence. */
struct walk {
    struct cupool_kv *pool;
    const struct cupool_kv_hash *hashes;
    uint32_t count;
    uint32_t fetched; /* hashes whose slot has been prefetched */
    bool collision;
};

/* Returns the block registered right after the last one, if it has this hash: blocks of a
 * sequence are mostly adjacent, so the table need not be searched. */
static inline uint32_t follower(const struct cupool_kv *pool, uint32_t last,
                                const struct cupool_kv_hash *hash)
{
    const struct kv_record *record = &pool->records[last];
    int64_t id = (int64_t)last + record->follow, step = id - last;

    if (step == 0 || id < pool->first || id >= pool->slots)
        return KV_NONE;
    /* The address may lie outside the records: it is only a hint. */
    __builtin_prefetch((const void *)((uintptr_t)record + (uintptr_t)(step * AHEAD_BYTES)), 1);
    record = &pool->records[id];
    enum cupool_kv_state state = kv_state(kv_load(record));
    if ((state != CUPOOL_KV_ACTIVE && state != CUPOOL_KV_INACTIVE) ||
        !kv_key_equal(&record->key, hash))
        return KV_NONE;
    return (uint32_t)id;
}

/* Looks a hash up in the table, and prefetches slots and records for the hashes that follow. */
static uint32_t look_up(struct walk *walk, uint32_t at)
{
    const struct kv_table *table = &walk->pool->table;

    if (walk->fetched < at)
        walk->fetched = at;
    for (; walk->fetched < walk->count && walk->fetched <= at + AHEAD_SLOT; walk->fetched++)
        kv_table_prefetch(table, kv_table_tag(&walk->hashes[walk->fetched]));
    if (at + AHEAD_RECORD < walk->count)
        kv_table_prefetch_record(table, kv_table_tag(&walk->hashes[at + AHEAD_RECORD]));
    return kv_table_find(table, &walk->hashes[at], &walk->collision);
}

/* Finds the block of a hash, or KV_NONE. `last` is the block before it, or KV_NONE. */
static inline uint32_t walk_find(struct walk *walk, uint32_t at, uint32_t last)
{
    const struct cupool_kv_hash *hash = &walk->hashes[at];
    uint32_t id = KV_NONE;

    __builtin_prefetch((const void *)((uintptr_t)hash + AHEAD_HASH * sizeof(*hash)));
    if (last != KV_NONE)
        id = follower(walk->pool, last, hash);
    return id != KV_NONE ? id : look_up(walk, at);
}

/** References that a walk takes; the pool's counters and lists are updated at its end. */
struct taking {
    struct kv_order_run run;
    uint32_t activated;
    bool dated;
    uint64_t now_ns;
};

/* Makes a cached block active; it leaves the order together with its neighbours. */
static inline uint64_t activate(struct cupool_kv *pool, struct taking *taking, uint32_t id,
                                uint64_t word)
{
    struct kv_record *record = &pool->records[id];

    if (record->bucket != KV_BUCKET_NONE)
        kv_order_run_add(&pool->order, &taking->run, id);
    else
        pool->pinned--;
    taking->activated++;
    word = kv_word(kv_generation(word), CUPOOL_KV_ACTIVE, 1);
    atomic_store_explicit(&record->word, word, memory_order_release);
    return word;
}

static void taking_begin(struct cupool_kv *pool, struct taking *taking, uint64_t now_ns)
{
    *taking = (struct taking){.run = {.first = KV_NONE, .last = KV_NONE}, .now_ns = now_ns};
    taking->dated = atomic_load_explicit(&pool->dated, memory_order_relaxed);
}

static void taking_end(struct cupool_kv *pool, struct taking *taking)
{
    kv_order_run_end(&pool->order, &taking->run);
    pool->active += taking->activated;
    kv_fronts_peak(pool);
}

static inline cupool_kv_handle reference_take(struct cupool_kv *pool, struct taking *taking,
                                              uint32_t id)
{
    struct kv_record *record = &pool->records[id];
    uint64_t word = kv_load(record);

    if (kv_state(word) == CUPOOL_KV_INACTIVE) {
        word = activate(pool, taking, id, word);
    } else {
        do {
            if (kv_references(word) == KV_REFERENCES_MASK)
                return 0;
        } while (!kv_swap(record, &word, word + KV_REFERENCE));
    }
    if (taking->dated) {
        pool->uses[id].hits++;
        pool->uses[id].last_ns = taking->now_ns;
    }
    return kv_handle(word, id);
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
    struct taking taking;
    struct kv_after after;
    uint32_t found = 0, id = KV_NONE;
    uint64_t now_ns;
    int error;

    if (!ret_matched || (count > 0 && (!hashes || !ret_handles)))
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    now_ns = kv_use_time(pool);
    error = kv_lock(pool);
    if (error < 0)
        return error;
    struct walk walk = {.pool = pool, .hashes = hashes, .count = count};
    taking_begin(pool, &taking, now_ns);
    for (uint32_t at = 0; at < count; at++) {
        id = walk_find(&walk, at, id);
        cupool_kv_handle handle = id != KV_NONE ? reference_take(pool, &taking, id) : 0;
        if (handle == 0 && !scattered)
            break;
        ret_handles[at] = handle;
        found += handle != 0;
    }
    taking_end(pool, &taking);
    pool->counters.collisions += walk.collision;
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
    uint32_t at = 0, id = KV_NONE;
    int error;

    if (!ret_matched || (count > 0 && !hashes))
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    struct walk walk = {.pool = pool, .hashes = hashes, .count = count};
    for (; at < count; at++) {
        id = walk_find(&walk, at, id);
        if (id == KV_NONE)
            break;
    }
    kv_unlock(pool);
    *ret_matched = at;
    return 0;
}

int cupool_kv_downgrade(struct cupool_kv *pool, cupool_kv_handle handle, cupool_kv_weak *ret_weak)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    const struct kv_record *record = kv_find(pool, handle, &error);
    if (record)
        error = kv_state(kv_load(record)) == CUPOOL_KV_ACTIVE ? 0 : -EINVAL;
    if (error == 0)
        *ret_weak = (uint64_t)pool->uses[(uint32_t)handle].registration << 32 | (uint32_t)handle;
    kv_unlock(pool);
    return error < 0 ? kv_fail(pool, error, "not a handle of a registered block") : 0;
}

int cupool_kv_upgrade(struct cupool_kv *pool, cupool_kv_weak weak, cupool_kv_handle *ret_handle)
{
    uint32_t id = (uint32_t)weak;
    uint64_t now_ns;
    cupool_kv_handle handle = 0;
    struct taking taking;
    int error;

    if (weak >> 32 == 0 || id < pool->first || id >= pool->slots)
        return kv_fail(pool, -EINVAL, "not a weak handle of this pool");
    now_ns = kv_use_time(pool);
    error = kv_lock(pool);
    if (error < 0)
        return error;
    enum cupool_kv_state state = kv_state(kv_load(&pool->records[id]));
    if (pool->uses[id].registration == weak >> 32 &&
        (state == CUPOOL_KV_ACTIVE || state == CUPOOL_KV_INACTIVE)) {
        taking_begin(pool, &taking, now_ns);
        handle = reference_take(pool, &taking, id);
        taking_end(pool, &taking);
    }
    kv_unlock(pool);
    if (handle == 0)
        return kv_fail(pool, -ESTALE, "the block was evicted");
    *ret_handle = handle;
    return 0;
}
