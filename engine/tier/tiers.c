/* SPDX-License-Identifier: MIT */
/*
 * Creates and destroys tiers: offloads, look-ups, and the functions that the pool calls for a
 * prefetch.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/tier/tiers.h"

#include "pool/base/clock.h"

#define BENCH_BYTES_MAX  ((size_t)64 << 20)
#define TIER_ENTRIES     65536u
#define LOWER_CHUNK      128u /* loads that are queued at once */
#define TIER_ENTRIES_MAX (UINT32_C(1) << 26)

void cupool_tiers_config_init(struct cupool_tiers_config *config)
{
    *config = (struct cupool_tiers_config){
        .codec = CUPOOL_TIER_PLAIN,
        .exact_first = 4,
        .exact_newest = 128,
        .threads = 2,
        .queue = 4096,
        .batch = 8,
        .requests = 256,
        .promote = 1,
    };
}

uint64_t tiers_clock(void)
{
    return pool_clock_ns();
}

const char *cupool_tiers_error(const struct cupool_tiers *tiers)
{
    const char *text = atomic_load_explicit(&tiers->error, memory_order_acquire);

    return text ? text : "";
}

int tiers_fail(struct cupool_tiers *tiers, int error, const char *text)
{
    atomic_store_explicit(&tiers->error, text, memory_order_release);
    return error;
}

int tiers_here(struct cupool_tiers *tiers)
{
    return tiers->pid == getpid()
               ? 0
               : tiers_fail(tiers, -ECHILD, "the tiers belong to the parent process");
}

bool tier_available(const struct tier *tier)
{
    return !tier->store.available || tier->store.available(tier->store.state) != 0;
}

/* Answers the pool before a prefetch. Asks no store: the content of a shared one shows at the
 * load. */
static int lower_lookup(void *state, const struct cupool_kv_hash *hashes, uint32_t count,
                        uint8_t *ret_found)
{
    struct cupool_tiers *tiers = state;
    int error = cupool_tiers_lookup(tiers, hashes, count, ret_found);

    for (uint32_t at = 0; at < count && error == 0; at++)
        ret_found[at] = ret_found[at] == CUPOOL_TIER_HIT || ret_found[at] == CUPOOL_TIER_ASK;
    return error;
}

/*
 * Queues all blocks of a look-up before any thread takes one, so that the stores get whole
 * batches.
 */
static uint32_t lower_load_many(void *state, const struct cupool_kv_load *loads, uint32_t count,
                                cupool_kv_ticket ticket, cupool_stream stream)
{
    struct cupool_tiers *tiers = state;
    uint64_t fences[LOWER_CHUNK];
    uint32_t fenced = 0, begun = 0;
    bool needed = true;
    int error = 0;

    count = count < LOWER_CHUNK ? count : LOWER_CHUNK;
    while (fenced < count && needed && error == 0) {
        error = stage_fence(tiers, stream, &fences[fenced], &needed);
        fenced += needed;
    }
    /* No load begins before its fence, where the stream has one. */
    count = error < 0 || needed ? fenced : count;
    needed |= error < 0;
    pthread_mutex_lock(&tiers->lock);
    while (begun < count && !tiers->stop) {
        struct job *job = job_new(tiers);

        if (!job)
            break;
        job->kind = JOB_LOAD;
        job->key = loads[begun].hash;
        job->handle = loads[begun].handle;
        job->ticket = ticket;
        job->index = loads[begun].index;
        job->fence = needed ? fences[begun] : 0;
        job->fenced = needed;
        job_queue(tiers, job);
        begun++;
    }
    pthread_mutex_unlock(&tiers->lock);
    for (uint32_t at = begun; at < fenced; at++)
        stage_fence_end(tiers, fences[at]);
    return begun;
}

static int lower_load(void *state, const struct cupool_kv_hash *hash, cupool_kv_handle handle,
                      cupool_kv_ticket ticket, uint32_t index, cupool_stream stream)
{
    const struct cupool_kv_load load = {*hash, handle, index};

    return lower_load_many(state, &load, 1, ticket, stream) == 1 ? 0 : -EAGAIN;
}

static bool config_valid(const struct cupool_tiers_config *config, uint32_t count)
{
    return count > 0 && count <= CUPOOL_TIERS_MAX && config->codec >= CUPOOL_TIER_PLAIN &&
           config->codec < CUPOOL_CODEC_COUNT && config->threads > 0 &&
           config->threads <= TIERS_THREADS_MAX && config->queue > 0 && config->queue <= 1u << 22 &&
           config->batch > 0 && config->batch <= TIERS_BATCH_MAX && config->requests > 0 &&
           config->requests <= 1u << 20 && config->events <= 1u << 20;
}

