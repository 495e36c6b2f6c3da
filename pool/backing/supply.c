/* SPDX-License-Identifier: MIT */
/*
 * Growing, giving back, and the ladder between them.
 *
 * A run enters the page map before it is handed out and leaves it before the driver gets it back:
 * as soon as the driver has it, it may be anybody's.
 */
#include "pool/backing/supply.h"

#include <errno.h>

#include "pool/small/bin.h"
#include "pool/backing/device.h"
#include "pool/blocks/extents.h"
#include "pool/core/figures.h"
#include "pool/reuse/quarantine.h"
#include "pool/blocks/run_cache.h"
#include "pool/blocks/segment.h"
#include "pool/core/shard.h"

#define CEILING_SLACK_MIN   ((uint64_t)12 << 20)
#define CEILING_SLACK_SHARE 16u

/* The buddy grows by this share of what it has, so that calls are few when it is large. */
#define BUDDY_GROWTH_SHARE 16u

/* An open epoch with this share of the bound in it is closed when somebody needs memory. */
#define EPOCH_SHARE 4u

/* The same where the alternative is a block of another shard: that costs both of them a dozen cache
 * lines, and again when it is freed; a fence costs less. */
#define EPOCH_SHARE_APART 16u

static uint64_t ceiling_bytes(struct pool *pool, uint64_t live)
{
    uint64_t peak = pool_max(live, figures_peak(pool, GAUGE_live_allocated_bytes));
    return peak + pool_max(CEILING_SLACK_MIN, peak / CEILING_SLACK_SHARE);
}

/* ---- giving back ---- */

static void run_unlink(struct runs *runs, struct run *run)
{
    *(run->prev != NULL ? &run->prev->next : &runs->all) = run->next;
    if (run->next != NULL)
        run->next->prev = run->prev;
}

static void run_link(struct runs *runs, struct run *run)
{
    run->prev = NULL;
    run->next = runs->all;
    if (run->next != NULL)
        run->next->prev = run;
    runs->all = run;
}

/* Gives a run that is in no list of free ones to the driver. On error it still exists. */
static int run_return(struct pool *pool, struct run *run)
{
    struct runs *runs = &pool->runs;
    page_map_replace(run->address, run->bytes, 0);
    int rc = device_segment_free(pool, run->address, run->bytes);
    if (rc < 0) {
        page_map_replace(run->address, run->bytes, (page_entry)run | PAGE_ENTRY_RUN);
        return rc;
    }
    count_subtract(&pool->reserved, run->bytes);
    pool_lock_acquire(&runs->blocks.lock);
    run_unlink(runs, run);
    pool_lock_release(&runs->blocks.lock);
    metadata_free(METADATA_RUN, run, sizeof(*run), &pool->metadata_bytes);
    return 0;
}

static struct run *oldest_cached_take(struct runs *runs)
{
    pool_lock_acquire(&runs->blocks.lock);
    struct run *run = runs->oldest;
    if (run != NULL)
        run_cache_remove_locked(runs, run);
    pool_lock_release(&runs->blocks.lock);
    return run;
}

/* Gives cached runs back, oldest first, until `bytes` are back; *ret_returned says how many are. */
static int cached_return(struct pool *pool, uint64_t bytes, uint64_t *ret_returned)
{
    struct runs *runs = &pool->runs;
    uint64_t returned = 0;
    int rc = 0;
    while (rc == 0 && returned < bytes) {
        struct run *run = oldest_cached_take(runs);
        if (run == NULL)
            break;
        uint64_t run_bytes = run->bytes;
        rc = run_return(pool, run);
        if (rc == 0) {
            returned += run_bytes;
            continue;
        }
        pool_lock_acquire(&runs->blocks.lock);
        run_cache_insert_locked(runs, run);
        pool_lock_release(&runs->blocks.lock);
    }
    if (returned > 0) {
        figures_count(pool, COUNTER_trims, 1);
        device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_TRIM, .bytes = returned});
    }
    *ret_returned = returned;
    return rc;
}

