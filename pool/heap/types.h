/* SPDX-License-Identifier: MIT */
/*
 * The structures of a pool and how they hang together.
 *
 *   page map ─► segment (2 MiB buddy) ─► slab ─► object      small,  ≤ 32 KiB
 *                                    └─► block               middle, ≤ 1.5 MiB
 *           └─► run (a driver allocation of its own)         large
 *
 *   pool ─► shard ─► bins (slabs of one class), extents (segments)
 *       └─► runs
 *
 * A run is one driver allocation: either cut into segments for the buddy of one shard, or one large
 * block, or cached whole. Equations, checked by pool_check():
 *
 *   slab     live + quarantined + free objects = objects
 *   bin      allocations - frees = live, frees - retired = quarantined
 *   segment  free leaves + leaves of slabs + leaves of blocks = 512
 *   pool     live + quarantined + cached + waste = reserved = bytes of all runs
 *            (waste: tails of slabs, and what is free in pinned runs)
 *
 * Order of locks: backend, then bin, then extents, then runs (lock.h). Labels of the quarantine are
 * written under the lock of a bin, of extents or of the runs (quarantine.h says why).
 */
#ifndef POOL_HEAP_TYPES_H
#define POOL_HEAP_TYPES_H

#include <assert.h>

#include "pool/backend.h"
#include "pool/base/base.h"
#include "pool/base/buddy.h"
#include "pool/base/lock.h"
#include "pool/base/metadata.h"
#include "pool/base/page_map.h"
#include "pool/base/range.h"
#include "pool/pool.h"
#include "pool/base/queue.h"
#include "pool/base/size_class.h"
#include "pool/base/size_tree.h"

/** Indices of the statistics, from the table that declares them. */
enum figure_gauge {
#define POOL_GAUGE(name, unit, help) GAUGE_##name,
#define POOL_COUNTER(name, unit, help)
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    GAUGE_COUNT
};

enum figure_counter {
#define POOL_GAUGE(name, unit, help)
#define POOL_COUNTER(name, unit, help) COUNTER_##name,
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    COUNTER_COUNT
};

/** Of a middle or large block. */
enum block_state {
    BLOCK_UNUSED, /* the descriptor describes no block */
    BLOCK_LIVE,
    BLOCK_QUARANTINED, /* freed, earlier device work may still use it */
    BLOCK_FREED,       /* may be handed out again */
};

/** State of a small block: at most a quarter of a cache line, so one cache miss loads it. */
struct object_record {
    uint32_t site, free_site; /* who allocated and who first freed it; 0: unknown */
    uint16_t requested;       /* bytes, 1 to 32768; 0: never handed out */
    uint8_t marks;            /* pool_block_mark(); none when it is handed out */
    bool identified;          /* slab_ids() holds its id; not when it is handed out */
};

/** List of the bin that a slab is in. */
enum slab_place {
    SLAB_BUCKETS = 4,            /* partial: buckets 0 to 3, by fullness */
    SLAB_CURRENT = SLAB_BUCKETS, /* the one being served from */
    SLAB_FULL,                   /* in no list */
    SLAB_SPARE,                  /* the one empty slab a bin keeps */
    SLAB_PINNED,                 /* in no list, never served from */
};

/**
 * Objects of one class, side by side in a buddy block. Guarded by the lock of the bin.
 *
 * An object is free (bit in free_mask), live (bit in the slot of the segment), or else quarantined.
 * A free looks at the slot alone; this header waits for the object to leave the quarantine, when
 * there is time to fetch it early. */
struct slab {
    uint64_t base;            /* address of object 0 */
    struct segment *segment;  /* that it lies in */
    uint64_t free_mask[2];    /* bit i: object i may be handed out */
    pool_count live_high;     /* live bits of objects 64 and up; the others: segment_slot.live */
    struct slab *next, *prev; /* in a bucket */
    uint8_t used;             /* objects live or quarantined */
    uint8_t place;
    uint8_t objects;
    uint8_t size_class;
    uint16_t shape; /* size_shape_of() */
    struct object_record record[] POOL_ALIGNED;
};

