/* SPDX-License-Identifier: MIT */
/*
 * A ring of entries, each at its serial modulo the ring's size; serials with an occupied place are
 * skipped. The work of one stream ends in order, so a poll queries each stream until its first
 * pending fence.
 */
#include "pool/kv/fence.h"

#include <errno.h>

#include "pool/base/stream.h"
#include "pool/kv/record.h"

#define STREAMS_REMEMBERED 32

int kv_fences_init(struct kv_fences *fences, struct kv_heap *heap, const struct kv_backend *backend)
{
    fences->backend = backend;
    fences->entries = kv_heap_allocate(heap, KV_FENCES, sizeof(*fences->entries));
    return !fences->entries ? -ENOMEM : 0;
}

static void entry_link(struct kv_fences *fences, struct kv_fence *entry)
{
    uint32_t at = (uint32_t)(entry - fences->entries) + 1;

    entry->older = fences->newest;
    entry->newer = 0;
    if (fences->newest != 0)
        fences->entries[fences->newest - 1].newer = at;
    else
        fences->oldest = at;
    fences->newest = at;
    fences->count++;
}

static void entry_retire(struct kv_fences *fences, struct kv_fence *entry)
{
    if (entry->older != 0)
        fences->entries[entry->older - 1].newer = entry->newer;
    else
        fences->oldest = entry->newer;
    if (entry->newer != 0)
        fences->entries[entry->newer - 1].older = entry->older;
    else
        fences->newest = entry->older;
    if (!entry->joint)
        fences->backend->fence_release(fences->backend->state, entry->fence);
    entry->serial = 0;
    fences->count--;
}

void kv_fences_done(struct kv_fences *fences, bool gone)
{
    for (uint32_t at = fences->oldest; at != 0 && !gone; at = fences->entries[at - 1].newer)
        if (!fences->entries[at - 1].joint)
            fences->backend->fence_release(fences->backend->state, fences->entries[at - 1].fence);
    fences->oldest = fences->newest = fences->count = 0;
}

/* Returns an entry with the next serial that has a free place; NULL: all are taken. */
static struct kv_fence *entry_new(struct kv_fences *fences)
{
    if (fences->count == KV_FENCES)
        return NULL;
    for (;;) {
        uint32_t serial = ++fences->serial;
        struct kv_fence *entry = &fences->entries[serial % KV_FENCES];

        if (serial == 0 || entry->serial != 0)
            continue;
        *entry = (struct kv_fence){.serial = serial, .first = KV_NONE, .last = KV_NONE};
        entry_link(fences, entry);
        return entry;
    }
}

/* Returns the newest entry of the stream, or of any; NULL: there is none. */
static struct kv_fence *entry_newest(struct kv_fences *fences, kv_stream stream, bool any)
{
    for (uint32_t at = fences->newest; at != 0; at = fences->entries[at - 1].older) {
        struct kv_fence *entry = &fences->entries[at - 1];

        if (!entry->joint && (any || stream_same(entry->stream, stream)))
            return entry;
    }
    return NULL;
}

/* Puts a fence of the stream, behind the entry's work, in the place of the entry's. */
static int entry_cover(struct kv_fences *fences, struct kv_fence *entry, kv_stream stream)
{
    const struct kv_backend *backend = fences->backend;
    uint64_t fence;
    int error = backend->stream_wait(backend->state, stream, entry->fence);

    if (error == 0)
        error = backend->fence_record(backend->state, stream, &fence);
    if (error < 0)
        return error;
    backend->fence_release(backend->state, entry->fence);
    entry->fence = fence;
    entry->stream = stream;
    return 0;
}

uint32_t kv_fences_add(struct kv_fences *fences, uint64_t fence, kv_stream stream)
{
    struct kv_fence *entry = entry_new(fences);

    if (!entry) {
        entry = entry_newest(fences, stream, false);
        if (!entry) {
            entry = entry_newest(fences, stream, true);
            if (!entry || entry_cover(fences, entry, stream) < 0)
                return 0;
            fences->backend->fence_release(fences->backend->state, fence);
            return entry->serial;
        }
        fences->backend->fence_release(fences->backend->state, entry->fence);
    }
    entry->fence = fence;
    entry->stream = stream;
    return entry->serial;
}

