/* SPDX-License-Identifier: MIT */
/*
 * Turns fragments into driver calls: first the large ones, which keep the link busy, then the
 * kernel's, then those of the ring. An error stops a request; work that is already with the driver
 * is still waited for, by the fence behind it.
 */
#include <errno.h>
#include <string.h>

#include "pool/transfer/queue.h"

/* Page-locked memory of at least this many bytes inside a fragment that crosses its bounds
 * needs no ring. */
#define DIRECT_LEAST ((uint64_t)4 << 10)
#define LANE_BYTES   16u

static struct transfer_piece *piece_take(struct transfer_queue *queue, uint32_t number)
{
    if (queue->pieces_used == queue->piece_count)
        return NULL;
    struct transfer_piece *piece = &queue->pieces[queue->piece_next];
    queue->piece_next = (queue->piece_next + 1) % queue->piece_count;
    queue->pieces_used++;
    piece->request = number;
    piece->has_fence = piece->unpack = false;
    piece->bytes = 0;
    queue->requests[number].pieces++;
    return piece;
}

/* The newest piece, which the driver did not get. */
static void piece_untake(struct transfer_queue *queue, struct transfer_piece *piece)
{
    queue->requests[piece->request].pieces--;
    piece->request = TRANSFER_NONE;
    queue->piece_next = (queue->piece_next + queue->piece_count - 1) % queue->piece_count;
    queue->pieces_used--;
}

/* Records a fence behind the stream's work. On failure waits for the work here: its memory must
 * not be freed meanwhile. */
static int fence_behind(struct transfer_queue *queue, uint64_t *ret_fence, bool *ret_has)
{
    const struct transfer_backend *backend = &queue->transfers->backend;
    int error;

    *ret_has = false;
    if (!backend->fence_record)
        return 0;
    error = backend->fence_record(backend->state, queue->stream, ret_fence);
    *ret_has = error == 0;
    if (error < 0)
        backend->stream_drain(backend->state, queue->stream);
    return error;
}

static int singles_issue(struct transfer_queue *queue, uint32_t count)
{
    const struct transfer_backend *backend = &queue->transfers->backend;

    for (uint32_t at = 0; at < count; at++) {
        int error = backend->copy(backend->state, queue->stream, queue->to[at], queue->from[at],
                                  queue->bytes[at]);

        if (error < 0)
            return error;
        queue->noted.driver_calls++;
        queue->noted.copies++;
        queue->noted.copied_bytes += queue->bytes[at];
    }
    return 0;
}

static uint64_t arrays_bytes(const struct transfer_queue *queue, uint32_t count)
{
    uint64_t bytes = 0;

    for (uint32_t at = 0; at < count; at++)
        bytes += queue->bytes[at];
    return bytes;
}

/* Issues the collected copies, by one batched call where that pays. */
static int copies_issue(struct transfer_queue *queue, uint32_t count)
{
    struct cupool_transfers *transfers = queue->transfers;
    uint64_t least = atomic_load(&transfers->batch_from);

    if (count < 2 || !transfers->backend.copy_batch || least == 0 || count < least)
        return singles_issue(queue, count);
    int error = transfers->backend.copy_batch(transfers->backend.state, queue->stream, queue->to,
                                              queue->from, queue->bytes, count);
    if (error == -ENOTSUP)
        return singles_issue(queue, count);
    if (error < 0)
        return error;
    queue->noted.driver_calls++;
    queue->noted.batches++;
    queue->noted.descriptors += count;
    queue->noted.batched_bytes += arrays_bytes(queue, count);
    return 0;
}

/* Issues them by the kernel; by copies where there turns out to be none. */
static int kernel_issue(struct transfer_queue *queue, struct transfer_piece *piece, uint32_t count)
{
    struct cupool_transfers *transfers = queue->transfers;
    int error = atomic_load(&transfers->no_kernel)
                    ? -ENOTSUP
                    : transfers->backend.copy_kernel(transfers->backend.state, queue->stream,
                                                     piece->descriptors, queue->to, queue->from,
                                                     queue->bytes, count);

    if (error == -ENOTSUP) {
        atomic_store(&transfers->no_kernel, true);
        return copies_issue(queue, count);
    }
    if (error < 0)
        return error;
    queue->noted.driver_calls++;
    queue->noted.launches++;
    queue->noted.descriptors += count;
    queue->noted.kernel_bytes += arrays_bytes(queue, count);
    return 0;
}

/* Collects fragments of the pass from the request's position on; at most one full call. */
static uint32_t fragments_collect(struct transfer_queue *queue, struct transfer_request *request)
{
    uint32_t count = 0;

    for (; request->at < request->count && count < TRANSFER_BATCH_MAX; request->at++) {
        const struct transfer_fragment *fragment = &queue->fragments[request->first + request->at];

        if (fragment->way != request->pass)
            continue;
        queue->to[count] = fragment->to;
        queue->from[count] = fragment->from;
        queue->bytes[count++] = fragment->bytes;
    }
    return count;
}

