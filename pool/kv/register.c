/* SPDX-License-Identifier: MIT */
/*
 * Identity: complete blocks become registered ones.
 *
 * A call is validated as a whole before anything changes. A block with a hash that is registered
 * already is entered behind the first one, or replaced by it.
 */
#include <errno.h>
#include <string.h>

#include "pool/kv/kv.h"

#define POSITION_MAX UINT8_MAX

int cupool_kv_complete(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count)
{
    int error;

    if (count > 0 && !handles)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    error = kv_handles_find(pool, handles, count);
    for (uint32_t at = 0; at < count && error == 0; at++) {
        struct kv_record *record = &pool->records[(uint32_t)handles[at]];

        if (kv_state(kv_load(record)) != CUPOOL_KV_MUTABLE)
            continue;
        kv_set_state(record, CUPOOL_KV_COMPLETE);
        pool->mutable_blocks--;
        pool->complete++;
    }
    kv_unlock(pool);
    return error < 0 ? kv_fail(pool, error, "the handle is stale or not of this pool") : 0;
}

/* A shared block that another owner has registered. */
static bool is_registered_as(const struct kv_record *record, const struct cupool_kv_hash *hash)
{
    return kv_state(kv_load(record)) == CUPOOL_KV_ACTIVE &&
           memcmp(record->key.bytes, hash->bytes, sizeof(hash->bytes)) == 0;
}

static int registrable(struct cupool_kv *pool, cupool_kv_handle handle,
                       const struct cupool_kv_hash *hash, bool partial, const char **ret_text)
{
    bool collision = false;
    int error;
    struct kv_record *record = kv_find(pool, handle, &error);

    *ret_text = "the handle is stale or not of this pool";
    if (!record)
        return error;
    enum cupool_kv_state state = kv_state(kv_load(record));
    *ret_text = "the block is given twice, not complete, or has another hash";
    if (record->flags & KV_FLAG_BATCH)
        return -EINVAL;
    if (is_registered_as(record, hash))
        return 0;
    if (state != CUPOOL_KV_COMPLETE && !(partial && state == CUPOOL_KV_MUTABLE) &&
        !(state == CUPOOL_KV_ACTIVE && (record->flags & KV_FLAG_PARTIAL)))
        return -EINVAL;
    *ret_text = "other tokens have the same hash";
    if (kv_table_find(&pool->table, hash, &collision) == KV_NONE && collision) {
        pool->counters.collisions++;
        return -EILSEQ;
    }
    return 0;
}

/* Marks each block, all or none, so that one named twice is detected. */
static int batch_validate(struct cupool_kv *pool, const cupool_kv_handle *handles,
                          const struct cupool_kv_hash *hashes, uint32_t count, bool partial)
{
    const char *text = "";
    uint32_t seen = 0;
    int error = 0;

    for (; seen < count && error == 0; seen++) {
        error = registrable(pool, handles[seen], &hashes[seen], partial, &text);
        if (error == 0)
            pool->records[(uint32_t)handles[seen]].flags |= KV_FLAG_BATCH;
    }
    for (uint32_t at = 0; at < seen - (error < 0); at++)
        pool->records[(uint32_t)handles[at]].flags &= (uint8_t)~KV_FLAG_BATCH;
    return error < 0 ? kv_fail(pool, error, text) : 0;
}

/* Enters a block. True if it is the first with its hash. */
static bool record_enter(struct cupool_kv *pool, struct kv_record *record,
                         const struct cupool_kv_hash *hash, uint32_t serial)
{
    enum cupool_kv_state state = kv_state(kv_load(record));

    if (state == CUPOOL_KV_ACTIVE) /* a partial entry that is replaced */
        kv_unregister(pool, record);
    else
        pool->active++;
    pool->complete -= state == CUPOOL_KV_COMPLETE;
    pool->mutable_blocks -= state == CUPOOL_KV_MUTABLE;
    record->key = *hash;
    kv_set_state(record, CUPOOL_KV_ACTIVE);
    pool->uses[kv_id(pool, record)].registration++;
    pool->counters.registrations++;
    if (serial != 0)
        record->fence = kv_fences_join(&pool->fences, record->fence, serial);
    return !kv_table_insert(&pool->table, kv_id(pool, record));
}

/* Whether work of the stream, or without one any work, may follow that on a block. False: the
 * stream cannot wait, or there is none that would. */
