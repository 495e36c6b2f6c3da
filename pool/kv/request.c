/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait for blocks, first come first served.
 *
 * A thread that makes room serves the queue after its own work; the next call notices a deadline.
 * While somebody waits, nobody overtakes: cupool_kv_allocate() returns -EAGAIN.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pool/kv/kv.h"

int kv_requests_init(struct cupool_kv *pool)
{
    pool->requests = kv_heap_allocate(&pool->heap, pool->config.requests, sizeof(*pool->requests));
    if (!pool->requests)
        return -ENOMEM;
    for (uint32_t at = 0; at < pool->config.requests; at++)
        pool->requests[at] = (struct kv_request){.generation = 1, .next = at + 1};
    pool->requests[pool->config.requests - 1].next = KV_NONE;
    pool->request_free = 0;
    pool->wait_first = pool->wait_last = KV_NONE;
    return 0;
}

static cupool_kv_ticket request_ticket(const struct cupool_kv *pool,
                                       const struct kv_request *request)
{
    return (uint64_t)request->generation << 32 | (uint32_t)(request - pool->requests);
}

struct kv_request *kv_request_find(struct cupool_kv *pool, cupool_kv_ticket ticket)
{
    uint32_t at = (uint32_t)ticket;

    if (at >= pool->config.requests || pool->requests[at].generation != ticket >> 32 ||
        pool->requests[at].kind == KV_REQUEST_NONE)
        return NULL;
    return &pool->requests[at];
}

int kv_request_begin(struct cupool_kv *pool, enum kv_request_kind kind,
                     struct kv_request **ret_request, cupool_kv_ticket *ret_ticket)
{
    uint32_t at = pool->request_free;
    struct kv_request *request;

    if (at == KV_NONE)
        return kv_fail(pool, -ENOBUFS, "too many pending requests");
    request = &pool->requests[at];
    pool->request_free = request->next;
    *request = (struct kv_request){
        .generation = request->generation, .kind = (uint8_t)kind, .next = KV_NONE};
    *ret_request = request;
    *ret_ticket = request_ticket(pool, request);
    return 0;
}

void kv_request_forget(struct cupool_kv *pool, struct kv_request *request)
{
    request->kind = KV_REQUEST_NONE;
    request->generation = kv_generation_next(request->generation);
    request->next = pool->request_free;
    pool->request_free = (uint32_t)(request - pool->requests);
}

static void event_signal(struct cupool_kv *pool)
{
    uint64_t one = 1;

    if (pool->event_fd >= 0) {
        ssize_t written = write(pool->event_fd, &one, sizeof(one));

        (void)written; /* full: it is readable already */
    }
}

