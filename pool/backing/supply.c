/* SPDX-License-Identifier: MIT */
/*
 * Growing, releasing, and the pressure ladder.
 *
 * A run enters the page map before it is handed out and leaves it before the driver gets it back:
 * afterwards its addresses may belong to anybody.
 */
#include "pool/backing/supply.h"

#include <errno.h>

#include "pool/backing/mapped.h"
#include "pool/backing/supply_inner.h"
#include "pool/backing/supply_mapped.h"
#include "pool/heap/bin.h"
#include "pool/heap/device.h"
#include "pool/heap/extents.h"
#include "pool/heap/figures.h"
#include "pool/heap/quarantine.h"
#include "pool/heap/run_cache.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"

#define CEILING_SLACK_MIN   ((uint64_t)12 << 20)
#define CEILING_SLACK_SHARE 16u

/* The buddy grows by this fraction of its size, so that a large pool makes few calls. */
#define BUDDY_GROWTH_SHARE 16u

/* An open epoch with this fraction of the bound is closed when somebody needs memory. */
#define EPOCH_SHARE 4u

/* The fraction when the alternative is a block of another shard: that costs both shards a dozen
 * cache lines, and again at the free; a fence costs less. */
#define EPOCH_SHARE_APART 16u

uint64_t supply_ceiling(struct pool *pool, uint64_t live)
{
    uint64_t peak = pool_max(live, figures_peak(pool, GAUGE_live_allocated_bytes));

    if (pool->config.ceiling_percent != 0)
        return peak + pool_max(POOL_SEGMENT_BYTES, peak / 100 * pool->config.ceiling_percent);
    if (pool->mapped)
        return mapped_ceiling(pool->mapped, peak);
    return peak + pool_max(CEILING_SLACK_MIN, peak / CEILING_SLACK_SHARE);
}

/* ---- giving back ---- */

/* Returns a RUN_DOOMED that is in no list to the driver, which may wait for the device: without
 * a lock. On error it still exists. */
static int run_return(struct pool *pool, struct run *run)
{
    struct runs *runs = &pool->runs;

    page_map_replace(run->address, run->bytes, 0);
    pool_lock_release(&pool->backend_lock);
    int error = device_segment_free(pool, run->address, run->bytes);
    pool_lock_acquire(&pool->backend_lock);
    if (error < 0) {
        page_map_replace(run->address, run->bytes, (page_entry)run | PAGE_ENTRY_RUN);
        return error;
    }
    count_subtract(&pool->reserved, run->bytes);
    count_add(&pool->room, run->bytes);
    pool_lock_acquire(&runs->blocks.lock);
    run_unlink_locked(runs, run);
    count_subtract(&runs->wasted_bytes, run->bytes);
    pool_lock_release(&runs->blocks.lock);
    metadata_free(METADATA_RUN, run, sizeof(*run), &pool->metadata_bytes);
    return 0;
}

static struct run *oldest_cached_take(struct runs *runs)
{
    pool_lock_acquire(&runs->blocks.lock);
    struct run *run = runs->oldest;
    if (run) {
        run_cache_remove_locked(runs, run);
        run->use = RUN_DOOMED;
        count_add(&runs->wasted_bytes, run->bytes);
    }
    pool_lock_release(&runs->blocks.lock);
    return run;
}

static void doomed_cache(struct runs *runs, struct run *run)
{
    pool_lock_acquire(&runs->blocks.lock);
    count_subtract(&runs->wasted_bytes, run->bytes);
    run_cache_insert_locked(runs, run);
    pool_lock_release(&runs->blocks.lock);
}

/* Returns cached runs, oldest first, until `bytes` are back, or all that are cached now;
 * *ret_returned says how many. */
