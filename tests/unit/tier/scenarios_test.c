/* SPDX-License-Identifier: MIT */
/*
 * What lower tiers must do, as the tests of vLLM (kv_offload/cpu/test_manager.py) and TensorRT-LLM
 * ask it: numbers 40 to 44, 66, 67 and 70 of the list in docs/engine.md.
 */
#include "tests/unit/tier/fixture.h"

#include "pool/tier/index.h"

#define ENTRY_CHARGE 20480u /* of a plain block here: 16 KiB and headers, in leaves */

static void shelf_of(uint64_t bytes, uint32_t queue)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(bytes, false);

    config.threads = 1;
    config.queue = queue;
    tiers_make(&config, &tier, 1);
}

Test(vllm, s40_looking_up_what_is_being_stored_is_pending, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[2];
    cupool_kv_ticket ticket, again;

    shelf_of(1 << 20, 16);
    make(1, 2, handles);
    cr_assert_eq(presence(1), CUPOOL_TIER_MISS);
    shelf.put_held = true;
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 2, NONE, NULL, NULL, &ticket), 0);
    cr_assert_eq(presence(1), CUPOOL_TIER_PENDING, "also before a thread has come to it");
    shelf_await();
    cr_assert_eq(presence(1), CUPOOL_TIER_PENDING);
    cr_assert_eq(presence(2), CUPOOL_TIER_PENDING);
    cr_assert_eq(presence(3), CUPOOL_TIER_MISS);
    cr_assert_eq(cupool_tiers_result(tiers, ticket, NULL), -EINPROGRESS);
    /* A second offload of the same block does not store it twice. */
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 1, NONE, NULL, NULL, &again), 0);
    shelf_hold(&shelf.put_held, false);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(presence(1), CUPOOL_TIER_HIT);
    cr_assert_eq(cupool_tiers_result(tiers, ticket, NULL), 0);
    cr_assert_eq(tiers_stats().skipped, 1);
    cr_assert_eq(tier_stats(0).stored, 2);
    give(handles, 2);
}

Test(vllm, s41_making_room_for_a_store_never_evicts_its_own_keys, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[6];
    uint32_t stored;

    /* Room for four. 1 and 2 are the oldest; a call with 2, 3, 4, 5, 6 keeps 2. */
    shelf_of(4 * 16512, 16);
    make(1, 6, handles);
    cr_assert_eq(offload(handles, 2, &stored), 0);
    cr_assert_eq(offload(handles + 1, 5, &stored), -ENOSPC);
    cr_assert_eq(stored, 4);
    cr_assert_eq(presence(1), CUPOOL_TIER_MISS);
    for (uint64_t number = 2; number <= 5; number++)
        cr_assert_eq(presence(number), CUPOOL_TIER_HIT, "%u", (unsigned)number);
    cr_assert_eq(presence(6), CUPOOL_TIER_MISS);
    cr_assert_eq(tier_stats(0).refused, 1);
    give(handles, 6);
}

static void *bring_one(void *state)
{
    *(uint32_t *)state = back(1, 1);
    return NULL;
}

Test(vllm, s42_without_room_a_store_is_refused_and_loads_pin, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[2];
    uint32_t stored = 9, came = 0;
    pthread_t thread;

    shelf_of(16512, 16);
    away(1, 1);
    make(2, 1, handles);
    shelf.get_held = true;
    pthread_create(&thread, NULL, bring_one, &came);
    shelf_await();
    cr_assert_eq(tier_stats(0).pinned, 1);
    cr_assert_eq(offload(handles, 1, &stored), -ENOSPC, "the only entry is being read");
    cr_assert_eq(stored, 0);
    cr_assert_eq(presence(2), CUPOOL_TIER_MISS);
    shelf_hold(&shelf.get_held, false);
    pthread_join(thread, NULL);
    cr_assert_eq(came, 1);
    cr_assert_eq(offload(handles, 1, &stored), 0);
    cr_assert_eq(presence(1), CUPOOL_TIER_MISS);
    cr_assert_eq(presence(2), CUPOOL_TIER_HIT);
    give(handles, 1);
}

Test(vllm, s43_a_failed_store_leaves_nothing_behind, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[3];
    uint32_t stored = 9;

    shelf_of(1 << 20, 16);
    make(1, 3, handles);
    shelf.put_error = -EIO;
    cr_assert_eq(offload(handles, 3, &stored), -EIO);
    cr_assert_eq(stored, 0);
    shelf.put_error = 0;
    shelf.away = -EHOSTUNREACH;
    cr_assert_eq(offload(handles, 3, &stored), -EIO);
    shelf.away = 0;
    cr_assert_eq(presence(1), CUPOOL_TIER_MISS);
    cr_assert_eq(tier_stats(0).bytes, 0);
    cr_assert_eq(tier_stats(0).entries, 0);
    cr_assert_eq(tier_stats(0).failures, 3);
    cr_assert_eq(tier_stats(0).unavailable, 3);
    cr_assert_eq(offload(handles, 3, &stored), 0, "and nothing stands in the way of the next try");
    cr_assert_eq(stored, 3);
    give(handles, 3);
}

