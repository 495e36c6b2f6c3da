/* SPDX-License-Identifier: MIT */
/*
 * Eight threads that allocate, register, match, evict and release on one pool. Each block that a
 * thread holds alone carries its mark; another's mark would be an over-commitment. A ninth thread
 * looks at the figures and checks.
 */
#include "include/cupool/sequence.h"
#include "tests/random.h"
#include "tests/unit/kv/fixture.h"

#include <pthread.h>

#define THREADS 8
#define ROUNDS  4000
#define BLOCKS  256u

static _Atomic uint32_t owners[BLOCKS + 1];
static atomic_uint done;

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = random_xorshift(*state);
    return (uint32_t)(*state >> 20) % below;
}

static void own(const cupool_kv_handle *handles, uint32_t count, uint32_t from, uint32_t to)
{
    for (uint32_t at = 0; at < count; at++) {
        uint32_t expected = from;

        cr_assert(atomic_compare_exchange_strong(&owners[cupool_kv_id(handles[at])], &expected, to),
                  "block %u belongs to %u", cupool_kv_id(handles[at]), expected);
    }
}

static void round_run(uint32_t self, uint64_t *random)
{
    cupool_kv_handle handles[16], matched_handles[16];
    struct cupool_kv_hash hashes[16];
    uint32_t count = 1 + draw(random, 16), matched, first = draw(random, 600);

    for (uint32_t at = 0; at < 16; at++)
        hashes[at] = hash_number(first + at);
    cr_assert_eq(cupool_kv_match(pool, hashes, count, matched_handles, &matched), 0);
    if (cupool_kv_allocate(pool, count - matched, NONE, handles) == 0) {
        uint32_t fresh = count - matched;

        own(handles, fresh, 0, self);
        if (draw(random, 3) > 0) {
            cr_assert_eq(cupool_kv_complete(pool, handles, fresh), 0);
            own(handles, fresh, self, 0);
            cr_assert_eq(cupool_kv_register(pool, handles, hashes + matched, fresh, NULL,
                                            draw(random, 2), NONE, handles),
                         0);
        } else {
            own(handles, fresh, self, 0);
        }
        cr_assert_eq(cupool_kv_release(pool, handles, fresh, NONE), 0);
    }
    cr_assert_eq(cupool_kv_release(pool, matched_handles, matched, NONE), 0);
    if (draw(random, 50) == 0)
        cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 8, NULL), 0);
}

static void *thread_run(void *state)
{
    uint32_t self = (uint32_t)(uintptr_t)state;
    uint64_t random = self * UINT64_C(0x9e3779b97f4a7c15);

    for (unsigned round = 0; round < ROUNDS; round++)
        round_run(self, &random);
    atomic_fetch_add(&done, 1);
    return NULL;
}

static void *observer_run(void *state)
{
    while (atomic_load(&done) < THREADS) {
        check();
        struct cupool_kv_statistics stats = stats_now();
        cr_assert_eq(stats.total, BLOCKS);
        cr_assert_leq(stats.available, BLOCKS);
    }
    return NULL;
}

static void threads_run(struct cupool_kv_config config)
{
    pthread_t threads[THREADS], observer;

    config.blocks = BLOCKS;
    pool = pool_make(&config);
    atomic_store(&done, 0);
    for (uintptr_t at = 0; at < THREADS; at++)
        pthread_create(&threads[at], NULL, thread_run, (void *)(at + 1));
    pthread_create(&observer, NULL, observer_run, NULL);
    for (unsigned at = 0; at < THREADS; at++)
        pthread_join(threads[at], NULL);
    pthread_join(observer, NULL);
    struct cupool_kv_statistics stats = stats_now();
    cr_assert_eq(stats.available, BLOCKS, "%llu of %u blocks are there",
                 (unsigned long long)stats.available, BLOCKS);
    cr_assert_eq(stats.mutable_blocks + stats.complete + stats.active, 0);
    check();
}

Test(kv_threads, eight_threads_lose_and_overcommit_nothing, .fini = teardown)
{
    threads_run(config_ten());
}

Test(kv_threads, eight_threads_by_priority, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();

    config.policy = CUPOOL_KV_PRIORITY;
    config.events = 64;
    threads_run(config);
}

static atomic_uint served;

static void served_note(void *state, cupool_kv_ticket ticket, int error)
{
    cr_assert_eq(error, 0);
    atomic_fetch_add(&served, 1);
}

static void *waiter_run(void *state)
{
    for (unsigned round = 0; round < 500; round++) {
        cupool_kv_handle handles[6];
        cupool_kv_ticket ticket;

        cr_assert_eq(cupool_kv_allocate_async(pool, 6, NONE, 0, handles, NULL, NULL, &ticket), 0);
        int error;
        while ((error = cupool_kv_ticket_result(pool, ticket)) == -EINPROGRESS)
            ;
        cr_assert_eq(error, 0);
        give(handles, 6);
    }
    return NULL;
}

