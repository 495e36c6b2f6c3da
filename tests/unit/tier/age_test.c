/* SPDX-License-Identifier: MIT */
/*
 * The ager: old blocks leave, used ones stay, the first and newest tokens stay exact,
 * budgets hold.
 */
#include "tests/unit/tier/fixture.h"

#define SECOND UINT64_C(1000000000)

static void tiers_of(int codec, uint64_t bytes)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = host_tier(bytes);

    config.codec = codec;
    tiers_make(&config, &tier, 1);
}

static uint32_t step(struct cupool_tier_age age)
{
    uint32_t blocks = 99;
    uint64_t raw, encoded;

    cr_assert_eq(cupool_tiers_age_step(tiers, &age, &blocks, &raw, &encoded), 0);
    cr_assert_eq(raw, (uint64_t)blocks * LAYERS * 2 * 2 * 64 * 16 * 2);
    check();
    return blocks;
}

static uint64_t inactive(void)
{
    struct cupool_kv_statistics stats;

    cr_assert_eq(cupool_kv_stats(pool, &stats), 0);
    return stats.inactive;
}

Test(age, only_what_nobody_has_used_for_so_long_leaves, .init = setup, .fini = teardown)
{
    cupool_kv_handle old[4], young[4];

    tiers_of(CUPOOL_TIER_PLAIN, 8u << 20);
    make(1, 4, old);
    give(old, 4);
    clock_now += 10 * SECOND;
    make(11, 4, young);
    give(young, 4);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = 11 * SECOND}), 0);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = 10 * SECOND}), 4);
    cr_assert_eq(inactive(), 4);
    cr_assert_eq(presence(1), CUPOOL_TIER_HIT);
    cr_assert_eq(presence(11), CUPOOL_TIER_MISS);
    cr_assert_eq(back(1, 4), 4, "a match decodes");
    cr_assert_eq(inactive(), 8);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = 10 * SECOND}), 0, "used now");
    clock_now += 10 * SECOND;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = 10 * SECOND}), 8);
    cr_assert_eq(tiers_stats().aged, 12);
    cr_assert_eq(tiers_stats().age_steps, 4);
}

Test(age, blocks_from_before_the_tiers_count_from_their_creation, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[4];

    clock_now = 50 * SECOND;
    make(1, 4, handles);
    give(handles, 4);
    clock_now = 100 * SECOND;
    tiers_of(CUPOOL_CODEC_INT8, 8u << 20);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 0);
    clock_now += SECOND;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 4);
    cr_assert_eq(tiers_stats().exact, 4, "their place is not known");
}

Test(age, referenced_and_pinned_blocks_stay, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hash = hash_of(3);
    cupool_kv_handle handles[4];

    tiers_of(CUPOOL_TIER_PLAIN, 8u << 20);
    make(1, 4, handles);
    cr_assert_eq(cupool_kv_pin(pool, handles + 2, 1), 0);
    give(handles + 1, 3);
    clock_now += SECOND;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 2);
    cr_assert_eq(presence(1), CUPOOL_TIER_MISS);
    cr_assert_eq(presence(3), CUPOOL_TIER_MISS);
    cr_assert_eq(cupool_kv_unpin(pool, &hash, 1), 0);
    give(handles, 1);
}

Test(age, the_first_4_and_the_newest_128_tokens_stay_exact, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hashes[20], parent = hash_of(12);
    cupool_kv_handle handles[20], more[2];
    uint32_t matched;

    tiers_of(CUPOOL_CODEC_INT8, 8u << 20);
    make(1, 12, handles);
    /* Two more behind them, one by one: the newest 8 are 7 to 14. */
    for (uint64_t number = 13; number <= 14; number++) {
        struct cupool_kv_hash hash = hash_of(number);
        cupool_kv_handle *one = &more[number - 13];

        cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, one), 0);
        fill(*one, number);
        cr_assert_eq(cupool_kv_complete(pool, one, 1), 0);
        cr_assert_eq(
            cupool_kv_register(pool, one, &hash, 1, &parent, CUPOOL_KV_KEEP_BOTH, NONE, one), 0);
        parent = hash;
    }
    give(more, 2);
    give(handles, 12);
    clock_now += SECOND;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 14);
    cr_assert_eq(tiers_stats().exact, 9);
    for (uint32_t at = 0; at < 14; at++)
        hashes[at] = hash_of(1 + at);
    cr_assert_eq(cupool_tiers_match(tiers, hashes, 14, NONE, handles, NULL, &matched), 0);
    cr_assert_eq(matched, 14);
    for (uint32_t at = 0; at < 14; at++)
        cr_assert(is_filled(handles[at], 1 + at) == (at == 0 || at >= 6), "block %u", at);
    give(handles, 14);
}

