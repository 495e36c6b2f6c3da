/* SPDX-License-Identifier: MIT */
/*
 * The allocator core: device memory in size-classed pools, one pool per context.
 *
 * A block is handed out from a slab (small), a buddy segment (middle) or a segment run of its own
 * (large). A freed block goes to the quarantine and is handed out again only when every piece of
 * device work submitted before the free has completed. All metadata lives on the host; the hit path
 * makes no driver call, no system call and no malloc.
 *
 * Threading: every function may be called from any thread at any time unless it says otherwise.
 * Errors are negative errno.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pool;

/** When a freed block may be handed out again. */
enum pool_reuse {
    POOL_REUSE_DEFERRED,  /* when a fence recorded after the free has been passed */
    POOL_REUSE_SYNC,      /* at once: the free itself waits for the device */
    POOL_REUSE_IMMEDIATE, /* at once: the program promises that one stream orders its work */
};

/** Fill pattern of a block; none leaves it unchanged. */
enum pool_fill { POOL_FILL_NONE, POOL_FILL_ZERO, POOL_FILL_POISON };

#define POOL_POISON_BYTE   0xA5
#define POOL_SEGMENT_BYTES ((size_t)2 << 20)
#define POOL_CLASSES_MAX   32u

/** Of a block of pool_allocate_isolated(). */
#define POOL_ISOLATED_ALIGNMENT ((size_t)256)

/** Origin of device memory. */
enum pool_backing {
    POOL_BACKING_DRIVER, /* the driver's allocations, in multiples of 2 MiB */
    POOL_BACKING_MAPPED, /* physical memory mapped as needed below one range of addresses */
};

/** Outcome of an allocation. */
enum pool_outcome {
    POOL_OUTCOME_HIT,    /* from memory the pool had, no driver call */
    POOL_OUTCOME_MISS,   /* the driver was called */
    POOL_OUTCOME_WAITED, /* earlier device work was waited for */
};

/** An action of the pool with the driver or under pressure. */
enum pool_event_kind {
    POOL_EVENT_SEGMENT_ALLOCATE, /* address, bytes */
    POOL_EVENT_SEGMENT_FREE,     /* address, bytes */
    POOL_EVENT_FENCE, /* bytes: quarantined in the epoch it closes; address: its number */
    POOL_EVENT_WAIT, /* bytes: quarantined in the epoch; address: its number; detail: 1 timed out */
    POOL_EVENT_QUERY,   /* bytes: 1 the fence has been passed, 0 not; address: as FENCE */
    POOL_EVENT_ROOM,    /* bytes: what the driver can still give, by its account */
    POOL_EVENT_TRIM,    /* bytes: returned to the driver */
    POOL_EVENT_FAILURE, /* bytes: the request that could not be served */
    POOL_EVENT_MAP,     /* address, bytes: memory, new or from elsewhere, begins there */
    POOL_EVENT_UNMAP,   /* address, bytes: a hole now */
    POOL_EVENT_STITCH,  /* address, bytes: free memory of other places mapped there */
    POOL_EVENT_BREAK,   /* address, bytes: a handle in use replaced by smaller ones */
    POOL_EVENT_REFUSAL, /* bytes: a call about physical memory failed; detail: which;
                           address: such calls before it */
    POOL_EVENT_REQUEST, /* the pool was asked for something else than a block; detail */
};

/** The call of a POOL_EVENT_REFUSAL. Values are part of the trace format. */
enum pool_refusal {
    POOL_REFUSAL_CREATE = 1,
    POOL_REFUSAL_MAP = 2,
    POOL_REFUSAL_RELEASE = 3,
    POOL_REFUSAL_COPY = 4,
};
#define POOL_REFUSALS 4u

/** The request of a POOL_EVENT_REQUEST, before it is served. Values as above. */
enum pool_request {
    POOL_REQUEST_TRIM = 1,       /* bytes: to be kept */
    POOL_REQUEST_DEFRAGMENT = 2, /* nothing more */
    POOL_REQUEST_IDLE_TRIM = 3,  /* nothing was allocated for long enough: all that is free */
    POOL_REQUEST_PIN = 4,        /* address: a live block, the segment around it is exported */
    POOL_REQUEST_FIGURES = 5,    /* levels were noted, which is what ceilings follow from */
};

