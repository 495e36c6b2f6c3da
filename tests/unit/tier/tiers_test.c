/* SPDX-License-Identifier: MIT */
/*
 * Offload and return: callbacks, cancelling, refusals, failing tiers, many threads, fork.
 */
#include "engine/tier/tiers.h"
#include "pool/kv/kv.h"
#include "tests/random.h"
#include "tests/unit/tier/fixture.h"

#include <stdatomic.h>
#include <sys/wait.h>

static void shelf_of(uint64_t bytes, bool shared)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(bytes, shared);

    config.threads = 1;
    tiers_make(&config, &tier, 1);
}

static void host_of(int codec)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = host_tier(8u << 20);

    config.codec = codec;
    tiers_make(&config, &tier, 1);
}

Test(tiers, blocks_come_back_bit_by_bit, .init = setup, .fini = teardown)
{
    host_of(CUPOOL_TIER_PLAIN);
    away(1, 20);
    cr_assert_eq(back(1, 30), 20);
    cr_assert_eq(tier_stats(0).loaded, 20);
    cr_assert_eq(tiers_stats().loaded, 20);
    cr_assert_eq(back(1, 30), 20, "now from the pool");
    cr_assert_eq(tier_stats(0).loaded, 20);
}

Test(tiers, an_encoded_block_is_smaller_and_comes_back_about_the_same, .init = setup,
     .fini = teardown)
{
    struct cupool_kv_hash hashes[20];
    cupool_kv_handle handles[20];
    uint8_t sources[20];
    uint32_t matched;

    host_of(CUPOOL_CODEC_INT8);
    away(1, 20);
    for (uint32_t at = 0; at < 20; at++)
        hashes[at] = hash_of(1 + at);
    cr_assert_eq(cupool_tiers_match(tiers, hashes, 20, NONE, handles, sources, &matched), 0);
    cr_assert_eq(matched, 20);
    for (uint32_t at = 0; at < 20; at++) {
        cr_assert_eq(sources[at], CUPOOL_KV_LOADED);
        for (uint32_t layer = 0; layer < LAYERS; layer++) {
            size_t count;
            const uint16_t *values = layer_of(handles[at], layer, &count);

            for (size_t value = 0; value < count; value++) {
                uint32_t wide = (uint32_t)values[value] << 16;
                uint32_t expected = (uint32_t)value_of(1 + at, layer, value) << 16;
                float got, wanted;

                memcpy(&got, &wide, sizeof(got));
                memcpy(&wanted, &expected, sizeof(wanted));
                cr_assert(got - wanted < 0.02F && wanted - got < 0.02F);
            }
        }
    }
    /* Exact: the first block, and the newest 8 of the 20. */
    cr_assert_eq(tiers_stats().exact, 9);
    for (uint32_t at = 0; at < 20; at++)
        cr_assert(is_filled(handles[at], 1 + at) == (at == 0 || at >= 12), "block %u", at);
    cr_assert(tiers_stats().entry_bytes * 10 < tiers_stats().raw_bytes * 7);
    give(handles, matched);
}

struct ended {
    pthread_mutex_t lock;
    unsigned calls, stored;
    int error;
    cupool_kv_ticket ticket;
};

static void note(void *state, cupool_kv_ticket ticket, uint32_t stored, int error)
{
    struct ended *ended = state;

    pthread_mutex_lock(&ended->lock);
    ended->calls++;
    ended->stored += stored;
    ended->error = error;
    ended->ticket = ticket;
    pthread_mutex_unlock(&ended->lock);
}

Test(tiers, a_callback_comes_once_and_its_ticket_is_over, .init = setup, .fini = teardown)
{
    struct ended ended = {.lock = PTHREAD_MUTEX_INITIALIZER};
    cupool_kv_handle handles[3];
    cupool_kv_ticket ticket;

    host_of(CUPOOL_TIER_PLAIN);
    make(1, 3, handles);
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 3, NONE, note, &ended, &ticket), 0);
    give(handles, 3);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(ended.calls, 1);
    cr_assert_eq(ended.stored, 3);
    cr_assert_eq(ended.error, 0);
    cr_assert_eq(ended.ticket, ticket);
    cr_assert_eq(cupool_tiers_result(tiers, ticket, NULL), -ESTALE);
    cr_assert_eq(cupool_tiers_cancel(tiers, ticket), -ESTALE);
}

