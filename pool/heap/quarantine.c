/* SPDX-License-Identifier: MIT */
/*
 * The ring of closed epochs.
 *
 * Fences complete in the order of recording, so the oldest is queried first; once it is signalled,
 * the newest, which answers for all in between. For the same reason an epoch in the middle of a
 * full ring may give up its fence: the next one covers its blocks, only later.
 */
#include "pool/heap/quarantine.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "pool/heap/bin.h"
#include "pool/heap/device.h"
#include "pool/heap/extents.h"
#include "pool/heap/figures.h"
#include "pool/heap/shard.h"

/* Small enough to be unnoticed beside a CUDA context; large enough that a program which only
 * churns small blocks records a fence once in a thousand operations. */
#define BOUND_MIN_BYTES      ((uint64_t)8 << 20)
#define BOUND_RESERVED_SHARE 16u

/* In mapped memory, a place freed late stays fragmented: another block was put beside it. The
 * more memory waits, the more fragmented the free memory is, and the less the driver can give,
 * the more that costs. Chosen by replay. */
#define BOUND_MAPPED_MIN_BYTES      ((uint64_t)2 << 20)
#define BOUND_MAPPED_RESERVED_SHARE 256u
#define ROOM_MAPPED_SHARE           1024u

/* A free closes the open epoch when it holds the bound, at most what amortises a fence, and at most
 * half of what the driver can still give: then an allocation that would need memory without a fence
 * can get other memory. The least, a fraction of the bound, keeps a full device from a fence for
 * each free. */
#define CLOSE_MAX_BYTES ((uint64_t)64 << 20)
#define CLOSE_MIN_SHARE 256u
#define ROOM_SHARE      2u

/* Finite work cannot be distinguished from a kernel that never ends. So these limit how long an
 * allocation waits if it has no alternative to memory without its own fence, or if it could take a
 * much too large run; and how long a search for idle memory waits. */
static const uint64_t patience_ns[QUARANTINE_PATIENCE_COUNT] = {
    [QUARANTINE_BRIEFLY] = UINT64_C(500) * 1000,
    [QUARANTINE_A_MOMENT] = UINT64_C(100) * 1000000,
    [QUARANTINE_SECONDS] = UINT64_C(4000) * 1000000,
};

static_assert(sizeof(((struct quarantine *)0)->stuck_number) ==
                  QUARANTINE_PATIENCE_COUNT * sizeof(uint32_t),
              "one for each patience");

void quarantine_init(struct quarantine *quarantine)
{
    atomic_store_explicit(&quarantine->open_number, 1, memory_order_relaxed);
    atomic_store_explicit(&quarantine->retired_number, 0, memory_order_relaxed);
}

uint64_t quarantine_bound(const struct pool *pool)
{
    if (pool->config.quarantine_max != 0)
        return pool->config.quarantine_max;
    uint64_t reserved = count_get(&pool->reserved);
    if (pool->runs.range)
        return pool_max(BOUND_MAPPED_MIN_BYTES, reserved / BOUND_MAPPED_RESERVED_SHARE);
    return pool_max(BOUND_MIN_BYTES, reserved / BOUND_RESERVED_SHARE);
}

static void bin_bytes_add(const struct bin *bin, uint64_t *all, uint64_t *open)
{
    uint64_t frees = count_get(&bin->frees);

    *all += pool_minus(frees, count_get(&bin->retired)) * bin->object_bytes;
    *open += pool_minus(frees, count_get(&bin->frees_closed)) * bin->object_bytes;
}

static void blocks_bytes_add(const struct blocks *blocks, uint64_t *all, uint64_t *open)
{
    *all += count_get(&blocks->quarantined_bytes);
    *open += count_get(&blocks->open_bytes);
}

static void shard_bytes_add(const struct shard *shard, uint64_t *all, uint64_t *open)
{
    for (unsigned size_class = 0; size_class < SIZE_CLASS_COUNT; size_class++)
        bin_bytes_add(&shard->bins[size_class], all, open);
    blocks_bytes_add(&shard->extents.blocks, all, open);
}

