/* SPDX-License-Identifier: MIT */
/*
 * Loads a block from the first tier that has it intact.
 *
 * Data from a tier is verified before any byte is decoded. A refused entry is counted with its
 * reason and removed from that tier, and the next tier is asked.
 */
#include <errno.h>
#include <string.h>

#include "engine/tier/tiers.h"

/* What a batch asks of one tier. */
struct asking {
    struct cupool_tier_item items[TIERS_BATCH_MAX];
    uint32_t slots[TIERS_BATCH_MAX], entries[TIERS_BATCH_MAX], count;
};

/* Pins the tier's entries for the items that no tier has served so far. Under the lock. */
static void asking_begin(struct cupool_tiers *tiers, uint32_t at, const struct bench *bench,
                         struct job *const *jobs, uint32_t count, struct asking *asking)
{
    struct tier *tier = &tiers->tiers[at];

    asking->count = 0;
    for (uint32_t slot = 0; slot < count; slot++) {
        uint32_t entry = TIER_NONE;

        if (jobs[slot]->tier >= 0)
            continue;
        if (!tier->store.shared && tier_index_pin(&tier->index, &jobs[slot]->key, &entry) < 0) {
            tier->counts.misses++;
            continue;
        }
        asking->items[asking->count] = (struct cupool_tier_item){
            .key = jobs[slot]->key,
            .data = bench->entries + slot * tiers->maximum,
            .bytes = tiers->maximum,
            .token = entry != TIER_NONE ? tier->index.entries[entry].token : 0,
        };
        asking->slots[asking->count] = slot;
        asking->entries[asking->count++] = entry;
    }
}

/* Stops serving this entry from a tier. Under the lock, which it may leave. */
static void entry_drop(struct cupool_tiers *tiers, uint32_t at, const struct cupool_tier_item *item)
{
    struct tier *tier = &tiers->tiers[at];
    uint32_t entry;

    if (!tier->store.shared) {
        if (tier_index_forget(&tier->index, &item->key, &entry))
            tier_remove(tiers, at, entry);
        return;
    }
    pthread_mutex_unlock(&tiers->lock);
    tier->store.remove(tier->store.state, item, 1);
    pthread_mutex_lock(&tiers->lock);
}

/* Decodes what arrived; returns the fault if it is refused. Under no lock. */
static enum cupool_tier_fault item_decode(struct cupool_tiers *tiers, const struct bench *bench,
                                          struct job *job, uint32_t slot,
                                          const struct cupool_tier_item *item)
{
    enum cupool_tier_fault fault = CUPOOL_TIER_LONG; /* than any entry of this shape */
    size_t stride;

    if (item->error == -EBADMSG)
        return CUPOOL_TIER_FIELD;
    if (item->error == -ENOSPC || item->bytes > tiers->maximum)
        return fault;
    uint8_t *layers = stage_layers(tiers, bench, slot, job->handle, &stride);
    entry_decode(&tiers->shape, &job->key, item->data, item->bytes, layers, stride, &fault);
    return fault;
}

/* Handles the outcome of one item. Under the lock, which it may leave. */
static void item_end(struct cupool_tiers *tiers, uint32_t at, struct job *job,
                     const struct cupool_tier_item *item, enum cupool_tier_fault fault, int error)
{
    struct tier *tier = &tiers->tiers[at];

    if (error < 0) {
        tier->counts.unavailable++;
        return;
    }
    if (item->error == -ENOENT) {
        tier->counts.misses++;
        if (!tier->store.shared) /* somebody took it away beneath us */
            entry_drop(tiers, at, item);
        return;
    }
    if (item->error < 0 && item->error != -EBADMSG && item->error != -ENOSPC) {
        tier->counts.failures++;
        return;
    }
    if (fault != CUPOOL_TIER_SOUND) {
        tier->counts.corrupt++;
        tier->counts.last_fault = fault;
        entry_drop(tiers, at, item);
        return;
    }
    tier->counts.loaded++;
    tier->counts.loaded_bytes += item->bytes;
    job->tier = (int)at;
    job->result = 0;
}