Test(tiers, a_block_under_way_is_neither_evicted_nor_reused, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[2], others[BLOCKS];
    cupool_kv_ticket ticket;
    uint32_t evicted;

    shelf_of(1 << 20, false);
    make(1, 2, handles);
    shelf.put_held = true;
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 2, NONE, NULL, NULL, &ticket), 0);
    give(handles, 2);
    shelf_await();
    cr_assert_eq(cupool_kv_trim(pool, 0, &evicted), 0);
    cr_assert_eq(evicted, 0);
    cr_assert_eq(cupool_kv_allocate(pool, BLOCKS - 1, NONE, others), -ENOMEM);
    cr_assert_eq(cupool_kv_allocate(pool, BLOCKS - 2, NONE, others), 0);
    shelf_hold(&shelf.put_held, false);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(cupool_tiers_result(tiers, ticket, NULL), 0);
    give(others, BLOCKS - 2);
    cr_assert_eq(cupool_kv_trim(pool, 0, &evicted), 0);
    cr_assert_eq(back(1, 2), 2);
}

Test(tiers, cancelled_offloads_give_everything_back, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[20];
    cupool_kv_ticket ticket, second;
    uint32_t stored = 99;

    shelf_of(1 << 20, false);
    make(1, 20, handles);
    shelf.put_held = true;
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 8, NONE, NULL, NULL, &ticket), 0);
    shelf_await();
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 8, 12, NONE, NULL, NULL, &second), 0);
    cr_assert_eq(cupool_tiers_cancel(tiers, second), 0);
    shelf_hold(&shelf.put_held, false);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(cupool_tiers_result(tiers, ticket, NULL), 0);
    cr_assert_eq(cupool_tiers_result(tiers, second, &stored), -ECANCELED);
    cr_assert_eq(stored, 0);
    cr_assert_eq(presence(9), CUPOOL_TIER_MISS);
    cr_assert_eq(tier_stats(0).entries, 8);
    give(handles, 20);
}

/* The first call is cancelled in the queue, or its store fails. */
Test(tiers, what_another_call_stores_counts_when_it_is_stored, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[3];
    cupool_kv_ticket first, cancelled, again[3];
    uint32_t stored = 99;

    shelf_of(1 << 20, false);
    make(1, 3, handles);
    shelf.put_held = true;
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 1, NONE, NULL, NULL, &first), 0);
    shelf_await();
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 1, 1, NONE, NULL, NULL, &cancelled), 0);
    cr_assert_eq(cupool_tiers_cancel(tiers, cancelled), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 1, NONE, NULL, NULL, &again[0]), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 1, 1, NONE, NULL, NULL, &again[1]), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 3, NONE, NULL, NULL, &again[2]), 0);
    shelf_hold(&shelf.put_held, false);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(cupool_tiers_result(tiers, first, NULL), 0);
    cr_assert_eq(cupool_tiers_result(tiers, again[0], &stored), 0);
    cr_assert_eq(stored, 1);
    cr_assert_eq(cupool_tiers_result(tiers, again[1], &stored), -EIO);
    cr_assert_eq(stored, 0, "it was given up, and no tier has the block");
    cr_assert_eq(cupool_tiers_result(tiers, again[2], &stored), -EIO);
    cr_assert_eq(stored, 2);
    cr_assert_eq(presence(2), CUPOOL_TIER_MISS);
    give(handles, 3);
}

Test(tiers, only_blocks_registered_in_full_are_taken, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hash = hash_of(7);
    cupool_kv_handle handles[3];
    cupool_kv_ticket ticket;

    host_of(CUPOOL_TIER_PLAIN);
    make(1, 1, handles);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, handles + 1), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 2, NONE, NULL, NULL, &ticket), -EINVAL);
    cr_assert_eq(cupool_kv_register_partial(pool, handles[1], &hash, NULL, 5, NONE), 0);
    cr_assert_eq(cupool_tiers_offload(tiers, handles, 2, NONE, NULL, NULL, &ticket), -EINVAL);
    handles[2] = handles[0] ^ UINT64_C(1) << 40;
    cr_assert_eq(cupool_tiers_offload(tiers, handles + 2, 1, NONE, NULL, NULL, &ticket), -ESTALE);
    cr_assert_eq(tiers_stats().offloads, 0);
    give(handles, 2);
    check();
}

