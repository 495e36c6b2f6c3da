/* SPDX-License-Identifier: MIT */
/*
 * Fences of device work that may still use a block, by serial number.
 *
 * A block remembers the serial of the last work announced for it. A serial is passed if its entry
 * has another serial: entries are retired as soon as a poll finds them signalled, and nobody holds
 * them. Work on several streams is a joint entry over two others. Free blocks that wait for a fence
 * are on its entry's list.
 *
 * Threading: guarded by the pool's lock.
 */
#ifndef POOL_KV_FENCE_H
#define POOL_KV_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/kv/backend.h"
#include "pool/kv/heap.h"

#define KV_FENCES 1024u

struct kv_fence {
    uint32_t serial;      /* 0: not in use */
    uint32_t left, right; /* a joint one: both must have passed */
    bool joint;
    uint64_t fence; /* of the backend */
    kv_stream stream;
    uint32_t first, last;  /* blocks that become free with it; KV_NONE: none */
    uint32_t older, newer; /* entries in use, by age; index + 1 */
};

struct kv_fences {
    const struct kv_backend *backend;
    struct kv_fence *entries;
    uint32_t serial, oldest, newest, count;
};

int kv_fences_init(struct kv_fences *fences, struct kv_heap *heap,
                   const struct kv_backend *backend);

/** Forgets everything; the fences go back to the backend unless it is gone. */
void kv_fences_done(struct kv_fences *fences, bool gone);

/** Takes ownership of a recorded fence. With no free entry it replaces the stream's newest, which
 * it covers; if there is none, the stream waits for the newest of all, and a fence behind both
 * stands for both. 0: the stream cannot wait, and the caller keeps the fence (-ENOBUFS). */
uint32_t kv_fences_add(struct kv_fences *fences, uint64_t fence, kv_stream stream);

/** Returns the entry of a serial that is still pending; NULL otherwise. */
static inline struct kv_fence *kv_fences_find(struct kv_fences *fences, uint32_t serial)
{
    struct kv_fence *entry;

    if (serial == 0 || fences->count == 0)
        return NULL;
    entry = &fences->entries[serial % KV_FENCES];
    return entry->serial == serial ? entry : NULL;
}

/** The serial that stands for both. */
uint32_t kv_fences_join(struct kv_fences *fences, uint32_t older, uint32_t newer);

/** True if all work behind the serial is on this stream, or done. */
bool kv_fences_same(struct kv_fences *fences, uint32_t serial, kv_stream stream);

/** Makes the stream wait for what is not its own. */
int kv_fences_order(struct kv_fences *fences, uint32_t serial, kv_stream stream);

/** True if the work behind the serial is done; retires nothing. */
bool kv_fences_passed(struct kv_fences *fences, uint32_t serial);

/** Polls all entries; retires signalled ones and passes their blocks to `free_block`. */
void kv_fences_poll(struct kv_fences *fences, void (*free_blocks)(void *state, uint32_t first),
                    void *state);

#endif