void quarantine_bytes_get(const struct pool *pool, uint64_t *ret_all, uint64_t *ret_open)
{
    uint64_t all = 0, open = 0;

    blocks_bytes_add(&pool->runs.blocks, &all, &open);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);

        if (shard)
            shard_bytes_add(shard, &all, &open);
    }
    *ret_all = all;
    *ret_open = pool_min(all, open + count_get(&pool->quarantine.carried_bytes));
}

static uint64_t open_everywhere(const struct pool *pool, uint64_t shard_bytes)
{
    bool spread = atomic_load_explicit(&pool->spread, memory_order_relaxed);

    return shard_bytes * (spread ? pool->shards_max : 1) + count_get(&pool->runs.blocks.open_bytes);
}

bool quarantine_due(const struct pool *pool, unsigned share)
{
    uint64_t all = 0, open = 0;

    shard_bytes_add(shard_here(pool), &all, &open);
    return open_everywhere(pool, open) >= quarantine_bound(pool) / share;
}

static uint64_t close_bytes(const struct pool *pool)
{
    uint64_t bound = quarantine_bound(pool);
    uint64_t share = pool->runs.range ? ROOM_MAPPED_SHARE : ROOM_SHARE;
    uint64_t room = pool_max(count_get(&pool->room) / share, bound / CLOSE_MIN_SHARE);

    return pool_min(pool_min(bound, room), CLOSE_MAX_BYTES);
}

bool quarantine_close_due(const struct pool *pool, const struct shard *shard)
{
    uint64_t open = count_get(&shard->open_bytes) + count_get(&shard->extents.blocks.open_bytes);

    return pool->config.reuse == POOL_REUSE_DEFERRED &&
           open_everywhere(pool, open) >= close_bytes(pool);
}

static uint64_t bin_visit(struct bin *bin)
{
    pool_lock_acquire(&bin->lock);
    uint64_t frees = count_get(&bin->frees), opened = count_get(&bin->frees_closed);
    count_set(&bin->frees_closed, frees);
    pool_lock_release(&bin->lock);
    return (frees - opened) * bin->object_bytes;
}

static uint64_t blocks_visit(struct blocks *blocks)
{
    pool_lock_acquire(&blocks->lock);
    uint64_t bytes = count_get(&blocks->open_bytes);
    count_set(&blocks->open_bytes, 0);
    pool_lock_release(&blocks->lock);
    return bytes;
}

/* Passes through every lock under which labels are written; returns the bytes in the epoch. */
static uint64_t locks_visit(struct pool *pool)
{
    uint64_t bytes = blocks_visit(&pool->runs.blocks);

    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        if (!shard)
            continue;
        atomic_store_explicit(&shard->open_bytes, 0, memory_order_relaxed);
        for (unsigned size_class = 0; size_class < SIZE_CLASS_COUNT; size_class++)
            bytes += bin_visit(&shard->bins[size_class]);
        bytes += blocks_visit(&shard->extents.blocks);
    }
    return bytes;
}

static struct epoch *epoch_at(struct quarantine *quarantine, uint32_t index)
{
    return &quarantine->ring[(quarantine->first + index) % QUARANTINE_EPOCHS_MAX];
}

static struct epoch *epoch_oldest_pending(struct quarantine *quarantine)
{
    for (uint32_t index = 0; index < quarantine->count; index++) {
        if (!epoch_at(quarantine, index)->done)
            return epoch_at(quarantine, index);
    }
    return NULL;
}

static void retired_raise(struct quarantine *quarantine, uint32_t number)
{
    uint32_t retired = atomic_load_explicit(&quarantine->retired_number, memory_order_relaxed);

    if (!quarantine_passed(number, retired))
        atomic_store_explicit(&quarantine->retired_number, number, memory_order_release);
}

static struct epoch *lingering_unused(struct quarantine *quarantine)
{
    for (uint32_t index = 0; index < QUARANTINE_LINGERING_MAX; index++) {
        if (quarantine->lingering[index].waiters == 0)
            return &quarantine->lingering[index];
    }
    return NULL;
}

/* Finds the epoch that a thread has waited for, in the ring or lingering: it is kept while it
 * has waiters. */