/* Empty slabs to the buddy, wholly free runs of the buddy to the cache. */
static void empties_release(struct pool *pool)
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);
        if (shard == NULL)
            continue;
        for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
            struct bin *bin = &shard->bins[class];
            pool_lock_acquire(&bin->lock);
            bin_release_empty_locked(bin);
            pool_lock_release(&bin->lock);
        }
        pool_lock_acquire(&shard->extents.blocks.lock);
        segment_spare_release_locked(shard);
        pool_lock_release(&shard->extents.blocks.lock);
    }
}

static struct run *doomed_take(struct runs *runs)
{
    pool_lock_acquire(&runs->blocks.lock);
    struct run *run = runs->doomed;
    if (run != NULL)
        runs->doomed = run->newer;
    pool_lock_release(&runs->blocks.lock);
    return run;
}

/* Gives pinned runs without a block to the driver; what it refuses now stays doomed. */
static void doomed_return(struct pool *pool)
{
    struct runs *runs = &pool->runs;
    for (struct run *run; (run = doomed_take(runs)) != NULL;) {
        uint64_t bytes = run->bytes;
        int rc = run_return(pool, run);
        pool_lock_acquire(&runs->blocks.lock);
        if (rc == 0)
            count_subtract(&runs->wasted_bytes, bytes);
        if (rc < 0) {
            run->newer = runs->doomed;
            runs->doomed = run;
        }
        pool_lock_release(&runs->blocks.lock);
        if (rc < 0)
            return;
    }
}

/* A cached run that nobody wanted while so many requests had to use a fence holds room under the
 * ceiling that a run of a wanted size could have: give it back, and the next such request grows. */
#define STALE_AFTER_FENCE_SERVES 512u

static void stale_return(struct pool *pool)
{
    struct runs *runs = &pool->runs;
    uint64_t serves = count_get(&pool->fence_serves) + 1, returned;
    count_set(&pool->fence_serves, serves);
    pool_lock_acquire(&runs->blocks.lock);
    const struct run *oldest = runs->oldest;
    bool stale = oldest != NULL && serves - oldest->cached_since >= STALE_AFTER_FENCE_SERVES;
    pool_lock_release(&runs->blocks.lock);
    if (stale)
        cached_return(pool, 1, &returned);
}

/* ---- growing ---- */

static struct run *run_create(struct pool *pool, uint64_t address, size_t bytes)
{
    struct run *run = metadata_allocate(METADATA_RUN, sizeof(*run), &pool->metadata_bytes);
    if (run != NULL)
        *run = (struct run){.address = address, .bytes = bytes, .pool = pool, .use = RUN_CACHED};
    return run;
}

static bool run_cut(struct run *run, struct shard *shard)
{
    pool_lock_acquire(&shard->extents.blocks.lock);
    bool cut = segment_run_cut_locked(shard, run) == 0;
    pool_lock_release(&shard->extents.blocks.lock);
    return cut;
}

static int run_adopt(struct supply_request *request, struct run *run)
{
    struct pool *pool = request->pool;
    struct runs *runs = &pool->runs;
    int rc = page_map_insert(run->address, run->bytes, (page_entry)run | PAGE_ENTRY_RUN);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -ENOTSUP;
    count_add(&pool->reserved, run->bytes);
    run->cached_since = count_get(&pool->fence_serves);
    bool cut = !request->whole_run && run_cut(run, shard_here(pool));
    pool_lock_acquire(&runs->blocks.lock);
    run_link(runs, run);
    if (!cut)
        run_cache_insert_locked(runs, run);
    pool_lock_release(&runs->blocks.lock);
    count_add_shared(&pool->generation, 1);
    figures_sample(pool);
    return 0;
}

