/* SPDX-License-Identifier: MIT */
/*
 * Decides when a freed block may be handed out again: epochs, closed by fences.
 *
 * Every free labels its block with the number of the open epoch, under the lock of the bin, extents
 * or runs that guards the block. The free that makes an epoch worth a fence closes it, so that the
 * fence covers only work before that free. A thread that needs memory also closes it, in order to
 * query, not to wait. To close, the number is raised, then a fence is recorded. When the fence is
 * signalled, the retired number rises to the epoch, and blocks with labels up to it leave the
 * quarantine lazily, list by list.
 *
 * Why a fence covers every block labelled with its epoch or an earlier one: quarantine_close()
 * first raises the open number, then takes and releases each of these locks once, then records the
 * fence. A free that read the old number held one of those locks at that time. So it ended before
 * the closer took that lock; a free that begins later reads the new number, by the order of the
 * lock. Hence all frees with the old label, and all device work that their threads submitted before
 * them, precede the recording.
 *
 * An allocation waits only when the driver has refused it: first for epochs closed by frees, which
 * the driver's free would have waited for; then, for a bounded time, for everything. Nobody waits
 * while the driver can give memory.
 *
 * Numbers are 32 bits and compared modulo 2^32. A label is never above the open number, and fewer
 * than 2^31 epochs are closed while one is pending, so a block that must wait is always recognised.
 * Only a block that stays in a list for 2^31 epochs may be held longer than needed.
 *
 * The backend lock guards the ring. Waiting happens without any lock.
 */
#ifndef POOL_HEAP_QUARANTINE_H
#define POOL_HEAP_QUARANTINE_H

#include "pool/heap/types.h"

/** Returns the label for a free; the caller holds the lock that guards the block. */
static inline uint32_t quarantine_label(struct pool *pool)
{
    return atomic_load_explicit(&pool->quarantine.open_number, memory_order_relaxed);
}

static inline uint32_t quarantine_retired(struct pool *pool)
{
    return atomic_load_explicit(&pool->quarantine.retired_number, memory_order_acquire);
}

static inline bool quarantine_passed(uint32_t label, uint32_t retired)
{
    return (int32_t)(retired - label) >= 0;
}

void quarantine_init(struct quarantine *quarantine);

/** Bytes quarantined now, and those in the open epoch. */
void quarantine_bytes_get(const struct pool *pool, uint64_t *ret_all, uint64_t *ret_open);

/** Target size of the quarantine; a fraction of it is worth a fence. */
uint64_t quarantine_bound(const struct pool *pool);

/**
 * Whether 1/`share` of the bound or more has been freed since the last attempt to close an epoch,
 * estimated from this thread's shard: the others are assumed to have freed as much, so that none
 * of their bins is read.
 */
bool quarantine_due(const struct pool *pool, unsigned share);

/**
 * Whether the quarantined bytes are worth a fence, estimated from the shard of a free; reads a few
 * counters, no bin. Small blocks count in chunks of QUEUE_CHUNK_ENTRIES of their class.
 */
bool quarantine_close_due(const struct pool *pool, const struct shard *shard);

/** Who closes an epoch: the free that completes it, before more work can be submitted, or
 * others.
 */
enum quarantine_closer { QUARANTINE_BY_FREE, QUARANTINE_BY_OTHERS };

/**
 * Closes the open epoch. Errors: -EBUSY while a stream captures (its blocks join the next epoch
 * closed); -EAGAIN all pending epochs have waiters; -ENOTSUP there are no fences (from then on
 * frees wait for the device); or as the backend says.
 */
int quarantine_close_locked(struct pool *pool, enum quarantine_closer closer);

/**
 * After a free has closed an epoch: a fence that cannot be recorded yet may come to cover work that
 * is submitted later. If more waits than `room_bytes`, waits now, as the driver's own free does;
 * the backend lock is released meanwhile.
 */
void quarantine_held_up_await_locked(struct pool *pool, uint64_t room_bytes);

/** Queries pending fences, oldest first, until one is not signalled; whether any was. */
bool quarantine_poll_locked(struct pool *pool);

/**
 * The same for a fence recorded just now: queries it several times within half a millisecond,
 * because even an idle device signals it only after a moment. True: nothing is pending any more.
 */
bool quarantine_poll_fresh_locked(struct pool *pool);

/**
 * Whether the device is idle, found out with a new fence unless one is pending. 1: idle; 0: not; an
 * error of quarantine_close_locked(): it cannot be queried.
 */
int quarantine_idle_locked(struct pool *pool);

/**
 * Waits for the oldest pending epoch that a free closed, if its number is `last` or an earlier
 * one: without a bound, or, if an earlier epoch was waited for in vain and is still pending, for a
 * moment and once. The backend lock is released meanwhile. 1: signalled; 0: there is none, or the
 * work before it does not end; an error of the backend.
 */
int quarantine_wait_owed_locked(struct pool *pool, uint32_t last);

/**
 * How long to wait for work that no free waits for: briefly, so that an idle device can signal a
 * new fence; a moment if there is an alternative; else some seconds.
 */
enum quarantine_patience {
    QUARANTINE_BRIEFLY,
    QUARANTINE_A_MOMENT,
    QUARANTINE_SECONDS,
    QUARANTINE_PATIENCE_COUNT
};

/**
 * Closes the open epoch and waits for all work submitted so far, for a bounded time. Does not wait
 * if an epoch that is still pending has been waited for in vain at least as long; after seconds in
 * vain, what was freed since is worth another moment. Releases the lock meanwhile. 1: signalled; 0:
 * not; an error of quarantine_close_locked() or the backend.
 */
int quarantine_wait_patiently_locked(struct pool *pool, enum quarantine_patience patience);

/**
 * Whether returning free memory would wait for no work: the device is idle, or only peers are busy.
 * *ret_all: they are idle, too. 1, 0 or an error as quarantine_idle_locked() says.
 */
int quarantine_returnable_locked(struct pool *pool, bool *ret_all);

/**
 * Whether blocks are quarantined only for peers: the driver's own free of the block would have
 * waited for no work.
 */
bool quarantine_for_peers_locked(struct pool *pool);

/**
 * Whether none of these peers was given access to the blocks, either. Then a whole run may go back
 * to the driver, but not to the program.
 */
bool quarantine_surrenderable_locked(struct pool *pool);

/**
 * Waits for the device where no fence can tell whether it is idle. False: it is not, so a return of
 * memory to the driver might wait without a bound. True: it is, or the driver does not say.
 */
bool quarantine_settle_locked(struct pool *pool, enum quarantine_patience patience);

/** Whether a fence of now would not be recorded yet, because a stream captures. */
bool quarantine_held_up(const struct pool *pool);

/**
 * The same as quarantine_returnable_locked(), after some patience: a fence of a moment ago is not
 * signalled at once, however idle the device is. May release the lock meanwhile.
 */
int quarantine_idle_await_locked(struct pool *pool, enum quarantine_patience patience);

/** Whether a closed epoch is still pending; asked without a lock. */
static inline bool quarantine_pending(struct pool *pool)
{
    return quarantine_label(pool) - 1 != quarantine_retired(pool);
}

/** Takes every retired block out of the quarantine; whether there was any. */
bool quarantine_flush_locked(struct pool *pool);

/** The same for the blocks of one shard. */
bool quarantine_shard_flush_locked(struct shard *shard);

/** After a free with POOL_REUSE_SYNC, or without fences: waits for the device, without any lock. */
void quarantine_sync(struct pool *pool);

/** Gives pending fences back without waiting. */
void quarantine_done(struct pool *pool);

#endif
