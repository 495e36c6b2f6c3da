/* SPDX-License-Identifier: MIT */
/*
 * The quarantined objects of a bin, oldest first: eight bytes each, in chunks that are written and
 * read from front to end.
 *
 * An entry names slab and index, so upcoming entries are known early and can be prefetched; the
 * objects themselves hold no link. Room is reserved when a slab is added (queue_reserve), so
 * appending never needs memory:
 *
 *   chunks >= objects of the bin / QUEUE_CHUNK_ENTRIES, rounded up, + 1
 *
 * The extra one is needed when the first chunk is half read while the last is half written. Labels
 * are stored as differences from one number per chunk. The bin's lock guards everything.
 */
#ifndef POOL_BASE_QUEUE_H
#define POOL_BASE_QUEUE_H

#include <assert.h>

#include "pool/base/base.h"

struct slab;

#define QUEUE_CHUNK_ENTRIES 30u

/* An entry: the slab's address, with the object's index in its low six bits and bit 48, and the
 * label's difference above. */
#define QUEUE_SLAB_MASK   ((UINT64_C(1) << 48) - POOL_CACHE_LINE)
#define QUEUE_INDEX_SHIFT 48
#define QUEUE_LABEL_SHIFT 49
#define QUEUE_LABEL_MAX   0x7FFFu

struct queue_chunk {
    struct queue_chunk *next;
    uint32_t label; /* labels of the entries are at least this */
    uint64_t entry[QUEUE_CHUNK_ENTRIES];
};

struct queue {
    struct queue_chunk *head, *tail; /* NULL before the first entry */
    uint32_t first, last;            /* entry of the head to be read, of the tail to be written */
    uint32_t count;                  /* entries */
    uint32_t chunks;                 /* in use or spare */
    struct queue_chunk *spare;
};

static_assert(sizeof(struct queue_chunk) == 4 * POOL_CACHE_LINE, "metadata.h");

/** Makes room for this many entries, present and future. -ENOMEM without host memory. */
int queue_reserve(struct queue *queue, uint64_t entries, pool_count *account);

/** Releases room beyond this many entries, as far as it is unused. */
void queue_shrink(struct queue *queue, uint64_t entries, pool_count *account);

/** Gives all room back, with whatever is in it. */
void queue_done(struct queue *queue, pool_count *account);

/** Makes a spare chunk the last one. */
void queue_chunk_append(struct queue *queue, uint32_t label);

/** Raises every label of the last chunk to at least `label` - QUEUE_LABEL_MAX. */
void queue_labels_raise(struct queue *queue, uint32_t label);

static inline struct slab *queue_entry_slab(uint64_t entry)
{
    return (struct slab *)(uintptr_t)(entry & QUEUE_SLAB_MASK);
}

static inline uint32_t queue_entry_index(uint64_t entry)
{
    return (uint32_t)((entry & (POOL_CACHE_LINE - 1)) | (entry >> QUEUE_INDEX_SHIFT & 1) << 6);
}

static inline void queue_append(struct queue *queue, const struct slab *slab, uint32_t index,
                                uint32_t label)
{
    if (unlikely(!queue->tail || queue->last == QUEUE_CHUNK_ENTRIES))
        queue_chunk_append(queue, label);
    struct queue_chunk *tail = queue->tail;
    if (unlikely(label - tail->label > QUEUE_LABEL_MAX))
        queue_labels_raise(queue, label);
    tail->entry[queue->last++] = (uint64_t)(uintptr_t)slab | (index & (POOL_CACHE_LINE - 1)) |
                                 (uint64_t)(index >> 6) << QUEUE_INDEX_SHIFT |
                                 (uint64_t)(label - tail->label) << QUEUE_LABEL_SHIFT;
    queue->count++;
}

static inline uint32_t queue_entry_label(const struct queue_chunk *chunk, uint64_t entry)
{
    return chunk->label + (uint32_t)(entry >> QUEUE_LABEL_SHIFT);
}

/** The oldest entry; there is one. */
static inline uint64_t queue_peek(const struct queue *queue)
{
    return queue->head->entry[queue->first];
}

/** Label of the oldest entry; there is one. */
static inline uint32_t queue_label(const struct queue *queue)
{
    return queue_entry_label(queue->head, queue_peek(queue));
}

/** Makes the first chunk a spare one, after all of it was read. */
void queue_chunk_drop(struct queue *queue);

/** Removes the oldest entry; there is one. */
static inline void queue_pop(struct queue *queue)
{
    pool_assert(queue->count > 0);
    queue->count--;
    queue->first++;
    if (unlikely(queue->first == QUEUE_CHUNK_ENTRIES || queue->count == 0))
        queue_chunk_drop(queue);
}

/** Returns the entry `distance` (less than a chunk) after the oldest; 0 when there is none. */
static inline uint64_t queue_ahead(const struct queue *queue, uint32_t distance)
{
    const struct queue_chunk *chunk = queue->head;
    uint32_t index = queue->first + distance;

    if (distance >= queue->count)
        return 0;
    return index < QUEUE_CHUNK_ENTRIES ? chunk->entry[index]
                                       : chunk->next->entry[index - QUEUE_CHUNK_ENTRIES];
}

/** A walk over the entries, oldest first; chunk NULL at the end. */
struct queue_cursor {
    const struct queue_chunk *chunk;
    uint32_t index;
};

static inline struct queue_cursor queue_begin(const struct queue *queue)
{
    return (struct queue_cursor){queue->head, queue->first};
}

static inline void queue_next(const struct queue *queue, struct queue_cursor *cursor)
{
    const struct queue_chunk *chunk = cursor->chunk;

    if (++cursor->index < (chunk == queue->tail ? queue->last : QUEUE_CHUNK_ENTRIES))
        return;
    *cursor = (struct queue_cursor){chunk->next, 0};
}

#endif
