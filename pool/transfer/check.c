/* SPDX-License-Identifier: MIT */
/*
 * Walks the queues and names the first broken invariant. The ring belongs to the token holder, and
 * is checked only while nobody holds the token.
 */
#include <errno.h>

#include "pool/base/forks.h"
#include "pool/base/why.h"
#include "pool/transfer/queue.h"

static void list_check(struct why *walk, const struct transfer_queue *queue,
                       const struct transfer_list *list, enum transfer_state state)
{
    uint32_t count = 0, last = 0;

    for (uint32_t at = list->first; at != 0 && count <= queue->request_count;
         at = queue->requests[at].next, count++) {
        holds(walk, queue->requests[at].state == state,
              "transfer %u has state %u in the list of %u", at, queue->requests[at].state, state);
        holds(walk, queue->requests[at].previous == last, "transfer %u has broken links", at);
        last = at;
    }
    holds(walk, count == list->count && last == list->last,
          "transfers of a list: %u found, %u counted", count, list->count);
}

static void stretches_check(struct why *walk, const struct transfer_queue *queue)
{
    uint64_t end = 0;
    uint32_t with_room = 0;

    for (uint32_t at = 0; at < queue->stretch_count && !walk->broken; at++) {
        const struct transfer_request *request = &queue->requests[queue->stretches[at]];

        holds(walk, request->room != 0 && request->first >= end, "stretch %u overlaps another", at);
        end = (uint64_t)request->first + request->room;
        holds(walk, end <= queue->fragment_count, "stretch %u exceeds the array", at);
        holds(walk, request->state != TRANSFER_UNUSED && request->state != TRANSFER_ENDED,
              "transfer %u has ended, but keeps its fragments", queue->stretches[at]);
    }
    for (uint32_t at = 1; at <= queue->request_count; at++)
        with_room += queue->requests[at].room != 0;
    holds(walk, with_room == queue->stretch_count, "%u transfers have fragments, %u listed",
          with_room, queue->stretch_count);
}

static void ring_check(struct why *walk, const struct transfer_queue *queue)
{
    uint32_t used = 0, owned = 0;

    for (uint32_t at = 0; at < queue->piece_count; at++)
        used += queue->pieces[at].request != TRANSFER_NONE;
    for (uint32_t at = queue->begun.first; at != 0; at = queue->requests[at].next)
        owned += queue->requests[at].pieces;
    holds(walk, used == queue->pieces_used && owned == used,
          "pieces of the ring in use: %u found, %u counted, %u owned", used, queue->pieces_used,
          owned);
}

int cupool_transfers_check(struct cupool_transfers *transfers, char *why, size_t why_bytes)
{
    struct why walk = {.text = why, .bytes = why_bytes};

    if (!transfers || transfers->forks != forks_count())
        return !transfers ? -EINVAL : -ECHILD;
    for (unsigned at = 0; at < CUPOOL_DIRECTIONS && !walk.broken; at++) {
        struct transfer_queue *queue = &transfers->queues[at];

        pthread_mutex_lock(&queue->lock);
        list_check(&walk, queue, &queue->queued, TRANSFER_QUEUED);
        list_check(&walk, queue, &queue->begun, TRANSFER_BEGUN);
        list_check(&walk, queue, &queue->ended, TRANSFER_ENDED);
        list_check(&walk, queue, &queue->looked, TRANSFER_ENDED);
        list_check(&walk, queue, &queue->calls, TRANSFER_ENDED);
        stretches_check(&walk, queue);
        holds(&walk, queue->begun.count <= transfers->depth, "%u transfers in flight",
              queue->begun.count);
        if (!queue->token)
            ring_check(&walk, queue);
        pthread_mutex_unlock(&queue->lock);
    }
    return walk.broken ? transfers_fail(transfers, -EFAULT, "an invariant is broken") : 0;
}
