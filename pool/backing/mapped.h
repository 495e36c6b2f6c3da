/* SPDX-License-Identifier: MIT */
/*
 * Physical memory behind a range of addresses, in handles that are created, mapped, unmapped and
 * released as a whole.
 *
 * A request that no free extent can hold leads to a gap (range.h). Below a ceiling the gap is
 * filled with new handles; above it, with whole free handles from elsewhere: stitching. The ceiling
 * is lower for large gaps, because these make up most of the memory reserved above the peak, and
 * their memory is later freed in one piece. So free memory scattered over many extents serves a
 * large block, without a copy and without more memory.
 *
 * Until the first stitch handles may be large, because a program that only grows needs no small
 * ones. Afterwards new handles are small, and large ones that are stitched are divided.
 *
 *   every byte of the range that is not a hole, or being filled, lies in exactly one mapped handle
 *   reserved = the bytes of all handles, mapped or not
 *
 * Only free extents are unmapped. The caller frees an extent when no device work can touch it any
 * more, so no mapping changes under running work.
 *
 * Threading: `lock` guards the range and the handles; it is never held during a driver call. The
 * caller holds `outer` where a function says so. `outer` allows one thread at a time to grow or
 * trim; it is released around calls that may wait for the device.
 */
#ifndef POOL_BACKING_MAPPED_H
#define POOL_BACKING_MAPPED_H

#include "pool/backend.h"
#include "pool/base/lock.h"
#include "pool/base/page_map.h"
#include "pool/base/range.h"

struct mapped_handle;

struct mapped_config {
    uint64_t page_bytes;  /* of a handle at most; a power of two, from 2 MiB */
    uint64_t first_bytes; /* the same before the first stitch, if more; a multiple of 2 MiB */
    uint64_t first_part;  /* such a handle is at most this fraction of reserved memory, including
                             itself */
    uint64_t keep_bytes;  /* never trimmed below */
    uint64_t slack_bytes; /* ceiling = peak of live bytes + max(slack_bytes, peak / slack_part) */
    uint64_t slack_part;
    uint64_t large_slack_part; /* the same for a gap of a large share of what is reserved */
    uint64_t large_part;       /* this share */
    uint64_t growth_part; /* a growth takes at least 1 / growth_part of what is reserved; 0: none */
};

struct mapped {
    struct pool_lock *lock, *outer;
    struct range range;             /* guarded by lock */
    struct mapped_handle **handles; /* by page, the one that begins there; guarded by lock */
    struct mapped_handle *loose;    /* that could not be released; guarded by outer */
    /* Former places of isolated extents, oldest first, linked by `left`; guarded by lock. */
    struct extent *fenced_first, *fenced_last;
    uint64_t fenced_bytes, fenced_count;
    uint64_t isolate_at;            /* where the next one is looked for; guarded by lock */
    bool stitched;                  /* handles are small from now on; guarded by outer */
    pool_count ceiling_bytes;       /* of what is reserved */
    pool_count large_ceiling_bytes; /* where large gaps are to be filled */
    pool_count *reserved_bytes;     /* of all handles; written under outer */
    pool_count pending_bytes;       /* of handles that are mapped nowhere; atomic */
    const struct pool_backend *backend;
    struct mapped_config config; /* immutable after init, as all below */
    page_entry entry;            /* of mapped pages in the page map; 0: they do not stand there */
    pool_count *account;         /* bytes of host memory */
};

/** Chosen by replays of real traces (docs/allocator.md). */
void mapped_config_init(struct mapped_config *config);

/** What a range is made for. */
struct mapped_place {
    struct pool_lock *lock, *outer;
    uint64_t bytes;      /* of addresses, a multiple of 2 MiB */
    size_t extent_bytes; /* range_init() */
    page_entry entry;
    pool_count *account, *reserved_bytes;
};

/** Reserves addresses. Errors: the backend's; -ENOMEM without host memory. */
int mapped_init(struct mapped *mapped, const struct pool_backend *backend,
                const struct mapped_config *config, const struct mapped_place *place);

/** Releases every handle and the addresses; nothing may be live on the device. `abandon`: they
 * are gone already, and only the host's memory is freed. */
void mapped_done(struct mapped *mapped, bool abandon);

