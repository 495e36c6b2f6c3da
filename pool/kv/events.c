/* SPDX-License-Identifier: MIT */
/*
 * Sequence numbers count events, dropped ones too, so that a reader sees a gap.
 */
#include "pool/kv/events.h"

#include <errno.h>

#include "pool/kv/kv.h"

int kv_events_init(struct kv_events *events, struct kv_heap *heap, uint32_t capacity,
                   uint32_t blocks)
{
    if (capacity == 0)
        return 0;
    /* Room for all blocks to be stored and removed again. */
    events->hash_capacity = 16 * capacity > 2 * blocks ? 16 * capacity : 2 * blocks;
    if (events->hash_capacity < KV_EVENT_HASHES)
        events->hash_capacity = KV_EVENT_HASHES;
    events->entries = kv_heap_allocate(heap, capacity, sizeof(*events->entries));
    events->hashes = kv_heap_allocate(heap, events->hash_capacity, sizeof(*events->hashes));
    if (!events->entries || !events->hashes)
        return -ENOMEM;
    events->capacity = capacity;
    return 0;
}

static struct kv_event *event_at(const struct kv_events *events, uint64_t sequence)
{
    return &events->entries[sequence % events->capacity];
}

static void oldest_drop(struct kv_events *events)
{
    events->hash_oldest += event_at(events, events->oldest)->count;
    events->oldest++;
}

static struct kv_event *event_new(struct kv_events *events, enum cupool_kv_event_kind kind)
{
    struct kv_event *event;

    if (events->sequence - events->oldest == events->capacity) {
        oldest_drop(events);
        events->dropped++;
    }
    event = event_at(events, events->sequence);
    *event = (struct kv_event){
        .sequence = events->sequence++, .kind = kind, .first = events->hash_next};
    events->open = false;
    return event;
}

static void hash_add(struct kv_events *events, struct kv_event *event,
                     const struct cupool_kv_hash *hash)
{
    while (events->hash_next - events->hash_oldest == events->hash_capacity &&
           events->oldest + 1 < events->sequence) {
        oldest_drop(events);
        events->dropped++;
    }
    events->hashes[events->hash_next++ % events->hash_capacity] = *hash;
    event->count++;
}

void kv_events_stored(struct kv_events *events, const struct cupool_kv_hash *hashes, uint32_t count,
                      const struct cupool_kv_hash *parent)
{
    struct kv_event *event = NULL;

    for (uint32_t at = 0; at < count && events->capacity != 0; at++) {
        if (!event || event->count == KV_EVENT_HASHES) {
            event = event_new(events, CUPOOL_KV_STORED);
            event->has_parent = at > 0 || parent;
            if (event->has_parent)
                event->parent = at > 0 ? hashes[at - 1] : *parent;
        }
        hash_add(events, event, &hashes[at]);
    }
}

void kv_events_removed(struct kv_events *events, const struct cupool_kv_hash *hash)
{
    struct kv_event *event;

    if (events->capacity == 0)
        return;
    event = events->open ? event_at(events, events->sequence - 1) : NULL;
    if (!event || event->count == KV_EVENT_HASHES)
        event = event_new(events, CUPOOL_KV_REMOVED);
    events->open = true;
    hash_add(events, event, hash);
}

void kv_events_cleared(struct kv_events *events)
{
    if (events->capacity != 0)
        event_new(events, CUPOOL_KV_CLEARED);
}

void kv_events_take(struct kv_events *ring, const struct cupool_kv_event *about,
                    struct cupool_kv_event *events, uint32_t event_room,
                    struct cupool_kv_hash *hashes, uint32_t hash_room, uint32_t *ret_events,
                    uint64_t *ret_dropped)
{
    uint32_t taken = 0, filled = 0;

    for (; taken < event_room && ring->oldest < ring->sequence; taken++) {
        const struct kv_event *event = event_at(ring, ring->oldest);

        if (event->count > hash_room - filled)
            break;
        events[taken] = *about;
        events[taken].sequence = event->sequence;
        events[taken].kind = event->kind;
        events[taken].count = event->count;
        events[taken].first = filled;
        events[taken].has_parent = event->has_parent;
        events[taken].parent = event->parent;
        for (uint32_t at = 0; at < event->count; at++)
            hashes[filled++] = ring->hashes[(event->first + at) % ring->hash_capacity];
        oldest_drop(ring);
    }
    if (ring->oldest == ring->sequence)
        ring->open = false;
    if (ret_events)
        *ret_events = taken;
    if (ret_dropped) {
        *ret_dropped = ring->dropped - ring->dropped_reported;
        ring->dropped_reported = ring->dropped;
    }
}

int cupool_kv_events_poll(struct cupool_kv *pool, struct cupool_kv_event *events,
                          uint32_t event_room, struct cupool_kv_hash *hashes, uint32_t hash_room,
                          uint32_t *ret_events, uint64_t *ret_dropped)
{
    const struct cupool_kv_event about = {.group = pool->config.group,
                                          .tier = pool->config.tier,
                                          .block_tokens = pool->config.block_tokens};

    if ((event_room > 0 && !events) || (hash_room > 0 && !hashes))
        return kv_fail(pool, -EINVAL, "an array argument is NULL");
    int error = kv_lock(pool);
    if (error < 0)
        return error;
    kv_events_take(&pool->events, &about, events, event_room, hashes, hash_room, ret_events,
                   ret_dropped);
    kv_unlock(pool);
    return 0;
}