Test(vllm, s44_usage_is_nothing_half_and_all, .init = setup, .fini = teardown)
{
    struct tier_index none = {0};
    cupool_kv_handle handles[2];

    shelf_of(2 * 16512, 16);
    cr_assert_float_eq(tier_stats(0).usage, 0, 1e-12);
    make(1, 2, handles);
    cr_assert_eq(offload(handles, 1, NULL), 0);
    cr_assert_float_eq(tier_stats(0).usage, 0.5, 1e-12);
    cr_assert_eq(offload(handles + 1, 1, NULL), 0);
    cr_assert_float_eq(tier_stats(0).usage, 1, 1e-12);
    cr_assert_float_eq(tier_index_usage(&none), 0, 1e-12, "of no capacity");
    give(handles, 2);
}

/* Staging uses a ring of blocks in flight. */
Test(tensorrt, s66_the_ring_of_blocks_under_way_wraps_and_exhausted_keeps_its_place, .init = setup,
     .fini = teardown)
{
    cupool_kv_handle handles[8];
    cupool_kv_ticket first, second;
    uint32_t stored;

    shelf_of(1 << 20, 4);
    make(1, 8, handles);
    for (unsigned round = 0; round < 5; round++) {
        struct cupool_kv_hash hashes[3] = {hash_of(1), hash_of(2), hash_of(3)};

        cr_assert_eq(offload(handles, 3, &stored), 0);
        cr_assert_eq(stored, 3);
        cr_assert_eq(cupool_tiers_forget(tiers, hashes, 3), 0);
    }
    shelf.put_held = true;
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 3, NONE, NULL, NULL, &first), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 3, 2, NONE, NULL, NULL, &second), -EAGAIN,
                 "two do not fit beside three in four");
    cr_assert_eq(presence(4), CUPOOL_TIER_MISS);
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 3, 1, NONE, NULL, NULL, &second), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 4, 1, NONE, NULL, NULL, &second), -EAGAIN);
    shelf_hold(&shelf.put_held, false);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(tiers_stats().stored, 5 * 3 + 4);
    give(handles, 8);
}

Test(tensorrt, s67_4096_cold_pages_in_one_call, .fini = teardown)
{
    enum { PAGES = 4096 };
    struct cupool_codec_block none = {0};
    struct cupool_codec_config codec = {.codec = CUPOOL_CODEC_INT8,
                                        .type = CUPOOL_CODEC_TYPE_BF16,
                                        .parts = CUPOOL_CODEC_KEYS_AND_VALUES,
                                        .tokens = 16,
                                        .heads = 1,
                                        .head_dim = 8};
    struct cupool_kv_config config = config_of(PAGES);
    struct cupool_tiers_config below = tiers_config();
    static cupool_kv_handle handles[PAGES];
    cupool_kv_ticket ticket;
    uint32_t stored = 9;

    config.kv_heads = 1;
    config.head_dim = 8;
    below.codec = CUPOOL_CODEC_INT8;
    pool_make(&config);
    struct cupool_tier tier = host_tier(64u << 20);
    tiers_make(&below, &tier, 1);
    make(1, PAGES, handles);
    cr_assert_eq(offload(handles, PAGES, &stored), 0);
    cr_assert_eq(stored, PAGES);
    cr_assert_eq(tier_stats(0).entries, PAGES);
    give(handles, PAGES);
    cr_assert_eq(offload(NULL, 0, &stored), 0, "none succeeds");
    cr_assert_eq(stored, 0);
    cr_assert_eq(cupool_codec_encode(&codec, NULL, 0), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, NULL, 1, NONE, NULL, NULL, &ticket), -EINVAL);
    cr_assert_eq(cupool_codec_encode(&codec, &none, 1), -EINVAL, "no memory");
    cr_assert_eq(none.fault, CUPOOL_CODEC_ARGUMENT);
}

Test(peers, s70_evicting_one_tier_keeps_the_others, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier two[] = {shelf_tier(2 * 16512, false), host_tier(8u << 20)};

    tiers_make(&config, two, 2);
    away(1, 2);
    away(3, 2);
    cr_assert_eq(tier_stats(0).evictions, 2);
    cr_assert_eq(tier_stats(0).entries, 2);
    cr_assert_eq(tier_stats(1).evictions, 0);
    cr_assert_eq(tier_stats(1).entries, 4);
    cr_assert_eq(presence(1), CUPOOL_TIER_HIT);
    cr_assert_eq(back(1, 4), 4);
    cr_assert_eq(tier_stats(1).loaded, 2);
    cr_assert_eq(ENTRY_CHARGE * 4, tier_stats(1).bytes);
}