/** What is wanted where no free extent serves. */
struct mapped_wish {
    uint64_t bytes;        /* a multiple of 512; of a page: 2 MiB */
    uint64_t more_bytes;   /* of a page: to be mapped beside it, or less; a multiple of 2 MiB */
    uint64_t handle_bytes; /* of a new handle at most; 0: as configured */
    uint64_t first_bytes;  /* the same before the first stitch, if more */
    uint64_t sure_bytes;   /* the device has so much; more is first requested in one piece */
    bool page;             /* it begins at a multiple of 2 MiB */
    bool anywhere;         /* also where placement by page would not put it */
    bool stitch;           /* free memory may be unmapped for it, which may wait for the device */
    bool create;           /* new memory may be taken */
    bool divide;           /* stitched large handles may be replaced by smaller ones */
};

/** What a growth has brought. */
struct mapped_grown {
    struct extent *extent;            /* live */
    uint64_t address, stitched_bytes; /* where free memory of other places is now; bytes 0: none */
};

/**
 * Allocates a live extent, with more memory or by stitching. The caller holds `outer`. Errors:
 * -ENOMEM: the device has no more and whole free handles are not enough; -EAGAIN: there is more
 * memory now, but not in one piece; others from the backend, after which nothing has changed
 * except that free memory may have been released.
 */
int mapped_grow(struct mapped *mapped, const struct mapped_wish *wish,
                struct mapped_grown *ret_grown);

/**
 * Allocates a live extent of the wished `bytes` (a multiple of 2 MiB) with memory of its own in new
 * handles of at most `handle_bytes`, and at least 2 MiB without memory on either side; the other
 * wishes are ignored, except `sure_bytes`. Free it by range_leave(). The caller holds `outer`.
 * Errors: -ENOMEM; -ENOSPC: no addresses; the backend's.
 */
int mapped_isolate(struct mapped *mapped, const struct mapped_wish *wish,
                   struct extent **ret_extent);

/**
 * Unmaps and releases the isolated extents that were freed; nothing uses them any more. Their
 * addresses stay without memory until MAPPED_FENCED_COUNT more, or 1 / MAPPED_FENCED_SHARE of the
 * range, have followed. The caller holds `outer`. Returns the bytes released.
 */
uint64_t mapped_isolated_release(struct mapped *mapped);

#define MAPPED_FENCED_COUNT 4096u
#define MAPPED_FENCED_SHARE 8u

/** Returns the bytes that may be reserved for this peak of live bytes; growing observes it from now
 * on. The caller holds `outer`, or requests no growth. */
uint64_t mapped_ceiling(struct mapped *mapped, uint64_t peak);

/** Whether this much more memory would exceed the applicable ceiling. */
bool mapped_above_ceiling(const struct mapped *mapped, uint64_t bytes);

/**
 * Releases whole free handles until at most `keep` bytes are reserved, the largest extents first.
 * The caller holds `outer`. Returns the bytes released.
 */
uint64_t mapped_trim(struct mapped *mapped, uint64_t keep);

/**
 * Maps whole free handles from other places next to a free extent, if that enlarges the largest
 * one. The caller holds `outer`. Errors: the backend's. On success the extent is NULL.
 */
int mapped_defragment(struct mapped *mapped, struct mapped_grown *ret_grown);

/** A handle that is no more. */
struct mapped_broken {
    uint64_t address, bytes;
};

/**
 * Replaces the partly live handle with the most free pages by handles below its live pages; their
 * bytes are copied. The caller holds `outer` and ensures that the device is idle and stays so.
 * Errors: -ENOMEM: there is none, or no memory for the copies; the backend's. On error nothing has
 * changed, except that free memory may have been released.
 */
int mapped_break(struct mapped *mapped, struct mapped_broken *ret_broken);

/** Whether any memory is not in use: in whole free handles, on its way, or spent; `parts`: or in
 * the free part of a handle. The caller holds `outer`. */
bool mapped_may_gain(struct mapped *mapped, bool parts);

/** Bytes in whole free handles: what a trim could release. `lock` is held. */
uint64_t mapped_whole_bytes_locked(const struct mapped *mapped);

/**
 * Pins the handles below a live extent, which are known outside the process: their free memory,
 * present and future, is not handed out again. `lock` is held. Errors: -ENOMEM, nothing changed.
 */
int mapped_pin_locked(struct mapped *mapped, struct extent *live);

/** Releases pinned handles without any live block. The caller holds `outer`. */
void mapped_spent_release(struct mapped *mapped);

/** The violated invariant, or NULL. The caller holds `outer` and `lock`. */
const char *mapped_check_locked(const struct mapped *mapped);

#endif