Test(tiers, more_blocks_than_the_queue_holds_are_refused_for_good, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = host_tier(8u << 20);
    cupool_kv_handle handles[5];
    uint32_t stored = 0;

    config.queue = 4;
    tiers_make(&config, &tier, 1);
    make(1, 5, handles);
    cr_assert_eq(offload(handles, 5, &stored), -E2BIG, "-EAGAIN would mean that it may succeed");
    cr_assert_eq(offload(handles, 4, &stored), 0);
    cr_assert_eq(stored, 4);
    give(handles, 5);
}

static void *bad_offload(void *state)
{
    cupool_kv_ticket ticket;
    int error = cupool_tiers_offload(tiers, state, 1, NONE, NULL, NULL, &ticket);

    return (void *)(intptr_t)error;
}

static void *drain(void *state)
{
    return (void *)(intptr_t)cupool_tiers_drain(tiers);
}

/* The pool's lock holds the offload after it has begun; whoever drains meanwhile is woken. */
Test(tiers, a_drain_ends_when_an_offload_under_way_is_refused, .init = setup, .fini = teardown)
{
    pthread_t offloading, draining;
    cupool_kv_handle handle;
    bool begun = false;
    void *result;

    host_of(CUPOOL_TIER_PLAIN);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &handle), 0);
    pthread_mutex_lock(&pool->lock);
    cr_assert_eq(pthread_create(&offloading, NULL, bad_offload, &handle), 0);
    while (!begun) {
        pthread_mutex_lock(&tiers->lock);
        begun = tiers->beginning == 1;
        pthread_mutex_unlock(&tiers->lock);
    }
    cr_assert_eq(pthread_create(&draining, NULL, drain, NULL), 0);
    usleep(20000); /* most likely it waits now; if not, the test passes all the same */
    pthread_mutex_unlock(&pool->lock);
    pthread_join(offloading, &result);
    cr_assert_eq((intptr_t)result, -EINVAL);
    pthread_join(draining, &result);
    cr_assert_eq((intptr_t)result, 0);
    give(&handle, 1);
}

/* A prefetch through the tiers. */

static unsigned prefetched;
static int prefetch_error;

static void prefetch_note(void *state, cupool_kv_ticket ticket, int error)
{
    prefetch_error = error;
    __atomic_add_fetch(&prefetched, 1, __ATOMIC_SEQ_CST);
}

Test(tiers, a_prefetch_brings_back_what_a_tier_has_and_reserves_the_rest, .init = setup,
     .fini = teardown)
{
    struct cupool_kv_hash hashes[6];
    cupool_kv_handle handles[6];
    uint8_t sources[6];
    cupool_kv_ticket ticket;

    shelf_of(1 << 20, true);
    away(1, 2);
    away(4, 1);
    for (uint32_t at = 0; at < 6; at++)
        hashes[at] = hash_of(1 + at);
    cr_assert_eq(cupool_kv_prefetch(pool, hashes, 6, NULL, NONE, handles, sources, prefetch_note,
                                    NULL, &ticket),
                 0);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(prefetched, 1);
    cr_assert_eq(prefetch_error, 0);
    for (uint32_t at = 0; at < 6; at++) {
        bool held = at < 2 || at == 3;

        cr_assert_eq(sources[at], held ? CUPOOL_KV_LOADED : CUPOOL_KV_COMPUTE, "%u", at);
        cr_assert(!held || is_filled(handles[at], 1 + at));
    }
    give(handles, 6);
}

