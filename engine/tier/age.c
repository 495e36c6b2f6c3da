/* SPDX-License-Identifier: MIT */
/*
 * Work on the caller's thread: a step of the ager, and a match that brings blocks back.
 *
 * Both use the bench reserved for callers, one at a time.
 */
#include <errno.h>

#include "engine/tier/tiers.h"

static const struct bench *bench_enter(struct cupool_tiers *tiers)
{
    pthread_mutex_lock(&tiers->caller_lock);
    return &tiers->benches[TIERS_THREADS_MAX];
}

static void bench_leave(struct cupool_tiers *tiers)
{
    pthread_mutex_unlock(&tiers->caller_lock);
}

/* Returns how many blocks remain in the budget of a step; a time budget is checked at each
 * block. */
static uint32_t age_room(const struct cupool_tiers *tiers, const struct cupool_tier_age *age,
                         uint32_t blocks, uint64_t raw_bytes, uint64_t start_ns)
{
    uint64_t block = (uint64_t)tiers->shape.layers * tiers->shape.layer_bytes;
    uint64_t room = tiers->config.batch;

    if (age->blocks != 0 && age->blocks - blocks < room)
        room = age->blocks - blocks;
    if (age->bytes != 0 && (age->bytes - raw_bytes) / block < room)
        room = (age->bytes - raw_bytes) / block;
    if (age->time_ns != 0 && tiers_clock() - start_ns >= age->time_ns)
        room = 0;
    return age->time_ns != 0 && room > 1 ? 1 : (uint32_t)room;
}

/* Runs one batch of the ager. False: nothing is old enough, or a tier refused something. */
static bool age_batch(struct cupool_tiers *tiers, const struct bench *bench, uint64_t before_ns,
                      uint32_t room, uint32_t *blocks, uint64_t *entry_bytes)
{
    struct kv_aged aged[TIERS_BATCH_MAX];
    struct job jobs[TIERS_BATCH_MAX], *pointers[TIERS_BATCH_MAX];
    uint32_t count = kv_age_take(tiers->pool, before_ns, tiers->first_blocks, room, aged);
    bool whole = count > 0;

    pthread_mutex_lock(&tiers->lock);
    tiers->batch++;
    for (uint32_t at = 0; at < count; at++) {
        jobs[at] = (struct job){.key = aged[at].key,
                                .handle = aged[at].handle,
                                .exact = aged[at].exact,
                                .batch = tiers->batch};
        pointers[at] = &jobs[at];
        store_begin(tiers, &jobs[at]);
    }
    pthread_mutex_unlock(&tiers->lock);
    store_run(tiers, bench, pointers, count);
    for (uint32_t at = 0; at < count; at++) {
        bool below = jobs[at].result == 0 && !jobs[at].awaited &&
                     (!jobs[at].skip || jobs[at].present);

        whole &= below;
        if (!kv_age_give(tiers->pool, &aged[at], below))
            continue;
        ++*blocks;
        *entry_bytes += jobs[at].bytes;
    }
    return whole;
}

int cupool_tiers_age_step(struct cupool_tiers *tiers, const struct cupool_tier_age *age,
                          uint32_t *ret_blocks, uint64_t *ret_raw_bytes, uint64_t *ret_entry_bytes)
{
    uint64_t start_ns = tiers_clock(), now_ns, raw_bytes = 0, entry_bytes = 0;
    uint32_t blocks = 0, room;
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if (!age)
        return tiers_fail(tiers, -EINVAL, "the limits of the step are NULL");
    now_ns = kv_now(tiers->pool);
    const struct bench *bench = bench_enter(tiers);
    while (now_ns >= age->age_ns &&
           (room = age_room(tiers, age, blocks, raw_bytes, start_ns)) > 0) {
        bool more = age_batch(tiers, bench, now_ns - age->age_ns, room, &blocks, &entry_bytes);
        raw_bytes = (uint64_t)blocks * tiers->shape.layers * tiers->shape.layer_bytes;
        if (!more)
            break;
    }
    bench_leave(tiers);
    pthread_mutex_lock(&tiers->lock);
    tiers->counts.age_steps++;
    tiers->counts.aged += blocks;
    tiers->counts.aged_raw_bytes += raw_bytes;
    tiers->counts.aged_entry_bytes += entry_bytes;
    tiers->counts.age_ns += tiers_clock() - start_ns;
    pthread_mutex_unlock(&tiers->lock);
    if (ret_blocks)
        *ret_blocks = blocks;
    if (ret_raw_bytes)
        *ret_raw_bytes = raw_bytes;
    if (ret_entry_bytes)
        *ret_entry_bytes = entry_bytes;
    return 0;
}

