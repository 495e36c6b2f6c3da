/* SPDX-License-Identifier: MIT */
/*
 * Creation and end; submit, query, wait, cancel.
 */
#include <errno.h>
#include <string.h>

#include "pool/base/forks.h"
#include "pool/transfer/queue.h"

#define REQUESTS_MAX   (UINT32_C(1) << 20)
#define FRAGMENTS_MAX  (UINT32_C(1) << 28)
#define PIECE_LEAST    4096u
#define NUMBER_MASK    0xffffffu
#define LOOKS_AT_ONCE  64u
#define PAUSE_FIRST_NS UINT64_C(5000)
#define PAUSE_LAST_NS  UINT64_C(200000)

void cupool_transfers_config_init(struct cupool_transfers_config *config)
{
    *config = (struct cupool_transfers_config){
        .requests = 256, .fragments = 65536, .depth = 8, .pieces = 4, .piece_bytes = 1 << 20};
}

void cupool_transfer_options_init(struct cupool_transfer_options *options)
{
    *options = (struct cupool_transfer_options){.priority = CUPOOL_TRANSFER_PRIORITY_DEFAULT,
                                                .after_stream = CUPOOL_STREAM_NONE};
}

const char *cupool_transfers_error(const struct cupool_transfers *transfers)
{
    const char *text = atomic_load_explicit(&transfers->error, memory_order_acquire);

    return text ? text : "";
}

int transfers_fail(struct cupool_transfers *transfers, int error, const char *text)
{
    atomic_store_explicit(&transfers->error, text, memory_order_release);
    return error;
}

static int entry(struct cupool_transfers *transfers)
{
    if (!transfers)
        return -EINVAL;
    return transfers->forks == forks_count()
               ? 0
               : transfers_fail(transfers, -ECHILD, "the transfers belong to the parent process");
}

static int ring_make(struct transfer_queue *queue, struct kv_heap *heap)
{
    struct cupool_transfers *transfers = queue->transfers;
    const struct transfer_backend *backend = &transfers->backend;
    size_t descriptors = TRANSFER_BATCH_MAX * backend->descriptor_bytes;
    size_t data = queue->direction == CUPOOL_WITHIN_DEVICE ? 0 : transfers->piece_bytes;
    size_t each = (data + descriptors + TRANSFER_ALIGN - 1) / TRANSFER_ALIGN * TRANSFER_ALIGN;

    queue->pieces = kv_heap_allocate(heap, queue->piece_count, sizeof(*queue->pieces));
    if (!queue->pieces)
        return -ENOMEM;
    if (backend->host || each == 0)
        return 0;
    int error = backend->host_allocate(backend->state, queue->piece_count * each, &queue->ring);
    if (error < 0)
        return error;
    for (uint32_t at = 0; at < queue->piece_count; at++) {
        queue->pieces[at].data = (uint8_t *)queue->ring + at * each;
        queue->pieces[at].descriptors = queue->pieces[at].data + data;
    }
    return 0;
}

static int queue_make(struct cupool_transfers *transfers, struct kv_heap *heap,
                      struct transfer_queue *queue, enum cupool_direction direction,
                      const struct cupool_transfers_config *config)
{
    const struct transfer_backend *backend = &transfers->backend;

    queue->transfers = transfers;
    queue->direction = direction;
    queue->request_count = config->requests;
    queue->fragment_count = config->fragments;
    queue->piece_count = config->pieces;
    queue->stream = TRANSFER_STREAM_NONE;
    queue->requests = kv_heap_allocate(heap, config->requests + 1, sizeof(*queue->requests));
    queue->fragments = kv_heap_allocate(heap, config->fragments, sizeof(*queue->fragments));
    queue->stretches = kv_heap_allocate(heap, config->requests, sizeof(*queue->stretches));
    queue->to = kv_heap_allocate(heap, TRANSFER_BATCH_MAX, sizeof(*queue->to));
    queue->from = kv_heap_allocate(heap, TRANSFER_BATCH_MAX, sizeof(*queue->from));
    queue->bytes = kv_heap_allocate(heap, TRANSFER_BATCH_MAX, sizeof(*queue->bytes));
    if (!queue->requests || !queue->fragments || !queue->stretches || !queue->to || !queue->from ||
        !queue->bytes)
        return -ENOMEM;
    for (uint32_t at = config->requests; at > 0; at--) {
        queue->requests[at].next = queue->unused;
        queue->unused = at;
    }
    int error = ring_make(queue, heap);
    if (error == 0 && backend->stream_make)
        error = backend->stream_make(backend->state, &queue->stream);
    return error;
}

