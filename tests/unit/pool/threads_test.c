/* SPDX-License-Identifier: MIT */
/*
 * Many threads on one pool, with a device that finishes late.
 *
 * Each 512 bytes of the address space have a word: 0 never used, LIVE, or the device's stamp at the
 * free. A block may only be handed out over a stamp that a completed fence has overtaken. The word
 * is written before pool_free and checked after pool_allocate, so a fence that failed to cover a
 * free (the race between closing an epoch and freeing) shows as a stamp not yet completed.
 */
#include "tests/random.h"
#include "tests/unit/harness.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/pool/fixture.h"

#define THREADS     8
#define GRAIN       512u
#define LIVE        UINT64_MAX
#define SPACE_BYTES ((uint64_t)8 << 30)
#define HELD_MAX    64

static _Atomic uint64_t *space;
static _Atomic unsigned violations;
static _Atomic bool stop;
static int operations = 20000;

struct worker {
    pthread_t thread;
    uint64_t seed;
    size_t bytes_max;
};

/* Blocks on their way from one thread to another. */
static _Atomic uint64_t mailbox[64];

static uint64_t random_next(uint64_t *state)
{
    *state = random_xorshift(*state);
    return *state;
}

static void grains_take(const struct pool_block *block)
{
    uint64_t completed = fake.completed;
    uint64_t first = (block->address - (UINT64_C(1) << 40)) / GRAIN;

    for (uint64_t grain = first; grain < first + block->allocated_bytes / GRAIN; grain++) {
        uint64_t before = atomic_exchange(&space[grain], LIVE);

        if (before == LIVE || (before != 0 && completed < before))
            atomic_fetch_add(&violations, 1);
    }
}

static void grains_give(uint64_t address, size_t bytes)
{
    uint64_t stamp = fake.stamp;
    uint64_t first = (address - (UINT64_C(1) << 40)) / GRAIN;

    for (uint64_t grain = first; grain < first + bytes / GRAIN; grain++)
        atomic_store(&space[grain], stamp + 1);
}

static void worker_free(uint64_t address)
{
    struct pool_block block;

    if (pool_find(address, &block, NULL) != 0 || !block.live || block.address != address) {
        atomic_fetch_add(&violations, 1);
        return;
    }
    grains_give(address, block.allocated_bytes);
    if (pool_free(address, 0, NULL) != 0)
        atomic_fetch_add(&violations, 1);
}

static size_t worker_size(struct worker *worker)
{
    uint64_t r = random_next(&worker->seed);

    if (r % 32 == 0)
        return 1 + (r >> 8) % (4 << 20);
    if (r % 8 == 0)
        return 1 + (r >> 8) % (200 << 10);
    return 1 + (r >> 8) % worker->bytes_max;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    uint64_t held[HELD_MAX];
    int count = 0;

    for (int operation = 0; operation < operations; operation++) {
        uint64_t r = random_next(&worker->seed);
        struct pool_block block;

        if (count < HELD_MAX && r % 2 == 0) {
            if (pool_allocate(pool, worker_size(worker), worker->seed, &block) != 0) {
                atomic_fetch_add(&violations, 1);
                continue;
            }
            grains_take(&block);
            held[count++] = block.address;
        } else if (count > 0 && r % 4 == 1) {
            uint64_t other = atomic_exchange(&mailbox[(r >> 8) % 64], held[--count]);

            if (other != 0)
                worker_free(other);
        } else if (count > 0) {
            worker_free(held[--count]);
        }
    }
    while (count > 0)
        worker_free(held[--count]);
    return NULL;
}

static void *meddler_main(void *argument)
{
    while (!atomic_load(&stop)) {
        char why[128];
        size_t returned;

        fake_complete(&fake);
        if (pool_check(pool, why, sizeof(why)) != 0) {
            fprintf(stderr, "%s\n", why);
            atomic_fetch_add(&violations, 1);
        }
        pool_trim(pool, 4 << 20, &returned);
        statistics();
    }
    return NULL;
}

static void stress(size_t bytes_max)
{
    struct worker workers[THREADS];
    pthread_t meddler;

    space = calloc(SPACE_BYTES / GRAIN, sizeof(*space));
    cr_assert_not_null(space);
    for (int index = 0; index < THREADS; index++) {
        workers[index] = (struct worker){.seed = 88172645463325252u + (unsigned)index * 7919,
                                         .bytes_max = bytes_max};
        pthread_create(&workers[index].thread, NULL, worker_main, &workers[index]);
    }
    pthread_create(&meddler, NULL, meddler_main, NULL);
    for (int index = 0; index < THREADS; index++)
        pthread_join(workers[index].thread, NULL);
    atomic_store(&stop, true);
    pthread_join(meddler, NULL);
    for (int slot = 0; slot < 64; slot++) {
        if (mailbox[slot] != 0)
            worker_free(mailbox[slot]);
    }
    cr_assert_eq(violations, 0, "%u violations", violations);
    cr_assert_eq(statistics().live_blocks.current, 0);
    cr_assert_eq(statistics().live_requested_bytes.current, 0);
    free(space);
}

Test(threads, all_sizes_late_fences, .init = setup, .fini = teardown)
{
    stress(32 << 10);
}

Test(threads, one_class, .init = setup, .fini = teardown)
{
    stress(512);
}

