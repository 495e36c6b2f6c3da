/* SPDX-License-Identifier: MIT */
/*
 * Pressure as a level with hysteresis. Thresholds are stored as numbers of blocks, so a check
 * costs two comparisons; the callback runs after the lock is released.
 */
#include <errno.h>

#include "pool/kv/kv.h"

static uint32_t blocks_of(const struct cupool_kv *pool, double share)
{
    double blocks = share * kv_total(pool);

    return blocks <= 0 ? 0 : (uint32_t)(blocks + 0.999999);
}

void kv_pressure_bounds(struct cupool_kv *pool)
{
    const struct cupool_pressure_thresholds *t = &pool->pressure.thresholds;

    pool->pressure.normal_up = blocks_of(pool, t->normal);
    pool->pressure.normal_down = blocks_of(pool, t->normal - t->hysteresis);
    pool->pressure.aggressive_up = blocks_of(pool, t->aggressive);
    pool->pressure.aggressive_down = blocks_of(pool, t->aggressive - t->hysteresis);
}

void kv_pressure_init(struct cupool_kv *pool)
{
    pool->pressure.thresholds = (struct cupool_pressure_thresholds){0.7, 0.9, 0.05};
    kv_pressure_bounds(pool);
}

static enum cupool_pressure level_now(const struct cupool_kv *pool, uint32_t used)
{
    enum cupool_pressure level = pool->pressure.level;
    uint32_t aggressive = level == CUPOOL_PRESSURE_AGGRESSIVE ? pool->pressure.aggressive_down
                                                              : pool->pressure.aggressive_up;
    uint32_t normal = level != CUPOOL_PRESSURE_NONE ? pool->pressure.normal_down
                                                    : pool->pressure.normal_up;

    if (used >= aggressive)
        return CUPOOL_PRESSURE_AGGRESSIVE;
    return used >= normal ? CUPOOL_PRESSURE_NORMAL : CUPOOL_PRESSURE_NONE;
}

void kv_pressure_look(struct cupool_kv *pool, struct kv_after *after)
{
    uint32_t used = kv_used(pool);

    after->pressure = false;
    if (!pool->pressure.callback)
        return;
    enum cupool_pressure level = level_now(pool, used);
    if (level == pool->pressure.level)
        return;
    pool->pressure.level = level;
    after->pressure = true;
    after->level = level;
    after->usage = kv_total(pool) == 0 ? 0 : (double)used / kv_total(pool);
    after->callback = pool->pressure.callback;
    after->callback_state = pool->pressure.state;
}

int cupool_kv_pressure(struct cupool_kv *pool, const struct cupool_pressure_thresholds *thresholds,
                       void (*callback)(void *state, enum cupool_pressure level, double usage),
                       void *state)
{
    static const struct cupool_pressure_thresholds standard = {0.7, 0.9, 0.05};
    const struct cupool_pressure_thresholds *t = thresholds ? thresholds : &standard;

    if (!(t->normal > 0 && t->normal <= t->aggressive && t->aggressive <= 1) ||
        !(t->hysteresis >= 0 && t->hysteresis < t->normal))
        return kv_fail(pool, -EINVAL, "thresholds must satisfy 0 < normal <= aggressive <= 1");
    struct kv_after after;
    int error = kv_lock_all(pool);
    if (error < 0)
        return error;
    atomic_store_explicit(&pool->fronts_on, false, memory_order_relaxed);
    pool->collisions = 0;
    pool->pressure.thresholds = *t;
    kv_pressure_bounds(pool);
    pool->pressure.callback = callback;
    pool->pressure.state = state;
    pool->pressure.level = CUPOOL_PRESSURE_NONE;
    kv_after_fill(pool, &after);
    kv_unlock_all(pool);
    kv_after_run(pool, &after);
    return 0;
}
