/* SPDX-License-Identifier: MIT */
/*
 * Requirements of a pool from the tests of Dynamo, TensorRT-LLM, kvcached and llm-d: numbers 45
 * to 70 of the list in docs/engine.md. 66, 67 and 70 are those of lower tiers: tests/unit/tier.
 */
#include "tests/unit/kv/fixture.h"

#include <pthread.h>

#include "include/cupool/sequence.h"

/* kvbm-logical manager/tests.rs */
Test(dynamo, s45_no_blocks_and_bad_thresholds_are_refused, .init = setup, .fini = teardown)
{
    struct kv_backend backend = fake_backend(&fake);
    struct cupool_kv_config config = config_ten();
    struct cupool_pressure_thresholds bad = {0, 0.9, 0};
    struct cupool_kv *made;

    config.blocks = 0;
    cr_assert_eq(kv_create(&backend, &config, &made), -EINVAL);
    cr_assert_eq(cupool_kv_pressure(pool, &bad, NULL, NULL), -EINVAL);
    bad.normal = 0.95;
    cr_assert_eq(cupool_kv_pressure(pool, &bad, NULL, NULL), -EINVAL);
    bad = (struct cupool_pressure_thresholds){0.5, 1.5, 0};
    cr_assert_eq(cupool_kv_pressure(pool, &bad, NULL, NULL), -EINVAL);
}

Test(dynamo, s46_three_and_four_and_three_of_ten, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10];

    take(3, handles);
    take(4, handles + 3);
    take(3, handles + 7);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, handles), -ENOMEM);
    cr_assert_eq(cupool_kv_allocate(pool, 0, NONE, handles), 0);
    give(handles, 10);
}

Test(dynamo, s47_dropping_mutable_or_complete_resets_registered_stays, .init = setup,
     .fini = teardown)
{
    cupool_kv_handle handles[3];

    take(3, handles);
    cr_assert_eq(cupool_kv_complete(pool, handles + 1, 1), 0);
    enter(handles + 2, 1, 9);
    give(handles, 3);
    cr_assert_eq(stats_now().free, 9);
    cr_assert_eq(stats_now().inactive, 1);
}

static struct cupool_kv *pool_of(uint32_t blocks)
{
    struct cupool_kv_config config = config_ten();

    config.blocks = blocks;
    return pool_make(&config);
}

Test(dynamo, s48_a_full_cycle_of_sixteen, .fini = teardown)
{
    cupool_kv_handle handles[16];

    pool = pool_of(16);
    for (unsigned cycle = 0; cycle < 2; cycle++) {
        take(16, handles);
        enter(handles, 16, cycle * 100);
        give(handles, 16);
    }
    cr_assert_eq(stats_now().evictions, 16);
    cr_assert_eq(stats_now().allocations, 32);
    take(16, handles);
    enter(handles, 16, 300);
    give(handles, 16);
    cr_assert_eq(stats_now().allocations, 48);
    cr_assert_eq(stats_now().registrations, 48);
    cr_assert_eq(stats_now().evictions, 32);
}

Test(dynamo, s49_mixed_returns, .fini = teardown)
{
    cupool_kv_handle handles[24];

    pool = pool_of(24);
    take(24, handles);
    cr_assert_eq(cupool_kv_complete(pool, handles + 8, 8), 0);
    enter(handles + 16, 8, 0);
    cr_assert_eq(stats_now().mutable_blocks, 8);
    cr_assert_eq(stats_now().complete, 8);
    cr_assert_eq(stats_now().active, 8);
    give(handles, 24);
    cr_assert_eq(stats_now().free, 16);
    cr_assert_eq(stats_now().inactive, 8);
}