Test(age, what_was_newest_and_is_not_any_more_is_stored_anew, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hashes[20];
    cupool_kv_handle handles[20];
    uint32_t matched;

    tiers_of(CUPOOL_CODEC_INT8, 8u << 20);
    for (uint32_t at = 0; at < 20; at++)
        hashes[at] = hash_of(1 + at);
    make(1, 8, handles);
    give(handles, 8);
    cr_assert_eq(step((struct cupool_tier_age){0}), 8);
    cr_assert_eq(tiers_stats().exact, 8);
    uint64_t before = tier_stats(0).bytes;
    /* The sequence goes on: of its 20 blocks 2 to 12 are neither first nor newest. */
    cr_assert_eq(cupool_tiers_match(tiers, hashes, 8, NONE, handles, NULL, &matched), 0);
    cr_assert_eq(matched, 8);
    cr_assert_eq(cupool_kv_allocate(pool, 12, NONE, handles + 8), 0);
    for (uint32_t at = 8; at < 20; at++)
        fill(handles[at], 1 + at);
    cr_assert_eq(cupool_kv_complete(pool, handles + 8, 12), 0);
    cr_assert_eq(cupool_kv_register(pool, handles + 8, hashes + 8, 12, &hashes[7],
                                    CUPOOL_KV_KEEP_BOTH, NONE, handles + 8),
                 0);
    give(handles, 20);
    cr_assert_eq(step((struct cupool_tier_age){0}), 20);
    cr_assert_eq(tier_stats(0).entries, 20);
    cr_assert(tier_stats(0).bytes < before * 20 / 8, "the first eight take less than before");
    cr_assert_eq(cupool_tiers_match(tiers, hashes, 20, NONE, handles, NULL, &matched), 0);
    cr_assert_eq(matched, 20);
    for (uint32_t at = 0; at < 20; at++)
        cr_assert(is_filled(handles[at], 1 + at) == (at == 0 || at >= 12), "block %u", at);
    give(handles, 20);
}

/* The exact entry is gone before the new one fails: then only the pool has the block. */
Test(age, a_block_stays_if_the_entry_in_place_of_its_exact_one_fails, .init = setup,
     .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(8u << 20, false);
    struct cupool_kv_hash hashes[20];
    cupool_kv_handle handles[20];
    uint32_t stored = 99;

    config.codec = CUPOOL_CODEC_INT8;
    tiers_make(&config, &tier, 1);
    for (uint32_t at = 0; at < 20; at++)
        hashes[at] = hash_of(1 + at);
    make(1, 8, handles);
    cr_assert_eq(offload(handles, 8, &stored), 0);
    cr_assert_eq(cupool_kv_allocate(pool, 12, NONE, handles + 8), 0);
    for (uint32_t at = 8; at < 20; at++)
        fill(handles[at], 1 + at);
    cr_assert_eq(cupool_kv_complete(pool, handles + 8, 12), 0);
    cr_assert_eq(cupool_kv_register(pool, handles + 8, hashes + 8, 12, &hashes[7],
                                    CUPOOL_KV_KEEP_BOTH, NONE, handles + 8),
                 0);
    shelf.put_error = -EIO;
    cr_assert_eq(offload(handles, 8, &stored), -EIO, "7 of 8 are in no tier now");
    cr_assert_eq(stored, 1);
    shelf.put_error = 0;
    cr_assert_eq(offload(handles, 8, &stored), 0);
    cr_assert_eq(stored, 8);
    cupool_kv_handle last[12];
    memcpy(last, handles + 8, sizeof(last));
    cr_assert_eq(tier_stats(0).entries, 8);
    give(last, 12);
    give(handles, 8);
    cr_assert_eq(step((struct cupool_tier_age){0}), 20);
    cr_assert_eq(tier_stats(0).entries, 20);
}

