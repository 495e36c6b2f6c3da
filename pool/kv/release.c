/* SPDX-License-Identifier: MIT */
/*
 * Releases references.
 *
 * Blocks without identity are pushed on the stack of free blocks in the order of the call, so that
 * the last one is on top; registered ones enter the order of victims in reverse, the tail first.
 * Without device work the first kind needs the lock only for the stack.
 */
#include <errno.h>

#include "pool/kv/kv.h"

#define AHEAD 32u /* handles whose record is fetched in advance */

/* A call of release. */
struct giving {
    cupool_stream stream;
    uint64_t fence; /* recorded, of the backend */
    bool fenced;
    uint32_t serial; /* of the pool's fences */
    uint32_t ids[KV_CHUNK];
    uint32_t count, mutable_blocks, complete;
    uint32_t done; /* references given back */
    bool registered;
    uint64_t now_ns;
};

static int handles_validate(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count)
{
    int error;

    for (uint32_t at = 0; at < count; at++) {
        if (at + AHEAD < count && (uint32_t)handles[at + AHEAD] < pool->slots)
            __builtin_prefetch(&pool->records[(uint32_t)handles[at + AHEAD]], 1);
        if (!kv_find(pool, handles[at], &error)) {
            atomic_fetch_add_explicit(&pool->stale, 1, memory_order_relaxed);
            return kv_fail(pool, error, "the handle is stale or not of this pool");
        }
    }
    return 0;
}

/* A waiter that arrived while the blocks went into the front has not seen them: checks again. */
static void after_front(struct cupool_kv *pool, struct kv_after *after)
{
    atomic_thread_fence(memory_order_seq_cst);
    *after = (struct kv_after){.wake = atomic_load(&pool->waiting) > 0};
}

/* Zeroes a block behind all work on it; if its stream cannot wait for that, when it is taken. */
static void block_clear(struct cupool_kv *pool, const struct giving *giving, uint32_t id)
{
    struct kv_record *record = &pool->records[id];
    bool ordered = true;

    if (record->fence != 0) {
        pthread_mutex_lock(&pool->lock);
        ordered = !kv_fences_find(&pool->fences, record->fence) ||
                  (giving->stream != CUPOOL_STREAM_NONE &&
                   kv_fences_order(&pool->fences, record->fence, giving->stream) == 0);
        pthread_mutex_unlock(&pool->lock);
    }
    if (!ordered || kv_memory_clear(pool, id, giving->stream) < 0)
        record->flags |= KV_FLAG_UNCLEAR;
}

/* The chunk is full or the call ends (`after`): frees the collected blocks. */
static void chunk_push(struct cupool_kv *pool, struct giving *giving, struct kv_after *after)
{
    uint64_t recorded;

    if (giving->serial == 0 &&
        kv_front_give(pool, giving->ids, giving->count, giving->mutable_blocks, giving->complete)) {
        giving->count = giving->mutable_blocks = giving->complete = 0;
        if (after)
            after_front(pool, after);
        return;
    }
    for (uint32_t at = 0; at < giving->count && pool->config.clear; at++)
        block_clear(pool, giving, giving->ids[at]);
    bool again = pool->config.clear && giving->count > 0 && giving->fenced &&
                 pool->backend.fence_record(pool->backend.state, giving->stream, &recorded) == 0;
    pthread_mutex_lock(&pool->lock);
    if (again) {
        uint32_t serial = kv_fences_add(&pool->fences, recorded, giving->stream);

        if (serial == 0)
            pool->backend.fence_release(pool->backend.state, recorded);
        giving->serial = serial != 0 ? serial : giving->serial;
    }
    for (uint32_t at = 0; at < giving->count; at++) {
        uint32_t id = giving->ids[at];
        uint32_t fence = pool->records[id].fence;

        if (fence == 0 && id < pool->limit && !pool->pages.pages)
            pool->stack[pool->stack_count++] = id;
        else
            kv_push_free(pool, id,
                         again ? kv_fences_join(&pool->fences, fence, giving->serial) : fence);
    }
    pool->mutable_blocks -= giving->mutable_blocks;
    pool->complete -= giving->complete;
    pool->counters.released += giving->count;
    if (after)
        kv_after_fill(pool, after);
    pthread_mutex_unlock(&pool->lock);
    giving->count = giving->mutable_blocks = giving->complete = 0;
}

/* One reference of a block without identity. */
static void forward_give(struct cupool_kv *pool, struct giving *giving, cupool_kv_handle handle)
{
    struct kv_record *record = &pool->records[(uint32_t)handle];
    uint64_t word = kv_load(record);

    for (;;) {
        enum cupool_kv_state state = kv_state(word);
        uint32_t references = kv_references(word);

        if (kv_generation(word) != handle >> 32 || references == 0)
            return;
        if (state == CUPOOL_KV_ACTIVE) {
            giving->registered = true;
            return;
        }
        if (references > 1) {
            if (!kv_swap(record, &word, word - KV_REFERENCE))
                continue;
            giving->done++;
            return;
        }
        if (!kv_swap(record, &word,
                     kv_word(kv_generation_next(kv_generation(word)), CUPOOL_KV_FREE, 0)))
            continue;
        giving->mutable_blocks += state == CUPOOL_KV_MUTABLE;
        giving->complete += state == CUPOOL_KV_COMPLETE;
        giving->ids[giving->count++] = (uint32_t)handle;
        giving->done++;
        if (giving->count == KV_CHUNK)
            chunk_push(pool, giving, NULL);
        return;
    }
}