static struct epoch *epoch_waited_for(struct quarantine *quarantine, uint32_t number)
{
    for (uint32_t index = 0; index < quarantine->count; index++) {
        if (epoch_at(quarantine, index)->number == number)
            return epoch_at(quarantine, index);
    }
    struct epoch *epoch = quarantine->lingering;
    while (epoch->waiters == 0 || epoch->number != number)
        epoch++;
    return epoch;
}

/* Retires a passed epoch. A thread that still waits for it must not block the ring: if it does
 * not run for a while, the others would find no place for their epochs. */
static bool epoch_drop(struct pool *pool, const struct epoch *epoch)
{
    if (epoch->waiters > 0) {
        struct epoch *lingering = lingering_unused(&pool->quarantine);

        if (!lingering)
            return false;
        *lingering = *epoch;
        return true;
    }
    device_fence_release(pool, epoch->fence);
    return true;
}

/* Every epoch up to `number` has been passed. */
static void epochs_retire(struct pool *pool, uint32_t number)
{
    struct quarantine *quarantine = &pool->quarantine;

    for (uint32_t index = 0; index < quarantine->count; index++) {
        struct epoch *epoch = epoch_at(quarantine, index);

        epoch->done = epoch->done || quarantine_passed(epoch->number, number);
    }
    retired_raise(quarantine, number);
    while (quarantine->count > 0 && epoch_at(quarantine, 0)->done &&
           epoch_drop(pool, epoch_at(quarantine, 0))) {
        quarantine->first = (quarantine->first + 1) % QUARANTINE_EPOCHS_MAX;
        quarantine->count--;
    }
}

static bool epoch_passed(struct pool *pool, const struct epoch *epoch)
{
    if (device_fence_query(pool, epoch->fence, epoch->number) != 1)
        return false;
    epochs_retire(pool, epoch->number);
    return true;
}

bool quarantine_poll_locked(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    struct epoch *epoch = epoch_oldest_pending(quarantine);

    if (!epoch || !epoch_passed(pool, epoch))
        return false;
    epoch = epoch_oldest_pending(quarantine);
    if (!epoch || epoch_passed(pool, epoch_at(quarantine, quarantine->count - 1)))
        return true;
    while (epoch && epoch_passed(pool, epoch)) /* at most as often as the ring is long */
        epoch = epoch_oldest_pending(quarantine);
    return true;
}

/* A device that goes on being busy is looked at so often only now and then. */
#define FRESH_LOOKS    5u
#define FRESH_PAUSE_NS 20000
#define FRESH_VAIN     8u

bool quarantine_poll_fresh_locked(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    uint32_t looks = quarantine->vain_looks % FRESH_VAIN ? 1 : FRESH_LOOKS;

    for (uint32_t look = 0; look < looks; look++) {
        if (look > 0)
            nanosleep(&(struct timespec){.tv_nsec = FRESH_PAUSE_NS}, NULL);
        if (quarantine_poll_locked(pool) && !quarantine_pending(pool)) {
            quarantine->vain_looks = 0;
            return true;
        }
    }
    quarantine->vain_looks++;
    return false;
}

/* ---- closing ---- */

/* Finds the epoch before the newest that misses its fence least; `count` when there is none. An
 * epoch with waiters keeps its fence, and one closed by a free is not merged into a later one
 * that was not. */
static uint32_t epoch_dispensable(struct quarantine *quarantine)
{
    uint32_t best = quarantine->count;
    uint64_t best_bytes = UINT64_MAX;

    for (uint32_t index = 0; index + 1 < quarantine->count; index++) {
        const struct epoch *epoch = epoch_at(quarantine, index);
        const struct epoch *next = epoch_at(quarantine, index + 1);
        uint64_t bytes = epoch->bytes + next->bytes;

        if (epoch->waiters > 0 || epoch->done || (epoch->prompt && !next->prompt) ||
            bytes >= best_bytes)
            continue;
        best = index;
        best_bytes = bytes;
    }
    return best;
}

