/* SPDX-License-Identifier: MIT */
/*
 * Internals of the transfers: a queue for each direction.
 *
 *     unused -> planning -> queued -> begun -> ended -> unused
 *                             +---- cancelled ---^
 *
 * A request has its fragments in a contiguous part of the queue's array. Planning validates, sorts
 * and merges them and chooses the method of each. A thread that advances a queue holds its token:
 * one thread at a time issues work, queries fences and copies from and to the ring, without a lock.
 * Other threads that come meanwhile leave a note and return.
 *
 * The ring has pieces of page-locked memory with room for descriptors. A piece belongs to one
 * request from its filling to its fence; data from the device is unpacked then.
 *
 * Threading: "lock": guarded by the queue's lock; "token": used by its holder alone; "owner": by
 * the thread that plans, then by the holder of the token.
 */
#ifndef POOL_TRANSFER_QUEUE_H
#define POOL_TRANSFER_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "include/cupool/transfer.h"
#include "pool/kv/heap.h"
#include "pool/transfer/backend.h"

#define TRANSFER_NONE       0u
#define TRANSFER_BATCH_MAX  1024u /* descriptors of one call or launch */
#define TRANSFER_PIECES_MAX 64u
#define TRANSFER_ALIGN      ((size_t)256) /* of a piece */

enum transfer_way { TRANSFER_BY_COPY, TRANSFER_BY_KERNEL, TRANSFER_BY_RING, TRANSFER_WAYS };

struct transfer_fragment {
    uint64_t to, from, bytes;
    uint8_t way;      /* enum transfer_way */
    uint8_t crossing; /* the host's side ends in another stretch of memory than it begins */
};

enum transfer_state {
    TRANSFER_UNUSED,
    TRANSFER_PLANNING,
    TRANSFER_QUEUED,
    TRANSFER_BEGUN,
    TRANSFER_ENDED,
};

struct transfer_request {
    uint32_t generation; /* lock */
    uint8_t state;       /* lock */
    bool seen, kept; /* lock: its result was read; it is in one of the two lists of ended ones */
    int priority, result;      /* lock */
    uint32_t next, previous;   /* lock; of the list of its state */
    uint32_t first, room;      /* lock: the stretch of fragments */
    uint32_t submitted, count; /* owner: copies with bytes; fragments they were joined to */
    uint64_t bytes;            /* owner */
    bool host_reads;           /* owner: the host reads a source, so the work before must be over */
    bool unpacks;              /* owner: the host writes a destination */
    bool has_after;            /* owner */
    uint64_t after;            /* owner: fence */
    bool issued, has_end;      /* lock: all is with the driver, with a fence behind it */
    uint64_t end;              /* lock: fence */
    void (*callback)(void *state, cupool_transfer transfer, int result);
    void *callback_state;
    /* Where issuing is: token. */
    uint8_t pass; /* the way that is issued now */
    uint32_t at;
    uint64_t offset;
    uint32_t pieces; /* of the ring that it has */
    bool stalled;    /* waits for one */
    int error;
};

struct transfer_piece {
    uint8_t *data;
    void *descriptors;
    uint32_t request; /* TRANSFER_NONE: not in use */
    uint64_t fence;
    bool has_fence, unpack;
    uint32_t at; /* the first fragment in it, from `offset` on */
    uint64_t offset, bytes;
};

struct transfer_list {
    uint32_t first, last, count;
};

struct cupool_transfers;

struct transfer_queue {
    struct cupool_transfers *transfers;
    enum cupool_direction direction;
    pthread_mutex_t lock;
    bool token, note;                          /* lock */
    struct transfer_request *requests;         /* [1 … request_count] */
    struct transfer_fragment *fragments;       /* [fragment_count] */
    uint32_t request_count, fragment_count;    /* constant */
    uint32_t unused;                           /* lock; chain by next */
    struct transfer_list queued, begun;        /* lock; begun is changed by the token */
    struct transfer_list calls, ended, looked; /* lock; ended ones: to call back, unread, read */
    uint32_t *stretches;                       /* lock: requests by their first fragment */
    uint32_t stretch_count;                    /* lock */
    struct cupool_transfer_statistics stats;   /* lock */
    struct cupool_transfer_statistics noted;   /* token: not yet in stats */
    transfer_stream stream;                    /* constant */
    struct transfer_piece *pieces;             /* token */
    uint32_t piece_count, piece_next, piece_oldest, pieces_used; /* token */
    void *ring;                                                  /* constant */
    uint64_t *to, *from;                                         /* token: arrays of one call */
    size_t *bytes;                                               /* token */
};

