/* SPDX-License-Identifier: MIT */
/*
 * Moves cached blocks that nobody has used for long to lower tiers.
 *
 * The ager takes a reference that neither counts as a use nor changes the block's place. A match
 * meanwhile finds the block as usual, and then it stays. The chain of registrations
 * (pool/kv/register.c) identifies the first blocks of a sequence and the newest ones. Blocks from
 * before kv_age_begin() count as both.
 */
#include <errno.h>

#include "pool/tier/age.h"

int kv_age_begin(struct cupool_kv *pool, uint32_t newest_blocks)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    pool->newest = newest_blocks < UINT8_MAX ? newest_blocks : UINT8_MAX;
    uint64_t now_ns = atomic_load(&pool->dated) ? 0 : kv_now(pool);
    for (uint32_t id = 0; id < pool->slots && now_ns != 0; id++) {
        pool->uses[id].last_ns = now_ns;
        pool->uses[id].parent = KV_NONE;
    }
    atomic_store_explicit(&pool->dated, true, memory_order_relaxed);
    kv_unlock(pool);
    return 0;
}

static struct kv_aged aged_of(const struct cupool_kv *pool, struct kv_record *record,
                              uint32_t first_blocks)
{
    const struct kv_use *use = &pool->uses[kv_id(pool, record)];

    return (struct kv_aged){
        .handle = kv_handle(kv_load(record), kv_id(pool, record)),
        .key = record->key,
        .hits = use->hits,
        .exact = use->position < first_blocks || use->below < pool->newest,
    };
}

int kv_age_describe(struct cupool_kv *pool, cupool_kv_handle handle, uint32_t first_blocks,
                    struct kv_aged *ret_aged)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    struct kv_record *record = kv_find(pool, handle, &error);
    if (record) {
        bool whole = kv_state(kv_load(record)) == CUPOOL_KV_ACTIVE &&
                     !(record->flags & KV_FLAG_PARTIAL);

        error = whole ? 0 : -EINVAL;
        if (whole)
            *ret_aged = aged_of(pool, record, first_blocks);
    }
    kv_unlock(pool);
    return error;
}

static bool block_ages(struct cupool_kv *pool, struct kv_record *record, uint64_t before_ns)
{
    struct cupool_kv_block block;

    if (record->flags & KV_FLAG_PARTIAL || pool->uses[kv_id(pool, record)].last_ns > before_ns)
        return false;
    if (pool->config.policy != CUPOOL_KV_CUSTOM || !pool->config.custom.may_evict)
        return true;
    kv_describe(pool, record, before_ns, &block);
    return pool->config.custom.may_evict(pool->config.custom.state, &block);
}

uint32_t kv_age_take(struct cupool_kv *pool, uint64_t before_ns, uint32_t first_blocks,
                     uint32_t room, struct kv_aged *ret_aged)
{
    uint32_t taken = 0, kept = KV_NONE, looks = 4 * room + 64;

    if (kv_lock(pool) < 0)
        return 0;
    while (taken < room && looks-- > 0) {
        struct kv_record *record = kv_victim_take(pool);

        if (!record)
            break;
        if (block_ages(pool, record, before_ns)) {
            kv_victim_restore(pool, record);
            kv_make_active(pool, record);
            ret_aged[taken++] = aged_of(pool, record, first_blocks);
            continue;
        }
        record->next = kept;
        kept = kv_id(pool, record);
    }
    kv_victims_restore(pool, kept);
    kv_unlock(pool);
    return taken;
}

bool kv_age_give(struct cupool_kv *pool, const struct kv_aged *aged, bool leave)
{
    cupool_kv_handle handle = aged->handle;
    struct kv_record *record = &pool->records[(uint32_t)handle];
    struct kv_use *use = &pool->uses[(uint32_t)handle];
    struct kv_after after;
    bool left = false;

    if (kv_lock(pool) < 0)
        return false;
    uint64_t word = kv_load(record);
    while (kv_references(word) > 1)
        if (kv_swap(record, &word, word - KV_REFERENCE))
            break;
    if (kv_references(word) == 1 && kv_state(word) != CUPOOL_KV_ACTIVE) {
        kv_unlock(pool); /* it was forgotten meanwhile, and is ours alone */
        kv_release_one(pool, handle, CUPOOL_STREAM_NONE);
        return false;
    }
    if (kv_references(word) == 1) {
        kv_make_inactive(pool, record, use->last_ns);
        /* If it was used meanwhile, it is the newest in the order, and stays. */
        bool here = kv_state(kv_load(record)) == CUPOOL_KV_INACTIVE && use->hits == aged->hits;
        if (here && leave && !(record->flags & KV_FLAG_PINNED)) {
            kv_evict_block(pool, record);
            left = true;
        } else if (here && record->bucket != KV_BUCKET_NONE) {
            kv_order_remove(&pool->order, (uint32_t)handle);
            kv_order_restore(&pool->order, (uint32_t)handle, use->rank, use->serial);
        }
    }
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    return left;
}