/* Ends a request: calls its callback, or stores a result to be queried. Without the lock. */
void kv_request_finish(struct cupool_kv *pool, cupool_kv_ticket ticket, int error)
{
    void (*callback)(void *state, cupool_kv_ticket ticket, int error) = NULL;
    void *state = NULL;

    pthread_mutex_lock(&pool->lock);
    struct kv_request *request = kv_request_find(pool, ticket);
    if (request) {
        callback = request->callback;
        state = request->callback_state;
        request->state = KV_REQUEST_ENDED;
        request->error = error;
        if (callback)
            kv_request_forget(pool, request);
        event_signal(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (callback)
        callback(state, ticket, error);
}

static void queue_append(struct cupool_kv *pool, struct kv_request *request)
{
    uint32_t at = (uint32_t)(request - pool->requests);

    request->next = KV_NONE;
    if (pool->wait_last != KV_NONE)
        pool->requests[pool->wait_last].next = at;
    else
        pool->wait_first = at;
    pool->wait_last = at;
    pool->counters.waits++;
    atomic_fetch_add_explicit(&pool->waiting, 1, memory_order_relaxed);
}

static void queue_remove(struct cupool_kv *pool, struct kv_request *request)
{
    uint32_t at = (uint32_t)(request - pool->requests), previous = KV_NONE;

    for (uint32_t other = pool->wait_first; other != at; other = pool->requests[other].next)
        previous = other;
    if (previous != KV_NONE)
        pool->requests[previous].next = request->next;
    else
        pool->wait_first = request->next;
    if (pool->wait_last == at)
        pool->wait_last = previous;
    atomic_fetch_sub_explicit(&pool->waiting, 1, memory_order_relaxed);
}

/* The first waiter out of time. */
static struct kv_request *waiter_expired(struct cupool_kv *pool, uint64_t now_ns)
{
    for (uint32_t at = pool->wait_first; at != KV_NONE; at = pool->requests[at].next)
        if (pool->requests[at].deadline_ns != 0 && pool->requests[at].deadline_ns <= now_ns)
            return &pool->requests[at];
    return NULL;
}

/* Ends or serves one waiter. False when none can be served now. */
static bool waiter_serve(struct cupool_kv *pool, uint64_t now_ns)
{
    struct kv_request *request = NULL;
    cupool_kv_handle *handles = NULL;
    cupool_stream stream = NULL;
    uint32_t count = 0;
    cupool_kv_ticket ticket;
    int error = -ETIMEDOUT;

    if (kv_lock(pool) < 0)
        return false;
    request = waiter_expired(pool, now_ns);
    if (!request && pool->wait_first != KV_NONE) {
        request = &pool->requests[pool->wait_first];
        /* A pool that was shrunk meanwhile may never have so many: nobody waits behind that. */
        bool possible = request->count <= pool->limit - pool->first;
        error = possible ? kv_take(pool, request->count, request->stream, request->handles)
                         : -ENOMEM;
        if (possible && (error == -ENOMEM || error == -EAGAIN))
            request = NULL;
    }
    if (request) {
        queue_remove(pool, request);
        ticket = request_ticket(pool, request);
        request->state = KV_REQUEST_LOADING; /* out of the queue, not yet ended */
        handles = request->handles;
        count = request->count;
        stream = request->stream;
    }
    kv_unlock(pool);
    if (!request)
        return false;
    if (error == 0)
        error = kv_hand_out(pool, count, stream, handles);
    kv_request_finish(pool, ticket, error);
    return true;
}

int kv_requests_serve(struct cupool_kv *pool)
{
    int ended = 0;

    if (atomic_load_explicit(&pool->waiting, memory_order_relaxed) == 0)
        return 0;
    while (waiter_serve(pool, kv_now(pool)))
        ended++;
    return ended;
}

int cupool_kv_poll(struct cupool_kv *pool)
{
    struct kv_after after = {0};
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    kv_fences_look(pool);
    kv_after_fill(pool, &after);
    after.wake = false;
    kv_unlock(pool);
    kv_after_run(pool, &after);
    return kv_requests_serve(pool);
}

int cupool_kv_event_fd(struct cupool_kv *pool, int *ret_fd)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    if (pool->event_fd < 0)
        pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = pool->event_fd < 0 ? -errno : 0;
    if (error == 0)
        *ret_fd = pool->event_fd;
    kv_unlock(pool);
    return error < 0 ? kv_fail(pool, error, "no event descriptor") : 0;
}

int cupool_kv_allocate_async(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                             uint64_t deadline_ns, cupool_kv_handle *handles,
                             void (*callback)(void *state, cupool_kv_ticket ticket, int error),
                             void *state, cupool_kv_ticket *ret_ticket)
{
    struct kv_request *request;
    cupool_kv_ticket ticket;
    int error;

    if (count == 0 || !handles || !ret_ticket)
        return kv_fail(pool, -EINVAL, "an array or the number of blocks is missing");
    error = kv_lock(pool);
    if (error < 0)
        return error;
    if (count > pool->limit - pool->first)
        error = kv_fail(pool, -ENOMEM, "more blocks than the pool can have");
    if (error == 0)
        error = kv_request_begin(pool, KV_REQUEST_ALLOCATE, &request, &ticket);
    if (error == 0) {
        request->count = count;
        request->stream = kv_stream_of_all(stream);
        request->deadline_ns = deadline_ns;
        request->handles = handles;
        request->callback = callback;
        request->callback_state = state;
        queue_append(pool, request);
        *ret_ticket = ticket;
    }
    kv_unlock(pool);
    if (error == 0)
        kv_requests_serve(pool);
    return error;
}

int cupool_kv_ticket_result(struct cupool_kv *pool, cupool_kv_ticket ticket)
{
    int error;

    kv_requests_serve(pool);
    error = kv_lock(pool);
    if (error < 0)
        return error;
    struct kv_request *request = kv_request_find(pool, ticket);
    if (!request)
        error = kv_fail(pool, -ESTALE, "no such request");
    else if (request->state != KV_REQUEST_ENDED)
        error = -EINPROGRESS;
    else {
        error = request->error;
        kv_request_forget(pool, request);
    }
    kv_unlock(pool);
    return error;
}

int cupool_kv_cancel(struct cupool_kv *pool, cupool_kv_ticket ticket)
{
    int error = kv_lock(pool);
    bool waits = false, prefetch = false, held = false;
    cupool_kv_handle *handles = NULL;
    uint32_t count = 0;

    if (error < 0)
        return error;
    struct kv_request *request = kv_request_find(pool, ticket);
    if (!request) {
        error = kv_fail(pool, -ESTALE, "no such request");
    } else if (request->kind == KV_REQUEST_PREFETCH) {
        error = kv_stream_usable(pool, request->stream);
        if (error < 0)
            kv_fail(pool, error, "the stream of the prefetch is captured");
        prefetch = error == 0;
    } else if (request->state == KV_REQUEST_WAITING) {
        queue_remove(pool, request);
        request->state = KV_REQUEST_LOADING;
        waits = true;
    } else if (request->state == KV_REQUEST_ENDED) {
        held = request->error == 0; /* served, and nobody has asked yet */
        handles = request->handles;
        count = request->count;
        kv_request_forget(pool, request);
    } else {
        error = kv_fail(pool, -EALREADY, "the request is ending");
    }
    kv_unlock(pool);
    if (held)
        cupool_kv_release(pool, handles, count, CUPOOL_STREAM_NONE);
    if (prefetch)
        kv_prefetch_cancel(pool, ticket);
    if (waits) {
        kv_request_finish(pool, ticket, -ECANCELED);
        kv_requests_serve(pool);
    }
    return error;
}

void kv_requests_end(struct cupool_kv *pool)
{
    for (uint32_t at = 0; at < pool->config.requests; at++)
        if (pool->requests[at].kind != KV_REQUEST_NONE)
            cupool_kv_cancel(pool, request_ticket(pool, &pool->requests[at]));
}