int supply_cached_return(struct pool *pool, uint64_t bytes, uint64_t *ret_returned)
{
    struct runs *runs = &pool->runs;
    uint64_t returned = 0;
    int error = 0;

    bytes = pool_min(bytes, runs_free_bytes(runs));
    if (pool->mapped && bytes > 0)
        returned = supply_mapped_return(pool, bytes);
    bytes = pool_min(bytes, count_get(&runs->cached_bytes));
    while (error == 0 && returned < bytes) {
        struct run *run = oldest_cached_take(runs);

        if (!run)
            break;
        uint64_t run_bytes = run->bytes;
        error = run_return(pool, run);
        if (error == 0)
            returned += run_bytes;
        else
            doomed_cache(runs, run);
    }
    if (returned > 0) {
        figures_count(pool, COUNTER_trims, 1);
        device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_TRIM, .bytes = returned});
    }
    *ret_returned = returned;
    return error;
}

/* Returns empty slabs to the buddy, wholly free runs of the buddy to the cache. */
void supply_empties_release(struct pool *pool)
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        if (!shard)
            continue;
        for (unsigned size_class = 0; size_class < SIZE_CLASS_COUNT; size_class++) {
            struct bin *bin = &shard->bins[size_class];

            pool_lock_acquire(&bin->lock);
            bin_release_empty_locked(bin);
            pool_lock_release(&bin->lock);
        }
        pool_lock_acquire(&shard->extents.blocks.lock);
        segment_spare_release_locked(shard);
        pool_lock_release(&shard->extents.blocks.lock);
    }
}

static struct run *doomed_take_all(struct runs *runs)
{
    pool_lock_acquire(&runs->blocks.lock);
    struct run *run = runs->doomed;
    runs->doomed = NULL;
    pool_lock_release(&runs->blocks.lock);
    return run;
}

static void doomed_put(struct runs *runs, struct run *run)
{
    pool_lock_acquire(&runs->blocks.lock);
    run->newer = runs->doomed;
    runs->doomed = run;
    pool_lock_release(&runs->blocks.lock);
}

/* Returns runs that may not be handed out again to the driver; a refused run stays doomed. */
void supply_doomed_try(struct pool *pool)
{
    struct runs *runs = &pool->runs;
    int error = 0;

    supply_isolated_try(pool);
    if (pool->mapped && supply_mapped_may_unmap(pool))
        mapped_spent_release(pool->mapped);
    for (struct run *run = doomed_take_all(runs), *next; run; run = next) {
        next = run->newer;
        error = error == 0 ? run_return(pool, run) : error;
        if (error < 0)
            doomed_put(runs, run);
    }
}

bool supply_quarantined(const struct pool *pool)
{
    uint64_t all, open;

    quarantine_bytes_get(pool, &all, &open);
    return all > 0;
}

bool supply_may_gain(struct pool *pool, bool parts)
{
    if (supply_quarantined(pool) || count_get(&pool->runs.wasted_bytes) > 0)
        return true;
    return pool->mapped ? supply_mapped_may_gain(pool, parts) : runs_free_bytes(&pool->runs) > 0;
}

/* Whether memory can be returned without a wait, unless this request has found that out already. */
static int device_idle(struct supply_request *request)
{
    if (request->idle)
        return 1;
    int idle = quarantine_returnable_locked(request->pool, &request->all_idle);
    request->idle = idle == 1;
    return idle;
}

/* If this many requests had to use a fence while nobody wanted a cached run, the run takes room
 * under the ceiling that a run of a wanted size could have: returns it, and the next such
 * request grows. */
#define STALE_AFTER_FENCE_SERVES 512u

static void stale_return(struct supply_request *request)
{
    struct pool *pool = request->pool;
    struct runs *runs = &pool->runs;
    uint64_t serves = count_get(&pool->fence_serves) + 1, returned;

    count_set(&pool->fence_serves, serves);
    pool_lock_acquire(&runs->blocks.lock);
    const struct run *oldest = runs->oldest;
    bool stale = oldest && serves - oldest->cached_since >= STALE_AFTER_FENCE_SERVES;
    pool_lock_release(&runs->blocks.lock);
    if (stale && device_idle(request) == 1)
        supply_cached_return(pool, 1, &returned);
}