Test(dynamo, s50_duplicates_refused_and_allowed, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hash = hash_number(1);
    cupool_kv_handle first, second, third, out;

    take(1, &first);
    enter(&first, 1, 1);
    take(1, &second);
    cr_assert_eq(cupool_kv_complete(pool, &second, 1), 0);
    cr_assert_eq(
        cupool_kv_register(pool, &second, &hash, 1, NULL, CUPOOL_KV_ANSWER_FIRST, NONE, &out), 0);
    cr_assert_eq(out, first, "the same block comes back");
    cr_assert_eq(stats_now().duplicates, 1);
    cr_assert_eq(stats_now().free, 9, "the caller's own was given up");
    take(1, &third);
    cr_assert_eq(cupool_kv_complete(pool, &third, 1), 0);
    cr_assert_eq(cupool_kv_register(pool, &third, &hash, 1, NULL, CUPOOL_KV_KEEP_BOTH, NONE, &out),
                 0);
    cr_assert_neq(cupool_kv_id(out), cupool_kv_id(first), "different ids");
    give(&first, 1);
    give(&first, 1);
    give(&out, 1);
    cr_assert_eq(stats_now().inactive, 2);
}

Test(dynamo, s51_match_two_of_three_and_of_none, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[3], again[3];

    take(2, handles);
    enter(handles, 2, 0);
    cr_assert_eq(found(0, 3, again), 2);
    give(again, 2);
    cr_assert_eq(found(0, 0, again), 0);
    give(handles, 2);
}

Test(dynamo, scattered_match_keeps_alignment, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hashes[4];
    cupool_kv_handle handles[4], again[4];
    uint32_t matched;

    take(4, handles);
    enter(handles, 1, 0);
    enter(handles + 2, 2, 2);
    hashes_number(hashes, 0, 4);
    cr_assert_eq(cupool_kv_match_scattered(pool, hashes, 4, again, &matched), 0);
    cr_assert_eq(matched, 3);
    cr_assert_eq(again[1], 0);
    cr_assert_eq(again[3], handles[3]);
    again[1] = again[3];
    give(again, 3);
    give(handles, 4);
}

Test(dynamo, s52_a_weak_reference_fails_after_eviction, .init = setup, .fini = teardown)
{
    cupool_kv_handle handle, again;
    cupool_kv_weak weak;

    take(1, &handle);
    cr_assert_eq(cupool_kv_downgrade(pool, handle, &weak), -EINVAL, "not registered");
    enter(&handle, 1, 1);
    cr_assert_eq(cupool_kv_downgrade(pool, handle, &weak), 0);
    give(&handle, 1);
    cr_assert_eq(cupool_kv_upgrade(pool, weak, &again), 0);
    give(&again, 1);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_AGGRESSIVE, 1, NULL), 0);
    cr_assert_eq(cupool_kv_upgrade(pool, weak, &again), -ESTALE);
    take(1, &handle);
    enter(&handle, 1, 1);
    cr_assert_eq(cupool_kv_upgrade(pool, weak, &again), -ESTALE, "another registration");
    give(&handle, 1);
}

Test(dynamo, s53_a_match_touches_once_a_peek_never, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], again, victim[2];

    take(3, handles);
    enter(handles, 3, 0);
    give(handles, 3);
    cr_assert_eq(seen(2, 1), 1);
    take(1, victim);
    take(6, handles);
    take(1, victim + 1);
    cr_assert_eq(stats_now().evictions, 1);
    cr_assert_eq(cupool_kv_id(victim[1]), 3, "the peek did not keep it");
    cr_assert_eq(found(1, 1, &again), 1);
    give(&again, 1);
    give(victim, 2);
    give(handles, 6);
    take(9, handles);
    cr_assert_eq(seen(1, 1), 1, "the match kept it longest");
    give(handles, 9);
    cr_assert_eq(stats_now().matches, 1);
}

struct race {
    pthread_barrier_t start;
    cupool_kv_handle handle;
    int round;
};

static void *race_drop(void *state)
{
    struct race *race = state;

    pthread_barrier_wait(&race->start);
    give(&race->handle, 1);
    return NULL;
}

static void *race_reregister(void *state)
{
    struct race *race = state;
    cupool_kv_handle handle;

    pthread_barrier_wait(&race->start);
    if (cupool_kv_allocate(pool, 1, NONE, &handle) == 0) {
        enter(&handle, 1, 1);
        give(&handle, 1);
    }
    return NULL;
}

