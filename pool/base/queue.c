/* SPDX-License-Identifier: MIT */
/*
 * Chunks of a queue: taken from a list of spare ones, and returned there. The last used comes
 * first, so that the chunks in use stay few and warm.
 */
#include "pool/base/queue.h"

#include <errno.h>

#include "pool/base/metadata.h"

static uint64_t chunks_for(uint64_t entries)
{
    return (entries + QUEUE_CHUNK_ENTRIES - 1) / QUEUE_CHUNK_ENTRIES + 1;
}

static void chunk_spare(struct queue *queue, struct queue_chunk *chunk)
{
    chunk->next = queue->spare;
    queue->spare = chunk;
}

int queue_reserve(struct queue *queue, uint64_t entries, pool_count *account)
{
    while (queue->chunks < chunks_for(entries)) {
        struct queue_chunk *chunk = metadata_allocate(METADATA_QUEUE, sizeof(*chunk), account);

        if (!chunk)
            return -ENOMEM;
        chunk_spare(queue, chunk);
        queue->chunks++;
    }
    return 0;
}

void queue_shrink(struct queue *queue, uint64_t entries, pool_count *account)
{
    while (queue->chunks > chunks_for(entries) && queue->spare) {
        struct queue_chunk *chunk = queue->spare;

        queue->spare = chunk->next;
        queue->chunks--;
        metadata_free(METADATA_QUEUE, chunk, sizeof(*chunk), account);
    }
}

void queue_done(struct queue *queue, pool_count *account)
{
    struct queue_chunk *lists[] = {queue->head, queue->spare};

    for (unsigned which = 0; which < 2; which++) {
        for (struct queue_chunk *chunk = lists[which], *next; chunk; chunk = next) {
            next = chunk->next;
            metadata_free(METADATA_QUEUE, chunk, sizeof(*chunk), account);
        }
    }
    *queue = (struct queue){0};
}

POOL_NOINLINE void queue_chunk_append(struct queue *queue, uint32_t label)
{
    struct queue_chunk *chunk = queue->spare;

    pool_assert(chunk);
    queue->spare = chunk->next;
    chunk->next = NULL;
    chunk->label = label;
    *(queue->tail ? &queue->tail->next : &queue->head) = chunk;
    queue->tail = chunk;
    queue->last = 0;
}

/* Labels raised too high only keep their objects longer. */
POOL_NOINLINE void queue_labels_raise(struct queue *queue, uint32_t label)
{
    struct queue_chunk *tail = queue->tail;
    uint32_t base = label - QUEUE_LABEL_MAX, raised = base - tail->label;
    uint32_t index = tail == queue->head ? queue->first : 0;

    for (; index < queue->last; index++) {
        uint32_t difference = (uint32_t)(tail->entry[index] >> QUEUE_LABEL_SHIFT);

        tail->entry[index] -= (uint64_t)pool_min(difference, raised) << QUEUE_LABEL_SHIFT;
    }
    tail->label = base;
}

POOL_NOINLINE void queue_chunk_drop(struct queue *queue)
{
    struct queue_chunk *head = queue->head;

    queue->head = head->next;
    if (!head->next)
        queue->tail = NULL;
    queue->first = 0;
    chunk_spare(queue, head);
}