/* Makes room in a full ring; whether there is any. */
static bool ring_room_make(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;

    if (quarantine->count == QUARANTINE_EPOCHS_MAX)
        quarantine_poll_locked(pool);
    if (quarantine->count < QUARANTINE_EPOCHS_MAX)
        return true;
    uint32_t gone = epoch_dispensable(quarantine);
    if (gone == quarantine->count)
        return false;
    device_fence_release(pool, epoch_at(quarantine, gone)->fence);
    epoch_at(quarantine, gone + 1)->bytes += epoch_at(quarantine, gone)->bytes;
    for (uint32_t index = gone; index + 1 < quarantine->count; index++)
        *epoch_at(quarantine, index) = *epoch_at(quarantine, index + 1);
    quarantine->count--;
    return true;
}

/* Records a fence; if there are none, every free waits for the device from now on. */
static int fence_record(struct pool *pool, struct device_epoch epoch, pool_fence *ret_fence)
{
    if (pool->quarantine.fences_unsupported)
        return -ENOTSUP;
    int error = device_fence_record(pool, epoch, ret_fence);
    if (error == -ENOTSUP) {
        pool->quarantine.fences_unsupported = true;
        atomic_store_explicit(&pool->frees_wait, true, memory_order_relaxed);
    }
    return error;
}

/* Raises the number; the epoch with the old label takes over what earlier closings left. */
static uint32_t epoch_end(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    uint32_t number = atomic_fetch_add_explicit(&quarantine->open_number, 1, memory_order_relaxed);

    count_add(&quarantine->carried_bytes, locks_visit(pool));
    return number;
}

int quarantine_close_locked(struct pool *pool, enum quarantine_closer closer)
{
    struct quarantine *quarantine = &pool->quarantine;
    pool_fence fence = 0;

    if (!ring_room_make(pool))
        return -EAGAIN;
    figures_sample(pool);
    uint32_t number = epoch_end(pool);
    uint64_t bytes = count_get(&quarantine->carried_bytes);
    int error = fence_record(pool, (struct device_epoch){number, bytes}, &fence);
    if (error < 0)
        return error;
    count_set(&quarantine->carried_bytes, 0);
    *epoch_at(quarantine, quarantine->count++) = (struct epoch){
        .number = number,
        .prompt = closer == QUARANTINE_BY_FREE,
        .fence = fence,
        .bytes = bytes,
    };
    return 0;
}

static struct epoch *epoch_newest(struct quarantine *quarantine)
{
    return epoch_at(quarantine, quarantine->count - 1);
}

int quarantine_idle_locked(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    uint64_t all, open;
    pool_fence fence;

    if (epoch_oldest_pending(quarantine))
        return 0;
    quarantine_bytes_get(pool, &all, &open);
    int error = open > 0 ? quarantine_close_locked(pool, QUARANTINE_BY_OTHERS)
                         : fence_record(pool, (struct device_epoch){0}, &fence);
    if (error < 0)
        return error;
    if (open > 0)
        return epoch_passed(pool, epoch_newest(quarantine));
    error = device_fence_query(pool, fence, 0);
    device_fence_release(pool, fence);
    return error;
}

bool quarantine_held_up(const struct pool *pool)
{
    const struct pool_backend *backend = &pool->backend;

    return backend->fence_open && backend->fence_open(backend->state, 0);
}

/* Without a quarantine, free memory may still be in use by a peer. */
static bool is_own_idle(struct pool *pool)
{
    return pool->config.reuse != POOL_REUSE_IMMEDIATE && device_own_idle(pool) > 0;
}

int quarantine_returnable_locked(struct pool *pool, bool *ret_all)
{
    int idle = quarantine_idle_locked(pool);

    *ret_all = idle == 1;
    return idle == 0 ? is_own_idle(pool) : idle;
}

bool quarantine_surrenderable_locked(struct pool *pool)
{
    return pool->config.reuse != POOL_REUSE_IMMEDIATE && device_own_idle(pool) > 1;
}

bool quarantine_for_peers_locked(struct pool *pool)
{
    quarantine_poll_locked(pool);
    return quarantine_pending(pool) && is_own_idle(pool);
}

/* ---- waiting ---- */