/* Determines the shape, the sizes, and a batch that keeps a bench small. */
static int sizes_make(struct cupool_tiers *tiers, const char *identity)
{
    size_t plain, exact, encoded = 0;
    int error = entry_shape_make(&tiers->pool->config, &tiers->pool->geometry,
                                 identity ? identity : "", &tiers->shape);

    if (error < 0)
        return error;
    tiers->shape.codec.keep_permille = tiers->config.keep_permille;
    tiers->exact_codec = tiers->config.codec == CUPOOL_TIER_PLAIN ||
                                 tiers->config.codec == CUPOOL_CODEC_RAW
                             ? tiers->config.codec
                             : entry_exact_codec(&tiers->shape);
    error = entry_maximum(&tiers->shape, CUPOOL_TIER_PLAIN, &plain);
    if (error == 0)
        error = entry_maximum(&tiers->shape, tiers->exact_codec, &exact);
    if (error == 0)
        error = entry_maximum(&tiers->shape, tiers->config.codec, &encoded);
    if (error < 0)
        return error;
    tiers->maximum = exact > plain ? exact : plain;
    tiers->maximum = (encoded > tiers->maximum ? encoded : tiers->maximum) / 64 * 64 + 64;
    tiers->staged = tiers->pool->geometry.block_bytes;
    while (tiers->config.batch > 1 &&
           tiers->config.batch * (tiers->maximum + tiers->staged) > BENCH_BYTES_MAX)
        tiers->config.batch /= 2;
    uint32_t tokens = tiers->pool->config.block_tokens;
    tiers->first_blocks = (tiers->config.exact_first + tokens - 1) / tokens;
    return kv_age_begin(tiers->pool, (tiers->config.exact_newest + tokens - 1) / tokens);
}

static int benches_make(struct cupool_tiers *tiers)
{
    bool staged = cupool_device_kind(tiers->device) == CUPOOL_DEVICE_GPU;
    int error = 0;

    for (uint32_t at = 0; at <= tiers->config.threads && error == 0; at++) {
        /* The last one in use is the callers'. */
        struct bench *bench = &tiers->benches[at < tiers->config.threads ? at : TIERS_THREADS_MAX];
        void *blocks = NULL;

        bench->stream = CUPOOL_STREAM_NONE;
        if (!staged) {
            bench->entries = kv_heap_allocate(&tiers->heap, tiers->config.batch, tiers->maximum);
            error = !bench->entries ? -ENOMEM : 0;
            continue;
        }
        /* Allocates entries and blocks together: both are copied from and to the device. */
        error = cupool_device_host_allocate(
            tiers->device, tiers->config.batch * (tiers->maximum + tiers->staged), &blocks);
        if (error == 0) {
            bench->entries = blocks;
            bench->blocks = bench->entries + tiers->config.batch * tiers->maximum;
            error = cupool_device_stream_create(tiers->device, &bench->stream);
        }
        if (error == 0)
            error = coder_make(tiers, &bench->coder);
    }
    return error;
}

static int queue_make(struct cupool_tiers *tiers)
{
    tiers->jobs = kv_heap_allocate(&tiers->heap, tiers->config.queue, sizeof(*tiers->jobs));
    tiers->offloads = kv_heap_allocate(&tiers->heap, tiers->config.requests,
                                       sizeof(*tiers->offloads));
    if (!tiers->jobs || !tiers->offloads)
        return -ENOMEM;
    for (uint32_t at = 0; at < tiers->config.queue; at++)
        tiers->jobs[at].next = at + 1 < tiers->config.queue ? at + 1 : TIER_NONE;
    for (uint32_t at = 0; at < tiers->config.requests; at++)
        tiers->offloads[at] = (struct offload){
            .generation = 1, .next = at + 1 < tiers->config.requests ? at + 1 : TIER_NONE};
    tiers->jobs_left = tiers->config.queue;
    tiers->stores = tiers->loads = (struct job_list){TIER_NONE, TIER_NONE, 0};
    return 0;
}

struct adoption {
    struct cupool_tiers *tiers;
    struct tier *tier;
};