struct cupool_transfers {
    struct transfer_backend backend;
    unsigned forks;
    _Atomic(const char *) error;
    struct kv_heap heap;
    uint32_t depth, piece_bytes;
    _Atomic uint64_t kernel_below, kernel_from, batch_from;
    _Atomic bool no_kernel; /* it turned out that there is none */
    void *device;           /* of the engine */
    char *folder;           /* NULL: the user's; constant */
    transfer_stream events; /* follows the callers' events; constant */
    struct transfer_queue queues[CUPOOL_DIRECTIONS];
};

int transfers_fail(struct cupool_transfers *transfers, int error, const char *text);

/** As cupool_transfers_create(), for any backend; ignores thresholds and folder. */
int transfers_create(const struct transfer_backend *backend,
                     const struct cupool_transfers_config *config,
                     struct cupool_transfers **ret_transfers);
/** Cancels what has not begun, waits for the rest; NULL is accepted. */
void transfers_destroy(struct cupool_transfers *transfers);

/** Copies one by one: from an array, or from descriptors made of other arrays. */
struct transfer_source {
    const void *state;
    struct cupool_copy (*at)(const void *state, uint32_t number);
};

/** As cupool_transfers_submit(). */
int transfers_submit(struct cupool_transfers *transfers, enum cupool_direction direction,
                     const struct transfer_source *source, uint32_t count,
                     const struct cupool_transfer_options *options, cupool_transfer *ret_transfer);

void transfers_thresholds_set(struct cupool_transfers *transfers,
                              const struct cupool_transfer_thresholds *thresholds);

/* plan.c */

/** Fills the request's fragments from the caller's copies; all validation happens here. */
int transfer_plan(struct transfer_queue *queue, struct transfer_request *request,
                  const struct transfer_source *source, uint32_t count, size_t alignment);

/* issue.c: with the token */

/** Issues as much as possible of a request. True: something was. Errors stay with the request. */
bool transfer_issue(struct transfer_queue *queue, uint32_t number);
/** Polls the pieces in flight; unpacks and frees those that are done. True: one was. */
bool transfer_reap(struct transfer_queue *queue);

/* calibrate.c */

/** Measures on this device; the queues must be idle (-EBUSY). */
int transfers_measure(struct cupool_transfers *transfers,
                      struct cupool_transfer_thresholds *ret_thresholds);

/* file.c */

/** Writes the folder of the calibration files, the caller's or the user's, into a buffer. */
int transfer_folder(const char *folder, char *ret_path, size_t room);
/** Reads or writes the file of a device, for its owner only. -EPERM: others may write it, or it
 * is not a file of this user; -EINVAL: it cannot be parsed, or is of another device. */
int transfer_file_read(const char *folder, const char *identity,
                       struct cupool_transfer_thresholds *ret_thresholds);
int transfer_file_write(const char *folder, const char *identity,
                        const struct cupool_transfer_thresholds *thresholds);

/* queue.c */

/** Carries on what can go on, and calls back. */
void transfer_pump(struct transfer_queue *queue);

static inline void transfer_list_add(struct transfer_queue *queue, struct transfer_list *list,
                                     uint32_t number)
{
    struct transfer_request *request = &queue->requests[number];

    request->next = 0;
    request->previous = list->last;
    if (list->last != 0)
        queue->requests[list->last].next = number;
    else
        list->first = number;
    list->last = number;
    list->count++;
}

static inline void transfer_list_remove(struct transfer_queue *queue, struct transfer_list *list,
                                        uint32_t number)
{
    struct transfer_request *request = &queue->requests[number];

    if (request->previous != 0)
        queue->requests[request->previous].next = request->next;
    else
        list->first = request->next;
    if (request->next != 0)
        queue->requests[request->next].previous = request->previous;
    else
        list->last = request->previous;
    list->count--;
}

/** Frees the request's part of the fragments. The lock is held. */
void transfer_stretch_give(struct transfer_queue *queue, uint32_t number);

/** Keeps the result of an ended request until others need its place: unread ones for longer. The
 * lock is held. */
void transfer_keep(struct transfer_queue *queue, uint32_t number);

/** Ends a request: sets its result; its callback is due. The lock is held. */
void transfer_end(struct transfer_queue *queue, uint32_t number, int result);

#endif
