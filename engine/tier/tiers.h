/* SPDX-License-Identifier: MIT */
/*
 * Internals of the tiers below a pool, for their files.
 *
 *     tiers.c    creation, requests, look-ups, the pool's lower tier
 *     work.c     threads, their queue
 *     store.c    a block into every tier
 *     load.c     a block out of one
 *     age.c      the ager, matches on the caller's thread
 *     stage.c    blocks of a GPU in a bench
 *     coder.c    blocks of a GPU encoded and decoded there
 *     figures.c  statistics, checks
 *
 * A job is one block in transit. Threads take jobs in batches, loads first. Each thread has a
 * bench: room for the entries of a batch and, unless the pool is in host memory, for the blocks
 * themselves.
 *
 * Threading: `lock` guards the index of every tier, the queue and the requests. It is never held
 * during a call of a store, the pool, the device or a callback, and no other lock is taken inside.
 */
#ifndef ENGINE_TIER_TIERS_H
#define ENGINE_TIER_TIERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "engine/device.h"
#include "engine/tier/coder.h"
#include "engine/tier/entry.h"
#include "pool/kv/kv.h"
#include "pool/tier/age.h"
#include "pool/tier/index.h"

#define TIERS_BATCH_MAX   64u
#define TIERS_THREADS_MAX 8u
#define TIER_LATER        (TIER_NONE - 1) /* an entry that is begun when the block is encoded */

struct tier {
    struct cupool_tier_store store;
    struct tier_index index; /* of a store that is not shared */
    struct kv_events events;
    struct cupool_tier_statistics counts;
};

enum job_kind { JOB_STORE, JOB_LOAD };

struct job {
    struct cupool_kv_hash key;
    cupool_kv_handle handle;
    cupool_kv_ticket ticket;            /* store: of a request here; load: of the pool */
    uint64_t batch;                     /* store: of the call that it belongs to */
    uint64_t fence;                     /* load: to be waited for, and given back */
    uint32_t entries[CUPOOL_TIERS_MAX]; /* store: what each tier has begun */
    uint64_t others[CUPOOL_TIERS_MAX];  /* store: begun by a call before; 0: not */
    uint32_t next, index;               /* index: load, of the pool's request */
    uint8_t kind;
    bool fenced, exact;
    bool skip;            /* store: every tier has it, or is about to */
    bool present;         /* store: some tier had it before */
    bool placed, no_room; /* store: a tier has it; one had no room for it */
    bool awaited;         /* store: none has it, but a call before is storing it */
    bool on_device;       /* kernels did it: the bench has no block */
    uint64_t saturated;   /* store */
    int result;           /* 0, or the first error */
    int tier;             /* load: which one had it; -1 */
    size_t bytes;         /* of the entry */
};

struct job_list {
    uint32_t first, last, count;
};

/** An offload under way. */
struct offload {
    uint32_t generation, next;
    uint32_t left, stored;
    int error;
    bool used, ended, cancelled, fenced;
    uint64_t fence;
    void (*callback)(void *state, cupool_kv_ticket ticket, uint32_t stored, int error);
    void *callback_state;
};

/** Room of one thread for a batch. */
struct bench {
    uint8_t *entries; /* [batch][maximum] */
    uint8_t *blocks;  /* [batch][staged bytes]; NULL: the pool is host memory */
    cupool_stream stream;
    struct coder coder; /* where kernels encode and decode */
};

struct cupool_tiers {
    /* Immutable after creation. */
    struct cupool_tiers_config config;
    struct cupool_device *device;
    struct cupool_kv *pool;
    struct kv_backend backend;
    struct entry_shape shape;
    struct kv_heap heap;
    size_t maximum, staged; /* bytes of an entry, of a block in a bench */
    struct coder_kernels coding;
    uint32_t first_blocks, count;
    int exact_codec;
    pid_t pid;
    _Atomic(const char *) error;