Test(age, a_step_keeps_to_its_budget, .init = setup, .fini = teardown)
{
    const uint64_t block = (uint64_t)LAYERS * 2 * 2 * 64 * 16 * 2;
    cupool_kv_handle handles[20];

    tiers_of(CUPOOL_CODEC_RICE, 8u << 20);
    make(1, 20, handles);
    give(handles, 20);
    clock_now += SECOND;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND, .blocks = 3}), 3);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND, .bytes = 2 * block + 5}), 2);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND, .bytes = block - 1}), 0);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND, .time_ns = 1}), 0);
    /* The oldest first: a sequence from its tail. */
    cr_assert_eq(presence(20), CUPOOL_TIER_HIT);
    cr_assert_eq(presence(16), CUPOOL_TIER_HIT);
    cr_assert_eq(presence(15), CUPOOL_TIER_MISS);
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 15);
}

Test(age, what_no_tier_takes_stays_in_its_place, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(1 << 20, false);
    cupool_kv_handle handles[6], one;
    struct cupool_kv_hash last = hash_of(6);

    tiers_make(&config, &tier, 1);
    make(1, 6, handles);
    give(handles, 6);
    clock_now += SECOND;
    shelf.put_error = -EIO;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 0);
    cr_assert_eq(inactive(), 6);
    cr_assert_eq(back(1, 5), 5, "all are here still");
    uint32_t seen;
    cr_assert_eq(cupool_kv_peek(pool, &last, 1, &seen), 0);
    cr_assert_eq(seen, 1);
    /* 6 was not used: it is the first victim, as it was before. */
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 1, NULL), 0);
    cr_assert_eq(cupool_kv_peek(pool, &last, 1, &seen), 0);
    cr_assert_eq(seen, 0);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &one), 0);
    give(&one, 1);
}

static void *age_all(void *state)
{
    *(uint32_t *)state = step((struct cupool_tier_age){.age_ns = SECOND, .blocks = 2});
    return NULL;
}

Test(age, a_block_that_is_matched_while_it_is_encoded_stays, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(1 << 20, false);
    struct cupool_kv_hash hash = hash_of(2);
    cupool_kv_handle handles[2], again;
    uint32_t aged = 99, matched;
    pthread_t thread;

    tiers_make(&config, &tier, 1);
    make(1, 2, handles);
    give(handles, 2);
    clock_now += SECOND;
    shelf.put_held = true;
    pthread_create(&thread, NULL, age_all, &aged);
    shelf_await();
    cr_assert_eq(cupool_kv_match(pool, &hash, 1, &again, &matched), 0);
    cr_assert_eq(matched, 1);
    cr_assert(is_filled(again, 2));
    give(&again, 1);
    shelf_hold(&shelf.put_held, false);
    pthread_join(thread, NULL);
    cr_assert_eq(aged, 1);
    cr_assert_eq(cupool_kv_peek(pool, &hash, 1, &matched), 0);
    cr_assert_eq(matched, 1);
    cr_assert_eq(inactive(), 1);
}

static uint64_t rank_of(void *state, const struct cupool_kv_block *block)
{
    return block->id;
}

static int may_evict(void *state, const struct cupool_kv_block *block)
{
    return block->hash.bytes[0] != 3;
}

Test(age, policies_are_heard, .fini = teardown)
{
    struct cupool_kv_config config = config_of(BLOCKS);
    cupool_kv_handle handles[4];

    config.policy = CUPOOL_KV_CUSTOM;
    config.custom = (struct cupool_kv_custom){NULL, rank_of, may_evict};
    pool_make(&config);
    tiers_of(CUPOOL_TIER_PLAIN, 8u << 20);
    make(1, 4, handles);
    give(handles, 4);
    clock_now += SECOND;
    cr_assert_eq(step((struct cupool_tier_age){.age_ns = SECOND}), 3, "one is vetoed");
    cr_assert_eq(presence(3), CUPOOL_TIER_MISS);
    cr_assert_eq(inactive(), 1);
}