static void transfers_give(struct cupool_transfers *transfers)
{
    const struct transfer_backend *backend = &transfers->backend;
    bool mine = transfers->forks == forks_count();

    for (unsigned at = 0; at < CUPOOL_DIRECTIONS; at++) {
        struct transfer_queue *queue = &transfers->queues[at];

        if (mine && queue->stream != TRANSFER_STREAM_NONE && queue->stream)
            backend->stream_end(backend->state, queue->stream);
        if (mine && queue->ring)
            backend->host_free(backend->state, queue->ring);
        pthread_mutex_destroy(&queue->lock);
    }
    if (mine && transfers->events != TRANSFER_STREAM_NONE && transfers->events)
        backend->stream_end(backend->state, transfers->events);
    struct kv_heap heap = transfers->heap;
    kv_heap_done(&heap);
}

int transfers_create(const struct transfer_backend *backend,
                     const struct cupool_transfers_config *config,
                     struct cupool_transfers **ret_transfers)
{
    static const struct cupool_transfer_thresholds standard = {(uint64_t)28 << 10, 16, 4};
    struct kv_heap heap = {.count = 0};
    int error = 0;

    if (config->requests == 0 || config->requests > REQUESTS_MAX || config->fragments == 0 ||
        config->fragments > FRAGMENTS_MAX || config->depth == 0 || config->pieces == 0 ||
        config->pieces > TRANSFER_PIECES_MAX || config->piece_bytes < PIECE_LEAST)
        return -EINVAL;
    struct cupool_transfers *transfers = kv_heap_allocate(&heap, 1, sizeof(*transfers));
    if (!transfers)
        return -ENOMEM;
    transfers->backend = *backend;
    transfers->forks = forks_count();
    transfers->events = TRANSFER_STREAM_NONE;
    transfers->depth = config->depth;
    transfers->piece_bytes = config->piece_bytes / TRANSFER_ALIGN * TRANSFER_ALIGN;
    transfers_thresholds_set(transfers, config->thresholds ? config->thresholds : &standard);
    for (unsigned at = 0; at < CUPOOL_DIRECTIONS; at++)
        pthread_mutex_init(&transfers->queues[at].lock, NULL);
    for (unsigned at = 0; at < CUPOOL_DIRECTIONS && error == 0; at++)
        error = queue_make(transfers, &heap, &transfers->queues[at], (enum cupool_direction)at,
                           config);
    if (error == 0 && backend->stream_make)
        error = backend->stream_make(backend->state, &transfers->events);
    transfers->heap = heap;
    if (error < 0) {
        transfers_give(transfers);
        return error;
    }
    *ret_transfers = transfers;
    return 0;
}

void transfers_thresholds_set(struct cupool_transfers *transfers,
                              const struct cupool_transfer_thresholds *thresholds)
{
    atomic_store(&transfers->kernel_below, thresholds->kernel_below);
    atomic_store(&transfers->kernel_from, thresholds->kernel_from);
    atomic_store(&transfers->batch_from, thresholds->batch_from);
}

int cupool_transfers_thresholds(struct cupool_transfers *transfers,
                                struct cupool_transfer_thresholds *ret_thresholds)
{
    if (!transfers || !ret_thresholds)
        return -EINVAL;
    *ret_thresholds = (struct cupool_transfer_thresholds){
        .kernel_below = atomic_load(&transfers->kernel_below),
        .kernel_from = atomic_load(&transfers->kernel_from),
        .batch_from = atomic_load(&transfers->batch_from)};
    return 0;
}

/* Gives way to device work, longer each time. */
static void pause_once(struct cupool_transfers *transfers, uint64_t *ns)
{
    const struct transfer_backend *backend = &transfers->backend;

    backend->pause(backend->state, *ns);
    *ns = *ns * 2 > PAUSE_LAST_NS ? PAUSE_LAST_NS : *ns * 2;
}

static void queue_cancel(struct transfer_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->queued.first != 0) {
        uint32_t number = queue->queued.first;

        transfer_list_remove(queue, &queue->queued, number);
        transfer_end(queue, number, -ECANCELED);
    }
    pthread_mutex_unlock(&queue->lock);
}

void transfers_destroy(struct cupool_transfers *transfers)
{
    if (!transfers)
        return;
    for (unsigned at = 0; at < CUPOOL_DIRECTIONS && transfers->forks == forks_count(); at++) {
        struct transfer_queue *queue = &transfers->queues[at];
        uint64_t ns = PAUSE_FIRST_NS;
        uint32_t left;

        queue_cancel(queue);
        do {
            transfer_pump(queue);
            pthread_mutex_lock(&queue->lock);
            left = queue->begun.count;
            pthread_mutex_unlock(&queue->lock);
            if (left > 0)
                pause_once(transfers, &ns);
        } while (left > 0);
    }
    transfers_give(transfers);
}