/* Two threads and a store that others share, as a server is. */
Test(tiers, a_prefetch_asks_a_store_for_whole_batches, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(8u << 20, true);
    struct cupool_kv_hash hashes[20];
    cupool_kv_handle handles[20];
    cupool_kv_ticket ticket;
    uint8_t sources[20];

    config.threads = 2;
    config.batch = 8;
    tiers_make(&config, &tier, 1);
    cr_assert_not_null(pool->lower.load_many, "the pool hands blocks over at once");
    away(1, 20);
    for (uint32_t at = 0; at < 20; at++)
        hashes[at] = hash_of(1 + at);
    for (uint32_t round = 0; round < 20; round++) {
        shelf.gets = 0;
        cr_assert_eq(cupool_kv_prefetch(pool, hashes, 20, NULL, NONE, handles, sources,
                                        prefetch_note, NULL, &ticket),
                     0);
        cr_assert_eq(cupool_tiers_drain(tiers), 0);
        cr_assert_eq(sources[19], CUPOOL_KV_LOADED);
        cr_assert_eq(shelf.gets, 3, "20 blocks in batches of 8: %u calls", shelf.gets);
        cr_assert_eq(cupool_kv_release(pool, handles, 20, NONE), 0);
        cr_assert_eq(cupool_kv_trim(pool, 0, NULL), 0);
    }
}

Test(tiers, a_prefetch_cancelled_while_it_loads_gives_everything_back, .init = setup,
     .fini = teardown)
{
    struct cupool_kv_hash hashes[4];
    cupool_kv_handle handles[4], all[BLOCKS];
    uint8_t sources[4];
    cupool_kv_ticket ticket;

    shelf_of(1 << 20, false);
    away(1, 4);
    for (uint32_t at = 0; at < 4; at++)
        hashes[at] = hash_of(1 + at);
    shelf.get_held = true;
    cr_assert_eq(cupool_kv_prefetch(pool, hashes, 4, NULL, NONE, handles, sources, prefetch_note,
                                    NULL, &ticket),
                 0);
    shelf_await();
    cr_assert_eq(cupool_kv_cancel(pool, ticket), 0);
    cr_assert_eq(prefetched, 0, "the loads own their blocks until they end");
    shelf_hold(&shelf.get_held, false);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(prefetched, 1);
    cr_assert_eq(prefetch_error, -ECANCELED);
    cr_assert_eq(cupool_kv_allocate(pool, BLOCKS, NONE, all), 0);
    give(all, BLOCKS);
    cr_assert_eq(tier_stats(0).pinned, 0);
    cr_assert_eq(back(1, 4), 4);
}

/* Damage */

static void spoil(uint64_t number, size_t at, uint8_t bit)
{
    struct cupool_kv_hash hash = hash_of(number);
    struct cupool_tier_item *entry = shelf_find(&hash);

    cr_assert(entry);
    ((uint8_t *)entry->data)[at] ^= bit;
}

Test(tiers, a_damaged_entry_is_refused_with_the_reason_and_the_next_tier_asked, .init = setup,
     .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier two[] = {shelf_tier(1 << 20, false), host_tier(8u << 20)};
    struct cupool_kv_hash hash = hash_of(4), third = hash_of(3);

    tiers_make(&config, two, 2);
    away(1, 4);
    spoil(1, 300, 1);
    spoil(2, 10, 1);
    shelf_find(&third)->bytes -= 8;
    cr_assert_eq(back(1, 4), 4, "from the second tier");
    cr_assert_eq(tier_stats(0).corrupt, 3);
    cr_assert_eq(tier_stats(0).loaded, 1);
    cr_assert_eq(tier_stats(1).loaded, 3);
    cr_assert_eq(cupool_kv_trim(pool, 0, NULL), 0);
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    cr_assert_eq(tier_stats(0).entries, 4, "what was damaged came back from below");
    cr_assert_eq(back(1, 4), 4);
    cr_assert_eq(tier_stats(1).loaded, 3);
    /* Without a second tier it is computed. */
    cr_assert_eq(cupool_kv_trim(pool, 0, NULL), 0);
    cr_assert_eq(cupool_tiers_forget(tiers, &hash, 1), 0);
    cr_assert_eq(back(1, 4), 3);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_SHORT);
}

Test(tiers, entries_of_another_key_are_not_served, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash one = hash_of(1), two = hash_of(2);

    shelf_of(1 << 20, true);
    away(1, 2);
    /* A store that answers with what belongs to another key. */
    struct cupool_tier_item *first = shelf_find(&one), *second = shelf_find(&two);
    first->key = two;
    second->key = one;
    cr_assert_eq(back(1, 2), 0);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_OTHER_KEY);
}

