/* SPDX-License-Identifier: MIT */
/*
 * Handles, and their move from one place of the range to another: shared by growing and releasing
 * of mapped memory (mapped.h). Functions on a plan need `lock` held unless they say otherwise.
 */
#ifndef POOL_BACKING_MAPPED_PLAN_H
#define POOL_BACKING_MAPPED_PLAN_H

#include "pool/backing/mapped.h"

struct mapped_handle {
    uint64_t address, bytes; /* address 0: not mapped */
    pool_page_handle physical;
    struct mapped_handle *next; /* in a plan, or among loose ones */
    bool pinned;                /* known outside the process */
} __attribute__((aligned(16))); /* as metadata wants it */

/* Handles on their way to a gap. */
struct plan {
    struct range_gap gap;
    struct extent *target;     /* the gap and what more is to be filled; EXTENT_FILLING */
    struct extent *pledged[2]; /* EXTENT_EMPTYING, but they stay where they are */
    struct extent *harvested;  /* EXTENT_EMPTYING, by their left links */
    struct mapped_handle *free, **free_end; /* mapped nowhere */
    uint64_t free_bytes, harvested_bytes;
    bool entered; /* the target is in the page map */
};

static inline struct mapped_handle **mapped_slot(const struct mapped *mapped, uint64_t address)
{
    return &mapped->handles[(address - mapped->range.address) / RANGE_PAGE_BYTES];
}

/* Of the table of handles of a range. */
static inline uint64_t mapped_handles_bytes(uint64_t range_bytes)
{
    return range_bytes / RANGE_PAGE_BYTES * sizeof(struct mapped_handle *);
}

/* Free extents from the largest down, as long as they may hold a handle. */
#define EACH_LARGE_EXTENT(mapped, node)                                                            \
    for (struct size_node *node = size_tree_largest(&(mapped)->range.free); node;                  \
         node = size_tree_previous(&(mapped)->range.free, node))

/** Bytes of the handles that lie wholly inside a free extent; 0 for NULL. */
uint64_t mapped_extent_whole_bytes(const struct mapped *mapped, const struct extent *extent);

static inline uint64_t plan_bytes(const struct plan *plan)
{
    return plan->free_bytes + plan->harvested_bytes;
}

void plan_init(struct plan *plan);

/** Plans whole free handles until `wanted` bytes are there or the gap has no room for the rest.
 * Errors: -ENOMEM without host memory. */
int plan_harvest(struct mapped *mapped, uint64_t wanted, struct plan *plan);

/** Adds new handles until the plan fills its target, smaller ones than `most` if the device
 * refuses. `outer` is held, not `lock`. Errors: the backend's; created handles stay in the
 * plan.
 */
int plan_create(struct mapped *mapped, uint64_t most, struct plan *plan);

/** Puts the target into the page map. */
int plan_target_enter(struct mapped *mapped, struct plan *plan);

/** Maps every handle of the plan into the target. After an error, mapped ones are unmapped
 * again; if the driver refuses that, they stay, and the place is not used again. `outer` is
 * held, not `lock`. */
int plan_map(struct mapped *mapped, struct plan *plan);

/** Notes that every handle of the plan is where plan_map() has put it. Returns the end of the
 * last one. */
uint64_t plan_place(struct mapped *mapped, struct plan *plan);

/** Moves the handles that were mapped in [address, address + bytes) to the plan. */
void plan_collect(struct mapped *mapped, uint64_t address, uint64_t bytes, struct plan *plan);

/** Releases the plan's handles that are mapped nowhere. `outer` is held, not `lock`. */
void plan_release(struct mapped *mapped, struct plan *plan);

/** Unmaps the harvested extents, one call for each. `outer` is held, not `lock`. */
int plan_unmap(struct mapped *mapped, struct plan *plan);

/** Frees handles that are still mapped, and releases the other ones. `outer` is held, not
 * `lock`. */
void plan_undo(struct mapped *mapped, struct plan *plan);

/** Whether the device can give `bytes`: requests them in one piece, as the program would have done,
 * and gives them back. Creating handle after handle in vain would take all that the device has.
 * `outer` is held. Errors: as mapped_handle_create(). */
int mapped_probe(struct mapped *mapped, uint64_t bytes);

/** Creates a handle, mapped nowhere. `outer` is held. Errors: the backend's, -ENOMEM. */
int mapped_handle_create(struct mapped *mapped, uint64_t bytes, struct mapped_handle **ret_handle);

/** Releases a handle that is mapped nowhere, or keeps it for later. `outer` is held. */
void mapped_handle_release(struct mapped *mapped, struct mapped_handle *handle);

/** Backend calls that may wait for work that ends only when other threads continue: `outer` is
 * held, and released meanwhile. */
int mapped_unmap(struct mapped *mapped, uint64_t address, uint64_t bytes);
int mapped_enable(struct mapped *mapped, uint64_t address, uint64_t bytes);

/** Returns the handle behind an address with memory. `lock` is held. */
struct mapped_handle *mapped_handle_at(const struct mapped *mapped, uint64_t address);

/** Retries the release of handles that could not be released. `outer` is held. */
void mapped_loose_release(struct mapped *mapped);

#endif
