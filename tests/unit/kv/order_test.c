/* SPDX-License-Identifier: MIT */
/*
 * The blocks of one match leave the eviction order in runs. The rest must be ordered as if they had
 * left one by one.
 */
#include "tests/random.h"
#include "tests/unit/kv/fixture.h"

#define BLOCKS 40u
#define ROUNDS 4000u

static uint32_t victims[BLOCKS], victim_count; /* ids, the first victim first */
static uint64_t random_state, clock_now;

static uint32_t draw(uint32_t below)
{
    random_state = random_xorshift(random_state);
    return (uint32_t)(random_state >> 20) % below;
}

static uint64_t time_now(void *state)
{
    return clock_now;
}

static void victims_remove(uint32_t id)
{
    uint32_t kept = 0;

    for (uint32_t at = 0; at < victim_count; at++)
        if (victims[at] != id)
            victims[kept++] = victims[at];
    victim_count = kept;
}

/* Matches the hashes and releases the blocks in this order: the tail becomes the first victim.
 */
static void match_and_give(const uint32_t *numbers, uint32_t count)
{
    struct cupool_kv_hash hashes[BLOCKS];
    cupool_kv_handle handles[BLOCKS];
    uint32_t matched = 0;

    for (uint32_t at = 0; at < count; at++)
        hashes[at] = hash_number(numbers[at]);
    cr_assert_eq(cupool_kv_match_scattered(pool, hashes, count, handles, &matched), 0);
    cr_assert_eq(matched, count);
    check();
    for (uint32_t at = 0; at < count; at++)
        victims_remove(cupool_kv_id(handles[at]));
    cr_assert_eq(stats_now().inactive, victim_count);
    give(handles, count);
    for (uint32_t at = count; at > 0; at--)
        victims[victim_count++] = cupool_kv_id(handles[at - 1]);
    check();
}

/* A sequence: whole, a part, with a step, backward, or in random order. */
static uint32_t numbers_draw(uint32_t *numbers)
{
    uint32_t count = 1 + draw(BLOCKS), first = draw(BLOCKS), step = 1 + draw(3);
    uint32_t kind = draw(4);

    for (uint32_t at = 0; at < count; at++)
        numbers[at] = (first + at * (kind == 2 ? BLOCKS - 1 : kind == 1 ? step : 1)) % BLOCKS;
    for (uint32_t at = 0; at < count && kind == 3; at++) {
        uint32_t other = draw(count), number = numbers[at];

        numbers[at] = numbers[other];
        numbers[other] = number;
    }
    if (kind == 1) /* no duplicates */
        count = count < BLOCKS / (2 * step) ? count : BLOCKS / (2 * step);
    return count > 0 ? count : 1;
}

static void order_holds(enum cupool_kv_policy policy)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[BLOCKS];
    uint32_t numbers[BLOCKS];

    config.blocks = BLOCKS;
    config.policy = policy;
    config.clock_ns = time_now;
    pool = pool_make(&config);
    victim_count = 0;
    random_state = 88172645463325252u;
    take(BLOCKS, handles);
    enter(handles, BLOCKS, 0);
    give(handles, BLOCKS);
    for (uint32_t at = BLOCKS; at > 0; at--)
        victims[victim_count++] = cupool_kv_id(handles[at - 1]);
    for (uint32_t round = 0; round < ROUNDS; round++)
        match_and_give(numbers, numbers_draw(numbers));
    take(BLOCKS, handles);
    for (uint32_t at = 0; at < BLOCKS; at++)
        cr_assert_eq(cupool_kv_id(handles[at]), victims[at], "victim %u: %u, not %u", at,
                     cupool_kv_id(handles[at]), victims[at]);
    give(handles, BLOCKS);
}

Test(kv_order, runs_leave_a_list_as_single_blocks_do, .fini = teardown)
{
    order_holds(CUPOOL_KV_LRU);
}

Test(kv_order, runs_leave_lists_of_priorities_as_single_blocks_do, .fini = teardown)
{
    order_holds(CUPOOL_KV_PRIORITY);
}

/* One of the neighbours expires: it leaves a list and the heap, and its run continues. */
Test(kv_order, runs_with_expiring_priorities, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[BLOCKS];

    config.blocks = BLOCKS;
    config.policy = CUPOOL_KV_PRIORITY;
    config.clock_ns = time_now;
    clock_now = 1000;
    pool = pool_make(&config);
    random_state = 88172645463325252u;
    take(BLOCKS, handles);
    enter(handles, BLOCKS, 0);
    for (uint32_t round = 0; round < 400; round++, clock_now += 7) {
        for (uint32_t at = 0; at < BLOCKS; at++)
            if (draw(3) == 0)
                cr_assert_eq(cupool_kv_set_priority(pool, &handles[at], 1, draw(3) * 35,
                                                    draw(2) * (1 + draw(30))),
                             0);
        give(handles, BLOCKS);
        check();
        clock_now += draw(20);
        cr_assert_eq(found(0, BLOCKS, handles), BLOCKS);
        cr_assert_eq(stats_now().inactive, 0);
        check();
    }
    give(handles, BLOCKS);
}