Test(tiers, a_tier_that_cannot_be_reached_is_passed_over, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier two[] = {shelf_tier(1 << 20, true), host_tier(8u << 20)};

    tiers_make(&config, two, 2);
    shelf.away = -EHOSTUNREACH;
    away(1, 4);
    cr_assert_eq(back(1, 4), 4);
    cr_assert_eq(tier_stats(0).unavailable, 8);
    cr_assert_eq(tier_stats(1).loaded, 4);
    shelf.away = 0;
    away(11, 4);
    cr_assert_eq(tier_stats(0).stored, 4);
}

Test(tiers, what_one_tier_has_is_stored_whatever_the_others_say, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier two[] = {shelf_tier(1 << 20, false), host_tier(8u << 20)};
    cupool_kv_handle handles[2];
    uint32_t stored;

    tiers_make(&config, two, 2);
    shelf.put_error = -EIO;
    make(1, 2, handles);
    cr_assert_eq(offload(handles, 2, &stored), 0);
    cr_assert_eq(stored, 2);
    cr_assert_eq(offload(handles, 2, &stored), 0, "the second has it still, and the first fails");
    cr_assert_eq(stored, 2);
    cr_assert_eq(tier_stats(0).failures, 4);
    shelf.put_error = 0;
    cr_assert_eq(offload(handles, 2, &stored), 0);
    cr_assert_eq(tier_stats(0).entries, 2);
    cr_assert_eq(tier_stats(1).stored, 2);
    give(handles, 2);
}

/* Threads */

static atomic_uint wrong;

static void *worker(void *state)
{
    struct ended *ended = state;
    uint64_t drawn = (ended->ticket + 1) * UINT64_C(0x9e3779b97f4a7c15);

    for (unsigned round = 0; round < 150; round++) {
        drawn = random_lcg(drawn);
        uint64_t first = 1 + 3 * ((drawn >> 33) % 30);
        struct cupool_kv_hash hashes[3];
        cupool_kv_handle handles[3];
        cupool_kv_ticket ticket;
        uint32_t matched;
        for (uint32_t at = 0; at < 3; at++)
            hashes[at] = hash_of(first + at);
        if (cupool_tiers_match(tiers, hashes, 3, NONE, handles, NULL, &matched) < 0)
            continue;
        if (matched < 3 && cupool_kv_allocate(pool, 3 - matched, NONE, handles + matched) == 0) {
            for (uint32_t at = matched; at < 3; at++)
                fill(handles[at], first + at);
            cupool_kv_complete(pool, handles + matched, 3 - matched);
            cupool_kv_register(pool, handles + matched, hashes + matched, 3 - matched,
                               matched > 0 ? &hashes[matched - 1] : NULL, CUPOOL_KV_ANSWER_FIRST,
                               NONE, handles + matched);
            matched = 3;
            cupool_tiers_offload(tiers, handles, 3, NONE, note, state, &ticket);
        }
        for (uint32_t at = 0; at < matched; at++)
            wrong += !is_filled(handles[at], first + at);
        cupool_kv_release(pool, handles, matched, NONE);
        if (round % 8 == 0)
            cupool_tiers_drain(tiers);
    }
    return NULL;
}

Test(tiers, many_threads_meet_the_right_content, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier two[] = {shelf_tier(16512 * 12, false), host_tier(2u << 20)};
    static struct ended ended[4];
    pthread_t threads[4];

    config.codec = CUPOOL_CODEC_LOSSLESS;
    config.queue = 32;
    tiers_make(&config, two, 2);
    for (unsigned at = 0; at < 4; at++) {
        pthread_mutex_init(&ended[at].lock, NULL);
        ended[at].ticket = at; /* the seed */
        pthread_create(&threads[at], NULL, worker, &ended[at]);
    }
    for (unsigned at = 0; at < 4; at++)
        pthread_join(threads[at], NULL);
    cr_assert_eq(wrong, 0);
    cr_assert(tier_stats(0).evictions > 0);
    cr_assert(tiers_stats().loaded > 0);
}

