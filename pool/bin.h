/* SPDX-License-Identifier: MIT */
/*
 * One size class: slabs, the objects in them, and the quarantine of the class.
 *
 * An object is taken from the current slab. When that is full, blocks whose epoch has been passed
 * leave the quarantine, and the fullest partial slab becomes the current one, so that the others
 * empty. A bin keeps one empty slab; further ones go back to the buddy.
 *
 * Every function wants the bin's lock held; those that place or remove a slab take the extents lock
 * inside it.
 */
#ifndef POOL_BIN_H
#define POOL_BIN_H

#include "pool/quarantine.h"
#include "pool/types.h"

/** Host bytes of a slab and its objects. */
static inline size_t slab_metadata_size(unsigned objects)
{
    return pool_round_up(sizeof(struct slab) + objects * sizeof(struct object), POOL_CACHE_LINE);
}

void bin_init(struct bin *bin, struct pool *pool, unsigned class);

/** Makes another slab the current one. False when the bin has no free object. */
bool bin_refill_locked(struct bin *bin);

/** Adds a slab. -EAGAIN: the extents have no room; -ENOMEM: no host memory. */
int bin_grow_locked(struct bin *bin);

/** Returns up to `limit` objects whose epoch has been passed to their slabs; how many. */
unsigned bin_retire_locked(struct bin *bin, unsigned limit);

/** Gives a freed object back to its slab; with POOL_REUSE_IMMEDIATE the free itself does. */
void bin_put_locked(struct bin *bin, struct slab *slab, struct object *object);

/** Gives empty slabs back to the buddy, the spare one too. */
void bin_release_empty_locked(struct bin *bin);

/** Takes a slab out of service for good: its segment is exported. */
void bin_slab_pin_locked(struct bin *bin, struct slab *slab);

/** NULL, or the violated invariant. */
const char *bin_check_locked(const struct bin *bin);

/** Whether the oldest quarantined object may be handed out. */
static inline bool bin_retirable_locked(const struct bin *bin, uint32_t retired)
{
    return bin->quarantine_head != NULL && quarantine_passed(bin->quarantine_head->epoch, retired);
}

/** Takes the lowest free object of the current slab; NULL when the bin has none. */
static inline struct object *bin_take_locked(struct bin *bin)
{
    if (bin_retirable_locked(bin, quarantine_retired(bin->pool)))
        bin_retire_locked(bin, 1);
    if (POOL_UNLIKELY(bin->current == NULL) && !bin_refill_locked(bin))
        return NULL;
    struct slab *slab = bin->current;
    unsigned word = slab->free_mask[0] == 0;
    unsigned index = word * 64 + (unsigned)__builtin_ctzll(slab->free_mask[word]);
    slab->free_mask[word] &= slab->free_mask[word] - 1;
    if (++slab->used == slab->objects) {
        slab->place = SLAB_FULL;
        bin->current = NULL;
    }
    return &slab->object[index];
}

/** Puts a live object in quarantine. */
static inline void bin_quarantine_locked(struct bin *bin, struct object *object, uint32_t label)
{
    object->state = BLOCK_QUARANTINED;
    object->epoch = label;
    object->next = 0;
    if (bin->quarantine_head == NULL)
        bin->quarantine_head = object;
    else
        bin->quarantine_tail->next = object_link(object);
    bin->quarantine_tail = object;
}

static inline uint64_t object_address(const struct bin *bin, const struct slab *slab,
                                      const struct object *object)
{
    return slab->base + (uint64_t)object->index * bin->object_bytes;
}

#endif