/* Finds free room in the array of fragments: the first gap between used parts. The lock is held. */
static bool stretch_take(struct transfer_queue *queue, uint32_t number, uint32_t count)
{
    uint32_t first = 0, at = 0;

    for (; at < queue->stretch_count; at++) {
        const struct transfer_request *next = &queue->requests[queue->stretches[at]];

        if (next->first - first >= count)
            break;
        first = next->first + next->room;
    }
    if (queue->fragment_count - first < count)
        return false;
    queue->requests[number].first = first;
    queue->requests[number].room = count;
    if (count == 0)
        return true;
    for (uint32_t to = queue->stretch_count++; to > at; to--)
        queue->stretches[to] = queue->stretches[to - 1];
    queue->stretches[at] = number;
    return true;
}

/* Takes a request to plan, with room for its fragments; 0: none now. */
static uint32_t request_take(struct transfer_queue *queue, uint32_t count)
{
    pthread_mutex_lock(&queue->lock);
    uint32_t number = queue->unused != 0         ? queue->unused
                      : queue->looked.first != 0 ? queue->looked.first
                                                 : queue->ended.first;
    if (number != 0 && stretch_take(queue, number, count)) {
        struct transfer_request *request = &queue->requests[number];

        if (number == queue->unused)
            queue->unused = request->next;
        else
            transfer_list_remove(queue, request->seen ? &queue->looked : &queue->ended, number);
        request->seen = request->kept = false;
        request->generation = request->generation == UINT32_MAX ? 1 : request->generation + 1;
        request->state = TRANSFER_PLANNING;
        request->issued = request->has_end = false;
    } else {
        number = 0;
    }
    pthread_mutex_unlock(&queue->lock);
    return number;
}

/* A request that was refused. */
static void request_give(struct transfer_queue *queue, uint32_t number)
{
    pthread_mutex_lock(&queue->lock);
    transfer_stretch_give(queue, number);
    queue->requests[number].state = TRANSFER_UNUSED;
    queue->requests[number].next = queue->unused;
    queue->unused = number;
    queue->stats.refused++;
    pthread_mutex_unlock(&queue->lock);
}

/* A fence of our own behind an event: the caller may record it again, or destroy it. */
static int event_follow(struct cupool_transfers *transfers, uint64_t event,
                        struct transfer_request *request)
{
    const struct transfer_backend *backend = &transfers->backend;
    int passed = backend->fence_query(backend->state, event);

    if (passed < 0)
        return transfers_fail(transfers, passed, "the event is captured, or not of this device");
    if (passed)
        return 0;
    int error = backend->stream_wait(backend->state, transfers->events, event);
    if (error == 0)
        error = backend->fence_record(backend->state, transfers->events, &request->after);
    request->has_after = error == 0;
    return error < 0 ? transfers_fail(transfers, error, "the event cannot be waited for") : 0;
}

/* The work that the transfer comes after. */
static int after_take(struct transfer_queue *queue, struct transfer_request *request,
                      const struct cupool_transfer_options *options)
{
    const struct transfer_backend *backend = &queue->transfers->backend;

    request->has_after = false;
    if (!backend->fence_record)
        return 0;
    if (options->after_event)
        return event_follow(queue->transfers, (uintptr_t)options->after_event, request);
    if (options->after_stream == CUPOOL_STREAM_NONE)
        return 0;
    int error = backend->fence_record(backend->state, options->after_stream, &request->after);
    if (error < 0)
        return transfers_fail(queue->transfers, error,
                              error == -EBUSY ? "the stream is being captured"
                                              : "no event can be recorded on the stream");
    request->has_after = true;
    return 0;
}

static cupool_transfer handle_of(const struct transfer_queue *queue, uint32_t number)
{
    return (uint64_t)queue->requests[number].generation << 32 | (uint64_t)queue->direction << 24 |
           number;
}

static int options_check(struct cupool_transfers *transfers,
                         const struct cupool_transfer_options *options)
{
    if (options->priority < 0 || options->priority > CUPOOL_TRANSFER_PRIORITY_MAX)
        return transfers_fail(transfers, -ERANGE, "priorities are 0 to 100");
    if (options->after_event && options->after_stream != CUPOOL_STREAM_NONE)
        return transfers_fail(transfers, -EINVAL,
                              "give a stream or an event to wait for, not both");
    return 0;
}