/* ---- growing ---- */

static struct run *run_create(struct pool *pool, uint64_t address, size_t bytes)
{
    struct run *run = metadata_allocate(METADATA_RUN, sizeof(*run), &pool->metadata_bytes);

    if (run)
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
    page_entry entry = (page_entry)run | PAGE_ENTRY_RUN;
    int error = run->bytes > SEGMENT_CUT_PRESSED_MAX /* never cut */
                    ? page_map_insert_whole(run->address, run->bytes, entry)
                    : page_map_insert(run->address, run->bytes, entry);

    if (error < 0)
        return error == -ENOMEM ? error : -ENOTSUP;
    count_add(&pool->reserved, run->bytes);
    run->cached_since = count_get(&pool->fence_serves);
    bool cut = !request->whole_run && run_cut(run, shard_here(pool));
    pool_lock_acquire(&runs->blocks.lock);
    run_link_locked(runs, run);
    if (!cut)
        run_cache_insert_locked(runs, run);
    pool_lock_release(&runs->blocks.lock);
    count_add_shared(&pool->generation, 1);
    figures_sample(pool);
    return 0;
}

/* Asks the driver when the pool has doubled since, and each time near the end. */
#define ROOM_NEAR_BOUNDS 8u

static void room_take(struct pool *pool, size_t bytes)
{
    uint64_t reserved = count_get(&pool->reserved);
    uint64_t room = pool_minus(count_get(&pool->room), bytes);

    if (reserved >= pool->room_look_at || room < ROOM_NEAR_BOUNDS * quarantine_bound(pool)) {
        room = device_room(pool, NULL);
        if (pool->config.limit_bytes != 0)
            room = pool_min(room, pool->config.limit_bytes - reserved);
        pool->room_look_at = 2 * reserved;
    }
    count_set(&pool->room, room);
}

static int driver_grow(struct supply_request *request, size_t bytes)
{
    struct pool *pool = request->pool;

    if (pool->config.limit_bytes != 0 &&
        count_get(&pool->reserved) + bytes > pool->config.limit_bytes) {
        count_set(&pool->room, 0);
        return -ENOMEM;
    }
    uint64_t address;
    request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    int error = device_segment_allocate(pool, bytes, &address);
    if (error == -ENOMEM)
        count_set(&pool->room, 0);
    if (error < 0)
        return error;

    error = -ENOTSUP;
    struct run *run = NULL;
    if (address % POOL_SEGMENT_BYTES != 0)
        goto give_back;
    error = -ENOMEM;
    run = run_create(pool, address, bytes);
    if (!run)
        goto give_back;
    error = run_adopt(request, run);
    if (error < 0)
        goto give_back;
    room_take(pool, bytes);
    return 0;

give_back:
    metadata_free(METADATA_RUN, run, sizeof(*run), &pool->metadata_bytes);
    pool_lock_release(&pool->backend_lock); /* as in run_return() */
    device_segment_free(pool, address, bytes);
    pool_lock_acquire(&pool->backend_lock);
    return error;
}

/* Size of the next driver allocation: more than one segment if the buddy is large. */
static size_t growth_bytes(const struct supply_request *request, uint64_t ceiling)
{
    if (request->whole_run)
        return request->wanted_bytes;
    uint64_t buddy = count_get(&shard_here(request->pool)->extents.buddy_bytes);
    uint32_t percent = request->pool->config.growth_percent;
    uint64_t share = percent != 0 ? buddy / 100 * percent : buddy / BUDDY_GROWTH_SHARE;
    uint64_t bytes = pool_max(share & ~(POOL_SEGMENT_BYTES - 1), POOL_SEGMENT_BYTES);
    uint64_t room = pool_minus(ceiling, count_get(&request->pool->reserved));
    bytes = pool_min(bytes, SEGMENT_CUT_MAX);
    return bytes <= room ? bytes : POOL_SEGMENT_BYTES;
}