    pthread_mutex_t lock;
    pthread_cond_t work, idle,
        settled; /* settled: an entry that was begun is stored, or given up */
    struct tier tiers[CUPOOL_TIERS_MAX];
    struct job *jobs;
    uint32_t job_free, jobs_left;
    struct job_list stores, loads;
    uint32_t beginning;        /* offloads that are not queued yet */
    uint32_t storing, loading; /* in the hands of a thread */
    uint32_t callbacks;        /* under way */
    struct offload *offloads;
    uint32_t offload_free;
    uint64_t batch; /* number of the last call that stores */
    struct cupool_tiers_statistics counts;
    bool stop;

    pthread_t threads[TIERS_THREADS_MAX];
    struct bench benches[TIERS_THREADS_MAX + 1]; /* the last: of callers */
    uint32_t started;
    pthread_mutex_t caller_lock; /* guards the callers' bench */
};

struct worker {
    struct cupool_tiers *tiers;
    uint32_t number;
};

uint64_t tiers_clock(void);
int tiers_fail(struct cupool_tiers *tiers, int error, const char *text);
/** -ECHILD in a child after fork. */
int tiers_here(struct cupool_tiers *tiers);
bool tier_available(const struct tier *tier);

/* work.c */
int tiers_threads_start(struct cupool_tiers *tiers);
void tiers_threads_stop(struct cupool_tiers *tiers);
/** Under the lock: takes a job from the free list, or NULL; appends it to a queue. */
struct job *job_new(struct cupool_tiers *tiers);
void job_queue(struct cupool_tiers *tiers, struct job *job);
/** Under the lock: finishes one block of an offload (result > 0: the call that began it). Leaves
 * the lock for its callback. */
void offload_step(struct cupool_tiers *tiers, cupool_kv_ticket ticket, int result);
void offload_free(struct cupool_tiers *tiers, struct offload *offload);
/** Under the lock: wakes whoever waits for the end of everything, if it has come. */
void tiers_idle_tell(struct cupool_tiers *tiers);
void job_free(struct cupool_tiers *tiers, struct job *job);
struct offload *offload_find(struct cupool_tiers *tiers, cupool_kv_ticket ticket);

/* store.c */
/** Under the lock: begins an entry in each tier that has none; sets job->skip if no tier wants
 * it. */
void store_begin(struct cupool_tiers *tiers, struct job *job);
/** Under the lock: gives up what was begun. */
void store_abandon(struct cupool_tiers *tiers, struct job *job);
/** Copies, encodes and stores; job->result says whether a tier has the block, unless it is
 * awaited. */
void store_run(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
               uint32_t count);
/** Waits for what others store; job->result says whether a tier has the block. The caller has
 * begun nothing any more. */
void store_await(struct cupool_tiers *tiers, struct job **jobs, uint32_t count);
/** Puts entries that are in the bench into a tier; under no lock. */
void tier_put(struct cupool_tiers *tiers, uint32_t tier, const struct bench *bench,
              struct job **jobs, uint32_t count);
/** Under the lock, which it leaves: removes what the index has given up. */
void tier_remove(struct cupool_tiers *tiers, uint32_t tier, uint32_t entry);

/* load.c */
/** Fetches, verifies and decodes into the blocks; job->result, job->tier. */
void load_run(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
              uint32_t count);
/** What a lower tier gave goes to those above; the entries are in the bench still. */
void load_promote(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                  uint32_t count);

/* stage.c: between blocks and the bench. */
/** Where a block's layers are for this thread, and how far apart. */
uint8_t *stage_layers(const struct cupool_tiers *tiers, const struct bench *bench, uint32_t slot,
                      cupool_kv_handle handle, size_t *ret_stride);
/** Copies blocks of a batch to or from the bench and waits; nothing to do in host memory. */
int stage_copy(struct cupool_tiers *tiers, const struct bench *bench, struct job *const *jobs,
               uint32_t count, bool to_device);
/** Orders the bench's stream behind a fence. */
int stage_order(struct cupool_tiers *tiers, const struct bench *bench, uint64_t fence);
/** A fence on a stream; false in *ret_fenced where none is needed. */
int stage_fence(struct cupool_tiers *tiers, cupool_stream stream, uint64_t *ret_fence,
                bool *ret_fenced);
void stage_fence_end(struct cupool_tiers *tiers, uint64_t fence);

#endif