Test(dynamo, s54_look_up_against_the_last_drop, .init = setup, .fini = teardown)
{
    struct race race;

    for (race.round = 0; race.round < 200; race.round++) {
        cupool_kv_handle again;
        pthread_t thread;

        take(1, &race.handle);
        enter(&race.handle, 1, 1);
        pthread_barrier_init(&race.start, NULL, 2);
        pthread_create(&thread, NULL, race_drop, &race);
        pthread_barrier_wait(&race.start);
        cr_assert_eq(found(1, 1, &again), 1, "it is registered before and after the drop");
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&race.start);
        cr_assert_eq(stats_now().active, 1, "at most one primary");
        check();
        give(&again, 1);
        cr_assert_eq(cupool_kv_reset(pool, NULL), 0);
    }
}

Test(dynamo, s55_evict_against_reregister, .init = setup, .fini = teardown)
{
    struct race race;

    for (race.round = 0; race.round < 100; race.round++) {
        pthread_t thread;
        cupool_kv_handle handle;

        take(1, &handle);
        enter(&handle, 1, 1);
        give(&handle, 1);
        pthread_barrier_init(&race.start, NULL, 2);
        pthread_create(&thread, NULL, race_reregister, &race);
        pthread_barrier_wait(&race.start);
        cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_AGGRESSIVE, 10, NULL), 0);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&race.start);
        check();
        cr_assert_eq(cupool_kv_reset(pool, NULL), 0);
        cr_assert_eq(stats_now().free, 10);
    }
}

struct greedy {
    pthread_barrier_t *start;
    unsigned all, none;
};

static void *greedy_run(void *state)
{
    struct greedy *greedy = state;

    pthread_barrier_wait(greedy->start);
    for (unsigned round = 0; round < 200; round++) {
        cupool_kv_handle handles[16];
        int error = cupool_kv_allocate(pool, 16, NONE, handles);

        greedy->all += error == 0;
        greedy->none += error == -ENOMEM;
        if (error == 0)
            give(handles, 16);
    }
    return NULL;
}

Test(dynamo, s56_eight_threads_each_wanting_all, .fini = teardown)
{
    struct greedy greedy[8];
    pthread_barrier_t start;
    pthread_t threads[8];
    unsigned served = 0;

    pool = pool_of(16);
    pthread_barrier_init(&start, NULL, 8);
    for (unsigned at = 0; at < 8; at++) {
        greedy[at] = (struct greedy){.start = &start};
        pthread_create(&threads[at], NULL, greedy_run, &greedy[at]);
    }
    for (unsigned at = 0; at < 8; at++) {
        pthread_join(threads[at], NULL);
        cr_assert_eq(greedy[at].all + greedy[at].none, 200, "16 or none");
        served += greedy[at].all;
    }
    pthread_barrier_destroy(&start);
    cr_assert_gt(served, 0);
    cr_assert_eq(stats_now().free, 16);
}

Test(dynamo, s57_sizes_from_1_to_1024)
{
    for (uint32_t blocks = 1; blocks <= 1024; blocks *= 2) {
        cupool_kv_handle *handles = calloc(blocks, sizeof(*handles));

        pool = pool_of(blocks);
        take(blocks, handles);
        enter(handles, blocks, 0);
        give(handles, blocks);
        cr_assert_eq(stats_now().inactive, blocks);
        free(handles);
        teardown();
    }
}

Test(dynamo, s58_five_of_two_gives_none, .fini = teardown)
{
    cupool_kv_handle handles[5] = {0};

    pool = pool_of(2);
    cr_assert_eq(cupool_kv_allocate(pool, 5, NONE, handles), -ENOMEM);
    cr_assert_eq(stats_now().free, 2);
    take(2, handles);
    enter(handles, 2, 0);
    give(handles, 2);
    cr_assert_eq(cupool_kv_allocate(pool, 3, NONE, handles), -ENOMEM);
    cr_assert_eq(seen(0, 2), 2, "nothing was evicted for it");
    cr_assert_eq(stats_now().evictions, 0);
}