static int piece_fence(struct transfer_queue *queue, struct transfer_piece *piece, int copy_error)
{
    int error = fence_behind(queue, &piece->fence, &piece->has_fence);

    piece->unpack &= copy_error == 0 && error == 0;
    return copy_error < 0 ? copy_error : error;
}

static int kernel_pass(struct transfer_queue *queue, uint32_t number)
{
    struct transfer_request *request = &queue->requests[number];
    struct transfer_piece *piece = piece_take(queue, number);

    if (!piece)
        return -EAGAIN;
    uint32_t count = fragments_collect(queue, request);
    if (count == 0) {
        piece_untake(queue, piece);
        return 0;
    }
    return piece_fence(queue, piece, kernel_issue(queue, piece, count));
}

/* Places the next part of a fragment in a piece: with the same lane alignment as on the device,
 * so that both sides agree. */
static uint64_t place_in_piece(uint64_t used, uint64_t device)
{
    uint64_t place = (used & ~(uint64_t)(LANE_BYTES - 1)) + device % LANE_BYTES;

    return place < used ? place + LANE_BYTES : place;
}

static uint64_t device_side(const struct transfer_queue *queue,
                            const struct transfer_fragment *fragment)
{
    return queue->direction == CUPOOL_TO_DEVICE ? fragment->to : fragment->from;
}

static uint64_t host_side(const struct transfer_queue *queue,
                          const struct transfer_fragment *fragment)
{
    return queue->direction == CUPOOL_TO_DEVICE ? fragment->from : fragment->to;
}

/** Iterates over the contents of a piece; the same for filling and unpacking. */
struct packing {
    uint32_t at;
    uint64_t offset, used;
};

/* Returns the next part: its bytes and its position in the piece; 0: no more, or no room. */
static uint64_t packing_next(const struct transfer_queue *queue,
                             const struct transfer_request *request, struct packing *packing,
                             const struct transfer_fragment **ret_fragment, uint64_t *ret_offset,
                             uint64_t *ret_place)
{
    while (packing->at < request->count &&
           queue->fragments[request->first + packing->at].way != TRANSFER_BY_RING)
        packing->at++;
    if (packing->at == request->count)
        return 0;
    const struct transfer_fragment *fragment = &queue->fragments[request->first + packing->at];
    uint64_t place = place_in_piece(packing->used, device_side(queue, fragment) + packing->offset);
    if (place >= queue->transfers->piece_bytes)
        return 0;
    uint64_t room = queue->transfers->piece_bytes - place, left = fragment->bytes - packing->offset;
    uint64_t bytes = left < room ? left : room;
    *ret_fragment = fragment;
    *ret_offset = packing->offset;
    *ret_place = place;
    packing->used = place + bytes;
    packing->offset += bytes;
    if (packing->offset == fragment->bytes) {
        packing->offset = 0;
        packing->at++;
    }
    return bytes;
}

/* Copies page-locked memory inside a fragment directly, where the fragment begins or ends in
 * other memory. Returns its bytes; 0: there is none here. */
static int64_t crossing_issue(struct transfer_queue *queue,
                              const struct transfer_fragment *fragment, uint64_t offset)
{
    const struct transfer_backend *backend = &queue->transfers->backend;
    enum transfer_place place;
    uint64_t end, address = host_side(queue, fragment) + offset;
    int error = backend->place(backend->state, address, &place, &end);

    if (error < 0)
        return error;
    uint64_t left = fragment->bytes - offset;
    uint64_t bytes = end - address < left ? end - address : left;
    if (place != TRANSFER_PINNED || bytes < DIRECT_LEAST)
        return 0;
    queue->to[0] = fragment->to + offset;
    queue->from[0] = fragment->from + offset;
    queue->bytes[0] = bytes;
    error = singles_issue(queue, 1);
    return error < 0 ? error : (int64_t)bytes;
}

/* Fills a piece from the request's position on, and the arrays of the call that moves it. */
static uint32_t piece_fill(struct transfer_queue *queue, struct transfer_request *request,
                           struct transfer_piece *piece)
{
    struct packing packing = {.at = request->at, .offset = request->offset};
    const struct transfer_fragment *fragment;
    uint64_t offset, place, bytes;
    uint32_t count = 0;

    piece->at = request->at;
    piece->offset = request->offset;
    while (count < TRANSFER_BATCH_MAX) {
        struct packing before = packing;

        bytes = packing_next(queue, request, &packing, &fragment, &offset, &place);
        if (bytes == 0)
            break;
        if (fragment->crossing && count > 0) {
            packing = before; /* on its own: part of it may need no ring */
            break;
        }
        uint64_t inside = (uintptr_t)piece->data + place;
        if (queue->direction == CUPOOL_TO_DEVICE)
            memcpy(piece->data + place, (const void *)(uintptr_t)(fragment->from + offset), bytes);
        queue->to[count] = queue->direction == CUPOOL_TO_DEVICE ? fragment->to + offset : inside;
        queue->from[count] = queue->direction == CUPOOL_TO_DEVICE ? inside
                                                                  : fragment->from + offset;
        queue->bytes[count++] = bytes;
        piece->bytes += bytes;
        if (fragment->crossing)
            break;
    }
    request->at = packing.at;
    request->offset = packing.offset;
    return count;
}