/* An entry that a store has from before. */
static int entry_adopt(void *context, const struct cupool_tier_item *item, const void *header)
{
    const struct adoption *adoption = context;
    struct tier *tier = adoption->tier;
    enum cupool_tier_fault fault;
    uint64_t charge = tier->store.charge ? tier->store.charge(tier->store.state, item->bytes)
                                         : item->bytes;
    int error = item->bytes > adoption->tiers->maximum
                    ? -EFBIG
                    : entry_header_verify(&adoption->tiers->shape, &item->key, header, item->bytes,
                                          &fault);

    if (error < 0) {
        tier->counts.corrupt++;
        tier->counts.last_fault = error == -EFBIG ? CUPOOL_TIER_LONG : fault;
        return error;
    }
    error = tier_index_adopt(&tier->index, &item->key, charge, item->token);
    if (error == 0)
        tier->index.entries[tier_index_find(&tier->index, &item->key)].exact =
            ((const struct entry_header *)header)->codec != (uint32_t)adoption->tiers->config.codec;
    return error;
}

static int tier_make(struct cupool_tiers *tiers, struct tier *tier, const struct cupool_tier *from)
{
    struct adoption adoption = {tiers, tier};
    uint32_t entries = from->entries > 0 ? from->entries : TIER_ENTRIES;
    int error = 0;

    if (!from->store.put || !from->store.get || !from->store.remove || entries > TIER_ENTRIES_MAX ||
        (!from->store.shared && from->bytes == 0))
        return -EINVAL;
    tier->store = from->store;
    tier->counts.shared = from->store.shared;
    if (from->name)
        strncpy(tier->counts.name, from->name, sizeof(tier->counts.name) - 1);
    if (!from->store.shared)
        error = tier_index_init(&tier->index, &tiers->heap, entries, from->bytes);
    if (error == 0)
        error = kv_events_init(&tier->events, &tiers->heap, tiers->config.events, 0);
    if (error == 0 && !from->store.shared && from->store.list)
        error = from->store.list(from->store.state, entry_adopt, &adoption);
    return error;
}

static void tiers_free(struct cupool_tiers *tiers)
{
    for (uint32_t at = 0; at <= TIERS_THREADS_MAX; at++) {
        if (!tiers->benches[at].blocks)
            continue;
        coder_end(tiers, &tiers->benches[at].coder);
        cupool_device_host_free(tiers->device, tiers->benches[at].entries);
        if (tiers->benches[at].stream != CUPOOL_STREAM_NONE)
            cupool_device_stream_destroy(tiers->device, tiers->benches[at].stream);
    }
    coder_kernels_end(tiers);
    pthread_mutex_destroy(&tiers->lock);
    pthread_mutex_destroy(&tiers->caller_lock);
    pthread_cond_destroy(&tiers->work);
    pthread_cond_destroy(&tiers->idle);
    pthread_cond_destroy(&tiers->settled);
    kv_heap_done(&tiers->heap);
    free(tiers);
}

int cupool_tiers_create(struct cupool_device *device, struct cupool_kv *pool,
                        const struct cupool_tiers_config *config, const struct cupool_tier *from,
                        uint32_t count, struct cupool_tiers **ret_tiers)
{
    struct cupool_tiers *tiers;
    int error;

    if (!device || !pool || !config || !from || !ret_tiers || !config_valid(config, count))
        return -EINVAL;
    tiers = calloc(1, sizeof(*tiers));
    if (!tiers)
        return -ENOMEM;
    tiers->config = *config;
    tiers->config.identity = NULL; /* the caller's */
    tiers->device = device;
    tiers->pool = pool;
    tiers->backend = device_kv_backend(device);
    tiers->count = count;
    tiers->pid = getpid();
    pthread_mutex_init(&tiers->lock, NULL);
    pthread_mutex_init(&tiers->caller_lock, NULL);
    pthread_cond_init(&tiers->work, NULL);
    pthread_cond_init(&tiers->idle, NULL);
    pthread_cond_init(&tiers->settled, NULL);
    error = sizes_make(tiers, config->identity);
    if (error == 0)
        error = queue_make(tiers);
    if (error == 0)
        error = coder_kernels_make(tiers);
    if (error == 0)
        error = benches_make(tiers);
    for (uint32_t at = 0; at < count && error == 0; at++)
        error = tier_make(tiers, &tiers->tiers[at], &from[at]);
    if (error == 0) {
        error = tiers_threads_start(tiers);
        struct cupool_kv_lower lower = {tiers, lower_lookup, lower_load, lower_load_many};
        if (error == 0)
            error = cupool_kv_set_lower(pool, &lower);
        if (error < 0)
            tiers_threads_stop(tiers);
    }
    if (error < 0) {
        tiers_free(tiers);
        return error;
    }
    *ret_tiers = tiers;
    return 0;
}

