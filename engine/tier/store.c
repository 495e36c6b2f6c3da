/* SPDX-License-Identifier: MIT */
/*
 * Stores a block in every tier that does not have it.
 *
 * Entries begin before the block is encoded, so that look-ups meanwhile find "pending" and nobody
 * stores it twice. Room is made when the size is known. A failure removes the entry as if it had
 * never begun.
 */
#include <errno.h>
#include <string.h>

#include "engine/tier/tiers.h"

#define PUT_TRIES 16 /* victims that may be evicted to make room for one entry */

/* Whether a tier keeps a block lossless that is no longer among the newest. */
static bool entry_outgrown(const struct cupool_tiers *tiers, const struct tier *tier,
                           const struct job *job, uint32_t entry)
{
    const struct tier_entry *stored = &tier->index.entries[entry];

    return entry != TIER_NONE && stored->state == TIER_STORED && stored->exact &&
           stored->pins == 0 && !job->exact && tiers->config.codec != tiers->exact_codec;
}

void store_begin(struct cupool_tiers *tiers, struct job *job)
{
    bool wanted = false;

    for (uint32_t at = 0; at < tiers->count; at++) {
        struct tier *tier = &tiers->tiers[at];

        job->entries[at] = TIER_NONE;
        if (tier->store.shared) {
            wanted = true;
            continue;
        }
        int error = tier_index_begin(&tier->index, &job->key, job->batch, false, &job->entries[at]);
        bool outgrown = error == -EEXIST &&
                        entry_outgrown(tiers, tier, job, tier_index_find(&tier->index, &job->key));
        /* One that is to be replaced counts again when the new one is stored. */
        job->present |= error == -EEXIST && !outgrown;
        if (error == -EINPROGRESS) {
            job->awaited = true;
            job->others[at] = tier->index.entries[tier_index_find(&tier->index, &job->key)].begun;
        }
        /* A block that is being removed is stored anew afterwards. */
        if (error == -EAGAIN || error == -EBUSY || outgrown)
            job->entries[at] = TIER_LATER;
        wanted |= job->entries[at] != TIER_NONE;
    }
    job->skip = !wanted;
    tiers->counts.skipped += job->skip;
}

/* Ends an entry that a job has begun; whoever waits for it looks again. Under the lock. */
static void entry_end(struct cupool_tiers *tiers, uint32_t at, struct job *job, uint64_t token,
                      bool stored)
{
    tier_index_end(&tiers->tiers[at].index, job->entries[at], token, stored);
    job->entries[at] = TIER_NONE;
    pthread_cond_broadcast(&tiers->settled);
}

void store_abandon(struct cupool_tiers *tiers, struct job *job)
{
    for (uint32_t at = 0; at < tiers->count; at++) {
        if (job->entries[at] < TIER_LATER)
            entry_end(tiers, at, job, 0, false);
        job->entries[at] = TIER_NONE;
    }
}

void tier_remove(struct cupool_tiers *tiers, uint32_t at, uint32_t entry)
{
    struct tier *tier = &tiers->tiers[at];
    struct cupool_tier_item item = {.key = tier->index.entries[entry].key,
                                    .token = tier->index.entries[entry].token};

    pthread_mutex_unlock(&tiers->lock);
    tier->store.remove(tier->store.state, &item, 1);
    pthread_mutex_lock(&tiers->lock);
    tier_index_removed(&tier->index, entry);
    kv_events_removed(&tier->events, &item.key);
}

/* Begins an entry for a job that found none free before, or replaces one. Under the lock, which
 * it may leave. */
static int entry_begin(struct cupool_tiers *tiers, uint32_t at, struct job *job)
{
    struct tier *tier = &tiers->tiers[at];
    uint32_t entry = TIER_NONE;
    int error;

    if (entry_outgrown(tiers, tier, job, tier_index_find(&tier->index, &job->key)) &&
        tier_index_forget(&tier->index, &job->key, &entry))
        tier_remove(tiers, at, entry);
    while ((error = tier_index_begin(&tier->index, &job->key, job->batch, true, &entry)) == -EAGAIN)
        tier_remove(tiers, at, entry);
    job->entries[at] = error == 0 ? entry : TIER_NONE;
    /* By somebody else meanwhile. Who is storing it may come later: that is not waited for. */
    job->placed |= error == -EEXIST;
    return error;
}

