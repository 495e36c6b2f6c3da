/* SPDX-License-Identifier: MIT */
/*
 * Physical memory below a range of addresses, in handles that are created, mapped, unmapped and
 * released as a whole.
 *
 * A request that no free extent holds leads to a gap (range.h), which is filled with new handles
 * while the pool is below a ceiling, and above it with whole free handles from elsewhere:
 * stitching. The ceiling is lower for large gaps: they are most of what is reserved above the peak,
 * and what fills one comes back in one piece. So free memory that is scattered over many extents
 * serves a large block, without a copy and without more memory.
 *
 * Until the first stitch handles may be large, for a program that only grows needs no small ones.
 * From then on new ones are small, and large ones that are stitched are divided.
 *
 *   every byte of the range that is not a hole, or being filled, lies in exactly one mapped handle
 *   reserved = the bytes of all handles, mapped or not
 *
 * Only free extents are unmapped. The caller gives an extent back when no device work can touch it
 * any more, so no mapping changes under running work.
 *
 * Threading: `lock` guards the range and the handles; it is never held during a driver call. The
 * caller holds `outer` where a function says so; it makes one thread at a time grow or trim, but
 * for calls that may wait for the device, around which it is released.
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
    uint64_t first_part;  /* such a handle is at most this part of what is reserved with it */
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
    /* Where isolated extents were, oldest first, by their left links; guarded by lock. */
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

/** What replays of real traces chose (docs/allocator.md). */
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

/** Releases every handle and the addresses, nothing may be live on the device; `abandon`: they are
 * gone already, and only the host's memory is given back. */
void mapped_done(struct mapped *mapped, bool abandon);

/** What is wanted where no free extent serves. */
struct mapped_wish {
    uint64_t bytes;        /* a multiple of 512; of a page: 2 MiB */
    uint64_t more_bytes;   /* of a page: to be mapped beside it, or less; a multiple of 2 MiB */
    uint64_t handle_bytes; /* of a new handle at most; 0: as configured */
    uint64_t first_bytes;  /* the same before the first stitch, if more */
    bool page;             /* it begins at a multiple of 2 MiB */
    bool stitch;           /* free memory may be unmapped for it, which may wait for the device */
    bool create;           /* new memory may be taken */
    bool divide; /* large handles that are stitched may be released, and created smaller */
};

/** What a growth has brought. */
struct mapped_grown {
    struct extent *extent;            /* live */
    uint64_t address, stitched_bytes; /* where free memory of other places is now; bytes 0: none */
};

/**
 * A live extent, with more memory or by stitching. The caller holds `outer`. Errors: -ENOMEM: the
 * device has no more and whole free handles do not suffice; -EAGAIN: there is more now, but not in
 * one piece; others from the backend, after which everything is as it was but for free memory that
 * may have been released.
 */
int mapped_grow(struct mapped *mapped, const struct mapped_wish *wish,
                struct mapped_grown *ret_grown);

/**
 * A live extent of `bytes` (a multiple of 2 MiB) with memory of its own in new handles of at most
 * `handle_bytes`, and at least 2 MiB without memory on either side. It is given back by
 * range_leave(). The caller holds `outer`. Errors: -ENOMEM; -ENOSPC: no addresses; the backend's.
 */
int mapped_isolate(struct mapped *mapped, uint64_t bytes, uint64_t handle_bytes,
                   struct extent **ret_extent);

/**
 * Unmaps and releases the isolated extents that were given back: nothing uses them any more. Their
 * addresses stay without memory until so many others have followed that MAPPED_FENCED_COUNT, or
 * 1 / MAPPED_FENCED_SHARE of the range, are kept so. The caller holds `outer`. Returns the bytes
 * released.
 */
uint64_t mapped_isolated_release(struct mapped *mapped);

#define MAPPED_FENCED_COUNT 4096u
#define MAPPED_FENCED_SHARE 8u

/** What may be reserved where so much was live at once; growing goes by it from now on. The caller
 * holds `outer`, or asks for no growth. */
uint64_t mapped_ceiling(struct mapped *mapped, uint64_t peak);

/** Whether so much more memory leads above the ceiling that counts for it. */
bool mapped_above_ceiling(const struct mapped *mapped, uint64_t bytes);

/**
 * Releases whole free handles until at most `keep` bytes are reserved, the largest extents first.
 * The caller holds `outer`. Returns the bytes released.
 */
uint64_t mapped_trim(struct mapped *mapped, uint64_t keep);

/**
 * Maps whole free handles of other places beside a free extent, where that makes the largest one
 * larger. The caller holds `outer`. Errors: the backend's. On success the extent is NULL.
 */
int mapped_defragment(struct mapped *mapped, struct mapped_grown *ret_grown);

/** A handle that is no more. */
struct mapped_broken {
    uint64_t address, bytes;
};

/**
 * Replaces the partly live handle that has most free pages by handles below its live pages, whose
 * bytes are copied. The caller holds `outer` and knows that the device does nothing and gets
 * nothing to do. Errors: -ENOMEM: there is none, or no memory for the copies; the backend's.
 * Nothing has changed on error, but for free memory that may have been released.
 */
int mapped_break(struct mapped *mapped, struct mapped_broken *ret_broken);

/** Bytes that whole free handles hold: what a trim could give back. `lock` is held. */
uint64_t mapped_whole_bytes_locked(const struct mapped *mapped);

/**
 * The handles below a live extent are known outside the process: what is free in them, and what
 * becomes free, is not handed out again. `lock` is held. Errors: -ENOMEM, nothing changed.
 */
int mapped_pin_locked(struct mapped *mapped, struct extent *live);

/** Releases pinned handles in which nothing is live any more. The caller holds `outer`. */
void mapped_spent_release(struct mapped *mapped);

/** The violated invariant, or NULL. The caller holds `outer` and `lock`. */
const char *mapped_check_locked(const struct mapped *mapped);

#endif