/** A small block as its bin sees it; slab NULL: none. */
struct object {
    struct slab *slab;
    uint32_t index;
};

/* Frees that defer reading their object's record until its cache line has arrived. */
#define BIN_UNSETTLED_MAX 4u

/** One size class of one shard. */
struct POOL_ALIGNED bin {
    struct pool_lock lock; /* guards all below unless said otherwise, and the slabs and objects */
    struct slab *current;
    uint32_t object_bytes; /* immutable after init, like objects, class, shard, pool */
    uint16_t objects;
    pool_count allocations, frees; /* written under lock, read by anyone */
    struct pool *pool;
    uint8_t size_class, shard;
    bool unsettled_known;  /* this bin's bit in `unsettled` of the shard is set */
    uint16_t bucket_scale; /* bucket of a slab: used * scale >> 10 */

    struct queue quarantine POOL_ALIGNED;               /* labels never decrease along it */
    struct object_record *unsettled[BIN_UNSETTLED_MAX]; /* of the last frees, oldest overwritten */
    uint32_t unsettled_site[BIN_UNSETTLED_MAX];         /* that freed them */

    pool_count retired, slabs; /* written under lock, read by anyone */
    pool_count frees_closed;   /* `frees` when the last epoch was closed */
    pool_count pinned_free;    /* free objects in pinned slabs */
    struct slab *bucket[SLAB_BUCKETS];
    struct slab *spare;
    uint32_t slab_bytes;
};

/** A middle or large block. All fields guarded by the lock of its blocks. */
struct __attribute__((aligned(16))) block {
    uint32_t site;
    uint32_t free_site;
    struct block *next; /* in the quarantine, or in the list of unused descriptors */
    uint64_t address;
    uint64_t requested_bytes;
    uint32_t epoch;  /* label while quarantined */
    uint16_t leaves; /* of a segment, or BLOCK_IS_RUN or BLOCK_IS_EXTENT */
    uint8_t state;
    uint8_t marks; /* pool_block_mark(); none when it is handed out */
    uint64_t id;   /* pool_block_identify(); 0: not asked since it was handed out */
};

#define BLOCK_IS_RUN    0          /* the block is a whole run */
#define BLOCK_IS_EXTENT UINT16_MAX /* it is an extent of the mapped range */

/** An extent of the mapped range, and its block if it is occupied. Guarded by the runs. */
struct POOL_ALIGNED extent_block {
    struct extent extent;
    struct block block;
};

/* A middle block is longer than a window, so at most one begins in each window of a segment. */
#define SEGMENT_WINDOW_BITS 15
#define SEGMENT_WINDOWS     (1u << (PAGE_MAP_PAGE_BITS - SEGMENT_WINDOW_BITS))
#define SEGMENT_SLOT_BITS   16
#define SEGMENT_SLOTS       (1u << (PAGE_MAP_PAGE_BITS - SEGMENT_SLOT_BITS))
#define SEGMENT_UNLISTED    255
#define SEGMENT_FULLNESSES  4u

/**
 * Slot of 64 KiB of a segment: what begins there or covers it. 0, a struct block, or with SLOT_SLAB
 * set a struct slab with its class in the bits that the address of a cache line leaves, and its
 * shape above the 48 bits of an address.
 */
typedef uint64_t slot_entry;
#define SLOT_SLAB        ((slot_entry)1)
#define SLOT_SLAB_MASK   (((slot_entry)1 << 48) - POOL_CACHE_LINE)
#define SLOT_SHAPE_SHIFT 48

/**
 * 64 KiB of a segment. For a slab, all that a free needs: `entry`, written under the locks of the
 * bin and of the extents and read by anyone, and in the slot where the slab begins the live bits of
 * its first 64 objects, guarded by the bin. Otherwise the blocks that begin in either half, guarded
 * by the extents.
 */
struct segment_slot {
    _Atomic slot_entry entry;
    union {
        pool_count live;
        _Atomic slot_entry upper;
    };
};

static inline slot_entry slot_of_slab(const struct slab *slab)
{
    return (slot_entry)(uintptr_t)slab | (slot_entry)slab->size_class << 1 |
           (slot_entry)slab->shape << SLOT_SHAPE_SHIFT | SLOT_SLAB;
}