static int room_make(struct cupool_tiers *tiers, uint32_t at, uint32_t entry, size_t bytes)
{
    struct tier *tier = &tiers->tiers[at];
    uint64_t charge = tier->store.charge ? tier->store.charge(tier->store.state, bytes) : bytes;
    uint32_t victim = TIER_NONE;
    int error;

    while ((error = tier_index_room(&tier->index, entry, charge, &victim)) == -EAGAIN)
        tier_remove(tiers, at, victim);
    return error;
}

/* Whether an item goes to this tier, which has room for it. Under the lock. */
static bool item_ready(struct cupool_tiers *tiers, uint32_t at, struct job *job)
{
    struct tier *tier = &tiers->tiers[at];
    int error = 0;

    if (tier->store.shared)
        return true;
    if (job->entries[at] == TIER_LATER)
        error = entry_begin(tiers, at, job);
    if (error == 0 && job->entries[at] != TIER_NONE)
        error = room_make(tiers, at, job->entries[at], job->bytes);
    if (error == -ENOSPC) {
        tier->counts.refused++;
        job->no_room = true;
        if (job->entries[at] != TIER_NONE)
            entry_end(tiers, at, job, 0, false);
    }
    return job->entries[at] != TIER_NONE;
}

static int put_timed(struct tier *tier, struct cupool_tier_item *items, uint32_t count,
                     uint64_t *ret_ns)
{
    uint64_t start = tiers_clock();
    int error = tier->store.put(tier->store.state, items, count);

    *ret_ns += tiers_clock() - start;
    return error;
}

/* The store has less room than the index assumes: evicts others, one at a time. */
static int put_again(struct cupool_tiers *tiers, uint32_t at, uint32_t entry,
                     struct cupool_tier_item *item, uint64_t *ns)
{
    struct tier *tier = &tiers->tiers[at];

    for (int tries = 0; item->error == -ENOSPC && tries < PUT_TRIES; tries++) {
        uint32_t victim = TIER_NONE;

        pthread_mutex_lock(&tiers->lock);
        int error = tier_index_victim(&tier->index, entry, &victim);
        if (error == -EAGAIN)
            tier_remove(tiers, at, victim);
        pthread_mutex_unlock(&tiers->lock);
        if (error != -EAGAIN || put_timed(tier, item, 1, ns) < 0)
            break;
    }
    return item->error;
}

/* What became of an item. Under the lock. */
static void item_end(struct cupool_tiers *tiers, uint32_t at, struct job *job,
                     const struct cupool_tier_item *item, int error)
{
    struct tier *tier = &tiers->tiers[at];
    bool stored = error == 0 && item->error == 0;

    if (!tier->store.shared) {
        tier->index.entries[job->entries[at]].exact = job->exact;
        entry_end(tiers, at, job, item->token, stored);
    }
    if (stored) {
        tier->counts.stored++;
        tier->counts.stored_bytes += item->bytes;
        if (tier->index.charged > tier->counts.peak_bytes)
            tier->counts.peak_bytes = tier->index.charged;
        kv_events_stored(&tier->events, &job->key, 1, NULL);
        job->placed = true;
        return;
    }
    if (error < 0)
        tier->counts.unavailable++;
    else if (item->error == -ENOSPC)
        tier->counts.refused++;
    else
        tier->counts.failures++;
    job->no_room |= error == 0 && item->error == -ENOSPC;
}

void tier_put(struct cupool_tiers *tiers, uint32_t at, const struct bench *bench, struct job **jobs,
              uint32_t count)
{
    struct tier *tier = &tiers->tiers[at];
    struct cupool_tier_item items[TIERS_BATCH_MAX];
    struct job *chosen[TIERS_BATCH_MAX];
    uint32_t ready = 0;
    uint64_t ns = 0;
    int error = 0;

    pthread_mutex_lock(&tiers->lock);
    for (uint32_t slot = 0; slot < count; slot++) {
        struct job *job = jobs[slot];

        if (job->result < 0 || job->skip || !item_ready(tiers, at, job))
            continue;
        items[ready] = (struct cupool_tier_item){
            .key = job->key, .data = bench->entries + slot * tiers->maximum, .bytes = job->bytes};
        chosen[ready++] = job;
    }
    pthread_mutex_unlock(&tiers->lock);
    if (ready > 0)
        error = put_timed(tier, items, ready, &ns);
    for (uint32_t item = 0; item < ready && error == 0 && !tier->store.shared; item++)
        put_again(tiers, at, chosen[item]->entries[at], &items[item], &ns);
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t item = 0; item < ready; item++)
        item_end(tiers, at, chosen[item], &items[item], error);
    tier->counts.put_ns += ns;
    pthread_mutex_unlock(&tiers->lock);
}

