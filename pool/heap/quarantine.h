/* SPDX-License-Identifier: MIT */
/*
 * When a freed block may be handed out again: epochs, closed by fences.
 *
 * Every free labels its block with the number of the open epoch, under the lock of the bin, extents
 * or runs that guards the block. An epoch is closed by the free that makes it worth a fence, so
 * that the fence covers no work but what came before that free; and by whoever needs memory, to
 * ask, not to wait. To close: the number is raised, then a fence is recorded. When the fence has
 * been passed, the retired number rises to the epoch, and blocks with labels up to it leave the
 * quarantine lazily, list by list.
 *
 * Why a fence covers every block labelled with its epoch or an earlier one: quarantine_close()
 * first raises the open number, then takes and releases each of these locks once, then
 * records the fence. A free that read the old number held one of those locks when it did, so it is
 * either over before the closer takes that lock, or it begins after and then, by the order of the
 * lock, reads the new number. So all frees with the old label, and with them all device work that
 * their threads submitted before calling free, precede the recording.
 *
 * Who waits: an allocation that the driver has refused, first for epochs closed by frees, which is
 * what the driver's free would have waited for, then, for a bounded time, for everything. Nobody
 * waits while the driver can give memory.
 *
 * Numbers are 32 bits and compared modulo 2^32. A label is never above the open number, and fewer
 * than 2^31 epochs are closed while one is pending, so a block that must wait is always seen to
 * wait; only one that lies in a list for 2^31 epochs may be held longer than needed.
 *
 * The backend lock guards the ring. Waiting happens without any lock.
 */
#ifndef POOL_HEAP_QUARANTINE_H
#define POOL_HEAP_QUARANTINE_H

#include "pool/heap/types.h"

/** The label for a free; the caller holds the lock that guards the block. */
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

/** Bytes quarantined now, and of those in the open epoch. */
void quarantine_bytes_get(const struct pool *pool, uint64_t *ret_all, uint64_t *ret_open);

/** Target size of the quarantine; a share of it is worth a fence. */
uint64_t quarantine_bound(const struct pool *pool);

/**
 * Whether 1/`share` of the bound or more has been freed since an epoch was last closed, or tried to
 * be, as far as this thread's shard tells: the others are taken to have freed as much, so that no
 * bin of theirs is read.
 */
bool quarantine_due(const struct pool *pool, unsigned share);

/**
 * Whether what a free has put in quarantine is worth a fence, as far as its shard tells; reads a
 * few counters, no bin. Small blocks count in chunks of QUEUE_CHUNK_ENTRIES of their class.
 */
bool quarantine_close_due(const struct pool *pool, const struct shard *shard);

/** Who closes an epoch: the free that completed it, before more work can be submitted, or others.
 */
enum quarantine_closer { QUARANTINE_BY_FREE, QUARANTINE_BY_OTHERS };

/**
 * Closes the open epoch. Errors: -EBUSY while a stream captures (its blocks join the next epoch
 * closed), -EAGAIN all pending epochs are waited for, -ENOTSUP there are no fences (from then on
 * frees wait for the device), or as the backend says.
 */
int quarantine_close_locked(struct pool *pool, enum quarantine_closer closer);

/** Queries pending fences, oldest first, until one is not done; whether any was. */
bool quarantine_poll_locked(struct pool *pool);

/**
 * The same for a fence of just now, looked at several times in a fraction of a millisecond: an idle
 * device, too, passes it a moment later. True: nothing is pending any more.
 */
bool quarantine_poll_fresh_locked(struct pool *pool);

/**
 * Whether the device has nothing to do, asked with a new fence unless one is pending.
 * 1: it is idle; 0: it is not; an error of quarantine_close_locked(): it cannot be asked.
 */
int quarantine_idle_locked(struct pool *pool);

/**
 * Waits for the oldest pending epoch that a free closed, if its number is `last` or an earlier one.
 * The backend lock is released meanwhile. 1: passed; 0: there is none, or a peer's work does not
 * end; an error of the backend.
 */
int quarantine_wait_owed_locked(struct pool *pool, uint32_t last);

/** How long to wait for what nobody owes: a moment where there is another way, else some seconds.
 */
enum quarantine_patience { QUARANTINE_A_MOMENT, QUARANTINE_SECONDS };

/**
 * Closes the open epoch and waits for all work submitted so far, for a bounded time, and not at all
 * while something is pending that was waited for as long in vain. Releases the lock likewise.
 * 1: passed; 0: not; an error of quarantine_close_locked() or the backend.
 */
int quarantine_wait_patiently_locked(struct pool *pool, enum quarantine_patience patience);

/** Whether an epoch has been closed and not yet been passed; to be asked without a lock. */
static inline bool quarantine_pending(struct pool *pool)
{
    return quarantine_label(pool) - 1 != quarantine_retired(pool);
}

/** Takes every block that may be taken out of the quarantine; whether there was any. */
bool quarantine_flush_locked(struct pool *pool);

/** The same for the blocks of one shard. */
bool quarantine_shard_flush_locked(struct shard *shard);

/** After a free with POOL_REUSE_SYNC, or without fences: waits for the device, without any lock. */
void quarantine_sync(struct pool *pool);

/** Gives pending fences back without waiting. */
void quarantine_done(struct pool *pool);

#endif