/* events/tests.rs */
Test(dynamo, s59_batches_ascend_descend_and_are_capped, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv_event events[8];
    static struct cupool_kv_hash hashes[1024];
    static cupool_kv_handle handles[600];
    uint32_t count;

    config.blocks = 600;
    config.events = 8;
    pool = pool_make(&config);
    take(600, handles);
    enter(handles, 600, 0);
    give(handles, 600);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 300, NULL), 0);
    cr_assert_eq(cupool_kv_events_poll(pool, events, 8, hashes, 1024, &count, NULL), 0);
    cr_assert_eq(count, 5);
    for (unsigned at = 0; at < 5; at++) {
        cr_assert_eq(events[at].kind, at < 3 ? CUPOOL_KV_STORED : CUPOOL_KV_REMOVED);
        cr_assert_leq(events[at].count, 256);
    }
    for (unsigned at = 0; at < 900; at++) {
        struct cupool_kv_hash right = hash_number(at < 600 ? at : 599 - (at - 600));

        cr_assert_eq(memcmp(&hashes[at], &right, sizeof(right)), 0, "hash %u", at);
    }
}

/* batch_manager kvCacheManagerTest, llm-d */
Test(tensorrt, s60_release_goes_to_the_front_or_the_back, .fini = teardown)
{
    cupool_kv_handle handles[8], again[8];

    pool = pool_of(8);
    take(8, handles);
    enter(handles, 4, 0);
    give(handles, 4);
    give(handles + 4, 4);
    take(8, again);
    cr_assert_str_eq(ids(again, 8), "8,7,6,5,4,3,2,1", "hashless in front, cached behind");
    give(again, 8);
}

Test(tensorrt, s61_priorities_order_and_expire, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[4], victim[4];

    config.blocks = 4;
    config.policy = CUPOOL_KV_PRIORITY;
    pool = pool_make(&config);
    take(4, handles);
    enter(handles, 4, 0);
    cr_assert_eq(cupool_kv_set_priority(pool, handles, 1, 80, 1000000), 0);
    cr_assert_eq(cupool_kv_set_priority(pool, handles + 1, 1, 5, 0), 0);
    cr_assert_eq(cupool_kv_set_priority(pool, handles + 2, 1, 50, 0), 0);
    cr_assert_eq(cupool_kv_set_priority(pool, handles + 3, 1, 101, 0), -ERANGE);
    give(handles, 4);
    take(1, victim);
    cr_assert_eq(cupool_kv_id(victim[0]), 2, "5 goes first");
    take(1, victim + 1);
    cr_assert_eq(cupool_kv_id(victim[1]), 4, "then the default of 35");
    fake.clock_ns = 2000000;
    take(1, victim + 2);
    cr_assert_eq(cupool_kv_id(victim[2]), 1, "80 for 1 ms is 35 at 2 ms, before 50");
    check();
    give(victim, 3);
}

Test(tensorrt, s62_overlapping_ranges_are_refused, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[6];
    struct cupool_kv_priority_range ranges[2] = {{0, 3, 10, 0}, {2, 2, 20, 0}};
    struct cupool_kv_block block;

    take(6, handles);
    cr_assert_eq(cupool_kv_set_priorities(pool, handles, 6, ranges, 2), -EINVAL);
    ranges[1] = (struct cupool_kv_priority_range){5, UINT32_MAX, 20, 0};
    cr_assert_eq(cupool_kv_set_priorities(pool, handles, 6, ranges, 2), -EINVAL);
    cr_assert_eq(cupool_kv_describe(pool, handles[0], &block), 0);
    cr_assert_eq(block.priority, 35);
    ranges[1] = (struct cupool_kv_priority_range){4, 2, 20, 0};
    cr_assert_eq(cupool_kv_set_priorities(pool, handles, 6, ranges, 2), 0);
    cr_assert_eq(cupool_kv_describe(pool, handles[5], &block), 0);
    cr_assert_eq(block.priority, 20);
    give(handles, 6);
}

static const int32_t branch_tokens[2][12] = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                             {1, 2, 3, 4, 5, 6, 7, 8, 20, 21, 22, 23}};