struct pool_event {
    enum pool_event_kind kind;
    int error; /* 0, or the negative errno the backend returned */
    uint64_t address;
    uint64_t bytes;
    uint64_t duration_ns;
    uint32_t detail; /* 0, or as the kind says */
};

struct pool_config {
    enum pool_reuse reuse;
    enum pool_fill fill;          /* on allocation */
    enum pool_fill scrub;         /* on free, after earlier work, before reuse */
    uint64_t limit_bytes;         /* upper bound of reserved bytes; 0: none */
    uint64_t quarantine_max;      /* bytes that one fence covers; 0: the default, adaptive */
    uint32_t large_waste_percent; /* a cached large segment serves a request it exceeds by this */
    uint64_t cache_max;           /* cached whole segments kept, bytes; 0: default */
    uint32_t ceiling_percent;     /* reserved beyond the peak of live, at least 2 MiB; 0: default */
    uint32_t growth_percent;      /* growth step as a percentage of existing segments; 0: default */
    /* Sizes of small blocks, ascending multiples of 256 B from 512 B to 32 KiB; one of 32 KiB
     * is added if missing. Blocks are then aligned to 256 B. class_count 0: the default. */
    uint16_t class_bytes[POOL_CLASSES_MAX];
    uint32_t class_count;
    uint64_t slab_bytes; /* memory that blocks of one class share, a multiple of 64 KiB up to 1 MiB;
                          * less for a class that would leave too much unused or fit more than 128
                          * blocks; 0: the default, from 64 to 256 KiB */
    enum pool_backing backing;
    /* The following are for POOL_BACKING_MAPPED. */
    uint64_t page_bytes;    /* largest piece of physical memory, a power of two from 2 MiB to 1 GiB;
                             * 0: 8 MiB, and up to 48 MiB before the first stitch */
    uint64_t reserve_bytes; /* physical memory created at the start and kept; 0: none */
    uint64_t range_bytes;   /* addresses to reserve; 0: 8 times the device's memory. Where that is
                             * refused, less, down to what the device's memory takes */
    uint64_t idle_trim_ns;  /* pool_idle_trim(), with either backing; 0: off */
    bool move;              /* a handle in use may be replaced by smaller ones, its bytes copied */
    /** Called for each event, without a class or extents lock held. May be NULL. */
    void (*observe)(void *state, const struct pool_event *event);
    void *observe_state;
};

/** One block, as seen by allocate, free and find. */
struct pool_block {
    uint64_t address;         /* of its first byte */
    size_t requested_bytes;   /* what the program asked for */
    size_t allocated_bytes;   /* size it occupies */
    uint64_t segment_address; /* the driver allocation that holds it */
    size_t segment_bytes;
    uint32_t allocation_site; /* as given to pool_allocate */
    uint32_t free_site;       /* of the first free, when the block is not live; 0: unknown */
    enum pool_outcome outcome;
    bool live;
    bool isolated; /* pool_allocate_isolated() */
    uint8_t marks; /* pool_block_mark() */
    void *owner;   /* of a block just freed: observe_state of its pool's configuration */
};

struct pool_gauge {
    uint64_t current, peak, at_peak;
};

/** A nearly consistent snapshot: each figure is exact, but figures may be a few operations
 * apart. */
struct pool_statistics {
#define POOL_GAUGE(name, unit, help)   struct pool_gauge name;
#define POOL_COUNTER(name, unit, help) uint64_t name;
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    uint64_t largest_free_bytes; /* the largest block obtainable without the driver */
    uint64_t metadata_bytes;     /* host memory used for bookkeeping */
    uint64_t peak_time_ns;       /* backend clock when live_requested had its peak */
};

/** Fills a configuration with the defaults. */
void pool_config_init(struct pool_config *config);

