/* SPDX-License-Identifier: MIT */
/*
 * Statistics, events and invariants of the tiers.
 */
#include <errno.h>
#include <stdio.h>

#include "engine/tier/tiers.h"

int cupool_tiers_stats(struct cupool_tiers *tiers, struct cupool_tiers_statistics *ret_stats)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    pthread_mutex_lock(&tiers->lock);
    *ret_stats = tiers->counts;
    ret_stats->queued = (uint64_t)tiers->stores.count + tiers->loads.count;
    ret_stats->storing = tiers->storing;
    ret_stats->loading = tiers->loading;
    pthread_mutex_unlock(&tiers->lock);
    return 0;
}

int cupool_tier_stats(struct cupool_tiers *tiers, uint32_t at,
                      struct cupool_tier_statistics *ret_stats)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if (at >= tiers->count)
        return tiers_fail(tiers, -EINVAL, "no such tier");
    const struct tier *tier = &tiers->tiers[at];
    pthread_mutex_lock(&tiers->lock);
    *ret_stats = tier->counts;
    ret_stats->available = tier_available(tier);
    ret_stats->entries = tier->index.count - tier->index.storing - tier->index.removing;
    ret_stats->storing = tier->index.storing;
    ret_stats->pinned = tier->index.pinned;
    ret_stats->bytes = tier->index.charged;
    ret_stats->budget = tier->index.budget;
    ret_stats->usage = tier_index_usage(&tier->index);
    ret_stats->evictions = tier->index.evictions;
    pthread_mutex_unlock(&tiers->lock);
    return 0;
}

int cupool_tiers_events_poll(struct cupool_tiers *tiers, uint32_t at,
                             struct cupool_kv_event *events, uint32_t event_room,
                             struct cupool_kv_hash *hashes, uint32_t hash_room,
                             uint32_t *ret_events, uint64_t *ret_dropped)
{
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    if (at >= tiers->count || (event_room > 0 && !events) || (hash_room > 0 && !hashes))
        return tiers_fail(tiers, -EINVAL, "no such tier, or an array argument is NULL");
    const struct cupool_kv_event about = {.group = tiers->pool->config.group,
                                          .tier = at + 1,
                                          .block_tokens = tiers->pool->config.block_tokens};
    pthread_mutex_lock(&tiers->lock);
    kv_events_take(&tiers->tiers[at].events, &about, events, event_room, hashes, hash_room,
                   ret_events, ret_dropped);
    pthread_mutex_unlock(&tiers->lock);
    return 0;
}

int cupool_tiers_check(struct cupool_tiers *tiers, char *why, size_t why_bytes)
{
    const char *broken = NULL;
    uint32_t at = 0;
    int error = tiers_here(tiers);

    if (error < 0)
        return error;
    pthread_mutex_lock(&tiers->lock);
    for (; at < tiers->count && !broken; at++)
        if (!tiers->tiers[at].store.shared)
            broken = tier_index_check(&tiers->tiers[at].index);
    if (!broken &&
        tiers->jobs_left + tiers->stores.count + tiers->loads.count > tiers->config.queue)
        broken = "tiers: more jobs in lists than exist";
    pthread_mutex_unlock(&tiers->lock);
    if (!broken)
        return 0;
    if (why_bytes > 0)
        snprintf(why, why_bytes, "%s (tier %u)", broken, at - 1);
    return -EFAULT;
}