static struct cupool_sequences *set_of_four(int partial)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_sequences_config sequences;
    struct cupool_sequences *set = NULL;

    config.block_tokens = 4;
    pool = pool_make(&config);
    cupool_sequences_config_init(&sequences);
    sequences.max_tokens = 64;
    sequences.partial = partial;
    struct cupool_kv_member member = {pool, 0};
    cr_assert_eq(cupool_sequences_create(&member, 1, &sequences, &set), 0);
    return set;
}

Test(tensorrt, s63_a_partial_match_of_three_of_four_tokens, .fini = teardown)
{
    struct cupool_sequences *set = set_of_four(1);
    cupool_sequence first, second;
    uint32_t matched;

    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &first), 0);
    cr_assert_eq(cupool_sequence_append(set, first, branch_tokens[0], 7, NONE), 0);
    cr_assert_eq(cupool_sequence_commit(set, first, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, first, NONE), 0);
    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &second), 0);
    cr_assert_eq(cupool_sequence_match(set, second, branch_tokens[0], 12, NONE, &matched), 0);
    cr_assert_eq(matched, 7, "a block, and three of four tokens by copy");
    cr_assert_eq(cupool_sequence_remove(set, second, NONE), 0);
    cupool_sequences_destroy(set);
}

/* Of a block that is cached whole, only the whole is found: tokens that differ have another hash.
 */
Test(tensorrt, s63_three_of_four_tokens_of_a_whole_block_are_no_match, .fini = teardown)
{
    static const int32_t other[12] = {1, 2, 3, 4, 5, 6, 7, 99, 9, 10, 11, 12};
    struct cupool_sequences *set = set_of_four(1);
    cupool_sequence first, second;
    uint32_t matched;

    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &first), 0);
    cr_assert_eq(cupool_sequence_append(set, first, branch_tokens[0], 8, NONE), 0);
    cr_assert_eq(cupool_sequence_commit(set, first, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, first, NONE), 0);
    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &second), 0);
    cr_assert_eq(cupool_sequence_match(set, second, other, 12, NONE, &matched), 0);
    cr_assert_eq(matched, 4, "the block before it");
    cr_assert_eq(cupool_sequence_remove(set, second, NONE), 0);
    cupool_sequences_destroy(set);
}

/* Two branches over one stem: leaves go first, so that nothing has to be pruned; a stem that is
 * forgotten by hand leaves what follows it out of reach, not lost. */
Test(tensorrt, s63_a_tree_goes_from_its_leaves, .init = setup, .fini = teardown)
{
    cupool_kv_handle stem[3], a[2], b[2], handles[10];
    uint32_t forgotten;

    take(3, stem);
    enter(stem, 3, 0);
    take(2, a);
    enter(a, 2, 3);
    take(2, b);
    enter(b, 2, 100);
    cupool_kv_handle first[5] = {stem[0], stem[1], stem[2], a[0], a[1]};
    cupool_kv_handle second[5] = {stem[0], stem[1], stem[2], b[0], b[1]};
    cr_assert_eq(cupool_kv_retain(pool, stem, 3), 0);
    give(first, 5);
    give(second, 5);
    for (uint32_t left = 7; left > 0; left--) {
        /* The rest of the tree stays connected. */
        cr_assert_eq(seen(0, 3), left < 3 ? left : 3);
        cr_assert_eq(seen(3, 2) + seen(100, 2), left < 3 ? 0 : left - 3);
        cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 1, NULL), 0);
    }
    cr_assert_eq(stats_now().inactive, 0);

    take(5, handles);
    enter(handles, 5, 0);
    give(handles, 5);
    struct cupool_kv_hash root = hash_number(0);
    cr_assert_eq(cupool_kv_forget(pool, &root, 1, &forgotten), 0);
    cr_assert_eq(forgotten, 1);
    cr_assert_eq(seen(0, 5), 0);
    cr_assert_eq(stats_now().inactive, 4);
    take(1, handles);
    enter(handles, 1, 0);
    cr_assert_eq(seen(0, 5), 5, "the stem is back, and with it all behind it");
    give(handles, 1);
}

