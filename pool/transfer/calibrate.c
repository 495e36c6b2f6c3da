/* SPDX-License-Identifier: MIT */
/*
 * Measures the thresholds between methods: the same fragments by single copies, one batched call
 * and the kernel, median of five, from page-locked memory to the device. A method applies from the
 * first measured size on where it is faster.
 */
#include <errno.h>

#include "pool/transfer/queue.h"

#define ROUNDS     5u
#define COUNT_MOST 64u
#define KIB        ((uint64_t)1024)
#define BYTES_MOST (128 * KIB)
#define GAP        512u /* between fragments, so that nobody can join them */

/** A measurement under way. */
struct trial {
    struct transfer_queue *queue;
    uint64_t device, host;
    uint32_t count;
    uint64_t bytes;
};

static int way_run(const struct trial *trial, enum transfer_way way, bool batched)
{
    struct transfer_queue *queue = trial->queue;
    const struct transfer_backend *backend = &queue->transfers->backend;
    int error = 0;

    if (way == TRANSFER_BY_KERNEL)
        error = backend->copy_kernel(backend->state, queue->stream, queue->pieces[0].descriptors,
                                     queue->to, queue->from, queue->bytes, trial->count);
    else if (batched)
        error = backend->copy_batch(backend->state, queue->stream, queue->to, queue->from,
                                    queue->bytes, trial->count);
    for (uint32_t at = 0; at < trial->count && error == 0 && way == TRANSFER_BY_COPY && !batched;
         at++)
        error = backend->copy(backend->state, queue->stream, queue->to[at], queue->from[at],
                              queue->bytes[at]);
    int drained = backend->stream_drain(backend->state, queue->stream);
    return error < 0 ? error : drained;
}

/* Nanoseconds of one way, the middle of the rounds. */
static int way_measure(const struct trial *trial, enum transfer_way way, bool batched,
                       uint64_t *ret_ns)
{
    const struct transfer_backend *backend = &trial->queue->transfers->backend;
    uint64_t rounds[ROUNDS];

    for (uint32_t at = 0; at < trial->count; at++) {
        trial->queue->to[at] = trial->device + at * (trial->bytes + GAP);
        trial->queue->from[at] = trial->host + at * (trial->bytes + GAP);
        trial->queue->bytes[at] = trial->bytes;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = backend->clock_ns(backend->state);
        int error = way_run(trial, way, batched);

        if (error < 0)
            return error;
        uint64_t spent = backend->clock_ns(backend->state) - begin;
        unsigned at = round;
        for (; at > 0 && rounds[at - 1] > spent; at--)
            rounds[at] = rounds[at - 1];
        rounds[at] = spent;
    }
    *ret_ns = rounds[ROUNDS / 2];
    return 0;
}

/* The faster one of single copies and a batched call. */
static int copies_measure(const struct trial *trial, uint64_t *ret_ns)
{
    uint64_t batched;
    int error = way_measure(trial, TRANSFER_BY_COPY, false, ret_ns);

    if (error < 0 || !trial->queue->transfers->backend.copy_batch)
        return error;
    error = way_measure(trial, TRANSFER_BY_COPY, true, &batched);
    if (error == 0 && batched < *ret_ns)
        *ret_ns = batched;
    return error == -ENOTSUP ? 0 : error;
}

static int batch_measure(struct trial *trial, uint64_t *ret_from)
{
    uint64_t single, batched;
    int error = 0;

    *ret_from = 0;
    trial->bytes = 64 * KIB;
    for (trial->count = 2; trial->count <= COUNT_MOST && *ret_from == 0 && error == 0;
         trial->count *= 2) {
        error = way_measure(trial, TRANSFER_BY_COPY, false, &single);
        if (error == 0)
            error = way_measure(trial, TRANSFER_BY_COPY, true, &batched);
        if (error == 0 && batched <= single)
            *ret_from = trial->count;
    }
    return error == -ENOTSUP ? 0 : error;
}