/* Gets `bytes`, as a run or as mapped memory, from the driver. */
static int memory_grow(struct supply_request *request, size_t bytes, bool stitch)
{
    struct pool *pool = request->pool;

    if (!pool->mapped)
        return driver_grow(request, bytes);
    uint64_t before = count_get(&pool->reserved);
    int error = supply_mapped_grow(request, bytes, stitch);
    if (error == -ENOMEM)
        count_set(&pool->room, 0);
    else if (error == 0)
        room_take(pool, pool_minus(count_get(&pool->reserved), before));
    return error;
}

static int grow(struct supply_request *request, uint64_t ceiling)
{
    struct pool *pool = request->pool;
    size_t bytes = growth_bytes(request, ceiling);
    uint64_t after = count_get(&pool->reserved) + bytes, returned;
    bool idle = false, above = after > ceiling;

    if ((above || (pool->mapped && mapped_above_ceiling(pool->mapped, bytes))) &&
        runs_free_bytes(&pool->runs) > 0) {
        request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
        idle = device_idle(request) == 1;
        pool->overgrown = pool->overgrown || (above && !idle);
        if (idle && !pool->mapped)
            supply_cached_return(pool, after - ceiling, &returned);
    }
    int error = memory_grow(request, bytes, idle);
    if (error == -ENOMEM && !request->whole_run && bytes > POOL_SEGMENT_BYTES && !pool->mapped)
        error = driver_grow(request, POOL_SEGMENT_BYTES);
    return error;
}

/* Whether the pool may grow only to keep shards apart: below the ceiling that the peak alone
 * allows, and while the driver does not refuse. */
static bool apart_may_grow(struct pool *pool)
{
    return !atomic_load_explicit(&pool->refused, memory_order_relaxed) &&
           count_get(&pool->reserved) + POOL_SEGMENT_BYTES <= supply_ceiling(pool, 0);
}

static bool apart_grow(struct supply_request *request)
{
    return apart_may_grow(request->pool) &&
           memory_grow(request, growth_bytes(request, supply_ceiling(request->pool, 0)), false) ==
               0;
}

/* ---- the quarantine as a source ---- */

static bool fences_query(struct supply_request *request)
{
    struct pool *pool = request->pool;
    uint64_t queries = count_get(&pool->counters[COUNTER_fence_queries]);
    bool any = quarantine_poll_locked(pool);

    if (count_get(&pool->counters[COUNTER_fence_queries]) != queries)
        request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    if (request->closed && any && !quarantine_pending(pool))
        request->idle = request->all_idle = true;
    return any;
}

static bool fences_poll(struct supply_request *request)
{
    return fences_query(request) && quarantine_flush_locked(request->pool);
}

/* Closes the open epoch and queries its fence: pointless while something older is pending. */
static bool open_query(struct supply_request *request)
{
    if (quarantine_pending(request->pool))
        return false;
    request->outcome = (enum pool_outcome)pool_max(request->outcome, POOL_OUTCOME_MISS);
    request->closed = quarantine_close_locked(request->pool, QUARANTINE_BY_OTHERS) == 0;
    return request->closed && fences_query(request);
}

/* Whether the quarantine yielded anything without waiting. */
static bool quarantine_serve(struct supply_request *request, uint64_t ceiling)
{
    struct pool *pool = request->pool;
    bool any = fences_poll(request);
    uint64_t all, open, bound = quarantine_bound(pool);

    quarantine_bytes_get(pool, &all, &open);
    uint64_t after = count_get(&pool->reserved) + request->wanted_bytes;
    bool useful = all >= request->wanted_bytes;
    if (!any && open > 0 && (open >= bound / EPOCH_SHARE || (after > ceiling && useful)))
        any = open_query(request) && quarantine_flush_locked(pool);
    if (any)
        stale_return(request);
    return any;
}