void cupool_tiers_destroy(struct cupool_tiers *tiers)
{
    /* In a child the threads, locks and stores belong to the parent. */
    if (!tiers || tiers_here(tiers) < 0)
        return;
    cupool_kv_set_lower(tiers->pool, NULL);
    tiers_threads_stop(tiers);
    for (uint32_t at = 0; at < tiers->count; at++)
        if (tiers->tiers[at].store.close)
            tiers->tiers[at].store.close(tiers->tiers[at].store.state);
    tiers_free(tiers);
}

int cupool_tiers_lookup(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                        uint32_t count, uint8_t *ret_presence)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if (count > 0 && (!hashes || !ret_presence))
        return tiers_fail(tiers, -EINVAL, "an array argument is NULL");
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t at = 0; at < count; at++) {
        ret_presence[at] = CUPOOL_TIER_MISS;
        for (uint32_t tier = 0; tier < tiers->count && ret_presence[at] != CUPOOL_TIER_HIT;
             tier++) {
            const struct tier_index *index = &tiers->tiers[tier].index;
            if (tiers->tiers[tier].store.shared) {
                if (tier_available(&tiers->tiers[tier]))
                    ret_presence[at] = CUPOOL_TIER_ASK;
                continue;
            }
            uint32_t entry = tier_index_find(index, &hashes[at]);
            if (entry == TIER_NONE || index->entries[entry].doomed)
                continue;
            if (index->entries[entry].state == TIER_STORED)
                ret_presence[at] = CUPOOL_TIER_HIT;
            else if (index->entries[entry].state == TIER_STORING)
                ret_presence[at] = CUPOOL_TIER_PENDING;
        }
    }
    pthread_mutex_unlock(&tiers->lock);
    return 0;
}

/* Removes keys from a store without an index here, in whole batches. */
static void shared_forget(struct tier *tier, const struct cupool_kv_hash *hashes, uint32_t count)
{
    struct cupool_tier_item items[TIERS_BATCH_MAX];

    for (uint32_t at = 0, chunk; at < count; at += chunk) {
        chunk = count - at < TIERS_BATCH_MAX ? count - at : TIERS_BATCH_MAX;
        for (uint32_t next = 0; next < chunk; next++)
            items[next] = (struct cupool_tier_item){.key = hashes[at + next]};
        tier->store.remove(tier->store.state, items, chunk);
    }
}

int cupool_tiers_forget(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                        uint32_t count)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if (count > 0 && !hashes)
        return tiers_fail(tiers, -EINVAL, "an array argument is NULL");
    for (uint32_t at = 0; at < tiers->count; at++) {
        struct tier *tier = &tiers->tiers[at];

        if (tier->store.shared)
            shared_forget(tier, hashes, count);
        for (uint32_t hash = 0; hash < count && !tier->store.shared; hash++) {
            uint32_t entry;

            pthread_mutex_lock(&tiers->lock);
            if (tier_index_forget(&tier->index, &hashes[hash], &entry))
                tier_remove(tiers, at, entry);
            pthread_mutex_unlock(&tiers->lock);
        }
    }
    return 0;
}

/* Allocates a request and its jobs, in a chain. Under the lock. -EAGAIN: too much is pending. */
static int offload_reserve(struct cupool_tiers *tiers, uint32_t count, struct offload *request,
                           cupool_kv_ticket *ret_ticket, struct job **ret_jobs)
{
    uint32_t slot = tiers->offload_free;
    struct job *jobs = NULL;

    if (tiers->jobs_left < count || slot == TIER_NONE)
        return -EAGAIN;
    struct offload *offload = &tiers->offloads[slot];
    tiers->offload_free = offload->next;
    request->generation = offload->generation;
    request->used = true;
    request->left = count + 1; /* this call: it does not end before it has begun */
    *offload = *request;
    *ret_ticket = (uint64_t)offload->generation << 32 | slot;
    for (uint32_t at = 0; at < count; at++) {
        struct job *job = job_new(tiers);

        job->next = jobs ? (uint32_t)(jobs - tiers->jobs) : TIER_NONE;
        jobs = job;
    }
    tiers->batch++;
    tiers->beginning++;
    *ret_jobs = jobs;
    return 0;
}

static struct job *job_next(struct cupool_tiers *tiers, const struct job *job)
{
    return job->next == TIER_NONE ? NULL : &tiers->jobs[job->next];
}

