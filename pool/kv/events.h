/* SPDX-License-Identifier: MIT */
/*
 * Events (stored, removed) since the last poll: a ring of events and a ring of their
 * hashes. When either is full the oldest event goes, and is counted.
 *
 * Threading: guarded by the pool's lock.
 */
#ifndef POOL_KV_EVENTS_H
#define POOL_KV_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "include/cupool/kv.h"
#include "pool/kv/heap.h"

#define KV_EVENT_HASHES 256 /* of one event at most */

struct kv_event {
    uint64_t sequence, first; /* of its hashes, counted since creation */
    uint32_t kind, count;
    bool has_parent;
    struct cupool_kv_hash parent;
};

struct kv_events {
    struct kv_event *entries;
    struct cupool_kv_hash *hashes;
    uint32_t capacity, hash_capacity; /* 0: events are off */
    uint64_t oldest, sequence;        /* of the next */
    uint64_t hash_oldest, hash_next;
    uint64_t dropped, dropped_reported;
    bool open; /* the newest may take more removals */
};

int kv_events_init(struct kv_events *events, struct kv_heap *heap, uint32_t capacity,
                   uint32_t blocks);

/** A run of hashes stored one after another; parent NULL: a root. */
void kv_events_stored(struct kv_events *events, const struct cupool_kv_hash *hashes, uint32_t count,
                      const struct cupool_kv_hash *parent);

/** Joins the event before it if that is a removal, too. */
void kv_events_removed(struct kv_events *events, const struct cupool_kv_hash *hash);
void kv_events_cleared(struct kv_events *events);

/** Takes whole events that fit both arrays; `about` has the fields that all of them share. */
void kv_events_take(struct kv_events *events, const struct cupool_kv_event *about,
                    struct cupool_kv_event *ret_event, uint32_t event_room,
                    struct cupool_kv_hash *ret_hashes, uint32_t hash_room, uint32_t *ret_events,
                    uint64_t *ret_dropped);

#endif