static int request_submit(struct transfer_queue *queue, const struct transfer_source *source,
                          uint32_t count, const struct cupool_transfer_options *options,
                          cupool_transfer *ret_transfer)
{
    uint32_t number = request_take(queue, count);

    if (number == 0)
        return transfers_fail(queue->transfers, -EAGAIN, "the queue is full");
    struct transfer_request *request = &queue->requests[number];
    int error = transfer_plan(queue, request, source, count, options->alignment);
    if (error == 0)
        error = after_take(queue, request, options);
    if (error < 0) {
        request_give(queue, number);
        return error;
    }
    request->callback = options->callback;
    request->callback_state = options->state;
    pthread_mutex_lock(&queue->lock);
    *ret_transfer = handle_of(queue, number);
    request->priority = options->priority;
    request->state = TRANSFER_QUEUED;
    transfer_list_add(queue, &queue->queued, number);
    queue->stats.submitted++;
    queue->stats.fragments += request->submitted;
    queue->stats.joined += request->submitted - request->count;
    queue->stats.bytes += request->bytes;
    pthread_mutex_unlock(&queue->lock);
    return 0;
}

int transfers_submit(struct cupool_transfers *transfers, enum cupool_direction direction,
                     const struct transfer_source *source, uint32_t count,
                     const struct cupool_transfer_options *options, cupool_transfer *ret_transfer)
{
    struct cupool_transfer_options standard;
    int error = entry(transfers);

    if (error < 0)
        return error;
    if ((unsigned)direction >= CUPOOL_DIRECTIONS || !ret_transfer)
        return transfers_fail(transfers, -EINVAL, "not a transfer");
    cupool_transfer_options_init(&standard);
    options = options ? options : &standard;
    error = options_check(transfers, options);
    struct transfer_queue *queue = &transfers->queues[direction];
    if (error == 0 && count > queue->fragment_count)
        error = transfers_fail(transfers, -E2BIG, "more copies than the queue holds");
    if (error == 0)
        error = request_submit(queue, source, count, options, ret_transfer);
    /* A full queue is advanced, too, because that makes room. */
    transfer_pump(queue);
    return error;
}

static struct cupool_copy array_at(const void *state, uint32_t number)
{
    return ((const struct cupool_copy *)state)[number];
}

int cupool_transfers_submit(struct cupool_transfers *transfers, enum cupool_direction direction,
                            const struct cupool_copy *copies, uint32_t count,
                            const struct cupool_transfer_options *options,
                            cupool_transfer *ret_transfer)
{
    const struct transfer_source source = {.state = copies, .at = array_at};

    if (!transfers || (!copies && count != 0))
        return -EINVAL;
    return transfers_submit(transfers, direction, &source, count, options, ret_transfer);
}

static struct transfer_queue *queue_of(struct cupool_transfers *transfers, cupool_transfer transfer,
                                       uint32_t *ret_number)
{
    uint32_t number = (uint32_t)transfer & NUMBER_MASK;
    unsigned direction = (uint32_t)transfer >> 24;

    if (direction >= CUPOOL_DIRECTIONS || number == 0 ||
        number > transfers->queues[direction].request_count)
        return NULL;
    *ret_number = number;
    return &transfers->queues[direction];
}

static int queue_enter(struct cupool_transfers *transfers, cupool_transfer transfer,
                       struct transfer_queue **ret_queue, uint32_t *ret_number)
{
    int error = entry(transfers);

    if (error < 0)
        return error;
    *ret_queue = queue_of(transfers, transfer, ret_number);
    return *ret_queue ? 0 : transfers_fail(transfers, -EINVAL, "not a transfer");
}

/* Returns 0 with the state and result of a transfer; the lock is held. */
static int request_look(struct transfer_queue *queue, uint32_t number, cupool_transfer transfer)
{
    const struct transfer_request *request = &queue->requests[number];
    uint32_t generation = (uint32_t)(transfer >> 32);

    if (generation == request->generation && request->state != TRANSFER_UNUSED &&
        request->state != TRANSFER_PLANNING)
        return 0;
    if (generation == 0 || generation > request->generation)
        return transfers_fail(queue->transfers, -EINVAL, "not a transfer");
    return transfers_fail(queue->transfers, -ESTALE,
                          "the result of the transfer was dropped to make room");
}

static int ended_result(struct transfer_queue *queue, uint32_t number, cupool_transfer transfer)
{
    pthread_mutex_lock(&queue->lock);
    int error = request_look(queue, number, transfer);
    if (error == 0 && queue->requests[number].state == TRANSFER_ENDED) {
        struct transfer_request *request = &queue->requests[number];
        bool first = !request->seen;

        error = request->result < 0 ? request->result : 1;
        request->seen = true;
        if (first && request->kept)
            transfer_keep(queue, number);
    }
    pthread_mutex_unlock(&queue->lock);
    return error;
}