Test(threads, the_peak_of_a_pool_that_has_spread_is_nearly_exact, .init = setup, .fini = teardown)
{
    enum { BLOCKS = 200000, BYTES = 1000 }; /* more than stress() ever holds */
    static uint64_t blocks[BLOCKS];
    stress(512);
    uint64_t live = (uint64_t)BLOCKS * BYTES, slack = live / 256 + (16 << 14);
    for (int index = 0; index < BLOCKS; index++)
        blocks[index] = take(BYTES);
    for (int index = 0; index < BLOCKS; index++)
        give(blocks[index]);
    struct pool_statistics figures = statistics();
    cr_assert_eq(figures.live_requested_bytes.current, 0);
    cr_assert_geq(figures.live_requested_bytes.peak, live - slack);
    cr_assert_leq(figures.live_requested_bytes.peak, live + slack);
}

static void *replacer_main(void *argument)
{
    struct worker *worker = argument;

    enum { HELD = 1250 };
    uint64_t held[HELD] = {0};
    for (int operation = 0; operation < 200000; operation++) {
        uint64_t r = random_next(&worker->seed);
        uint64_t *slot = &held[r % HELD];

        if (*slot != 0)
            give(*slot);
        *slot = take(512 + (r >> 32) % worker->bytes_max);
    }
    for (int index = 0; index < HELD; index++)
        give(held[index]);
    return NULL;
}

static void replacers_run(void)
{
    struct worker workers[THREADS];

    fake.complete_at_once = true;
    for (int index = 0; index < THREADS; index++) {
        workers[index] = (struct worker){.seed = 88172645463325252u + (unsigned)index * 7919,
                                         .bytes_max = 3584};
        pthread_create(&workers[index].thread, NULL, replacer_main, &workers[index]);
    }
    for (int index = 0; index < THREADS; index++)
        pthread_join(workers[index].thread, NULL);
}

/* One thread's fence serves them all: those who found nothing at the same moment must not each grow
 * the pool after it. */
Test(threads, the_reserve_stays_near_its_ceiling, .init = setup, .fini = teardown)
{
    replacers_run();
    struct pool_statistics figures = statistics();
    uint64_t ceiling = figures.live_allocated_bytes.peak + (12 << 20);
    cr_assert_leq(figures.reserved_bytes.peak, ceiling + (4 << 20), "reserved %llu MiB of %llu MiB",
                  (unsigned long long)figures.reserved_bytes.peak >> 20,
                  (unsigned long long)ceiling >> 20);
}

/* Shards that would like room of their own must not ask a full device for it again and again. */
Test(threads, a_full_device_is_not_pestered, .init = setup, .fini = teardown)
{
    fake.capacity_bytes = 30 << 20;
    replacers_run();
    struct pool_statistics figures = statistics();
    uint64_t refused = figures.driver_calls - figures.segment_allocations - figures.segment_frees -
                       figures.fences - figures.fence_queries;
    cr_assert_leq(refused, figures.fences / 4, "%llu refused calls, %llu fences",
                  (unsigned long long)refused, (unsigned long long)figures.fences);
}

static void *emptier_main(void *argument)
{
    struct worker *worker = argument;

    for (int operation = 0; operation < 5000; operation++) {
        uint64_t r = random_next(&worker->seed);
        uint64_t one = take((1 << 20) + r % (1 << 20)), other = take(40000 + (r >> 32) % 60000);

        give(one);
        give(other);
    }
    return NULL;
}

/* Each free may be the last of a segment; its descriptor then serves another shard at once. */
Test(threads, segments_change_shards, .init = setup, .fini = teardown)
{
    struct worker workers[THREADS];

    fake.complete_at_once = true;
    for (int index = 0; index < THREADS; index++) {
        workers[index] = (struct worker){.seed = 88172645463325252u + (unsigned)index * 7919};
        pthread_create(&workers[index].thread, NULL, emptier_main, &workers[index]);
    }
    for (int index = 0; index < THREADS; index++)
        pthread_join(workers[index].thread, NULL);
    check_pool();
    cr_assert_eq(statistics().live_blocks.current, 0);
}

static void tight(struct pool_config *config)
{
    config->quarantine_max = 1 << 20;
}

Test(threads, fences_at_every_turn, .fini = teardown)
{
    setup_with(tight);
    fake.complete_at_once = true;
    stress(8 << 10);
}

static void synchronous(struct pool_config *config)
{
    config->reuse = POOL_REUSE_SYNC;
}

Test(threads, synchronous_reuse, .fini = teardown)
{
    operations = 3000;
    setup_with(synchronous);
    stress(32 << 10);
}

/* Two threads free the same block; exactly one succeeds. */
static uint64_t contested;
static _Atomic int successes;
static pthread_barrier_t barrier;

static void *contest_main(void *argument)
{
    for (int round = 0; round < 2000; round++) {
        pthread_barrier_wait(&barrier);
        if (pool_free(contested, 0, NULL) == 0)
            atomic_fetch_add(&successes, 1);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

Test(threads, a_double_free_succeeds_once, .init = setup, .fini = teardown)
{
    pthread_t threads[2];

    pthread_barrier_init(&barrier, NULL, 3);
    for (int index = 0; index < 2; index++)
        pthread_create(&threads[index], NULL, contest_main, NULL);
    static const size_t sizes[] = {512, 40000, 3 << 20};
    for (int round = 0; round < 2000; round++) {
        contested = take(sizes[round % 3]);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (int index = 0; index < 2; index++)
        pthread_join(threads[index], NULL);
    cr_assert_eq(successes, 2000);
    cr_assert_eq(statistics().invalid_frees, 2000);
}
