/* SPDX-License-Identifier: MIT */
/*
 * Creation and destruction of a pool, and operations on single handles.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool/base/clock.h"
#include "pool/kv/kv.h"

#define BLOCKS_MAX               (UINT32_C(1) << 28)
#define COLLISIONS_BEFORE_FRONTS 8

void cupool_kv_config_init(struct cupool_kv_config *config)
{
    *config = (struct cupool_kv_config){
        .block_tokens = 16,
        .caching = 1,
        .window = 1000,
        .requests = 64,
    };
}

void cupool_kv_config_of(const struct cupool_kv *pool, struct cupool_kv_config *ret_config)
{
    *ret_config = pool->config;
}

const char *cupool_kv_error(const struct cupool_kv *pool)
{
    const char *text = atomic_load_explicit(&pool->error, memory_order_acquire);

    return text ? text : "";
}

int kv_fail(struct cupool_kv *pool, int error, const char *text)
{
    atomic_store_explicit(&pool->error, text, memory_order_release);
    return error;
}

int kv_lock(struct cupool_kv *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (!pool->gone)
        return 0;
    pthread_mutex_unlock(&pool->lock);
    return kv_fail(pool, -ECHILD, "the pool's memory belongs to the parent process");
}

void kv_unlock(struct cupool_kv *pool)
{
    pthread_mutex_unlock(&pool->lock);
}

uint64_t kv_now(const struct cupool_kv *pool)
{
    if (pool->config.clock_ns)
        return pool->config.clock_ns(pool->config.clock_state);
    if (pool->backend.clock_ns)
        return pool->backend.clock_ns(pool->backend.state);
    return pool_clock_ns();
}

static bool config_valid(const struct cupool_kv_config *config)
{
    return config->blocks > 0 && config->max_blocks >= config->blocks &&
           config->max_blocks <= BLOCKS_MAX && config->block_tokens > 0 &&
           config->block_tokens <= 65536 && config->layout <= CUPOOL_KV_LAYERS_FIRST &&
           config->order <= CUPOOL_KV_NHD && config->policy <= CUPOOL_KV_CUSTOM &&
           (config->policy != CUPOOL_KV_CUSTOM || config->custom.rank) && config->window > 0 &&
           config->window <= 1u << 20 && config->requests > 0 && config->requests <= 65536 &&
           config->events <= 1u << 24 &&
           (!config->elastic || (config->layers > 0 && config->layout == CUPOOL_KV_BLOCKS_FIRST));
}

static int arrays_make(struct cupool_kv *pool)
{
    struct kv_heap *heap = &pool->heap;
    int error;

    pool->records = kv_heap_allocate(heap, pool->slots, sizeof(*pool->records));
    pool->uses = kv_heap_allocate(heap, pool->slots, sizeof(*pool->uses));
    pool->stack = kv_heap_allocate(heap, pool->slots, sizeof(*pool->stack));
    pool->window = kv_heap_allocate(heap, pool->config.window, sizeof(*pool->window));
    if (!pool->records || !pool->uses || !pool->stack || !pool->window)
        return -ENOMEM;
    error = kv_table_init(&pool->table, heap, pool->records, pool->slots);
    if (error == 0)
        error = kv_order_init(&pool->order, heap, pool->records, pool->slots, pool->config.policy);
    if (error == 0 && pool->backend.fence_record)
        error = kv_fences_init(&pool->fences, heap, &pool->backend);
    if (error == 0)
        error = kv_events_init(&pool->events, heap, pool->config.events, pool->slots);
    return error == 0 ? kv_requests_init(pool) : error;
}

/* Generations of different pools start at different values, so that a handle of one pool is
 * invalid in another. */
static uint32_t generation_first(void)
{
    static atomic_uint pools;

    return (atomic_fetch_add(&pools, 1) + 1) * UINT32_C(0x9e3779b1) | 1;
}

static void blocks_init(struct cupool_kv *pool)
{
    uint32_t generation = generation_first();

    for (uint32_t id = 0; id < pool->slots; id++) {
        struct kv_record *record = &pool->records[id];
        enum cupool_kv_state state = id < pool->first   ? CUPOOL_KV_NULL
                                     : id < pool->limit ? CUPOOL_KV_FREE
                                                        : CUPOOL_KV_RETIRED;

        atomic_init(&record->word, kv_word(generation, state, 0));
        record->previous = record->next = KV_NONE;
        record->same_previous = record->same_next = KV_NONE;
        record->priority = CUPOOL_KV_PRIORITY_DEFAULT;
        record->bucket = KV_BUCKET_NONE;
    }
    for (uint32_t id = pool->limit; id > pool->first; id--)
        pool->stack[pool->stack_count++] = id - 1;
    pool->retired = pool->slots - pool->limit;
}

