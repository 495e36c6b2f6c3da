/* SPDX-License-Identifier: MIT */
/*
 * The structures of a pool and how they hang together.
 *
 *   page map ─► segment (2 MiB buddy) ─► slab ─► object      small,  ≤ 32 KiB
 *                                    └─► block               middle, ≤ 2 MiB
 *           └─► run (a driver allocation of its own)         large
 *
 * A run is one driver allocation: either cut into segments for the buddy, or one large block, or
 * cached whole. Equations, checked by pool_check():
 *
 *   slab     live + quarantined + free objects = objects
 *   bin      allocations - frees = live, frees - retired = quarantined
 *   segment  free leaves + leaves of slabs + leaves of blocks = 512
 *   pool     live + quarantined + cached + waste = reserved = bytes of all runs
 *            (waste: tails of slabs, and what is free in pinned runs)
 *
 * Order of locks: backend, then bin, then extents (lock.h). Labels of the quarantine are written
 * under the bin or extents lock (quarantine.h says why).
 */
#ifndef POOL_TYPES_H
#define POOL_TYPES_H

#include "pool/backend.h"
#include "pool/base.h"
#include "pool/buddy.h"
#include "pool/figure_names.h"
#include "pool/lock.h"
#include "pool/metadata.h"
#include "pool/page_map.h"
#include "pool/pool.h"
#include "pool/size_class.h"

enum block_state {
    BLOCK_UNUSED, /* never handed out since its memory was laid out */
    BLOCK_LIVE,
    BLOCK_QUARANTINED, /* freed, earlier device work may still use it */
    BLOCK_FREED,       /* may be handed out again */
};

/** A small block. All fields guarded by the lock of the slab's bin. */
struct object {
    uint64_t site;
    uint64_t free_site;
    uint64_t next;      /* in the quarantine of the bin: object_link() */
    uint32_t epoch;     /* label while quarantined */
    uint16_t requested; /* bytes, 1 to 32768 */
    uint8_t index;      /* in the slab */
    uint8_t state;
};

/** Where a slab hangs in its bin. */
enum slab_place {
    SLAB_BUCKETS = 4,            /* partial: buckets 0 to 3, by fullness */
    SLAB_CURRENT = SLAB_BUCKETS, /* the one being served from */
    SLAB_FULL,                   /* in no list */
    SLAB_SPARE,                  /* the one empty slab a bin keeps */
    SLAB_PINNED,                 /* in no list, never served from */
};

/** Objects of one class, side by side in a buddy block; one cache line, the objects follow. */
struct slab {
    _Atomic(struct bin *) bin; /* written under the old and new owner's lock; NULL: not in use */
    uint64_t base;             /* address of object 0; guarded by the bin, like all below */
    struct run *run;           /* the driver allocation that holds it */
    uint64_t free_mask[2];     /* bit i: object i may be handed out */
    struct slab *next, *prev;  /* in a bucket */
    uint8_t used;              /* objects live or quarantined */
    uint8_t place;
    uint8_t objects;
    uint8_t class; /* immutable: metadata of slabs is type-stable per class */
    struct object object[];
};

/** One size class of one shard. */
struct POOL_ALIGNED bin {
    struct pool_lock lock; /* guards all below unless said otherwise, and the slabs and objects */
    struct slab *current;
    uint32_t object_bytes; /* immutable after init, like reciprocal, objects, class, pool */
    uint32_t reciprocal;
    struct object *quarantine_head, *quarantine_tail; /* labels never decrease along it */
    pool_count allocations, frees;                    /* written under lock, read by anyone */
    struct pool *pool;

    pool_count retired, slabs; /* written under lock, read by anyone */
    pool_count frees_closed;   /* `frees` when the last epoch was closed */
    pool_count pinned_free;    /* free objects in pinned slabs */
    struct slab *bucket[SLAB_BUCKETS];
    struct slab *spare;
    uint32_t slab_bytes;
    uint16_t objects;
    uint16_t bucket_scale; /* bucket of a slab: used * scale >> 10 */
    uint8_t class;
};

/** A set of bins; threads that collide spread over several. */
struct shard {
    struct bin bins[SIZE_CLASS_COUNT];
};