static void blocks_encode(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                          uint32_t count)
{
    uint64_t start = tiers_clock(), saturated = 0, raw = 0, bytes = 0, exact = 0;

    for (uint32_t slot = 0; slot < count; slot++) {
        struct job *job = jobs[slot];
        size_t stride;

        if (job->result < 0 || job->skip)
            continue;
        if (!job->on_device) {
            const uint8_t *layers = stage_layers(tiers, bench, slot, job->handle, &stride);

            job->result = entry_encode(
                &tiers->shape, job->exact ? tiers->exact_codec : tiers->config.codec, &job->key,
                layers, stride, bench->entries + slot * tiers->maximum, tiers->maximum, &job->bytes,
                &job->saturated);
        }
        if (job->result < 0)
            continue;
        saturated += job->saturated;
        exact += job->exact || tiers->config.codec == tiers->exact_codec;
        raw += tiers->shape.layers * tiers->shape.layer_bytes;
        bytes += job->bytes;
    }
    pthread_mutex_lock(&tiers->lock);
    tiers->counts.encode_ns += tiers_clock() - start;
    tiers->counts.saturated += saturated;
    tiers->counts.exact += exact;
    tiers->counts.raw_bytes += raw;
    tiers->counts.entry_bytes += bytes;
    pthread_mutex_unlock(&tiers->lock);
}

void store_run(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
               uint32_t count)
{
    uint64_t start = tiers_clock(), coded;

    coder_store(tiers, bench, jobs, count);
    coded = tiers_clock();
    int error = stage_copy(tiers, bench, jobs, count, false);

    for (uint32_t slot = 0; slot < count; slot++) {
        if (error < 0 && jobs[slot]->result == 0)
            jobs[slot]->result = error;
        jobs[slot]->placed = jobs[slot]->present;
        jobs[slot]->no_room = false;
    }
    pthread_mutex_lock(&tiers->lock);
    tiers->counts.encode_ns += coded - start;
    tiers->counts.copy_ns += tiers_clock() - coded;
    pthread_mutex_unlock(&tiers->lock);
    blocks_encode(tiers, bench, jobs, count);
    for (uint32_t at = 0; at < tiers->count; at++)
        tier_put(tiers, at, bench, jobs, count);
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t slot = 0; slot < count; slot++) {
        struct job *job = jobs[slot];

        store_abandon(tiers, job);
        job->awaited &= job->result == 0 && !job->placed;
        if (job->result == 0 && !job->skip && !job->placed && !job->awaited)
            job->result = job->no_room ? -ENOSPC : -EIO;
    }
    pthread_mutex_unlock(&tiers->lock);
}

/* Whether a tier has a block, or whether a call before is storing it. Under the lock. */
static bool is_stored(const struct cupool_tiers *tiers, const struct job *job, bool *ret_storing)
{
    *ret_storing = false;
    for (uint32_t at = 0; at < tiers->count; at++) {
        const struct tier_index *index = &tiers->tiers[at].index;
        uint32_t entry = tiers->tiers[at].store.shared ? TIER_NONE
                                                       : tier_index_find(index, &job->key);

        if (entry == TIER_NONE)
            continue;
        if (index->entries[entry].state == TIER_STORED && !index->entries[entry].doomed)
            return true;
        *ret_storing |= index->entries[entry].state == TIER_STORING &&
                        index->entries[entry].begun == job->others[at];
    }
    return false;
}

/* Nobody waits here with an entry of their own that is begun, and none for a job that is queued
 * behind, so each wait ends. */
void store_await(struct cupool_tiers *tiers, struct job **jobs, uint32_t count)
{
    bool storing;

    pthread_mutex_lock(&tiers->lock);
    for (uint32_t slot = 0; slot < count; slot++) {
        struct job *job = jobs[slot];

        while (job->awaited && !is_stored(tiers, job, &storing)) {
            if (!storing) {
                job->result = job->no_room ? -ENOSPC : -EIO;
                break;
            }
            pthread_cond_wait(&tiers->settled, &tiers->lock);
        }
    }
    pthread_mutex_unlock(&tiers->lock);
}