static bool is_ordered(struct cupool_kv *pool, uint32_t id, cupool_stream stream)
{
    const struct kv_record *record = &pool->records[id];

    if (stream != CUPOOL_STREAM_NONE)
        return kv_fences_order(&pool->fences, record->fence, stream) == 0;
    if (kv_fences_find(&pool->fences, record->fence))
        kv_fences_look(pool);
    return !kv_fences_find(&pool->fences, record->fence);
}

/* The older block of the same hash takes the place of the caller's. */
static cupool_kv_handle first_retain(struct cupool_kv *pool, uint32_t id)
{
    struct kv_record *record = &pool->records[id];

    if (kv_state(kv_load(record)) == CUPOOL_KV_INACTIVE)
        kv_make_active(pool, record);
    else
        atomic_fetch_add_explicit(&record->word, KV_REFERENCE, memory_order_acq_rel);
    return kv_handle(kv_load(record), id);
}

/* Releases one reference of a block replaced by an older one; the lock is held. */
static void duplicate_drop(struct cupool_kv *pool, struct kv_record *record, uint32_t serial)
{
    uint64_t word = kv_load(record);
    enum cupool_kv_state state = kv_state(word);

    if (serial != 0)
        record->fence = kv_fences_join(&pool->fences, record->fence, serial);
    while (kv_references(word) > 1)
        if (kv_swap(record, &word, word - KV_REFERENCE))
            return;
    if (state == CUPOOL_KV_ACTIVE) {
        kv_unregister(pool, record);
        pool->active--;
    }
    pool->complete -= state == CUPOOL_KV_COMPLETE;
    pool->mutable_blocks -= state == CUPOOL_KV_MUTABLE;
    if (pool->config.clear)
        record->flags |= KV_FLAG_UNCLEAR;
    atomic_store_explicit(&record->word,
                          kv_word(kv_generation_next(kv_generation(word)), CUPOOL_KV_FREE, 0),
                          memory_order_release);
    kv_push_free(pool, kv_id(pool, record), record->fence);
}

/* Appends a block to another: it learns its place in the sequence, and earlier blocks learn how
 * many follow, if lower tiers need that. */
static void sequence_link(struct cupool_kv *pool, uint32_t id, uint32_t parent, bool root)
{
    struct kv_use *use = &pool->uses[id];

    use->below = 0;
    use->position = root ? 0 : POSITION_MAX;
    use->parent = parent;
    if (parent == KV_NONE)
        return;
    const struct kv_use *before = &pool->uses[parent];
    use->parent_registration = before->registration;
    use->position = before->position < POSITION_MAX ? before->position + 1 : POSITION_MAX;
    /* A block with `newest` successors has already updated its own parents. */
    for (uint32_t behind = 1; behind <= pool->newest && use->parent != KV_NONE; behind++) {
        struct kv_use *above = &pool->uses[use->parent];

        if (above->registration != use->parent_registration || above->below >= behind)
            break;
        above->below = (uint8_t)behind;
        use = above;
    }
}

/* Ends a run of newly stored hashes: one event for it. */
static void run_report(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t from,
                       uint32_t to, const struct cupool_kv_hash *parent)
{
    if (to > from)
        kv_events_stored(&pool->events, hashes + from, to - from,
                         from > 0 ? &hashes[from - 1] : parent);
}