static int memory_make(struct cupool_kv *pool)
{
    uint64_t null_id = 0;
    int error;

    if (pool->config.layers == 0)
        return 0;
    if (pool->config.elastic) {
        error = kv_pages_init(pool);
        if (error == 0 && pool->first > 0)
            error = kv_pages_need(pool, &null_id, 1);
    } else {
        pool->memory_bytes = pool->slots * pool->geometry.block_bytes;
        error = pool->backend.memory_allocate(pool->backend.state, pool->memory_bytes,
                                              &pool->memory_address);
        if (error < 0)
            pool->memory_bytes = 0;
    }
    memcpy(&pool->geometry.base, &pool->memory_address, sizeof(pool->geometry.base));
    if (error == 0 && pool->first > 0)
        error = kv_memory_clear(pool, 0, CUPOOL_STREAM_NONE);
    for (uint32_t id = pool->first; id < pool->slots && error == 0 && pool->config.clear; id++) {
        if (pool->config.elastic)
            pool->records[id].flags |= KV_FLAG_UNCLEAR;
        else
            error = kv_memory_clear(pool, id, CUPOOL_STREAM_NONE);
    }
    return error;
}

static void pool_free(struct cupool_kv *pool)
{
    struct kv_heap heap;

    if (pool->fences.entries)
        kv_fences_done(&pool->fences, pool->gone);
    kv_pages_done(pool);
    if (pool->memory_bytes > 0 && !pool->gone)
        pool->backend.memory_free(pool->backend.state, pool->memory_address, pool->memory_bytes);
    if (pool->event_fd >= 0)
        close(pool->event_fd);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->pages.lock);
    kv_fronts_done(pool);
    heap = pool->heap;
    kv_heap_done(&heap);
}

int kv_create(const struct kv_backend *backend, const struct cupool_kv_config *config,
              struct cupool_kv **ret_pool)
{
    struct cupool_kv_config whole = *config;
    struct kv_heap heap = {.count = 0};
    pthread_mutexattr_t attributes;
    struct cupool_kv *pool;
    int error;

    if (whole.max_blocks == 0)
        whole.max_blocks = whole.blocks;
    if (!config_valid(&whole))
        return -EINVAL;
    pool = kv_heap_allocate(&heap, 1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool->heap = heap;
    pool->config = whole;
    pool->backend = *backend;
    pool->event_fd = -1;
    atomic_init(&pool->dated, whole.policy != CUPOOL_KV_LRU);
    pool->first = whole.null_block ? 1 : 0;
    pool->slots = whole.max_blocks + pool->first;
    pool->limit = whole.blocks + pool->first;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&pool->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_mutex_init(&pool->pages.lock, NULL);
    kv_fronts_init(pool);
    error = kv_geometry_make(&whole, pool->slots, &pool->geometry);
    if (error == 0)
        error = arrays_make(pool);
    if (error == 0) {
        blocks_init(pool);
        kv_pressure_init(pool);
        error = memory_make(pool);
    }
    if (error < 0) {
        pool_free(pool);
        return error;
    }
    kv_registry_add(pool);
    *ret_pool = pool;
    return 0;
}

void cupool_kv_destroy(struct cupool_kv *pool)
{
    if (!pool)
        return;
    if (!pool->gone)
        kv_requests_end(pool);
    kv_registry_remove(pool);
    pool_free(pool);
}

/* Takes the lock. After some contention the fronts are used; not with a pressure callback, because
 * then every change has to be checked. */
static int lock_counting(struct cupool_kv *pool)
{
    if (pthread_mutex_trylock(&pool->lock) != 0) {
        pthread_mutex_lock(&pool->lock);
        if (++pool->collisions >= COLLISIONS_BEFORE_FRONTS && !pool->pressure.callback)
            atomic_store_explicit(&pool->fronts_on, true, memory_order_relaxed);
    }
    if (!pool->gone)
        return 0;
    pthread_mutex_unlock(&pool->lock);
    return kv_fail(pool, -ECHILD, "the pool's memory belongs to the parent process");
}

int cupool_kv_allocate(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                       cupool_kv_handle *ret_handles)
{
    struct kv_after after;
    int error;

    if (count == 0)
        return 0;
    if (!ret_handles)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    if (kv_front_take(pool, count, ret_handles))
        return kv_hand_out(pool, count, stream, ret_handles);
    error = lock_counting(pool);
    if (error < 0)
        return error;
    if (atomic_load_explicit(&pool->waiting, memory_order_relaxed) > 0)
        error = -EAGAIN;
    else
        error = kv_take(pool, count, stream, ret_handles);
    if (error == 0)
        kv_front_allow(pool);
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    if (error < 0)
        return kv_fail(pool, error,
                       error == -EAGAIN ? "others wait, or device work must finish first"
                                        : "not enough blocks");
    error = kv_hand_out(pool, count, stream, ret_handles);
    kv_after_run(pool, &after);
    return error;
}

/* Adds or removes one reference, unless the handle is stale. */
static bool reference_add(struct cupool_kv *pool, cupool_kv_handle handle, uint64_t change)
{
    struct kv_record *record = &pool->records[(uint32_t)handle];
    uint64_t word = kv_load(record);

    do {
        uint32_t references = kv_references(word);

        if (kv_generation(word) != handle >> 32 || references == 0 ||
            references == KV_REFERENCES_MASK)
            return false;
    } while (!kv_swap(record, &word, word + change));
    return true;
}

int kv_handles_find(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count)
{
    int error = 0;

    for (uint32_t at = 0; at < count && error == 0; at++)
        if (kv_find(pool, handles[at], &error))
            error = 0;
    return error;
}

int cupool_kv_retain(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count)
{
    int error;

    if (count > 0 && !handles)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_handles_find(pool, handles, count);
    for (uint32_t at = 0; at < count && error == 0; at++) {
        if (reference_add(pool, handles[at], KV_REFERENCE))
            continue;
        /* Another thread released it between the two loops, or it has 2^28 references. */
        error = -ESTALE;
        cupool_kv_release(pool, handles, at, CUPOOL_STREAM_NONE);
    }
    if (error < 0) {
        atomic_fetch_add_explicit(&pool->stale, 1, memory_order_relaxed);
        return kv_fail(pool, error, "the handle is stale or not of this pool");
    }
    return 0;
}

int cupool_kv_stream_order(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count,
                           cupool_stream stream)
{
    int error;

    if (count > 0 && !handles)
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    for (uint32_t at = 0; at < count && error == 0; at++) {
        struct kv_record *record = kv_find(pool, handles[at], &error);

        if (!record)
            break;
        error = 0;
        if (record->fence != 0 && pool->fences.count > 0 && stream != CUPOOL_STREAM_NONE)
            error = kv_fences_order(&pool->fences, record->fence, stream);
    }
    kv_unlock(pool);
    return error < 0 ? kv_fail(pool, error, "a handle is stale, or the stream cannot wait") : 0;
}

int cupool_kv_describe(struct cupool_kv *pool, cupool_kv_handle handle,
                       struct cupool_kv_block *ret_block)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    struct kv_record *record = kv_find(pool, handle, &error);
    if (record)
        kv_describe(pool, record, kv_now(pool), ret_block);
    kv_unlock(pool);
    return record ? 0 : kv_fail(pool, error, "the handle is stale");
}