static void piece_unpack(struct transfer_queue *queue, const struct transfer_piece *piece)
{
    const struct transfer_request *request = &queue->requests[piece->request];
    struct packing packing = {.at = piece->at, .offset = piece->offset};
    const struct transfer_fragment *fragment;
    uint64_t offset, place, bytes, left = piece->bytes;

    for (; left > 0; left -= bytes) {
        bytes = packing_next(queue, request, &packing, &fragment, &offset, &place);
        memcpy((void *)(uintptr_t)(fragment->to + offset), piece->data + place, bytes);
    }
}

/* Issues the arrays of a piece: small parts by the kernel, if there are enough of them. */
static int parts_issue(struct transfer_queue *queue, struct transfer_piece *piece, uint32_t count)
{
    struct cupool_transfers *transfers = queue->transfers;
    uint64_t below = atomic_load(&transfers->kernel_below);

    if (transfers->backend.copy_kernel && !atomic_load(&transfers->no_kernel) &&
        count >= atomic_load(&transfers->kernel_from) && count > 1 && piece->bytes / count < below)
        return kernel_issue(queue, piece, count);
    return copies_issue(queue, count);
}

static int ring_pass(struct transfer_queue *queue, uint32_t number)
{
    struct transfer_request *request = &queue->requests[number];

    while (request->at < request->count &&
           queue->fragments[request->first + request->at].way != TRANSFER_BY_RING)
        request->at++;
    if (request->at == request->count)
        return 0;
    const struct transfer_fragment *fragment = &queue->fragments[request->first + request->at];
    if (fragment->crossing) {
        int64_t bytes = crossing_issue(queue, fragment, request->offset);

        request->offset += bytes > 0 ? (uint64_t)bytes : 0;
        if (request->offset == fragment->bytes) {
            request->offset = 0;
            request->at++;
        }
        if (bytes != 0)
            return bytes < 0 ? (int)bytes : 0;
    }
    struct transfer_piece *piece = piece_take(queue, number);
    if (!piece)
        return -EAGAIN;
    uint32_t count = piece_fill(queue, request, piece);
    piece->unpack = queue->direction == CUPOOL_FROM_DEVICE;
    queue->noted.pieces++;
    queue->noted.staged_bytes += piece->bytes;
    return piece_fence(queue, piece, parts_issue(queue, piece, count));
}

/* All of it is with the driver, or an error ended it. */
static void issue_end(struct transfer_queue *queue, struct transfer_request *request)
{
    uint64_t fence = 0;
    bool has = false;
    int error = fence_behind(queue, &fence, &has);

    if (request->error == 0)
        request->error = error;
    pthread_mutex_lock(&queue->lock);
    request->issued = true;
    request->has_end = has;
    request->end = fence;
    pthread_mutex_unlock(&queue->lock);
}

bool transfer_issue(struct transfer_queue *queue, uint32_t number)
{
    struct transfer_request *request = &queue->requests[number];
    bool moved = false;

    if (request->issued)
        return false;
    while (request->error == 0 && request->pass < TRANSFER_WAYS) {
        int error = 0;

        if (request->at == request->count) {
            request->pass++;
            request->at = 0;
            continue;
        }
        if (request->pass == TRANSFER_BY_COPY)
            error = copies_issue(queue, fragments_collect(queue, request));
        else if (request->pass == TRANSFER_BY_KERNEL)
            error = kernel_pass(queue, number);
        else
            error = ring_pass(queue, number);
        if (error == -EAGAIN) {
            queue->noted.stalls += !request->stalled;
            request->stalled = true;
            return moved;
        }
        request->stalled = false;
        request->error = error;
        moved = true;
    }
    issue_end(queue, request);
    return true;
}

bool transfer_reap(struct transfer_queue *queue)
{
    const struct transfer_backend *backend = &queue->transfers->backend;
    bool moved = false;

    while (queue->pieces_used > 0) {
        struct transfer_piece *piece = &queue->pieces[queue->piece_oldest];
        struct transfer_request *request = &queue->requests[piece->request];
        int passed = piece->has_fence ? backend->fence_query(backend->state, piece->fence) : 1;

        if (passed == 0)
            break;
        if (passed < 0) {
            request->error = request->error == 0 ? passed : request->error;
            backend->stream_drain(backend->state, queue->stream);
        }
        if (piece->unpack && passed == 1)
            piece_unpack(queue, piece);
        if (piece->has_fence)
            backend->fence_release(backend->state, piece->fence);
        request->pieces--;
        piece->request = TRANSFER_NONE;
        queue->piece_oldest = (queue->piece_oldest + 1) % queue->piece_count;
        queue->pieces_used--;
        moved = true;
    }
    return moved;
}