/**
 * Creates a pool on a backend (copied). The backend's state must outlive the pool. Errors: -EINVAL
 * for a configuration out of range; -ENOMEM for host memory; -ENOTSUP when memory cannot be mapped
 * here: the backend does not, or has no addresses to reserve (the caller may fall back to
 * POOL_BACKING_DRIVER); others of the backend.
 */
int pool_create(const struct pool_config *config, const struct pool_backend *backend,
                struct pool **ret_pool);

/** Treatment of the device memory when a pool ends. */
enum pool_end {
    POOL_END_RETURN,  /* every segment goes back to the driver */
    POOL_END_ABANDON, /* the context is gone and its memory with it: only fences are given back */
};

/**
 * Destroys a pool. Live blocks are forgotten: their addresses are unknown afterwards. No other
 * call on this pool may be running. NULL is accepted.
 */
void pool_destroy(struct pool *pool, enum pool_end end);

/**
 * Allocates at least `bytes` (>0) of device memory, aligned to 512 B or more, or to 256 B if the
 * configuration has its own classes. `site`, any number of the caller's, is kept with the block;
 * pool_find() returns it, and pool_free() does for a block that was freed before; 0: none. Errors:
 * -ENOMEM after the whole pressure ladder; -EPERM and -EIO as the backend said; -ENOTSUP when this
 * request cannot be pooled. In each case the caller may ask the driver itself.
 */
int pool_allocate(struct pool *pool, size_t bytes, uint32_t site, struct pool_block *ret_block);

/**
 * Allocates a block that stands alone, in physical memory of its own: at least 2 MiB of addresses
 * before and behind that memory have none. The block ends with the memory, apart from what aligns
 * it to POOL_ISOLATED_ALIGNMENT; the memory in front of it, up to a multiple of 2 MiB, is the
 * caller's. Its free waits for the device, unmaps it and returns the memory. Its addresses stay
 * without memory until 4,096 more such blocks, or an eighth of the range, have followed. Where the
 * free must not wait (a stream captures) this happens later, behind a fence. Such a block is not
 * scrubbed. Errors: -ENOTSUP with POOL_BACKING_DRIVER; others as pool_allocate(), with two
 * differences for -ENOMEM: cached memory was returned, without more of the ladder; and it also
 * applies where all such blocks together would take a quarter of the device beyond what was
 * requested. The caller may then ask pool_allocate().
 */
int pool_allocate_isolated(struct pool *pool, size_t bytes, uint32_t site,
                           struct pool_block *ret_block);

/**
 * Frees a block of any pool of the process: the address finds its pool. On success ret_block,
 * unless NULL, holds the address, the allocated bytes, the owner and the site of the free. Other
 * fields may be 0, because a free need not read a small block's record, which in a large pool is in
 * no cache. On -EALREADY the block is described in full. Errors: -ENOENT no pool owns the address;
 * -EALREADY freed before; -EINVAL not the start of a block. Nothing changes on error, except that
 * the invalid free is counted.
 */
int pool_free(uint64_t address, uint32_t site, struct pool_block *ret_block);

/**
 * Prefetches the metadata that pool_free() will need, for a caller with other work to do first.
 * Any address is accepted, at any time.
 */
void pool_prefetch(uint64_t address);

/**
 * Finds the block that contains an address, live or not, and its pool. Errors: -ENOENT no pool
 * owns the address or it lies in no block.
 */
int pool_find(uint64_t address, struct pool_block *ret_block, struct pool **ret_pool);

/** Returns the pool whose memory an address lies in, within a block or not; NULL: none. */
struct pool *pool_at(uint64_t address);

/**
 * Finds the live block that an address lies in, within its requested bytes, which are always exact
 * for a live block. Errors: -ENOENT no pool owns the address; -EINVAL one does, but nothing is
 * live there: a hole, a freed block, or the part of a block beyond the request.
 */
int pool_range_get(uint64_t address, struct pool_block *ret_block);

/**
 * Returns a number for the live block around an address: constant until it is freed, and never
 * given to another block in the life of the process. Only the first query has a cost; allocation
 * and free do not. Errors: -ENOENT nothing there is live; -ENOMEM for host memory.
 */