static int driver_grow(struct supply_request *request, size_t bytes)
{
    struct pool *pool = request->pool;
    if (pool->config.limit_bytes != 0 &&
        count_get(&pool->reserved) + bytes > pool->config.limit_bytes)
        return -ENOMEM;
    uint64_t address;
    request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    int rc = device_segment_allocate(pool, bytes, &address);
    if (rc < 0)
        return rc;

    rc = -ENOTSUP;
    struct run *run = NULL;
    if (address % POOL_SEGMENT_BYTES != 0)
        goto give_back;
    rc = -ENOMEM;
    run = run_create(pool, address, bytes);
    if (run == NULL)
        goto give_back;
    rc = run_adopt(request, run);
    if (rc < 0)
        goto give_back;
    return 0;

give_back:
    metadata_free(METADATA_RUN, run, sizeof(*run), &pool->metadata_bytes);
    device_segment_free(pool, address, bytes);
    return rc;
}

/* The size of the next driver allocation: more than one segment where the buddy is large. */
static size_t growth_bytes(const struct supply_request *request, uint64_t ceiling)
{
    if (request->whole_run)
        return request->wanted_bytes;
    uint64_t share = count_get(&shard_here(request->pool)->extents.buddy_bytes) /
                     BUDDY_GROWTH_SHARE;
    uint64_t bytes = pool_max(share & ~(POOL_SEGMENT_BYTES - 1), POOL_SEGMENT_BYTES);
    uint64_t room = pool_minus(ceiling, count_get(&request->pool->reserved));
    bytes = pool_min(bytes, SEGMENT_CUT_MAX);
    return bytes <= room ? bytes : POOL_SEGMENT_BYTES;
}

static int grow(struct supply_request *request, uint64_t ceiling)
{
    struct pool *pool = request->pool;
    size_t bytes = growth_bytes(request, ceiling);
    uint64_t after = count_get(&pool->reserved) + bytes, returned;
    if (after > ceiling && count_get(&pool->runs.cached_bytes) > 0) {
        request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
        cached_return(pool, after - ceiling, &returned);
    }
    int rc = driver_grow(request, bytes);
    if (rc == -ENOMEM && !request->whole_run && bytes > POOL_SEGMENT_BYTES)
        rc = driver_grow(request, POOL_SEGMENT_BYTES);
    return rc;
}

/* Whether the pool may grow for no need but to keep shards apart: below the ceiling that the peak
 * alone allows, and while the driver does not refuse. */
static bool apart_may_grow(struct pool *pool)
{
    return !atomic_load_explicit(&pool->refused, memory_order_relaxed) &&
           count_get(&pool->reserved) + POOL_SEGMENT_BYTES <= ceiling_bytes(pool, 0);
}

static bool apart_grow(struct supply_request *request)
{
    return apart_may_grow(request->pool) &&
           driver_grow(request, growth_bytes(request, ceiling_bytes(request->pool, 0))) == 0;
}

/* ---- the quarantine as a source ---- */

static bool fences_query(struct supply_request *request)
{
    struct pool *pool = request->pool;
    uint64_t queries = count_get(&pool->counters[COUNTER_fence_queries]);
    bool any = quarantine_poll_locked(pool);
    if (count_get(&pool->counters[COUNTER_fence_queries]) != queries)
        request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    return any;
}

static bool fences_poll(struct supply_request *request)
{
    return fences_query(request) && quarantine_flush_locked(request->pool);
}

static void epoch_close(struct supply_request *request)
{
    request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    quarantine_close_locked(request->pool);
}

static bool fence_wait(struct supply_request *request)
{
    int rc = quarantine_wait_locked(request->pool);
    if (rc <= 0)
        return false;
    request->outcome = POOL_OUTCOME_WAITED;
    quarantine_flush_locked(request->pool);
    return true;
}