/* ---- the ladder ---- */

static bool pressure_retire(struct supply_request *request)
{
    uint64_t all, open;

    figures_count(request->pool, COUNTER_pressure_retire, 1);
    if (fences_poll(request))
        return true;
    quarantine_bytes_get(request->pool, &all, &open);
    return open > 0 && open_query(request) && quarantine_flush_locked(request->pool);
}

/* Keeps the smallest sufficient cached run, in case nothing better comes. */
static struct run *whole_find_locked(const struct supply_request *request, size_t cut_most)
{
    size_t least = request->whole_run ? request->wanted_bytes : POOL_SEGMENT_BYTES;
    struct run *run = run_cache_best_locked(&request->pool->runs, least);
    bool cuttable = run && run->bytes <= cut_most;

    return request->whole_run || cuttable ? run : NULL;
}

static bool whole_find(const struct supply_request *request)
{
    struct pool_lock *lock = &request->pool->runs.blocks.lock;

    pool_lock_acquire(lock);
    bool found = whole_find_locked(request, SEGMENT_CUT_PRESSED_MAX);
    pool_lock_release(lock);
    return found;
}

/* Whether a wait has yielded anything: then that is tried, and the ladder restarts. */
static bool pressure_wait(struct supply_request *request)
{
    struct pool *pool = request->pool;
    bool all = false;

    if (request->idle && !supply_quarantined(pool) &&
        (request->all_idle || !pool->mapped || !supply_mapped_may_break(pool)))
        return false; /* there is nothing to wait for */
    int error = quarantine_wait_owed_locked(pool, request->last_number);

    if (error <= 0 && !request->drained) {
        request->drained = all = true;
        error = quarantine_wait_patiently_locked(pool, whole_find(request) ? QUARANTINE_A_MOMENT
                                                                           : QUARANTINE_SECONDS);
    }
    if (error <= 0)
        return false;
    request->outcome = POOL_OUTCOME_WAITED;
    request->idle = request->all_idle = all;
    request->closed = false;
    request->rung = SUPPLY_GROW;
    request->fit = EXTENTS_FIT_CLOSE;
    quarantine_flush_locked(pool);
    figures_count(pool, COUNTER_pressure_wait, 1);
    return true;
}

/* The pool cannot wait, because a stream captures, but the driver can, as it would without us:
 * returns one run of the quarantine at a time. Returns its bytes. */
static uint64_t quarantined_surrender(struct pool *pool)
{
    uint64_t bytes = 0;

    pool_lock_acquire(&pool->runs.blocks.lock);
    struct run *run = runs_surrender_locked(pool);
    pool_lock_release(&pool->runs.blocks.lock);
    if (!run)
        return 0;
    figures_count(pool, COUNTER_pressure_surrender, 1);
    bytes = run->bytes;
    if (run_return(pool, run) == 0)
        return bytes;
    doomed_put(&pool->runs, run);
    return 0;
}

/* All that is quarantined now. */
uint64_t supply_surrender_all(struct pool *pool)
{
    uint64_t most = count_get(&pool->runs.blocks.quarantined_bytes), all = 0, bytes = 1;

    while (all < most && bytes > 0)
        all += bytes = quarantined_surrender(pool);
    return all;
}

static size_t least_growth(const struct supply_request *request)
{
    return request->whole_run ? request->wanted_bytes : POOL_SEGMENT_BYTES;
}

/* Does the same in mapped memory: stitches; if that is not enough and the device is idle,
 * breaks handles; then takes any place. */
static int mapped_return(struct supply_request *request, size_t bytes)
{
    int error = memory_grow(request, bytes, true);

    while (error == -ENOMEM && request->all_idle && supply_mapped_break(request->pool))
        error = memory_grow(request, bytes, true);
    if (error == -ENOMEM && request->pool->runs.range->by_page) {
        request->fit = EXTENTS_FIT_ANY;
        error = memory_grow(request, bytes, true);
    }
    return error;
}