static void tier_load(struct cupool_tiers *tiers, uint32_t at, const struct bench *bench,
                      struct job *const *jobs, uint32_t count)
{
    struct tier *tier = &tiers->tiers[at];
    enum cupool_tier_fault faults[TIERS_BATCH_MAX];
    struct asking asking;
    uint64_t start = tiers_clock(), fetched;
    int error = 0;

    pthread_mutex_lock(&tiers->lock);
    asking_begin(tiers, at, bench, jobs, count, &asking);
    pthread_mutex_unlock(&tiers->lock);
    if (asking.count == 0)
        return;
    error = tier->store.get(tier->store.state, asking.items, asking.count);
    fetched = tiers_clock();
    if (error == 0)
        coder_load(tiers, bench, jobs, asking.items, asking.slots, asking.count);
    for (uint32_t item = 0; item < asking.count; item++) {
        uint32_t slot = asking.slots[item];
        bool came = error == 0 &&
                    (asking.items[item].error == 0 || asking.items[item].error == -EBADMSG ||
                     asking.items[item].error == -ENOSPC);

        jobs[slot]->bytes = asking.items[item].bytes;
        faults[item] = came && !jobs[slot]->on_device
                           ? item_decode(tiers, bench, jobs[slot], slot, &asking.items[item])
                           : CUPOOL_TIER_SOUND;
    }
    pthread_mutex_lock(&tiers->lock);
    tier->counts.get_ns += fetched - start;
    tiers->counts.decode_ns += tiers_clock() - fetched;
    for (uint32_t item = 0; item < asking.count; item++) {
        if (!tier->store.shared && tier_index_unpin(&tier->index, asking.entries[item]))
            tier_remove(tiers, at, asking.entries[item]);
        item_end(tiers, at, jobs[asking.slots[item]], &asking.items[item], faults[item], error);
    }
    pthread_mutex_unlock(&tiers->lock);
}

void load_run(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
              uint32_t count)
{
    int error = 0;

    for (uint32_t slot = 0; slot < count; slot++) {
        jobs[slot]->tier = -1;
        jobs[slot]->on_device = false;
        jobs[slot]->result = -ENOENT;
        if (jobs[slot]->fenced && error == 0)
            error = stage_order(tiers, bench, jobs[slot]->fence);
    }
    for (uint32_t at = 0; at < tiers->count && error == 0; at++)
        tier_load(tiers, at, bench, jobs, count);
    if (error == 0)
        error = stage_copy(tiers, bench, jobs, count, true);
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t slot = 0; slot < count; slot++) {
        if (error < 0)
            jobs[slot]->result = error;
        tiers->counts.loads++;
        tiers->counts.loaded += jobs[slot]->result == 0;
        tiers->counts.load_misses += jobs[slot]->result < 0;
    }
    pthread_mutex_unlock(&tiers->lock);
}

/* Whether the entry in the bench was stored lossless, where others are not. */
static bool entry_exact(const struct cupool_tiers *tiers, const struct bench *bench, uint32_t slot)
{
    struct entry_header header;

    memcpy(&header, bench->entries + slot * tiers->maximum, sizeof(header));
    return header.codec != (uint32_t)tiers->config.codec;
}

void load_promote(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                  uint32_t count)
{
    bool wanted[CUPOOL_TIERS_MAX] = {false};

    if (!tiers->config.promote)
        return;
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t slot = 0; slot < count; slot++) {
        struct job *job = jobs[slot];

        job->batch = 0;
        job->exact = job->result == 0 && entry_exact(tiers, bench, slot);
        for (uint32_t at = 0; at < tiers->count; at++) {
            struct tier *tier = &tiers->tiers[at];

            job->entries[at] = TIER_NONE;
            if (job->result < 0 || (int)at >= job->tier || tier->store.shared)
                continue;
            int error = tier_index_begin(&tier->index, &job->key, 0, false, &job->entries[at]);
            if (error == -EAGAIN)
                job->entries[at] = TIER_LATER;
            wanted[at] |= job->entries[at] != TIER_NONE;
        }
    }
    pthread_mutex_unlock(&tiers->lock);
    for (uint32_t at = 0; at < tiers->count; at++)
        if (wanted[at])
            tier_put(tiers, at, bench, jobs, count);
}