/* Whether the quarantine gave something, after queries or after a wait that is owed. */
static bool quarantine_serve(struct supply_request *request, uint64_t ceiling)
{
    struct pool *pool = request->pool;
    uint64_t all, open, bound = quarantine_bound(pool);
    quarantine_bytes_get(pool, &all, &open);
    uint64_t after = count_get(&pool->reserved) + request->wanted_bytes;
    bool useful = all >= request->wanted_bytes;
    if (open > 0 && (open >= bound / EPOCH_SHARE || (after > ceiling && useful)))
        epoch_close(request);
    if (fences_poll(request)) {
        stale_return(pool);
        return true;
    }
    bool owed = all > bound ||
                (useful && after - pool_min(after, count_get(&pool->runs.cached_bytes)) > ceiling);
    return owed && fence_wait(request);
}

/* ---- the ladder ---- */

static bool pressure_wait(struct supply_request *request)
{
    struct pool *pool = request->pool;
    uint64_t all, open;
    quarantine_bytes_get(pool, &all, &open);
    if (open > 0)
        epoch_close(request);
    if (request->rung == SUPPLY_GROW) {
        request->rung = SUPPLY_WAIT;
        figures_count(pool, COUNTER_pressure_retire, 1);
        if (fences_poll(request))
            return true;
    }
    if (!fence_wait(request))
        return false;
    figures_count(pool, COUNTER_pressure_wait, 1);
    return true;
}

/* What the pool cannot wait for, because a stream captures, the driver can, as it would without us:
 * one run of the quarantine at a time. */
static bool quarantined_surrender(struct pool *pool)
{
    uint64_t before = count_get(&pool->reserved);
    pool_lock_acquire(&pool->runs.blocks.lock);
    bool any = runs_surrender_locked(pool);
    pool_lock_release(&pool->runs.blocks.lock);
    if (!any)
        return false;
    figures_count(pool, COUNTER_pressure_surrender, 1);
    doomed_return(pool);
    return count_get(&pool->reserved) < before;
}

static int pressure_return(struct supply_request *request)
{
    struct pool *pool = request->pool;
    figures_count(pool, COUNTER_pressure_return, 1);
    size_t bytes = request->whole_run ? request->wanted_bytes : POOL_SEGMENT_BYTES;
    int rc = -ENOMEM;
    empties_release(pool);
    for (uint64_t wanted = bytes, returned = 1; rc == -ENOMEM && returned > 0;
         wanted = UINT64_MAX) {
        cached_return(pool, wanted, &returned);
        if (returned > 0)
            rc = driver_grow(request, bytes);
    }
    while (rc == -ENOMEM && quarantined_surrender(pool))
        rc = driver_grow(request, bytes);
    return rc;
}

static int pressure_climb(struct supply_request *request)
{
    struct pool *pool = request->pool;
    if (request->rung < SUPPLY_RETURN && pressure_wait(request))
        return 0;
    if (request->rung < SUPPLY_RETURN) {
        request->rung = SUPPLY_RETURN;
        request->fit = EXTENTS_FIT_ANY;
        empties_release(pool);
        return 0; /* what was empty may serve */
    }
    if (request->rung < SUPPLY_FAIL) {
        request->rung = SUPPLY_FAIL;
        return pressure_return(request);
    }
    return -ENOMEM;
}

static int supply_step(struct supply_request *request)
{
    struct pool *pool = request->pool;
    if (count_get(&pool->generation) != request->generation)
        return 0;
    if (quarantine_flush_locked(pool))
        return 0;
    doomed_return(pool);

    uint64_t gauges[GAUGE_COUNT];
    figures_gauges_get(pool, gauges);
    uint64_t ceiling = ceiling_bytes(pool,
                                     gauges[GAUGE_live_allocated_bytes] + request->wanted_bytes);
    if (request->rung == SUPPLY_GROW && quarantine_serve(request, ceiling))
        return 0;
    if (request->fit == EXTENTS_FIT_CLOSE && request->whole_run &&
        count_get(&pool->reserved) + request->wanted_bytes > ceiling) {
        request->fit = EXTENTS_FIT_BUDGET;
        return 0;
    }
    int rc = request->rung <= SUPPLY_WAIT ? grow(request, ceiling) : -ENOMEM;
    return rc == -ENOMEM ? pressure_climb(request) : rc;
}