Test(kv_threads, waiters_are_all_served, .init = setup, .fini = teardown)
{
    pthread_t threads[4];

    for (unsigned at = 0; at < 4; at++)
        pthread_create(&threads[at], NULL, waiter_run, NULL);
    for (unsigned at = 0; at < 4; at++)
        pthread_join(threads[at], NULL);
    cr_assert_eq(stats_now().free, 10);
    cupool_kv_handle handles[10];
    cupool_kv_ticket ticket;
    cr_assert_eq(cupool_kv_allocate_async(pool, 10, NONE, 0, handles, served_note, NULL, &ticket),
                 0);
    cr_assert_eq(atomic_load(&served), 1);
    give(handles, 10);
}

/** Takes all or nothing with fronts in use from the start. */
static void *taker_run(void *state)
{
    uint32_t self = (uint32_t)(uintptr_t)state;
    uint64_t random = self * UINT64_C(0x9e3779b97f4a7c15);

    for (unsigned round = 0; round < 20000; round++) {
        cupool_kv_handle handles[64];
        uint32_t count = 1 + draw(&random, draw(&random, 50) == 0 ? 64 : 8);

        if (cupool_kv_allocate(pool, count, NONE, handles) < 0)
            continue;
        own(handles, count, 0, self);
        own(handles, count, self, 0);
        if (draw(&random, 8) == 0)
            cr_assert_eq(cupool_kv_complete(pool, handles, count), 0);
        cr_assert_eq(cupool_kv_release(pool, handles, count, NONE), 0);
    }
    atomic_fetch_add(&done, 1);
    return NULL;
}

Test(kv_threads, fronts_lose_and_overcommit_nothing, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    pthread_t threads[THREADS], observer;
    cupool_kv_handle all[BLOCKS];

    config.blocks = BLOCKS;
    pool = pool_make(&config);
    atomic_store(&pool->fronts_on, true);
    atomic_store(&done, 0);
    for (uintptr_t at = 0; at < THREADS; at++)
        pthread_create(&threads[at], NULL, taker_run, (void *)(at + 1));
    pthread_create(&observer, NULL, observer_run, NULL);
    for (unsigned at = 0; at < THREADS; at++)
        pthread_join(threads[at], NULL);
    pthread_join(observer, NULL);
    cr_assert_eq(stats_now().free, BLOCKS);
    take(BLOCKS, all);
    give(all, BLOCKS);
}

Test(kv_threads, blocks_in_fronts_are_found_by_everybody, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], late[4];
    cupool_kv_ticket ticket;

    atomic_store(&pool->fronts_on, true);
    take(10, handles);
    give(handles, 6);
    cr_assert_lt(pool->stack_count, 6, "some are in a front");
    cr_assert_eq(stats_now().free, 6);
    take(1, handles);
    give(handles, 1);
    take(6, handles);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, late), -ENOMEM);
    give(handles, 6);
    cr_assert_eq(cupool_kv_allocate_async(pool, 4, NONE, 0, late, NULL, NULL, &ticket), 0);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), 0, "a waiter finds them");
    cr_assert_eq(cupool_kv_resize(pool, 8, NULL), 0);
    check();
    cr_assert_eq(cupool_kv_pressure(pool, NULL, NULL, NULL), 0);
    cr_assert_not(atomic_load(&pool->fronts_on));
    give(late, 4);
    give(handles + 6, 4);
    cr_assert_eq(stats_now().free, 8);
}

/* With fronts, in use from the start. */
static void setup_fronts(void)
{
    struct cupool_kv_config config = config_ten();

    config.blocks = BLOCKS;
    pool = pool_make(&config);
    atomic_store(&pool->fronts_on, true);
}

/* One thread, so the blocks in use are known, whatever processor it runs on. */
Test(kv_fronts, the_peak_is_what_was_in_use_at_most, .init = setup_fronts, .fini = teardown)
{
    cupool_kv_handle held[BLOCKS], cached[8];
    uint64_t random = 88172645463325252u;
    uint32_t count = 0, peak = 0;

    take(8, cached);
    enter(cached, 8, 0);
    give(cached, 8);
    peak = 8;
    for (unsigned round = 0; round < 20000; round++) {
        /* Below a rising ceiling, so the peak is exceeded again and again. */
        uint32_t want = 1 + draw(&random, 12), ceiling = 16 + round / 100;

        if (draw(&random, 2) && count + want <= ceiling && count + want <= BLOCKS - 8) {
            take(want, held + count);
            count += want;
        } else {
            want = want < count ? want : count;
            count -= want;
            give(held + count, want);
        }
        peak = count > peak ? count : peak;
        if (draw(&random, 16) == 0) {
            cr_assert_eq(found(0, 8, cached), 8);
            peak = count + 8 > peak ? count + 8 : peak;
            give(cached, 8);
        }
        if (draw(&random, 64) == 0)
            cr_assert_eq(stats_now().peak_used, peak, "round %u: %llu, not %u", round,
                         (unsigned long long)stats_now().peak_used, peak);
    }
    give(held, count);
    cr_assert_eq(stats_now().peak_used, peak);
}