static inline struct slab *slot_slab(slot_entry entry)
{
    return (struct slab *)(uintptr_t)(entry & SLOT_SLAB_MASK);
}

static inline unsigned slot_class(slot_entry entry)
{
    return entry >> 1 & (SIZE_CLASS_COUNT - 1);
}

static inline unsigned slot_shape(slot_entry entry)
{
    return (unsigned)(entry >> SLOT_SHAPE_SHIFT);
}

/** 2 MiB under a buddy. */
struct POOL_ALIGNED segment {
    _Atomic(struct shard *) shard; /* constant while the page map knows the segment */
    _Atomic uint64_t address;      /* likewise */
    struct run *run;               /* likewise */
    struct segment *next, *prev;   /* of the same key; guarded by extents, like all below */
    uint8_t key;                   /* largest free order * 4 + fullness, or SEGMENT_UNLISTED */
    atomic_bool pinned;            /* of the run; read by anyone */

    struct segment_slot slot[SEGMENT_SLOTS] POOL_ALIGNED;

    struct buddy buddy; /* its last words are the allocator's while the segment is unused */
};

enum run_use {
    RUN_LARGE,  /* one block, live or quarantined */
    RUN_BUDDY,  /* cut into segments */
    RUN_CACHED, /* free as a whole */
    RUN_DOOMED, /* free and never handed out again: waits to go to the driver, or on its way */
    RUN_RANGE,  /* the mapped range, in no list: its entry in the page map */
};

/** One driver allocation. Guarded by the lock of the runs unless said otherwise. */
struct __attribute__((aligned(16))) run {
    union {
        struct size_node node; /* RUN_CACHED: in the tree */
        struct {
            uint64_t bytes, address; /* those of the node; immutable, as pool */
        };
    };
    struct pool *pool;
    struct block block;        /* RUN_LARGE, and the last one of RUN_CACHED */
    uint32_t segments_used;    /* RUN_BUDDY: segments not wholly free; guarded by their extents */
    struct run *newer, *older; /* among cached runs, by time of their return */
    uint64_t cached_since;     /* `fence_serves` of the pool when it was cached */
    struct run *next, *prev;   /* among all runs of the pool */
    uint8_t use;               /* enum run_use */
    bool pinned;               /* exported: never handed out again; RUN_BUDDY: as segments_used */
    uint64_t metadata_link;
};

/** Common state of the middle blocks of one shard, and of the large blocks of a pool. */
struct blocks {
    struct pool_lock lock; /* guards the blocks, and all of the structure that holds this one */
    struct block *quarantine_head, *quarantine_tail; /* labels never decrease along it */

    /* Written under lock, read by anyone. */
    pool_count allocations, frees, live_bytes, quarantined_bytes;
    pool_count open_bytes; /* freed since the last epoch was closed */
};

/** The segments of a shard, middle blocks and slabs in them. */
struct POOL_ALIGNED extents {
    struct blocks blocks;
    struct block *unused_blocks;
    uint64_t segment_keys; /* bit k: segments[k] is not empty */
    struct segment *segments[BUDDY_ORDERS * SEGMENT_FULLNESSES];
    struct run *spare; /* one RUN_BUDDY without a block in it, kept against flapping */

    /* Written under lock, read by anyone. */
    pool_count spare_bytes;  /* of the spare run; 0: none */
    pool_count free_bytes;   /* free leaves outside pinned runs */
    pool_count buddy_bytes;  /* of RUN_BUDDY */
    pool_count wasted_bytes; /* free leaves in pinned runs */
};

/**
 * All runs of a pool: large blocks, cached ones, and those cut for the shards. With
 * POOL_BACKING_MAPPED only the last, each a 2 MiB extent of the range, in which every block above
 * 32 KiB, and of a class without slabs above 4 KiB, is an extent of its own; free extents take the
 * place of cached runs.
 */