static void batch_register(struct cupool_kv *pool, const cupool_kv_handle *handles,
                           const struct cupool_kv_hash *hashes, uint32_t count,
                           const struct cupool_kv_hash *parent,
                           enum cupool_kv_duplicates duplicates, cupool_stream stream,
                           uint32_t serial, cupool_kv_handle *ret_handles)
{
    const bool linked = atomic_load_explicit(&pool->dated, memory_order_relaxed);
    uint32_t run = 0;
    uint32_t before = linked && parent ? kv_table_find(&pool->table, parent, NULL) : KV_NONE;

    for (uint32_t at = 0; at < count; before = cupool_kv_id(ret_handles[at++])) {
        cupool_kv_handle handle = handles[at];
        struct kv_record *record = &pool->records[(uint32_t)handle];
        uint32_t first = kv_table_find(&pool->table, &hashes[at], NULL);
        bool again = first != KV_NONE && first != (uint32_t)handle;

        if (is_registered_as(record, &hashes[at])) {
            run_report(pool, hashes, run, at, parent);
            run = at + 1;
            ret_handles[at] = handle;
            continue;
        }
        pool->counters.duplicates += again;
        if (again) {
            run_report(pool, hashes, run, at, parent);
            run = at + 1;
        }
        if (again && duplicates == CUPOOL_KV_ANSWER_FIRST && is_ordered(pool, first, stream)) {
            cupool_kv_handle older = first_retain(pool, first);

            duplicate_drop(pool, record, serial);
            handle = older;
        } else {
            record_enter(pool, record, &hashes[at], serial);
            if (linked)
                sequence_link(pool, (uint32_t)handle, before, at == 0 && !parent);
        }
        ret_handles[at] = handle;
    }
    run_report(pool, hashes, run, count, parent);
    for (uint32_t at = 0; at < count; at++) {
        int64_t step = at + 1 < count ? (int64_t)cupool_kv_id(ret_handles[at + 1]) -
                                            (int64_t)cupool_kv_id(ret_handles[at])
                                      : 0;

        pool->records[cupool_kv_id(ret_handles[at])].follow = step >= INT8_MIN && step <= INT8_MAX
                                                                  ? (int8_t)step
                                                                  : 0;
    }
}

/* Takes the fence of the writer's stream; 0 in *ret_serial if there is none. */
static int writer_fence(struct cupool_kv *pool, cupool_stream stream, uint32_t *ret_serial)
{
    uint64_t fence;
    int error;

    *ret_serial = 0;
    if (stream == CUPOOL_STREAM_NONE || !pool->backend.fence_record)
        return 0;
    error = pool->backend.fence_record(pool->backend.state, stream, &fence);
    if (error < 0)
        return kv_fail(pool, error, "no fence can be recorded on this stream now");
    pthread_mutex_lock(&pool->lock);
    *ret_serial = kv_fences_add(&pool->fences, fence, stream);
    pthread_mutex_unlock(&pool->lock);
    if (*ret_serial != 0)
        return 0;
    pool->backend.fence_release(pool->backend.state, fence);
    return kv_fail(pool, -ENOBUFS, "too many streams with open work");
}

int cupool_kv_register(struct cupool_kv *pool, const cupool_kv_handle *handles,
                       const struct cupool_kv_hash *hashes, uint32_t count,
                       const struct cupool_kv_hash *parent, enum cupool_kv_duplicates duplicates,
                       cupool_stream stream, cupool_kv_handle *ret_handles)
{
    struct kv_after after;
    uint32_t serial;
    int error;

    if ((count > 0 && (!handles || !hashes || !ret_handles)) || duplicates > CUPOOL_KV_ANSWER_FIRST)
        return kv_fail(pool, -EINVAL,
                       "an array argument is NULL, or an unknown way to treat duplicates");
    error = writer_fence(pool, stream, &serial);
    if (error == 0)
        error = kv_lock(pool);
    if (error < 0)
        return error;
    error = batch_validate(pool, handles, hashes, count, false);
    if (error == 0 && pool->config.caching)
        batch_register(pool, handles, hashes, count, parent, duplicates, stream, serial,
                       ret_handles);
    kv_fronts_peak(pool);
    for (uint32_t at = 0; at < count && error == 0 && !pool->config.caching; at++)
        ret_handles[at] = handles[at];
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    return error;
}

int cupool_kv_register_partial(struct cupool_kv *pool, cupool_kv_handle handle,
                               const struct cupool_kv_hash *hash,
                               const struct cupool_kv_hash *parent, uint32_t tokens,
                               cupool_stream stream)
{
    uint32_t serial;
    int error;

    if (!hash || tokens == 0 || tokens >= pool->config.block_tokens)
        return kv_fail(pool, -EINVAL, "a partial entry must have 1 to block_tokens - 1 tokens");
    error = writer_fence(pool, stream, &serial);
    if (error == 0)
        error = kv_lock(pool);
    if (error < 0)
        return error;
    error = batch_validate(pool, &handle, hash, 1, true);
    struct kv_record *record = &pool->records[(uint32_t)handle];
    if (error == 0 && pool->config.caching && !is_registered_as(record, hash)) {
        if (record_enter(pool, record, hash, serial))
            kv_events_stored(&pool->events, hash, 1, parent);
        record->flags |= KV_FLAG_PARTIAL;
        pool->uses[(uint32_t)handle].tokens = tokens;
    }
    kv_unlock(pool);
    return error;
}