/* Fills in the jobs. Without the lock, because it asks the pool. */
static int jobs_fill(struct cupool_tiers *tiers, struct job *jobs, const cupool_kv_handle *handles,
                     cupool_kv_ticket ticket)
{
    int error = 0;

    for (struct job *job = jobs; job && error == 0; job = job_next(tiers, job)) {
        struct kv_aged aged;

        error = kv_age_describe(tiers->pool, *handles, tiers->first_blocks, &aged);
        if (error < 0)
            break;
        job->kind = JOB_STORE;
        job->handle = *handles++;
        job->ticket = ticket;
        job->key = aged.key;
        job->exact = aged.exact;
    }
    return error;
}

/* Queues the jobs, or abandons them. Under the lock. */
static void offload_begin(struct cupool_tiers *tiers, struct job *jobs, uint32_t count,
                          cupool_kv_ticket ticket, int error)
{
    for (struct job *job = jobs, *next; job; job = next) {
        next = job_next(tiers, job);
        if (error < 0) {
            job_free(tiers, job);
            continue;
        }
        job->batch = tiers->batch;
        store_begin(tiers, job);
        job_queue(tiers, job);
    }
    tiers->beginning--;
    if (error < 0) {
        offload_free(tiers, offload_find(tiers, ticket));
        tiers_idle_tell(tiers);
        return;
    }
    tiers->counts.offloads += count;
    offload_step(tiers, ticket, 1);
}

int cupool_tiers_offload(struct cupool_tiers *tiers, const cupool_kv_handle *handles,
                         uint32_t count, cupool_stream stream,
                         void (*callback)(void *state, cupool_kv_ticket ticket, uint32_t stored,
                                          int error),
                         void *state, cupool_kv_ticket *ret_ticket)
{
    struct offload request = {.callback = callback, .callback_state = state};
    cupool_kv_ticket ticket = 0;
    struct job *jobs = NULL;
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if ((count > 0 && !handles) || !ret_ticket)
        return tiers_fail(tiers, -EINVAL, "an array argument is NULL");
    if (count > tiers->config.queue)
        return tiers_fail(tiers, -E2BIG, "more blocks than the queue holds");
    error = cupool_kv_retain(tiers->pool, handles, count);
    if (error < 0)
        return tiers_fail(tiers, error, "a handle is stale or not of the pool");
    error = stage_fence(tiers, stream, &request.fence, &request.fenced);
    if (error == 0) {
        pthread_mutex_lock(&tiers->lock);
        error = offload_reserve(tiers, count, &request, &ticket, &jobs);
        pthread_mutex_unlock(&tiers->lock);
    }
    if (error == 0) {
        *ret_ticket = ticket; /* the callback may come before the return */
        error = jobs_fill(tiers, jobs, handles, ticket);
        pthread_mutex_lock(&tiers->lock);
        offload_begin(tiers, jobs, count, ticket, error);
        pthread_mutex_unlock(&tiers->lock);
    }
    if (error == 0)
        return 0;
    if (request.fenced)
        stage_fence_end(tiers, request.fence);
    cupool_kv_release(tiers->pool, handles, count, CUPOOL_STREAM_NONE);
    return tiers_fail(tiers, error,
                      error == -EAGAIN   ? "too many transfers in flight"
                      : error == -EINVAL ? "a block is not fully registered"
                                         : "no fence can be recorded on this stream now");
}

int cupool_tiers_result(struct cupool_tiers *tiers, cupool_kv_ticket ticket, uint32_t *ret_stored)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    pthread_mutex_lock(&tiers->lock);
    struct offload *offload = offload_find(tiers, ticket);
    error = !offload ? -ESTALE : offload->ended ? offload->error : -EINPROGRESS;
    if (offload && offload->ended) {
        if (ret_stored)
            *ret_stored = offload->stored;
        offload_free(tiers, offload);
    }
    pthread_mutex_unlock(&tiers->lock);
    return error;
}

int cupool_tiers_cancel(struct cupool_tiers *tiers, cupool_kv_ticket ticket)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    pthread_mutex_lock(&tiers->lock);
    struct offload *offload = offload_find(tiers, ticket);
    if (!offload || offload->ended)
        error = -ESTALE;
    else
        offload->cancelled = true;
    pthread_mutex_unlock(&tiers->lock);
    return error < 0 ? tiers_fail(tiers, error, "no such request, or it has ended") : 0;
}

int cupool_tiers_drain(struct cupool_tiers *tiers)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    pthread_mutex_lock(&tiers->lock);
    while (tiers->stores.count + tiers->loads.count + tiers->storing + tiers->loading +
               tiers->callbacks + tiers->beginning >
           0)
        pthread_cond_wait(&tiers->idle, &tiers->lock);
    pthread_mutex_unlock(&tiers->lock);
    return 0;
}