/* Releases one reference of a registered block, under the lock. */
static void backward_give(struct cupool_kv *pool, struct giving *giving, cupool_kv_handle handle)
{
    struct kv_record *record = &pool->records[(uint32_t)handle];
    uint64_t word = kv_load(record);

    for (;;) {
        if (kv_generation(word) != handle >> 32 || kv_state(word) != CUPOOL_KV_ACTIVE)
            return;
        if (kv_references(word) == 1)
            break;
        if (kv_swap(record, &word, word - KV_REFERENCE)) {
            giving->done++;
            return;
        }
    }
    kv_make_inactive(pool, record, giving->now_ns);
    pool->counters.released++;
    giving->done++;
}

/* For blocks that stay in use, notes the work before the references are released. */
static int fences_note(struct cupool_kv *pool, struct giving *giving,
                       const cupool_kv_handle *handles, uint32_t count)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    giving->serial = kv_fences_add(&pool->fences, giving->fence, giving->stream);
    for (uint32_t at = 0; at < count && giving->serial != 0; at++) {
        struct kv_record *record = &pool->records[(uint32_t)handles[at]];

        record->fence = kv_fences_join(&pool->fences, record->fence, giving->serial);
    }
    kv_unlock(pool);
    return giving->serial != 0 ? 0 : kv_fail(pool, -ENOBUFS, "too many streams with open work");
}

static int giving_begin(struct cupool_kv *pool, struct giving *giving,
                        const cupool_kv_handle *handles, uint32_t count)
{
    int error;

    giving->now_ns = kv_use_time(pool);
    if (giving->stream == CUPOOL_STREAM_NONE || !pool->backend.fence_record)
        return 0;
    error = pool->backend.fence_record(pool->backend.state, giving->stream, &giving->fence);
    if (error < 0)
        return kv_fail(pool, error, "no fence can be recorded on this stream now");
    giving->fenced = true;
    error = fences_note(pool, giving, handles, count);
    if (error < 0)
        pool->backend.fence_release(pool->backend.state, giving->fence);
    return error;
}

int kv_release(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count,
               cupool_stream stream, uint32_t *ret_serial)
{
    struct giving giving;
    struct kv_after after;
    int error;

    if (count > 0 && !handles)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    giving.stream = stream;
    giving.fenced = giving.registered = false;
    giving.serial = giving.count = giving.mutable_blocks = giving.complete = giving.done = 0;
    giving.now_ns = 0;
    if (atomic_load_explicit(&pool->gone, memory_order_relaxed))
        return kv_fail(pool, -ECHILD, "the pool's memory belongs to the parent process");
    error = handles_validate(pool, handles, count);
    if (error == 0)
        error = giving_begin(pool, &giving, handles, count);
    *ret_serial = error == 0 ? giving.serial : 0;
    if (error < 0 || count == 0)
        return error;
    kv_transit_begin(pool, count);
    for (uint32_t at = 0; at < count; at++)
        forward_give(pool, &giving, handles[at]);
    if (giving.count > 0 || !giving.registered)
        chunk_push(pool, &giving, giving.registered ? NULL : &after);
    if (giving.registered) {
        pthread_mutex_lock(&pool->lock);
        for (uint32_t at = count; at > 0; at--)
            backward_give(pool, &giving, handles[at - 1]);
        kv_after_fill(pool, &after);
        pthread_mutex_unlock(&pool->lock);
    }
    kv_transit_end(pool, count);
    kv_after_run(pool, &after);
    if (giving.done == count)
        return 0;
    atomic_fetch_add_explicit(&pool->stale, count - giving.done, memory_order_relaxed);
    return kv_fail(pool, -ESTALE, "a block was given more often than it has references");
}

int cupool_kv_release(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count,
                      cupool_stream stream)
{
    uint32_t serial;

    return kv_release(pool, handles, count, stream, &serial);
}

uint32_t kv_block_serial(struct cupool_kv *pool, cupool_kv_handle handle)
{
    uint32_t serial = 0;

    if (kv_lock(pool) == 0) {
        serial = pool->records[(uint32_t)handle].fence;
        kv_unlock(pool);
    }
    return serial;
}

uint32_t kv_serials_join(struct cupool_kv *pool, uint32_t older, uint32_t newer)
{
    if (older == 0 || newer == 0 || kv_lock(pool) < 0)
        return older != 0 ? older : newer;
    newer = kv_fences_join(&pool->fences, older, newer);
    kv_unlock(pool);
    return newer;
}

int kv_serial_order(struct cupool_kv *pool, uint32_t serial, cupool_stream stream)
{
    int error = serial != 0 ? kv_lock(pool) : 0;

    if (error < 0 || serial == 0)
        return error;
    if (stream != CUPOOL_STREAM_NONE)
        error = kv_fences_order(&pool->fences, serial, stream);
    else
        error = kv_fences_passed(&pool->fences, serial) ? 0 : -EAGAIN;
    kv_unlock(pool);
    return error;
}

int kv_release_one(struct cupool_kv *pool, cupool_kv_handle handle, cupool_stream stream)
{
    return cupool_kv_release(pool, &handle, 1, stream);
}