/** A middle or large block. All fields guarded by the extents lock. */
struct block {
    uint64_t site;
    uint64_t free_site;
    struct block *next; /* in the quarantine, or in the list of unused descriptors */
    uint64_t address;
    uint64_t requested_bytes;
    uint32_t epoch;  /* label while quarantined */
    uint16_t leaves; /* 0: the block is a whole run */
    uint8_t state;
    uint8_t unused;
};

#define SEGMENT_WINDOW_BITS 15
#define SEGMENT_WINDOWS     (1u << (PAGE_MAP_PAGE_BITS - SEGMENT_WINDOW_BITS))
#define SEGMENT_UNLISTED    255
#define SEGMENT_FULLNESSES  4u

/**
 * What begins in, or for a slab covers, 32 KiB of a segment: 0, a struct block, or with
 * WINDOW_SLAB set a struct slab and its class (slabs lie on cache lines, which leaves six bits).
 * Middle blocks are longer than a window, so two never begin in one.
 */
typedef uintptr_t window_entry;
#define WINDOW_SLAB ((window_entry)1)

static inline window_entry window_of_slab(const struct slab *slab)
{
    return (window_entry)slab | (window_entry)slab->class << 1 | WINDOW_SLAB;
}

static inline struct slab *window_slab(window_entry entry)
{
    return (struct slab *)(entry & ~(window_entry)(POOL_CACHE_LINE - 1));
}

static inline unsigned window_class(window_entry entry)
{
    return entry >> 1 & (SIZE_CLASS_COUNT - 1);
}

/** 2 MiB under a buddy. */
struct POOL_ALIGNED segment {
    struct pool *pool;           /* immutable while the page map knows the segment */
    struct run *run;             /* likewise */
    uint64_t address;            /* likewise */
    struct segment *next, *prev; /* of the same key; guarded by extents, like all below */
    uint8_t key;                 /* largest free order * 4 + fullness, or SEGMENT_UNLISTED */
    struct buddy buddy;
    _Atomic window_entry window[SEGMENT_WINDOWS]; /* written under extents, read by anyone */
    uint64_t metadata_link;
};

enum run_use {
    RUN_LARGE,  /* one block, live or quarantined */
    RUN_BUDDY,  /* cut into segments */
    RUN_CACHED, /* free as a whole */
    RUN_DOOMED, /* pinned and free: waits to go back to the driver */
};

/** One driver allocation. Guarded by the extents lock unless said otherwise. */
struct __attribute__((aligned(16))) run {
    uint64_t address; /* immutable, as bytes and pool */
    size_t bytes;
    struct pool *pool;
    struct block block;        /* RUN_LARGE, and the last one of RUN_CACHED */
    uint32_t segments_used;    /* RUN_BUDDY: segments that are not wholly free */
    uint32_t priority;         /* in the tree of cached runs */
    struct run *left, *right;  /* in the tree */
    struct run *newer, *older; /* among cached runs, by time of their return */
    uint64_t cached_since;     /* `fence_serves` of the pool when it was cached */
    struct run *next, *prev;   /* among all runs of the pool */
    uint8_t use;               /* enum run_use */
    bool pinned;               /* exported: never handed out again */
    uint64_t metadata_link;
};

/** Everything above the slabs: segments, runs, middle blocks. Guarded by its lock. */
struct POOL_ALIGNED extents {
    struct pool_lock lock;
    struct block *quarantine_head, *quarantine_tail; /* labels never decrease along it */
    struct block *unused_blocks;
    uint64_t segment_keys; /* bit k: segments[k] is not empty */
    struct segment *segments[BUDDY_ORDERS * SEGMENT_FULLNESSES];
    struct run *runs;        /* all of the pool */
    struct run *cached_root; /* tree by size */
    struct run *newest, *oldest;
    struct run *spare;  /* one RUN_BUDDY without a block in it, kept against flapping */
    struct run *doomed; /* by `newer` */
    uint32_t random;    /* priorities of the tree */

    /* Written under lock, read by anyone. */
    pool_count allocations, frees, live_bytes, quarantined_bytes;
    pool_count open_bytes;   /* freed since the last epoch was closed */
    pool_count free_bytes;   /* free leaves outside pinned runs, and cached runs */
    pool_count cached_runs;  /* bytes of cached runs alone */
    pool_count buddy_bytes;  /* of RUN_BUDDY */
    pool_count wasted_bytes; /* free in pinned runs */
    pool_count large_waste;  /* reused runs: bytes beyond what a new one would have had */
};