int cupool_transfer_query(struct cupool_transfers *transfers, cupool_transfer transfer)
{
    struct transfer_queue *queue;
    uint32_t number;
    int error = queue_enter(transfers, transfer, &queue, &number);

    if (error < 0)
        return error;
    transfer_pump(queue);
    return ended_result(queue, number, transfer);
}

int cupool_transfer_wait(struct cupool_transfers *transfers, cupool_transfer transfer,
                         uint64_t timeout_ns)
{
    const struct transfer_backend *backend;
    uint64_t begin = 0, ns = PAUSE_FIRST_NS;
    int error = cupool_transfer_query(transfers, transfer);

    for (unsigned looks = 0; error == 0; looks++) {
        backend = &transfers->backend;
        if (timeout_ns != CUPOOL_WAIT_FOREVER) {
            uint64_t now = backend->clock_ns(backend->state);

            begin = looks == 0 ? now : begin;
            if (now - begin >= timeout_ns)
                return transfers_fail(transfers, -ETIMEDOUT, "the transfer did not end in time");
        }
        if (looks >= LOOKS_AT_ONCE)
            pause_once(transfers, &ns);
        error = cupool_transfer_query(transfers, transfer);
    }
    return error == 1 ? 0 : error;
}

int cupool_transfer_cancel(struct cupool_transfers *transfers, cupool_transfer transfer)
{
    struct transfer_queue *queue;
    uint32_t number;
    int error = queue_enter(transfers, transfer, &queue, &number);

    if (error < 0)
        return error;
    pthread_mutex_lock(&queue->lock);
    error = request_look(queue, number, transfer);
    if (error == 0 && queue->requests[number].state == TRANSFER_QUEUED) {
        transfer_list_remove(queue, &queue->queued, number);
        transfer_end(queue, number, -ECANCELED);
    } else if (error == 0) {
        error = queue->requests[number].state == TRANSFER_BEGUN ? -EBUSY : -EALREADY;
        transfers_fail(transfers, error, "the transfer has already begun");
    }
    pthread_mutex_unlock(&queue->lock);
    transfer_pump(queue);
    return error;
}

int cupool_transfer_order(struct cupool_transfers *transfers, cupool_transfer transfer,
                          cupool_stream stream)
{
    uint32_t number;
    int error = entry(transfers);

    if (error < 0)
        return error;
    struct transfer_queue *queue = queue_of(transfers, transfer, &number);
    if (!queue || stream == CUPOOL_STREAM_NONE)
        return transfers_fail(transfers, -EINVAL, "not a transfer, or not a stream");
    transfer_pump(queue);
    pthread_mutex_lock(&queue->lock);
    error = request_look(queue, number, transfer);
    const struct transfer_request *request = &queue->requests[number];
    if (error == 0 && request->state == TRANSFER_ENDED)
        error = request->result;
    else if (error == 0 &&
             (request->state != TRANSFER_BEGUN || !request->issued || request->unpacks))
        error = transfers_fail(transfers, -EAGAIN, "the transfer is not fully submitted yet");
    else if (error == 0 && request->has_end)
        error = transfers->backend.stream_wait(transfers->backend.state, stream, request->end);
    pthread_mutex_unlock(&queue->lock);
    return error;
}

int cupool_transfers_poll(struct cupool_transfers *transfers)
{
    int left = 0, error = entry(transfers);

    for (unsigned at = 0; at < CUPOOL_DIRECTIONS && error == 0; at++) {
        struct transfer_queue *queue = &transfers->queues[at];

        transfer_pump(queue);
        pthread_mutex_lock(&queue->lock);
        left += (int)(queue->queued.count + queue->begun.count);
        pthread_mutex_unlock(&queue->lock);
    }
    return error < 0 ? error : left;
}

int cupool_transfers_stats(struct cupool_transfers *transfers, enum cupool_direction direction,
                           struct cupool_transfer_statistics *ret_stats)
{
    int error = entry(transfers);

    if (error < 0 || (unsigned)direction >= CUPOOL_DIRECTIONS || !ret_stats)
        return error < 0 ? error : -EINVAL;
    struct transfer_queue *queue = &transfers->queues[direction];
    pthread_mutex_lock(&queue->lock);
    *ret_stats = queue->stats;
    ret_stats->waiting = queue->queued.count;
    ret_stats->under_way = queue->begun.count;
    pthread_mutex_unlock(&queue->lock);
    return 0;
}