int pool_block_identify(uint64_t address, uint64_t *ret_id);

/**
 * Sets and clears bits of the caller's that are kept with a live block until it is freed;
 * pool_find() returns them. A new block has none. ret_before may be NULL. Errors: -ENOENT nothing
 * there is live.
 */
int pool_block_mark(uint64_t address, uint8_t set, uint8_t clear, uint8_t *ret_before);

/**
 * Marks the driver allocation that holds a live block, or that begins here and holds some, as
 * exported (IPC, registration). It is never handed out again, and goes back to the driver when its
 * last block is freed. Errors: -ENOENT no pool owns the address; -EINVAL nothing there is live.
 */
int pool_pin_segment(uint64_t address);

/**
 * Returns cached segments to the driver until at most `keep_bytes` stay cached. With 0, it also
 * returns quarantined large blocks that no fence can be recorded for. Errors: as the backend said;
 * bytes returned so far still count.
 */
int pool_trim(struct pool *pool, size_t keep_bytes, size_t *ret_returned_bytes);

/**
 * Closes the open epoch after a free, with a fence for all that was freed so far. Where that fence
 * stays open, and would come to cover work that begins later, waits as the driver's own free does.
 */
void pool_frees_close(struct pool *pool);

/**
 * Returns free memory if there has been no allocation for the configured time, and the device is
 * idle. Call it now and then, from where waiting for the device is acceptable; the pool has no
 * thread of its own, but some frees do it, too. Returns the bytes given back.
 */
uint64_t pool_idle_trim(struct pool *pool);

/** Does the same regardless of time: for callers that know otherwise that the time has come. */
uint64_t pool_idle_return(struct pool *pool);

/**
 * Defragments: makes the largest block available without the driver as large as possible;
 * *ret_moved_bytes is how much was mapped elsewhere. Waits for earlier frees. With
 * POOL_BACKING_DRIVER nothing can be moved. Errors: the backend's; bytes moved so far count.
 */
int pool_defragment(struct pool *pool, uint64_t *ret_moved_bytes);

/** How the memory of a pool is divided; everything except the holes adds up to the reserved
 * bytes. */
struct pool_memory {
    enum pool_backing backing;
    uint64_t reserved_bytes;     /* held from the driver */
    uint64_t live_bytes;         /* blocks at the size they occupy */
    uint64_t quarantined_bytes;  /* freed, earlier device work may still use it */
    uint64_t free_bytes;         /* ready to be handed out */
    uint64_t waste_bytes;        /* neither: tails of slabs, free memory beside exported blocks */
    uint64_t largest_free_bytes; /* the largest block obtainable without the driver */
    uint64_t returnable_bytes;   /* of free_bytes, what could go back to the driver now */
    uint64_t page_bytes;         /* largest piece, except for larger ones from before the first
                                  * stitch; 0: POOL_BACKING_DRIVER, as below */
    uint64_t range_address, range_bytes;
    uint64_t hole_bytes, holes; /* addresses without memory, and the pieces they come in */
    uint64_t stitched_bytes;    /* so much free memory has been mapped elsewhere */
    uint64_t broken_bytes;      /* handles in use that were replaced by smaller ones */
};

void pool_memory_get(struct pool *pool, struct pool_memory *ret_memory);

/** Bytes the pool holds and no live block occupies: it could return no more than that. */
uint64_t pool_spare_bytes(const struct pool *pool);

/** Bytes the pool could hand out without the driver: cached and quarantined. */
uint64_t pool_available_bytes(const struct pool *pool);

void pool_statistics_get(struct pool *pool, struct pool_statistics *ret_statistics);

/**
 * Walks everything and verifies every invariant. Stops other operations meanwhile. Returns 0, or
 * -EFAULT with the violated invariant in `why`.
 */
int pool_check(struct pool *pool, char *why, size_t why_bytes);

/** In the child after fork: forgets the parent's pools, which are not touched again. */
void pool_fork_child(void);

#ifdef __cplusplus
}
#endif

#endif