static int kernel_measure(struct trial *trial, struct cupool_transfer_thresholds *thresholds)
{
    static const uint8_t sizes[] = {1, 2, 4, 8, 16, 24, 28, 32, 48, 64, 96, 128};
    uint64_t copies, kernel;
    bool faster = true;
    int error = 0;

    thresholds->kernel_below = 0;
    trial->count = COUNT_MOST;
    for (unsigned at = 0; at < sizeof(sizes) && faster && error == 0; at++) {
        trial->bytes = sizes[at] * KIB;
        error = way_measure(trial, TRANSFER_BY_KERNEL, false, &kernel);
        if (error == 0)
            error = copies_measure(trial, &copies);
        faster = error == 0 && kernel < copies;
        if (faster)
            thresholds->kernel_below = trial->bytes;
    }
    thresholds->kernel_from = COUNT_MOST;
    trial->bytes = thresholds->kernel_below < 4 * KIB ? KIB : 4 * KIB;
    for (trial->count = 2; trial->count < thresholds->kernel_from && error == 0;
         trial->count *= 2) {
        error = way_measure(trial, TRANSFER_BY_KERNEL, false, &kernel);
        if (error == 0)
            error = copies_measure(trial, &copies);
        if (error == 0 && kernel < copies)
            thresholds->kernel_from = trial->count;
    }
    if (error == -ENOTSUP)
        *thresholds = (struct cupool_transfer_thresholds){
            .kernel_below = 0, .kernel_from = COUNT_MOST, .batch_from = thresholds->batch_from};
    return error == -ENOTSUP ? 0 : error;
}

static int trial_run(struct trial *trial, struct cupool_transfer_thresholds *ret_thresholds)
{
    const struct transfer_backend *backend = &trial->queue->transfers->backend;
    struct cupool_transfer_thresholds found = {.kernel_from = COUNT_MOST};
    int error = 0;

    if (backend->copy_batch)
        error = batch_measure(trial, &found.batch_from);
    if (error == 0 && backend->copy_kernel)
        error = kernel_measure(trial, &found);
    if (error == 0)
        *ret_thresholds = found;
    return error;
}

/* Waits until all queues are idle, and takes the token of one. */
static bool token_take(struct cupool_transfers *transfers, struct transfer_queue *queue)
{
    bool idle = true;

    for (unsigned at = 0; at < CUPOOL_DIRECTIONS; at++) {
        struct transfer_queue *other = &transfers->queues[at];

        pthread_mutex_lock(&other->lock);
        idle &= other->queued.count == 0 && other->begun.count == 0;
        pthread_mutex_unlock(&other->lock);
    }
    pthread_mutex_lock(&queue->lock);
    idle &= !queue->token;
    queue->token |= idle;
    pthread_mutex_unlock(&queue->lock);
    return idle;
}

int transfers_measure(struct cupool_transfers *transfers,
                      struct cupool_transfer_thresholds *ret_thresholds)
{
    const struct transfer_backend *backend = &transfers->backend;
    struct transfer_queue *queue = &transfers->queues[CUPOOL_TO_DEVICE];
    const size_t bytes = COUNT_MOST * (BYTES_MOST + GAP);
    struct trial trial = {.queue = queue};
    void *host = NULL;

    if (backend->host)
        return transfers_fail(transfers, -ENOTSUP,
                              "transfers within host memory have only one method");
    if (!token_take(transfers, queue))
        return transfers_fail(transfers, -EBUSY, "transfers are in flight");
    int error = backend->host_allocate(backend->state, bytes, &host);
    if (error == 0)
        error = backend->memory_allocate(backend->state, bytes, &trial.device);
    trial.host = (uintptr_t)host;
    if (error == 0)
        error = trial_run(&trial, ret_thresholds);
    if (trial.device != 0)
        backend->memory_free(backend->state, trial.device, bytes);
    if (host)
        backend->host_free(backend->state, host);
    pthread_mutex_lock(&queue->lock);
    queue->token = queue->note = false;
    pthread_mutex_unlock(&queue->lock);
    transfer_pump(queue);
    return error < 0 ? transfers_fail(transfers, error, "the measurement failed") : 0;
}