static int epoch_wait(struct pool *pool, struct epoch *epoch, uint64_t most_ns)
{
    struct quarantine *quarantine = &pool->quarantine;

    epoch->waiters++; /* keeps the fence */
    uint32_t number = epoch->number;
    pool_fence fence = epoch->fence;
    uint64_t bytes = epoch->bytes;
    pool_lock_release(&pool->backend_lock);
    int error = device_fence_wait(pool, fence, (struct device_epoch){number, bytes}, most_ns);
    pool_lock_acquire(&pool->backend_lock);
    epoch = epoch_waited_for(quarantine, number);
    epoch->waiters--;
    bool done = epoch->done;
    bool lingered = epoch >= quarantine->lingering &&
                    epoch < quarantine->lingering + QUARANTINE_LINGERING_MAX;
    if (lingered && epoch->waiters == 0)
        device_fence_release(pool, fence);
    for (int kind = 0; error == 0 && kind < QUARANTINE_PATIENCE_COUNT; kind++) {
        if (most_ns >= patience_ns[kind])
            quarantine->stuck_number[kind] = number;
    }
    if (error <= 0 && !done)
        return error;
    epochs_retire(pool, number);
    return 1;
}

void quarantine_held_up_await_locked(struct pool *pool, uint64_t room_bytes)
{
    struct epoch *epoch = epoch_newest(&pool->quarantine);
    const struct pool_backend *backend = &pool->backend;
    uint64_t all, open;

    if (!backend->fence_open || !backend->fence_open(backend->state, epoch->fence))
        return;
    quarantine_bytes_get(pool, &all, &open);
    if (all > room_bytes)
        epoch_wait(pool, epoch, POOL_WAIT_FOREVER);
}

bool quarantine_settle_locked(struct pool *pool, enum quarantine_patience patience)
{
    pool_lock_release(&pool->backend_lock);
    int settled = device_settle(pool, patience_ns[patience]);
    pool_lock_acquire(&pool->backend_lock);
    return settled != 0;
}

/* Whether a pending epoch was already waited for this long in vain. */
static bool is_stuck(struct pool *pool, enum quarantine_patience patience)
{
    uint32_t number = pool->quarantine.stuck_number[patience];

    return number != 0 && !quarantine_passed(number, quarantine_retired(pool));
}

/* Finds the newest pending epoch that a free closed; NULL: there is none. */
static const struct epoch *owed_newest(struct quarantine *quarantine)
{
    for (uint32_t index = quarantine->count; index > 0; index--) {
        const struct epoch *epoch = epoch_at(quarantine, index - 1);

        if (!epoch->done && epoch->prompt)
            return epoch;
    }
    return NULL;
}

/* The work before this epoch was waited for in vain, but has perhaps ended since, and its fence is
 * only late. The frees after it deserve a second look, a short one, and once. */
static int owed_wait_again(struct pool *pool, struct epoch *epoch)
{
    struct quarantine *quarantine = &pool->quarantine;
    uint32_t newest = owed_newest(quarantine)->number;
    uint32_t looked = quarantine->stuck_number[QUARANTINE_A_MOMENT];

    if (looked != 0 && quarantine_passed(newest, looked))
        return 0;
    int error = epoch_wait(pool, epoch, patience_ns[QUARANTINE_A_MOMENT]);
    if (error == 0)
        quarantine->stuck_number[QUARANTINE_A_MOMENT] = newest;
    return error;
}

int quarantine_wait_owed_locked(struct pool *pool, uint32_t last)
{
    struct quarantine *quarantine = &pool->quarantine;

    for (uint32_t index = 0; index < quarantine->count; index++) {
        struct epoch *epoch = epoch_at(quarantine, index);

        if (epoch->done || !epoch->prompt)
            continue;
        if (!quarantine_passed(epoch->number, last))
            return 0;
        if (is_stuck(pool, QUARANTINE_SECONDS) &&
            quarantine_passed(quarantine->stuck_number[QUARANTINE_SECONDS], epoch->number))
            return owed_wait_again(pool, epoch);
        return epoch_wait(pool, epoch, POOL_WAIT_FOREVER);
    }
    return 0;
}