/* Returns cached memory, first as much as needed, then all, and requests the wanted size. */
static int pressure_return(struct supply_request *request)
{
    struct pool *pool = request->pool;
    size_t bytes = least_growth(request);
    int error = -ENOMEM;

    figures_count(pool, COUNTER_pressure_return, 1);
    supply_empties_release(pool);
    supply_doomed_try(pool);
    if (pool->mapped)
        return mapped_return(request, bytes);
    uint64_t returned;
    for (int round = 0; error == -ENOMEM && round < 2; round++) {
        supply_cached_return(pool, round == 0 ? bytes : UINT64_MAX, &returned);
        if (returned > 0)
            error = driver_grow(request, bytes);
    }
    return error;
}

/* Nothing shows whether the device is idle, because a stream captures or there are no fences: lets
 * the driver wait, as it would without us. Or only peers are busy, and it will not wait. */
static int pressure_surrender(struct supply_request *request)
{
    int error = pressure_return(request);

    while (error == -ENOMEM && quarantined_surrender(request->pool))
        error = driver_grow(request, least_growth(request));
    return error;
}

static int pressure_idle(struct supply_request *request)
{
    return !request->all_idle && quarantine_surrenderable_locked(request->pool)
               ? pressure_surrender(request)
               : pressure_return(request);
}

/* While a stream captures, only a wait shows that the device is idle. Without it a looser fit would
 * take twice the memory. */
static bool held_up_idle(struct supply_request *request)
{
    struct pool *pool = request->pool;

    if (!quarantine_held_up(pool) ||
        quarantine_wait_patiently_locked(pool, QUARANTINE_A_MOMENT) != 1)
        return false;
    quarantine_flush_locked(pool);
    request->idle = request->all_idle = true;
    return true;
}

/* Cuts a cached run of at most `most` bytes, if nothing else is left. */
static void whole_cut(struct supply_request *request, size_t most)
{
    struct runs *runs = &request->pool->runs;

    pool_lock_acquire(&runs->blocks.lock);
    struct run *run = whole_find_locked(request, most);
    if (run) {
        run_cache_remove_locked(runs, run);
        run->block.state = BLOCK_UNUSED;
    }
    pool_lock_release(&runs->blocks.lock);
    if (run && !run_cut(run, shard_here(request->pool)))
        segment_run_uncut(request->pool, run);
}

static int pressure_whole(struct supply_request *request)
{
    int error = -ENOMEM;

    request->rung = SUPPLY_WHOLE;
    request->fit = EXTENTS_FIT_WHOLE;
    if (device_idle(request) < 0 && quarantine_settle_locked(request->pool, QUARANTINE_SECONDS))
        error = pressure_surrender(request);
    else if (!request->whole_run && !request->pool->mapped)
        whole_cut(request, SEGMENT_CUT_PRESSED_MAX);
    return error == -ENOMEM ? 0 : error; /* one more attempt */
}

/* Whether neither a wait nor a return can help, as far as that shows without either: programs try
 * sizes until one fits, and repeat what was refused. *ret_anywhere: another place, against the
 * placement by page, may still serve. */
static bool is_hopeless(const struct supply_request *request, bool *ret_anywhere)
{
    struct pool *pool = request->pool;
    uint64_t total;

    supply_empties_release(pool);
    bool gains = supply_may_gain(pool, true);
    bool by_page = pool->mapped && pool->runs.range->by_page;
    *ret_anywhere = false;
    if (!request->whole_run || (!gains && !by_page))
        return !gains; /* one object may be enough */
    uint64_t room = device_room(pool, &total);
    bool enough = total == 0 || pool_spare_bytes(pool) + room >= request->wanted_bytes;
    *ret_anywhere = enough && by_page;
    return !gains || !enough;
}