/* Counts the hashes from here on that the pool lacks and a tier may have. */
static uint32_t run_below(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                          uint32_t count)
{
    uint8_t presence[TIERS_BATCH_MAX];
    uint32_t run = 0, here = 0;

    if (count > tiers->config.batch)
        count = tiers->config.batch;
    if (cupool_tiers_lookup(tiers, hashes, count, presence) < 0)
        return 0;
    while (run < count && (presence[run] == CUPOOL_TIER_HIT || presence[run] == CUPOOL_TIER_ASK) &&
           cupool_kv_peek(tiers->pool, &hashes[run], 1, &here) == 0 && here == 0)
        run++;
    return run;
}

/* Loads a run of blocks into memory taken for them. Returns how many loaded, counted from the
 * first. */
static uint32_t run_load(struct cupool_tiers *tiers, const struct bench *bench,
                         const struct cupool_kv_hash *hashes, uint32_t count,
                         const cupool_kv_handle *handles, cupool_stream stream)
{
    struct job jobs[TIERS_BATCH_MAX], *pointers[TIERS_BATCH_MAX];
    uint64_t fence = 0;
    uint32_t came = 0;
    bool fenced;

    if (stage_fence(tiers, stream, &fence, &fenced) < 0)
        return 0;
    for (uint32_t at = 0; at < count; at++) {
        jobs[at] = (struct job){.kind = JOB_LOAD,
                                .key = hashes[at],
                                .handle = handles[at],
                                .fence = fence,
                                .fenced = fenced && at == 0};
        pointers[at] = &jobs[at];
    }
    load_run(tiers, bench, pointers, count);
    if (fenced)
        stage_fence_end(tiers, fence);
    load_promote(tiers, bench, pointers, count);
    while (came < count && jobs[came].result == 0)
        came++;
    return came;
}

/* Brings a run back: takes blocks, loads, registers. Returns how many; 0: none, or no room. */
static uint32_t run_bring(struct cupool_tiers *tiers, const struct bench *bench,
                          const struct cupool_kv_hash *hashes, uint32_t at, uint32_t count,
                          cupool_stream stream, cupool_kv_handle *handles)
{
    struct cupool_kv *pool = tiers->pool;

    while (count > 0 && cupool_kv_allocate(pool, count, stream, handles) < 0)
        count /= 2; /* as far as there is room */
    if (count == 0)
        return 0;
    uint32_t came = run_load(tiers, bench, &hashes[at], count, handles, stream);
    if (came < count)
        cupool_kv_release(pool, handles + came, count - came, stream);
    if (came > 0 &&
        (cupool_kv_complete(pool, handles, came) < 0 ||
         cupool_kv_register(pool, handles, &hashes[at], came, at > 0 ? &hashes[at - 1] : NULL,
                            CUPOOL_KV_ANSWER_FIRST, CUPOOL_STREAM_NONE, handles) < 0)) {
        cupool_kv_release(pool, handles, came, stream);
        return 0;
    }
    return came;
}

int cupool_tiers_match(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                       uint32_t count, cupool_stream stream, cupool_kv_handle *ret_handles,
                       uint8_t *sources, uint32_t *ret_matched)
{
    uint32_t at = 0, step = 1;
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if (!ret_matched || (count > 0 && (!hashes || !ret_handles)))
        return tiers_fail(tiers, -EINVAL, "an array argument is NULL");
    while (at < count && step > 0) {
        error = cupool_kv_match(tiers->pool, hashes + at, count - at, ret_handles + at, &step);
        if (error < 0)
            break;
        for (uint32_t next = 0; next < step && sources; next++)
            sources[at + next] = CUPOOL_KV_PRESENT;
        at += step;
        step = at < count ? run_below(tiers, hashes + at, count - at) : 0;
        if (step == 0)
            break;
        const struct bench *bench = bench_enter(tiers);
        step = run_bring(tiers, bench, hashes, at, step, stream, ret_handles + at);
        bench_leave(tiers);
        for (uint32_t next = 0; next < step && sources; next++)
            sources[at + next] = CUPOOL_KV_LOADED;
        at += step;
    }
    if (error < 0) {
        cupool_kv_release(tiers->pool, ret_handles, at, stream);
        return error;
    }
    *ret_matched = at;
    return 0;
}