struct POOL_ALIGNED runs {
    struct blocks blocks;
    struct range *range; /* immutable after init; NULL: POOL_BACKING_DRIVER */
    struct run *all;
    struct size_tree cached;
    struct run *newest, *oldest;
    struct run *doomed; /* by `newer` */

    /* Written under lock, read by anyone. */
    pool_count cached_bytes;   /* of RUN_CACHED */
    pool_count wasted_bytes;   /* of RUN_DOOMED */
    pool_count large_waste;    /* reused runs: bytes beyond what a new one would have had */
    pool_count isolated_waste; /* isolated extents: bytes beyond what was asked for */
    pool_count small_extents[SIZE_CLASS_COUNT]; /* by class, live or quarantined in the range */
};

/** Per-processor shard: private bins and extents, to avoid contention. */
struct shard {
    struct bin bins[SIZE_CLASS_COUNT];
    struct extents extents;
    struct pool *pool;               /* immutable */
    _Atomic uint32_t flushed_number; /* labels up to here have left; guarded by the backend lock */
    pool_count open_bytes; /* small, freed since an epoch was closed, by full chunks; atomic */
    /* Bytes this shard's threads have added to live_requested and not yet reported; may be
     * negative. Atomic, used once the pool has spread. */
    _Atomic int64_t pending POOL_ALIGNED;
    _Atomic uint32_t unsettled POOL_ALIGNED; /* bit c: bin c may have unsettled frees */
};

/** A closed epoch with a pending fence. */
struct epoch {
    uint32_t number;
    uint16_t waiters; /* threads in fence_wait without a lock */
    bool done;
    bool prompt; /* closed by its last free: the fence covers no later work */
    pool_fence fence;
    uint64_t bytes;
};

#define QUARANTINE_EPOCHS_MAX    64u
#define QUARANTINE_LINGERING_MAX 32u

/** Closed epochs, oldest first. Guarded by the backend lock, except for the two numbers. */
struct quarantine {
    _Atomic uint32_t open_number;    /* the label of a free now */
    _Atomic uint32_t retired_number; /* labels up to here may be handed out */
    bool fences_unsupported;
    uint32_t first, count;    /* in the ring */
    uint32_t stuck_number[3]; /* epochs waited for in vain, by quarantine_patience;
                               * 0: none */
    uint32_t vain_looks;      /* at fresh fences, since one was signalled */
    pool_count carried_bytes; /* closed by number, but no fence recorded; read by anyone */
    struct epoch ring[QUARANTINE_EPOCHS_MAX];
    /* Passed, but a thread has not returned from waiting for it; without waiters: unused. */
    struct epoch lingering[QUARANTINE_LINGERING_MAX];
};

#define POOL_SHARDS_MAX 16u

struct pool {
    /* Immutable after init, except for the shards, which are only ever added. */
    struct pool_config config;
    struct pool_backend backend;
    struct size_classes classes POOL_ALIGNED;
    uint32_t shards_max;
    _Atomic bool spread;    /* set once, after collisions */
    atomic_bool frees_wait; /* POOL_REUSE_SYNC, or set once when there are no fences */
    pool_count collisions;  /* atomic; counted until spread */
    pool_count pending_max; /* what a shard of a spread pool may keep to itself */
    _Atomic(struct shard *) shards[POOL_SHARDS_MAX];

    /* Written by every operation. */
    pool_count live_requested POOL_ALIGNED;
    pool_count live_requested_peak;
    pool_count sample_at; /* the next peak that makes figures_sample() look at the others */
    pool_count metadata_bytes;

    struct runs runs;

    struct mapped *mapped;              /* immutable after init; NULL: POOL_BACKING_DRIVER */
    struct run range_run;               /* likewise; RUN_RANGE */
    struct pool_backend mapped_backend; /* likewise; counts and observes, then calls `backend` */
    pool_count mapping_ns; /* creating and mapping since it was last observed; atomic */
    pool_count
        reserved_peak; /* what was held only until a growth was undone included; backend lock */
    pool_count page_calls[POOL_REFUSALS]; /* about physical memory, by kind; atomic */