Test(tiers, destroyed_with_work_under_way_nothing_is_left, .init = setup)
{
    cupool_kv_handle handles[20], all[BLOCKS];
    struct ended ended = {.lock = PTHREAD_MUTEX_INITIALIZER};
    cupool_kv_ticket ticket;

    for (unsigned round = 0; round < 20; round++) {
        host_of(CUPOOL_CODEC_RICE);
        make(1, 20, handles);
        cr_assert_eq(cupool_tiers_offload(tiers, handles, 20, NONE, note, &ended, &ticket), 0);
        give(handles, 20);
        cupool_tiers_destroy(tiers);
        tiers = NULL;
        cr_assert_eq(ended.calls, round + 1, "its end was told");
        cr_assert_eq(cupool_kv_allocate(pool, BLOCKS, NONE, all), 0);
        give(all, BLOCKS);
    }
    check();
    cupool_kv_destroy(pool);
    cupool_device_close(device);
}

Test(tiers, in_a_child_everything_is_refused, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[1];
    int status;

    host_of(CUPOOL_TIER_PLAIN);
    make(1, 1, handles);
    pid_t child = fork();
    if (child == 0) {
        uint8_t found;
        struct cupool_kv_hash hash = hash_of(1);
        cupool_kv_ticket ticket;
        bool right = cupool_tiers_lookup(tiers, &hash, 1, &found) == -ECHILD &&
                     cupool_tiers_offload(tiers, handles, 1, NONE, NULL, NULL, &ticket) ==
                         -ECHILD &&
                     cupool_tiers_drain(tiers) == -ECHILD;

        cupool_tiers_destroy(tiers);
        _exit(right ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    give(handles, 1);
    cr_assert_eq(back(1, 1), 1);
}

Test(tiers, what_does_not_fit_the_pool_is_refused, .fini = teardown)
{
    struct cupool_kv_config config = config_of(4);
    struct cupool_tiers_config below = tiers_config();
    struct cupool_tier tier = shelf_tier(1 << 20, false);

    config.layers = 0;
    pool_make(&config);
    cr_assert_eq(cupool_tiers_create(device, pool, &below, &tier, 1, &tiers), -EINVAL);
    cupool_kv_destroy(pool);
    cupool_device_close(device);
    config = config_of(4);
    config.value_type = CUPOOL_KV_I8;
    pool_make(&config);
    below.codec = CUPOOL_CODEC_INT8;
    cr_assert_eq(cupool_tiers_create(device, pool, &below, &tier, 1, &tiers), -ENOTSUP);
    below.codec = CUPOOL_TIER_PLAIN;
    cr_assert_eq(cupool_tiers_create(device, pool, &below, &tier, 5, &tiers), -EINVAL);
    tier.bytes = 0;
    cr_assert_eq(cupool_tiers_create(device, pool, &below, &tier, 1, &tiers), -EINVAL);
}

Test(tiers, events_tell_what_each_tier_has, .init = setup, .fini = teardown)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = shelf_tier(2 * 16512, false);
    struct cupool_kv_event events[8];
    struct cupool_kv_hash hashes[16], expected = hash_of(1);
    uint32_t count;
    uint64_t dropped;

    config.events = 8;
    config.threads = 1;
    config.batch = 1;
    tiers_make(&config, &tier, 1);
    away(1, 2);
    away(3, 1);
    cr_assert_eq(cupool_tiers_events_poll(tiers, 0, events, 8, hashes, 16, &count, &dropped), 0);
    cr_assert_eq(count, 4);
    cr_assert_eq(events[0].kind, CUPOOL_KV_STORED);
    cr_assert_eq(events[0].tier, 1);
    cr_assert_eq(events[2].kind, CUPOOL_KV_REMOVED);
    cr_assert_eq(memcmp(&hashes[events[2].first], &expected, sizeof(expected)), 0);
    cr_assert_eq(events[3].kind, CUPOOL_KV_STORED);
    cr_assert_eq(dropped, 0);
    cr_assert_eq(cupool_tiers_events_poll(tiers, 1, events, 8, hashes, 16, &count, NULL), -EINVAL);
}