Test(tensorrt, s64_truncating_a_branch_leaves_the_other, .fini = teardown)
{
    struct cupool_sequences *set = set_of_four(0);
    cupool_sequence a, b;
    const int32_t *table;
    uint32_t blocks;

    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &a), 0);
    cr_assert_eq(cupool_sequence_append(set, a, branch_tokens[0], 8, NONE), 0);
    cr_assert_eq(cupool_sequence_commit(set, a, NONE), 0);
    cr_assert_eq(cupool_sequence_fork(set, a, NONE, &b), 0);
    cr_assert_eq(cupool_sequence_append(set, a, branch_tokens[0], 12, NONE), 0);
    cr_assert_eq(cupool_sequence_append(set, b, branch_tokens[1] + 8, 4, NONE), 0);
    cr_assert_eq(cupool_sequence_truncate(set, b, 3, NONE), 0);
    cr_assert_eq(cupool_sequence_table(set, a, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 5);
    char why[128] = "";
    cr_assert_eq(cupool_sequences_check(set, why, sizeof(why)), 0, "%s", why);
    cr_assert_eq(cupool_sequence_append(set, b, branch_tokens[1], 1, NONE), 0);
    cr_assert_eq(stats_now().copies, 1, "the shared block is not written");
    cr_assert_eq(cupool_sequence_remove(set, b, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, a, NONE), 0);
    cupool_sequences_destroy(set);
}

Test(tensorrt, s65_shrinking_counts_what_is_in_use, .fini = teardown)
{
    cupool_kv_handle handles[8];
    uint32_t overflow;

    pool = pool_of(8);
    take(8, handles);
    give(handles, 3);
    cr_assert_eq(cupool_kv_resize(pool, 4, &overflow), 0);
    cr_assert_eq(overflow, 4);
    cr_assert_eq(stats_now().overflow, 4);
    give(handles + 3, 5);
    cr_assert_eq(stats_now().free, 4);
}

/* llm-d-kv-cache */
Test(tensorrt, s68_an_event_queue_of_two_keeps_the_last_two, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv_hash hashes[16], hash = hash_number(0);
    struct cupool_kv_event events[4];
    cupool_kv_handle handles[3];
    uint64_t dropped;
    uint32_t count;

    config.events = 2;
    pool = pool_make(&config);
    take(3, handles);
    for (unsigned at = 0; at < 3; at++)
        enter(handles + at, 1, at);
    cr_assert_eq(cupool_kv_events_poll(pool, events, 4, hashes, 16, &count, &dropped), 0);
    cr_assert_eq(count, 2);
    cr_assert_eq(dropped, 1);
    cr_assert_eq(events[0].sequence, 1);
    give(handles, 3);
    cr_assert_eq(cupool_kv_forget(pool, &hash, 1, NULL), 0);
    cr_assert_eq(cupool_kv_forget(pool, &hash, 1, NULL), 0);
    cr_assert_eq(cupool_kv_events_poll(pool, events, 4, hashes, 16, &count, &dropped), 0);
    cr_assert_eq(count, 1, "a double remove is one event");
    cr_assert_eq(events[0].count, 1);
    cr_assert_eq(dropped, 0);
}

/* kvcached */
Test(kvcached, s69_a_failed_allocation_rolls_back, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[10], again[10];

    config.layers = config.kv_heads = 1;
    config.head_dim = 1024;
    config.elastic = 1;
    config.page_bytes = 65536;
    pool = pool_make(&config);
    for (uint64_t step = 1; step <= 10; step++) {
        fake.fail_at = fake.calls + step;
        fake.fail_error = -ENOMEM;
        int error = cupool_kv_allocate(pool, 10, NONE, handles);
        fake.fail_at = 0;
        check();
        if (error == 0) {
            give(handles, 10);
            break;
        }
        cr_assert_eq(error, -ENOMEM);
        cr_assert_eq(stats_now().free, 10);
        cr_assert_eq(cupool_kv_trim(pool, 0, NULL), 0);
    }
    take(10, again);
    give(again, 10);
}