/* What was empty, or lies anywhere, may still serve; there it may need less of the driver. */
static int hopeless_try(struct supply_request *request, bool anywhere)
{
    int error = -ENOMEM;

    request->rung = SUPPLY_WHOLE;
    request->fit = EXTENTS_FIT_WHOLE;
    if (anywhere)
        error = memory_grow(request, least_growth(request), false);
    return error == -ENOMEM ? 0 : error; /* one more attempt */
}

/* Takes the next rung. 0: try again, and ask the driver again. */
static int pressure_climb(struct supply_request *request)
{
    struct pool *pool = request->pool;
    int error = -ENOMEM;
    bool anywhere;

    switch (request->rung) {
    case SUPPLY_GROW:
        if (is_hopeless(request, &anywhere))
            return hopeless_try(request, anywhere);
        request->rung = SUPPLY_RETIRE;
        if (pressure_retire(request))
            return 0;
        __attribute__((fallthrough));
    case SUPPLY_RETIRE:
        request->rung = SUPPLY_RETURN;
        if (device_idle(request) == 1 || held_up_idle(request))
            error = pressure_idle(request);
        if (error != -ENOMEM)
            return error;
        __attribute__((fallthrough));
    case SUPPLY_RETURN:
        request->rung = SUPPLY_LOOSE;
        request->fit = (enum extents_fit)pool_max(request->fit, EXTENTS_FIT_ANY);
        supply_empties_release(pool);
        if (!request->whole_run && runs_are_short(pool))
            whole_cut(request, SEGMENT_CUT_MAX);
        return 0; /* what was empty, or is larger, may serve */
    case SUPPLY_LOOSE:
        if (pressure_wait(request))
            return 0;
        request->rung = SUPPLY_DRAIN;
        __attribute__((fallthrough));
    case SUPPLY_DRAIN: return pressure_whole(request);
    case SUPPLY_WHOLE: break;
    }
    return -ENOMEM;
}

/* Other threads may take the memory that a step has freed, as often as they like. */
#define STEPS_MAX 1000u

/* Apart from the step, so that the gauges are not on the stack below the driver's call. */
static POOL_NOINLINE uint64_t ceiling_of(struct pool *pool, const struct supply_request *request)
{
    uint64_t gauges[GAUGE_COUNT];

    figures_gauges_get(pool, gauges);
    return supply_ceiling(pool, gauges[GAUGE_live_allocated_bytes] + request->wanted_bytes);
}

static int supply_step(struct supply_request *request)
{
    struct pool *pool = request->pool;

    if (++request->steps > STEPS_MAX)
        return -ENOMEM;
    if (count_get(&pool->generation) != request->generation)
        return 0;
    if (quarantine_flush_locked(pool))
        return 0;
    supply_isolated_try(pool);

    uint64_t ceiling = ceiling_of(pool, request);
    if (request->rung == SUPPLY_GROW && quarantine_serve(request, ceiling))
        return 0;
    if (request->fit == EXTENTS_FIT_CLOSE && request->whole_run && !pool->mapped &&
        count_get(&pool->reserved) + request->wanted_bytes > ceiling) {
        request->fit = EXTENTS_FIT_BUDGET;
        return 0;
    }
    int error = request->rung == SUPPLY_GROW ? grow(request, ceiling) : -ENOMEM;
    return error == -ENOMEM ? pressure_climb(request) : error;
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
    bool any = fences_query(request);
    if (!any && quarantine_due(pool, EPOCH_SHARE_APART))
        any = open_query(request);
    return any || quarantine_shard_flush_locked(shard) || apart_grow(request);
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
    int error = supply_step(request);
    pool_lock_release(&pool->backend_lock);
    return error;
}

void supply_failed(struct pool *pool, size_t bytes, int error)
{
    figures_count(pool, COUNTER_failures, 1);
    if (error == -ENOMEM)
        figures_count(pool, COUNTER_pressure_fail, 1);
    device_observe(
        pool, &(struct pool_event){.kind = POOL_EVENT_FAILURE, .error = error, .bytes = bytes});
}