    struct pool_lock backend_lock POOL_ALIGNED;
    struct quarantine quarantine;
    pool_count reserved;   /* written under the backend lock */
    atomic_bool refused;   /* the driver's last word was no; written under the backend lock */
    pool_count room;       /* what the driver can give, by our last look and our doings since */
    uint64_t room_look_at; /* when so much is reserved it is time to look; under the backend lock */
    bool overgrown;        /* above the ceiling, as the device was busy; under the backend lock */
    uint64_t idle_allocations, idle_since_ns; /* when idle trimming last looked; backend lock */
    pool_count fence_serves; /* requests that only a fence could serve; under the backend lock */
    pool_count generation;   /* grows whenever memory became available off the hit path */

    struct pool_lock sample_lock; /* rank METADATA; guards the gauges' peaks below */
    struct pool_gauge gauges[GAUGE_COUNT];
    uint64_t peak_time_ns;
    pool_count counters[COUNTER_COUNT]; /* atomic; those kept in bins and blocks stay 0 here */

    struct pool *registry_next; /* guarded by the registry lock */
    uint64_t metadata_link;
};

static_assert(sizeof(struct object_record) == 12, "what is kept of an object stays small");
static_assert(offsetof(struct slab, record) == POOL_CACHE_LINE, "a slab's header is one line");
static_assert(sizeof(struct segment_slot) == 16, "four slots to a cache line");
static_assert(offsetof(struct bin, quarantine) == POOL_CACHE_LINE,
              "what every hit needs is one line");
static_assert(sizeof(struct block) % 16 == 0 && sizeof(struct run) % 16 == 0, "metadata.h");

static inline uint64_t object_address(const struct bin *bin, struct object object)
{
    return object.slab->base + (uint64_t)object.index * bin->object_bytes;
}

static inline struct object_record *object_record(struct object object)
{
    return &object.slab->record[object.index];
}

static inline struct segment_slot *segment_slot(struct segment *segment, uint64_t address)
{
    return &segment->slot[(address & (POOL_SEGMENT_BYTES - 1)) >> SEGMENT_SLOT_BITS];
}

/** Returns the word with the live bit of an object, bit index % 64. */
static inline pool_count *object_live_word(struct object object, struct segment_slot *first)
{
    return likely(object.index < 64) ? &first->live : &object.slab->live_high;
}

static inline bool object_live(struct object object)
{
    struct slab *slab = object.slab;
    const pool_count *word = object_live_word(object, segment_slot(slab->segment, slab->base));

    return count_get(word) >> (object.index % 64) & 1;
}

static inline bool object_free(struct object object)
{
    return object.slab->free_mask[object.index / 64] >> (object.index % 64) & 1;
}

static inline struct extent *block_extent(struct block *block)
{
    return &pool_container_of(block, struct extent_block, block)->extent;
}

static inline struct block *extent_block(struct extent *extent)
{
    return &pool_container_of(extent, struct extent_block, extent)->block;
}

/** Of a block that is no extent. */
static inline struct run *block_run(struct block *block)
{
    if (block->leaves == BLOCK_IS_RUN)
        return pool_container_of(block, struct run, block);
    return ((struct segment *)page_map_get(block->address))->run;
}

/** Whether the memory is known outside the process. */
static inline bool block_pinned(struct block *block)
{
    return block->leaves == BLOCK_IS_EXTENT ? block_extent(block)->exported
                                            : block_run(block)->pinned;
}

/** Whether its memory goes back to the driver together with the block. */
static inline bool block_isolated(struct block *block)
{
    return block->leaves == BLOCK_IS_EXTENT && block_extent(block)->isolated;
}

static inline size_t block_bytes(const struct block *block)
{
    if (block->leaves == BLOCK_IS_RUN)
        return pool_container_of(block, struct run, block)->bytes;
    if (block->leaves == BLOCK_IS_EXTENT)
        return block_extent((struct block *)block)->node.bytes;
    return block->leaves * SIZE_LEAF_BYTES;
}

/** Free memory outside slabs and segments. */
static inline uint64_t runs_free_bytes(const struct runs *runs)
{
    return runs->range ? count_get(&runs->range->bytes_of[EXTENT_FREE])
                       : count_get(&runs->cached_bytes);
}

#endif