/** A closed epoch whose fence has not been passed. */
struct epoch {
    uint32_t number;
    uint16_t waiters; /* threads in fence_wait without a lock */
    bool done;
    pool_fence fence; /* 0: only device_wait can tell */
    uint64_t bytes;
};

#define QUARANTINE_EPOCHS_MAX    64u
#define QUARANTINE_LINGERING_MAX 32u

/** Closed epochs, oldest first. Guarded by the backend lock, but for the two numbers. */
struct quarantine {
    _Atomic uint32_t open_number;    /* the label of a free now */
    _Atomic uint32_t retired_number; /* labels up to here may be handed out */
    bool fences_unsupported;
    uint32_t flushed_number;  /* every label up to here has left the quarantine */
    uint32_t first, count;    /* in the ring */
    pool_count carried_bytes; /* closed by number, but no fence recorded; read by anyone */
    struct epoch ring[QUARANTINE_EPOCHS_MAX];
    /* Passed, but a thread has not come back from waiting for them; without waiters: unused. */
    struct epoch lingering[QUARANTINE_LINGERING_MAX];
};

#define POOL_SHARDS_MAX 16u

struct pool {
    /* Immutable after init, but for the shards, which only ever appear. */
    struct pool_config config;
    struct pool_backend backend;
    uint32_t shards_max;
    _Atomic bool spread;   /* set once, after collisions */
    pool_count collisions; /* atomic; counted until spread */
    _Atomic(struct shard *) shards[POOL_SHARDS_MAX];

    /* Written by every operation. */
    pool_count live_requested POOL_ALIGNED;
    pool_count live_requested_peak;
    pool_count sample_at; /* the next peak that makes figures_sample() look at the others */
    pool_count metadata_bytes;

    struct extents extents;

    struct pool_lock backend_lock POOL_ALIGNED;
    struct quarantine quarantine;
    pool_count reserved;     /* written under the backend lock */
    pool_count fence_serves; /* requests that only a fence could serve; under the backend lock */
    pool_count generation;   /* grows whenever memory became available off the hit path */

    struct pool_lock sample_lock; /* rank METADATA; guards the gauges' peaks below */
    struct pool_gauge gauges[GAUGE_COUNT];
    uint64_t peak_time_ns;
    pool_count counters[COUNTER_COUNT]; /* atomic; those kept in bins and extents stay 0 here */

    struct pool *registry_next; /* guarded by the registry lock */
    uint64_t metadata_link;
};

_Static_assert(sizeof(struct object) == 32, "two objects to a cache line");
_Static_assert(sizeof(struct slab) == POOL_CACHE_LINE, "the objects begin on the next line");
_Static_assert(offsetof(struct bin, retired) == POOL_CACHE_LINE, "a hit needs one line of its bin");
_Static_assert(sizeof(struct block) == 48 && sizeof(struct run) % 16 == 0, "metadata.h");

static inline struct slab *object_slab(struct object *object)
{
    return pool_container_of(object - object->index, struct slab, object);
}

/*
 * A link to an object says its index in the bits that no address has, so that the object and the
 * header of its slab can be fetched together, one before it is needed.
 */
#define OBJECT_LINK_BITS 57

static inline uint64_t object_link(const struct object *object)
{
    return (uint64_t)(uintptr_t)object | (uint64_t)object->index << OBJECT_LINK_BITS;
}

static inline struct object *object_linked(uint64_t link)
{
    return (struct object *)(uintptr_t)(link & ((UINT64_C(1) << OBJECT_LINK_BITS) - 1));
}

static inline void object_link_prefetch(uint64_t link)
{
    const struct object *object = object_linked(link);
    if (object == NULL)
        return;
    __builtin_prefetch(object);
    __builtin_prefetch(pool_container_of(object - (link >> OBJECT_LINK_BITS), struct slab, object));
}

static inline struct run *block_run(struct block *block)
{
    if (block->leaves == 0)
        return pool_container_of(block, struct run, block);
    return ((struct segment *)page_map_get(block->address))->run;
}

static inline size_t block_bytes(const struct block *block)
{
    if (block->leaves == 0)
        return pool_container_of(block, struct run, block)->bytes;
    return block->leaves * SIZE_LEAF_BYTES;
}

#endif