void supply_attempt(struct supply_request *request)
{
    request->generation = count_get(&request->pool->generation);
}

/* Whether supply_apart() is likely to give something; asked without a lock. */
static bool apart_promising(struct pool *pool, const struct shard *shard)
{
    return quarantine_pending(pool) || shard->flushed_number != quarantine_retired(pool) ||
           quarantine_due(pool, EPOCH_SHARE_APART) || apart_may_grow(pool);
}

static bool apart_step(struct supply_request *request, struct shard *shard)
{
    struct pool *pool = request->pool;
    if (count_get(&pool->generation) != request->generation)
        return true;
    if (quarantine_due(pool, EPOCH_SHARE_APART))
        epoch_close(request);
    return fences_query(request) || quarantine_shard_flush_locked(shard) || apart_grow(request);
}

bool supply_apart(struct supply_request *request)
{
    struct pool *pool = request->pool;
    struct shard *shard = shard_here(pool);
    if (!atomic_load_explicit(&pool->spread, memory_order_relaxed) || !apart_promising(pool, shard))
        return false;
    pool_lock_acquire(&pool->backend_lock);
    bool any = apart_step(request, shard);
    pool_lock_release(&pool->backend_lock);
    return any;
}

int supply_more(struct supply_request *request)
{
    struct pool *pool = request->pool;
    pool_lock_acquire(&pool->backend_lock);
    int rc = supply_step(request);
    pool_lock_release(&pool->backend_lock);
    if (rc < 0) {
        figures_count(pool, COUNTER_failures, 1);
        if (rc == -ENOMEM)
            figures_count(pool, COUNTER_pressure_fail, 1);
        device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_FAILURE,
                                                  .error = rc,
                                                  .bytes = request->wanted_bytes});
    }
    return rc;
}

/* ---- trimming ---- */

/* Everything quarantined comes back, as far as the backend allows. */
static void quarantine_drain(struct pool *pool)
{
    uint64_t all, open;
    quarantine_bytes_get(pool, &all, &open);
    if (open > 0)
        quarantine_close_locked(pool);
    quarantine_poll_locked(pool);
    while (quarantine_wait_locked(pool) > 0)
        ;
    quarantine_flush_locked(pool);
}

void supply_doomed_return(struct pool *pool)
{
    pool_lock_acquire(&pool->backend_lock);
    quarantine_drain(pool);
    doomed_return(pool);
    pool_lock_release(&pool->backend_lock);
}

void supply_cache_bound(struct pool *pool)
{
    uint64_t cached = count_get(&pool->runs.cached_bytes), returned;
    if (POOL_LIKELY(pool->config.cache_max == 0 || cached <= pool->config.cache_max))
        return;
    pool_lock_acquire(&pool->backend_lock);
    cached = count_get(&pool->runs.cached_bytes);
    cached_return(pool, pool_minus(cached, pool->config.cache_max), &returned);
    pool_lock_release(&pool->backend_lock);
}

int pool_trim(struct pool *pool, size_t keep_bytes, size_t *ret_returned_bytes)
{
    uint64_t gauges[GAUGE_COUNT], returned;
    pool_lock_acquire(&pool->backend_lock);
    figures_gauges_get(pool, gauges);
    if (gauges[GAUGE_quarantined_bytes] + gauges[GAUGE_cached_bytes] > keep_bytes)
        quarantine_drain(pool);
    empties_release(pool);
    doomed_return(pool);
    uint64_t cached = count_get(&pool->runs.cached_bytes), surrendered = 0;
    int rc = cached_return(pool, pool_minus(cached, keep_bytes), &returned);
    if (keep_bytes == 0) {
        uint64_t before = count_get(&pool->reserved);
        while (quarantined_surrender(pool))
            ;
        surrendered = before - count_get(&pool->reserved);
    }
    pool_lock_release(&pool->backend_lock);
    figures_sample(pool);
    *ret_returned_bytes = returned + surrendered;
    return rc;
}
