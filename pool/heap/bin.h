/* SPDX-License-Identifier: MIT */
/*
 * One size class: slabs, the objects in them, and the quarantine of the class.
 *
 * Objects are taken from the current slab. When that is full, blocks with a retired epoch leave the
 * quarantine, and the fullest partial slab becomes the current one, so that the others empty. A bin
 * keeps one empty slab; further ones go back to the buddy.
 *
 * Every function wants the bin's lock held; those that place or remove a slab take the extents lock
 * inside it.
 */
#ifndef POOL_HEAP_BIN_H
#define POOL_HEAP_BIN_H

#include "pool/heap/quarantine.h"
#include "pool/heap/types.h"

/** Host bytes of a slab with its records; the last eight point to its objects' ids. */
static inline size_t slab_metadata_size(unsigned objects)
{
    return pool_round_up(sizeof(struct slab) + objects * sizeof(struct object_record) +
                             sizeof(uint64_t *),
                         POOL_CACHE_LINE);
}

#define SLAB_IDS_BYTES (SIZE_SLAB_OBJECTS_MAX * sizeof(uint64_t))

/** Returns the ids of a slab's objects, created on first request; *slab_ids() is NULL before. */
static inline uint64_t **slab_ids(struct slab *slab)
{
    return (uint64_t **)((char *)slab + slab_metadata_size(slab->objects) - sizeof(uint64_t *));
}

/** Gives a slab's memory back, and that of its ids. */
void slab_metadata_free(struct slab *slab, pool_count *account);

/** A number that no block of the process has had. */
uint64_t block_id_next(void);

/** The id of a live object. -ENOMEM: no host memory. */
int bin_object_id_locked(struct bin *bin, struct object object, uint64_t *ret_id);

void bin_init(struct bin *bin, struct pool *pool, unsigned shard, unsigned size_class);

/** Gives back what the bin holds beside its slabs. */
void bin_done(struct bin *bin);

/** Makes another slab the current one. False when the bin has no free object. */
bool bin_refill_locked(struct bin *bin);

/** After the current slab has become full: chooses the next one and prefetches it for the next
 * allocation. */
void bin_advance_locked(struct bin *bin);

/** Adds a slab. -EAGAIN: the extents have no room; -ENOMEM: no host memory. */
int bin_grow_locked(struct bin *bin);

/** Returns up to `limit` objects with a retired epoch to their slabs; how many. */
unsigned bin_retire_locked(struct bin *bin, unsigned limit);

/** Removes the oldest object of the quarantine, and prefetches for the following ones. */
void bin_oldest_drop_locked(struct bin *bin);

/** Returns a freed object to its slab; with POOL_REUSE_IMMEDIATE the free itself does. */
void bin_put_locked(struct bin *bin, struct object object);

/** Gives empty slabs back to the buddy, the spare one too. */
void bin_release_empty_locked(struct bin *bin);

/** Takes a slab out of service for good: its segment is exported. */
void bin_slab_pin_locked(struct bin *bin, struct slab *slab);

/** Settles all unsettled frees; returns their bytes, to subtract from live_requested. */
uint64_t bin_settle_locked(struct bin *bin);

/** NULL, or the violated invariant. */
const char *bin_slab_check_locked(const struct bin *bin, const struct slab *slab);
const char *bin_check_locked(const struct bin *bin);

/** Whether the oldest quarantined object may be handed out. */
static inline bool bin_retirable_locked(const struct bin *bin, uint32_t retired)
{
    return bin->quarantine.count > 0 && quarantine_passed(queue_label(&bin->quarantine), retired);
}

static inline struct object queue_object(uint64_t entry)
{
    return (struct object){queue_entry_slab(entry), queue_entry_index(entry)};
}

/** Returns the free object of a slab that is taken next; there must be one. */
static inline struct object slab_lowest_free(struct slab *slab)
{
    unsigned word = slab->free_mask[0] == 0;

    return (struct object){slab, word * 64 + (unsigned)__builtin_ctzll(slab->free_mask[word])};
}

/**
 * Takes an object: the one that leaves the quarantine now if its slab has no other, and otherwise
 * the lowest free one of the current slab.
 */
static inline struct object bin_take_locked(struct bin *bin)
{
    if (bin_retirable_locked(bin, quarantine_retired(bin->pool))) {
        struct object oldest = queue_object(queue_peek(&bin->quarantine));

        if (oldest.slab->place == SLAB_FULL && bin->pool->config.scrub == POOL_FILL_NONE) {
            bin_oldest_drop_locked(bin);
            count_add(&bin->retired, 1);
            return oldest;
        }
        bin_retire_locked(bin, 1);
    }
    if (unlikely(!bin->current) && !bin_refill_locked(bin))
        return (struct object){NULL, 0};
    struct slab *slab = bin->current;
    struct object object = slab_lowest_free(slab);
    slab->free_mask[object.index / 64] &= slab->free_mask[object.index / 64] - 1;
    if (++slab->used == slab->objects)
        bin_advance_locked(bin);
    else
        __builtin_prefetch(object_record(slab_lowest_free(slab)), 1);
    return object;
}

/** Puts a live object in quarantine. */
static inline void bin_quarantine_locked(struct bin *bin, struct object object, uint32_t label)
{
    queue_append(&bin->quarantine, object.slab, object.index, label);
}

/** Notes the site of a free; returns its bytes, to subtract from live_requested. */
static inline uint64_t object_record_settle(struct object_record *record, uint32_t site)
{
    if (record->free_site != site) /* else the line stays as memory has it */
        record->free_site = site;
    return record->requested;
}

/**
 * For every free: defers the record of this object, and settles that of an earlier one, which has
 * arrived in the cache by now; returns its bytes. So only the last BIN_UNSETTLED_MAX frees are
 * ever unsettled.
 */
static inline uint64_t bin_unsettled_push_locked(struct bin *bin, struct object_record *record,
                                                 uint32_t site)
{
    unsigned slot = count_get(&bin->frees) % BIN_UNSETTLED_MAX;
    struct object_record *earlier = bin->unsettled[slot];
    uint32_t earlier_site = bin->unsettled_site[slot];

    __builtin_prefetch(&record->requested, 1);
    bin->unsettled[slot] = record;
    bin->unsettled_site[slot] = site;
    return !earlier ? 0 : object_record_settle(earlier, earlier_site);
}

#endif