int quarantine_wait_patiently_locked(struct pool *pool, enum quarantine_patience patience)
{
    uint64_t all, open;

    quarantine_poll_locked(pool);
    if (is_stuck(pool, patience)) {
        quarantine_bytes_get(pool, &all, &open);
        if (patience != QUARANTINE_SECONDS || open == 0)
            return 0;
        patience = QUARANTINE_A_MOMENT; /* a second look, for what was freed since the first */
    }
    int error = quarantine_close_locked(pool, QUARANTINE_BY_OTHERS);
    if (error < 0)
        return error;
    return epoch_wait(pool, epoch_newest(&pool->quarantine), patience_ns[patience]);
}

int quarantine_idle_await_locked(struct pool *pool, enum quarantine_patience patience)
{
    bool all;

    quarantine_poll_locked(pool); /* nobody may have asked since the last free */
    int idle = quarantine_returnable_locked(pool, &all);
    if (idle != 0)
        return idle;
    idle = quarantine_wait_patiently_locked(pool, patience);
    return idle == 0 ? is_own_idle(pool) : idle;
}

/* ---- flushing ---- */

/* What a flush has found. */
struct flushed {
    unsigned count;
    bool stuck; /* something that may leave could not be scrubbed */
};

static void bin_flush(struct bin *bin, uint32_t retired, struct flushed *flushed)
{
    pool_lock_acquire(&bin->lock);
    flushed->count += bin_retire_locked(bin, UINT32_MAX);
    flushed->stuck |= bin_retirable_locked(bin, retired);
    pool_lock_release(&bin->lock);
}

static void blocks_flush(struct pool *pool, struct blocks *blocks, uint32_t retired,
                         struct flushed *flushed)
{
    pool_lock_acquire(&blocks->lock);
    flushed->count += blocks_retire_locked(pool, blocks, UINT32_MAX);
    const struct block *head = blocks->quarantine_head;
    flushed->stuck |= head && quarantine_passed(head->epoch, retired);
    pool_lock_release(&blocks->lock);
}

static void shard_flush(struct shard *shard, uint32_t retired, struct flushed *flushed)
{
    struct flushed here = {0};

    if (quarantine_passed(retired, shard->flushed_number))
        return;
    for (unsigned size_class = 0; size_class < SIZE_CLASS_COUNT; size_class++)
        bin_flush(&shard->bins[size_class], retired, &here);
    blocks_flush(shard->pool, &shard->extents.blocks, retired, &here);
    if (!here.stuck)
        shard->flushed_number = retired;
    flushed->count += here.count;
}

/* Threads that failed to allocate before, and wait to grow the pool, shall retry instead. */
static bool flush_done(struct pool *pool, const struct flushed *flushed)
{
    if (flushed->count > 0)
        count_add_shared(&pool->generation, 1);
    return flushed->count > 0;
}

bool quarantine_flush_locked(struct pool *pool)
{
    struct flushed flushed = {0};
    uint32_t retired = quarantine_retired(pool);

    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        if (shard)
            shard_flush(shard, retired, &flushed);
    }
    blocks_flush(pool, &pool->runs.blocks, retired, &flushed);
    return flush_done(pool, &flushed);
}

bool quarantine_shard_flush_locked(struct shard *shard)
{
    struct flushed flushed = {0};

    shard_flush(shard, quarantine_retired(shard->pool), &flushed);
    return flush_done(shard->pool, &flushed);
}

void quarantine_sync(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;

    pool_lock_acquire(&pool->backend_lock);
    uint32_t number = epoch_end(pool);
    uint64_t bytes = count_get(&quarantine->carried_bytes);
    pool_lock_release(&pool->backend_lock);

    int error = device_wait(pool, bytes);

    pool_lock_acquire(&pool->backend_lock);
    if (error == 0) {
        uint64_t carried = count_get(&quarantine->carried_bytes);

        count_set(&quarantine->carried_bytes, pool_minus(carried, bytes));
        epochs_retire(pool, number);
    }
    pool_lock_release(&pool->backend_lock);
}

void quarantine_done(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;

    for (; quarantine->count > 0; quarantine->count--) {
        device_fence_release(pool, epoch_at(quarantine, 0)->fence);
        quarantine->first = (quarantine->first + 1) % QUARANTINE_EPOCHS_MAX;
    }
}