/* Whether a block may be read now without a stream that waits for the work on it. */
static int work_ended(struct cupool_kv *pool, const struct kv_record *record)
{
    struct kv_after after;
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    kv_fences_look(pool);
    bool pending = kv_fences_find(&pool->fences, record->fence) != NULL;
    kv_after_fill(pool, &after);
    kv_unlock(pool);
    kv_after_run(pool, &after);
    return pending ? kv_fail(pool, -EAGAIN, "device work on the block must finish first") : 0;
}

int cupool_kv_make_writable(struct cupool_kv *pool, cupool_kv_handle handle, cupool_stream stream,
                            cupool_kv_handle *ret_handle)
{
    cupool_kv_handle copy;
    int error;
    struct kv_record *record = kv_find(pool, handle, &error);

    if (!record)
        return kv_fail(pool, error, "the handle is stale or not of this pool");
    error = cupool_kv_stream_order(pool, &handle, 1, stream);
    if (error < 0)
        return error;
    uint64_t word = kv_load(record);
    if (kv_references(word) == 1 && kv_state(word) != CUPOOL_KV_ACTIVE) {
        while (kv_state(word) == CUPOOL_KV_COMPLETE) {
            pthread_mutex_lock(&pool->lock);
            word = kv_load(record);
            if (kv_state(word) == CUPOOL_KV_COMPLETE) {
                kv_set_state(record, CUPOOL_KV_MUTABLE);
                pool->complete--;
                pool->mutable_blocks++;
            }
            pthread_mutex_unlock(&pool->lock);
            word = kv_load(record);
        }
        *ret_handle = handle;
        return 0;
    }
    error = kv_stream_usable(pool, stream);
    if (error < 0)
        return kv_fail(pool, error, "the stream is captured");
    error = stream == CUPOOL_STREAM_NONE ? work_ended(pool, record) : 0;
    if (error < 0)
        return error;
    error = cupool_kv_allocate(pool, 1, stream, &copy);
    if (error < 0)
        return error;
    error = kv_memory_copy(pool, (uint32_t)copy, (uint32_t)handle, stream);
    if (error == 0)
        error = kv_release_one(pool, handle, stream);
    if (error < 0) {
        kv_release_one(pool, copy, stream);
        return kv_fail(pool, error, "the block could not be copied");
    }
    pthread_mutex_lock(&pool->lock);
    pool->counters.copies++;
    pthread_mutex_unlock(&pool->lock);
    *ret_handle = copy;
    return 0;
}
