/* SPDX-License-Identifier: MIT */
/*
 * Who goes next, and what has ended.
 */
#include "pool/transfer/queue.h"

#include <errno.h>

void transfer_stretch_give(struct transfer_queue *queue, uint32_t number)
{
    uint32_t at = 0;

    if (queue->requests[number].room == 0)
        return;
    while (queue->stretches[at] != number)
        at++;
    queue->stretch_count--;
    for (; at < queue->stretch_count; at++)
        queue->stretches[at] = queue->stretches[at + 1];
    queue->requests[number].room = 0;
}

void transfer_keep(struct transfer_queue *queue, uint32_t number)
{
    struct transfer_request *request = &queue->requests[number];

    if (request->kept)
        transfer_list_remove(queue, &queue->ended, number);
    request->kept = true;
    transfer_list_add(queue, request->seen ? &queue->looked : &queue->ended, number);
}

void transfer_end(struct transfer_queue *queue, uint32_t number, int result)
{
    struct transfer_request *request = &queue->requests[number];
    const struct transfer_backend *backend = &queue->transfers->backend;

    if (request->has_after)
        backend->fence_release(backend->state, request->after);
    request->has_after = false;
    transfer_stretch_give(queue, number);
    request->state = TRANSFER_ENDED;
    request->result = result;
    queue->stats.completed += result == 0;
    queue->stats.cancelled += result == -ECANCELED;
    queue->stats.failed += result != 0 && result != -ECANCELED;
    if (request->callback)
        transfer_list_add(queue, &queue->calls, number);
    else
        transfer_keep(queue, number);
}

/* Ends begun requests that are done. With the token. */
static bool ended_find(struct transfer_queue *queue)
{
    const struct transfer_backend *backend = &queue->transfers->backend;
    bool moved = false;

    for (uint32_t number = queue->begun.first, next; number != 0; number = next) {
        struct transfer_request *request = &queue->requests[number];

        next = request->next;
        if (!request->issued || request->pieces > 0)
            continue;
        int passed = request->has_end ? backend->fence_query(backend->state, request->end) : 1;
        if (passed == 0)
            continue;
        if (passed < 0) /* its work may not be over, and the memory is the caller's then */
            backend->stream_drain(backend->state, queue->stream);
        int result = request->error < 0 ? request->error : passed < 0 ? passed : 0;
        pthread_mutex_lock(&queue->lock);
        if (request->has_end)
            backend->fence_release(backend->state, request->end);
        request->has_end = false;
        transfer_list_remove(queue, &queue->begun, number);
        transfer_end(queue, number, result);
        pthread_mutex_unlock(&queue->lock);
        moved = true;
    }
    return moved;
}

/* Whether a request may begin: the host may read its sources only after the work before has
 * completed. */
static bool ready(const struct transfer_queue *queue, const struct transfer_request *request)
{
    const struct transfer_backend *backend = &queue->transfers->backend;

    return !request->has_after || !request->host_reads ||
           backend->fence_query(backend->state, request->after) != 0;
}

/* Chooses the highest priority, among equals the oldest. The lock is held. */
static uint32_t best_queued(const struct transfer_queue *queue)
{
    uint32_t best = 0;

    for (uint32_t number = queue->queued.first; number != 0; number = queue->requests[number].next)
        if ((best == 0 || queue->requests[number].priority > queue->requests[best].priority) &&
            ready(queue, &queue->requests[number]))
            best = number;
    return best;
}

/* Orders the queue's stream behind the work that the request must follow. */
static void after_order(struct transfer_queue *queue, struct transfer_request *request)
{
    const struct transfer_backend *backend = &queue->transfers->backend;

    if (!request->has_after)
        return;
    if (request->host_reads) {
        int passed = backend->fence_query(backend->state, request->after);

        request->error = passed < 0 ? passed : 0;
    } else {
        request->error = backend->stream_wait(backend->state, queue->stream, request->after);
    }
    backend->fence_release(backend->state, request->after);
    request->has_after = false;
}

/* Begins one request. With the token. */
static bool begin_next(struct transfer_queue *queue)
{
    uint32_t number = 0;

    pthread_mutex_lock(&queue->lock);
    if (queue->begun.count < queue->transfers->depth)
        number = best_queued(queue);
    if (number != 0) {
        transfer_list_remove(queue, &queue->queued, number);
        transfer_list_add(queue, &queue->begun, number);
        queue->requests[number].state = TRANSFER_BEGUN;
    }
    pthread_mutex_unlock(&queue->lock);
    if (number == 0)
        return false;
    struct transfer_request *request = &queue->requests[number];
    request->pass = 0;
    request->at = 0;
    request->offset = 0;
    request->pieces = 0;
    request->stalled = false;
    request->error = 0;
    after_order(queue, request);
    return true;
}

static void carry_on(struct transfer_queue *queue)
{
    bool moved;

    do {
        moved = transfer_reap(queue);
        for (uint32_t number = queue->begun.first; number != 0;
             number = queue->requests[number].next)
            moved |= transfer_issue(queue, number);
        moved |= ended_find(queue);
        moved |= begin_next(queue);
    } while (moved);
}

/* Adds the counts of the token's holder; all members are uint64_t. The lock is held. */
static void noted_add(struct transfer_queue *queue)
{
    uint64_t *to = (uint64_t *)&queue->stats, *from = (uint64_t *)&queue->noted;

    for (size_t at = 0; at < sizeof(queue->stats) / sizeof(*to); at++) {
        to[at] += from[at];
        from[at] = 0;
    }
}

static void callbacks_run(struct transfer_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->calls.first != 0) {
        uint32_t number = queue->calls.first;
        struct transfer_request *request = &queue->requests[number];
        cupool_transfer transfer = (uint64_t)request->generation << 32 |
                                   (uint64_t)queue->direction << 24 | number;
        int result = request->result;

        transfer_list_remove(queue, &queue->calls, number);
        pthread_mutex_unlock(&queue->lock);
        request->callback(request->callback_state, transfer, result);
        pthread_mutex_lock(&queue->lock);
        transfer_keep(queue, number);
    }
    pthread_mutex_unlock(&queue->lock);
}

void transfer_pump(struct transfer_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool mine = !queue->token;
    queue->note |= !mine;
    queue->token = true;
    pthread_mutex_unlock(&queue->lock);
    while (mine) {
        carry_on(queue);
        pthread_mutex_lock(&queue->lock);
        noted_add(queue);
        mine = queue->note; /* somebody came meanwhile: once more */
        queue->note = false;
        queue->token = mine;
        pthread_mutex_unlock(&queue->lock);
    }
    callbacks_run(queue);
}