uint32_t kv_fences_join(struct kv_fences *fences, uint32_t older, uint32_t newer)
{
    struct kv_fence *old = kv_fences_find(fences, older), *new = kv_fences_find(fences, newer);
    struct kv_fence *joint = fences->newest != 0 ? &fences->entries[fences->newest - 1] : NULL;

    if (!old || older == newer)
        return newer;
    if (!new)
        return older;
    if (!old->joint && stream_same(old->stream, new->stream))
        return newer;
    if (joint && joint->joint && joint->left == newer && joint->right == older)
        return joint->serial;
    joint = entry_new(fences);
    if (joint) {
        joint->joint = true;
        joint->left = newer;
        joint->right = older;
        return joint->serial;
    }
    /* No entry is left: the newer stream waits for the older work, and its fence is recorded
     * again behind it. */
    uint64_t fence;
    if (kv_fences_order(fences, older, new->stream) == 0 &&
        fences->backend->fence_record(fences->backend->state, new->stream, &fence) == 0) {
        fences->backend->fence_release(fences->backend->state, new->fence);
        new->fence = fence;
        return newer;
    }
    return older;
}

bool kv_fences_same(struct kv_fences *fences, uint32_t serial, kv_stream stream)
{
    for (;;) {
        const struct kv_fence *entry = kv_fences_find(fences, serial);

        if (!entry)
            return true;
        if (!entry->joint)
            return stream_same(entry->stream, stream);
        if (!kv_fences_same(fences, entry->left, stream))
            return false;
        serial = entry->right;
    }
}

int kv_fences_order(struct kv_fences *fences, uint32_t serial, kv_stream stream)
{
    for (;;) {
        const struct kv_fence *entry = kv_fences_find(fences, serial);

        if (!entry)
            return 0;
        if (!entry->joint)
            return stream_same(entry->stream, stream)
                       ? 0
                       : fences->backend->stream_wait(fences->backend->state, stream, entry->fence);
        int error = kv_fences_order(fences, entry->left, stream);
        if (error < 0)
            return error;
        serial = entry->right;
    }
}

bool kv_fences_passed(struct kv_fences *fences, uint32_t serial)
{
    for (;;) {
        const struct kv_fence *entry = kv_fences_find(fences, serial);

        if (!entry)
            return true;
        if (!entry->joint)
            return fences->backend->fence_query(fences->backend->state, entry->fence) == 1;
        if (!kv_fences_passed(fences, entry->left))
            return false;
        serial = entry->right;
    }
}

static bool stream_known(kv_stream *streams, unsigned *count, kv_stream stream)
{
    for (unsigned at = 0; at < *count; at++)
        if (stream_same(streams[at], stream))
            return true;
    return false;
}

void kv_fences_poll(struct kv_fences *fences, void (*free_blocks)(void *state, uint32_t first),
                    void *state)
{
    kv_stream busy[STREAMS_REMEMBERED];
    unsigned busy_count = 0;

    for (uint32_t at = fences->oldest, next; at != 0; at = next) {
        struct kv_fence *entry = &fences->entries[at - 1];

        next = entry->newer;
        if (entry->joint) {
            if (kv_fences_find(fences, entry->left) || kv_fences_find(fences, entry->right))
                continue;
        } else if (stream_known(busy, &busy_count, entry->stream)) {
            continue;
        } else if (fences->backend->fence_query(fences->backend->state, entry->fence) != 1) {
            if (busy_count < STREAMS_REMEMBERED)
                busy[busy_count++] = entry->stream;
            continue;
        }
        uint32_t first = entry->first;
        entry_retire(fences, entry);
        if (first != KV_NONE)
            free_blocks(state, first);
    }
}