static atomic_uint in_use, most_seen;

/* Counts only while the blocks are held, so it may miss some but never counts too many.
 */
static void *peak_run(void *state)
{
    uint64_t random = (uintptr_t)state * UINT64_C(0x9e3779b97f4a7c15);
    cupool_kv_handle handles[16];

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + draw(&random, 16);

        take(count, handles);
        uint32_t now = atomic_fetch_add(&in_use, count) + count, most = atomic_load(&most_seen);
        while (now > most && !atomic_compare_exchange_weak(&most_seen, &most, now))
            ;
        atomic_fetch_sub(&in_use, count);
        give(handles, count);
    }
    return NULL;
}

Test(kv_fronts, the_peak_of_eight_threads_is_between_what_they_saw_and_could_hold,
     .init = setup_fronts, .fini = teardown)
{
    pthread_t threads[THREADS];

    atomic_store(&in_use, 0);
    atomic_store(&most_seen, 0);
    for (uintptr_t at = 0; at < THREADS; at++)
        cr_assert_eq(pthread_create(&threads[at], NULL, peak_run, (void *)(at + 1)), 0);
    for (unsigned at = 0; at < THREADS; at++)
        pthread_join(threads[at], NULL);
    cr_assert_geq(stats_now().peak_used, atomic_load(&most_seen));
    cr_assert_leq(stats_now().peak_used, THREADS * 16);
}

/* A waiting request is served by the call that makes room: it counts, too. */
Test(kv_fronts, the_peak_counts_blocks_of_waiting_requests, .init = setup_fronts, .fini = teardown)
{
    cupool_kv_handle held[BLOCKS], late[40];
    cupool_kv_ticket ticket;

    take(BLOCKS - 30, held);
    cr_assert_eq(cupool_kv_allocate_async(pool, 40, NONE, 0, late, NULL, NULL, &ticket), 0);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), -EINPROGRESS);
    give(held, 10);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), 0);
    cr_assert_eq(stats_now().peak_used, BLOCKS);
    give(late, 40);
    give(held + 10, BLOCKS - 40);
}

/* Sequences of several threads, in one set. */

static struct cupool_sequences *set;

static void *sequences_run(void *state)
{
    int32_t tokens[70];

    for (int32_t at = 0; at < 70; at++)
        tokens[at] = at + (int32_t)(uintptr_t)state * 1000;
    for (unsigned round = 0; round < 500; round++) {
        cupool_sequence sequence;
        const int32_t *tables;
        uint32_t width;

        cr_assert_eq(cupool_sequence_create(set, NULL, CUPOOL_SEQUENCE_NO_CACHE, &sequence), 0);
        cr_assert_eq(cupool_sequence_append(set, sequence, tokens, 70, NONE), 0);
        cr_assert_eq(cupool_sequences_tables(set, 0, NONE, &tables, &width), 0);
        cr_assert_eq(cupool_sequence_slide(set, sequence, 40, NONE), 0);
        cr_assert_eq(cupool_sequence_truncate(set, sequence, 50, NONE), 0);
        cr_assert_eq(cupool_sequences_tables(set, 0, NONE, &tables, &width), 0);
        cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), 0);
    }
    atomic_fetch_add(&done, 1);
    return NULL;
}

Test(kv_threads, figures_and_tables_of_sequences_that_others_change, .init = setup_fronts,
     .fini = teardown)
{
    struct cupool_kv_member member = {pool, 0};
    struct cupool_sequences_statistics stats;
    struct cupool_sequences_config config;
    pthread_t threads[THREADS];

    cupool_sequences_config_init(&config);
    config.sequences = THREADS;
    config.max_tokens = 100;
    cr_assert_eq(cupool_sequences_create(&member, 1, &config, &set), 0);
    atomic_store(&done, 0);
    for (uintptr_t at = 0; at < THREADS; at++)
        cr_assert_eq(pthread_create(&threads[at], NULL, sequences_run, (void *)at), 0);
    while (atomic_load(&done) < THREADS) {
        cr_assert_eq(cupool_sequences_stats(set, &stats), 0);
        cr_assert(stats.blocks <= (uint64_t)THREADS * 5 && stats.tokens <= (uint64_t)THREADS * 70);
    }
    for (unsigned at = 0; at < THREADS; at++)
        pthread_join(threads[at], NULL);
    cupool_sequences_destroy(set);
}
