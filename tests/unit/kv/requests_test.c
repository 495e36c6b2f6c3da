/* SPDX-License-Identifier: MIT */
/*
 * Waiting requests, prefetches, and the state after ending either at any step; the pool in a
 * child after fork.
 */
#include "tests/unit/kv/fixture.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

struct ended {
    cupool_kv_ticket tickets[16];
    int errors[16];
    unsigned count;
};

static void note(void *state, cupool_kv_ticket ticket, int error)
{
    struct ended *ended = state;

    cr_assert(ended->count < 16);
    ended->tickets[ended->count] = ticket;
    ended->errors[ended->count++] = error;
    check();
}

Test(kv_requests, waiters_are_served_in_order, .init = setup, .fini = teardown)
{
    struct ended ended = {.count = 0};
    cupool_kv_handle all[10], first[6], second[2], other;
    cupool_kv_ticket one, two;

    take(10, all);
    cr_assert_eq(cupool_kv_allocate_async(pool, 11, NONE, 0, all, note, &ended, &one), -ENOMEM);
    cr_assert_eq(cupool_kv_allocate_async(pool, 6, NONE, 0, first, note, &ended, &one), 0);
    cr_assert_eq(cupool_kv_allocate_async(pool, 2, NONE, 0, second, note, &ended, &two), 0);
    give(all, 4);
    cr_assert_eq(ended.count, 0, "the first needs six; the second may not overtake");
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &other), -EAGAIN, "nor may anybody else");
    give(all + 4, 5);
    cr_assert_eq(ended.count, 2);
    cr_assert_eq(ended.tickets[0], one);
    cr_assert_eq(ended.tickets[1], two);
    cr_assert_eq(stats_now().waits, 2);
    give(first, 6);
    give(second, 2);
    give(all + 9, 1);
}

Test(kv_requests, a_pool_that_shrinks_ends_what_it_can_never_serve, .init = setup, .fini = teardown)
{
    struct ended ended = {.count = 0};
    cupool_kv_handle all[10], first[6], second[2], other;
    cupool_kv_ticket one, two;

    take(10, all);
    cr_assert_eq(cupool_kv_allocate_async(pool, 6, NONE, 0, first, note, &ended, &one), 0);
    cr_assert_eq(cupool_kv_allocate_async(pool, 2, NONE, 0, second, note, &ended, &two), 0);
    cr_assert_eq(cupool_kv_resize(pool, 4, NULL), 0);
    cr_assert_eq(ended.count, 1);
    cr_assert_eq(ended.tickets[0], one);
    cr_assert_eq(ended.errors[0], -ENOMEM);
    give(all, 10);
    cr_assert_eq(ended.count, 2);
    cr_assert_eq(ended.errors[1], 0);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &other), 0);
    give(&other, 1);
    give(second, 2);
}

Test(kv_requests, deadlines_and_cancellation, .init = setup, .fini = teardown)
{
    struct ended ended = {.count = 0};
    cupool_kv_handle all[10], late[5], never[5];
    cupool_kv_ticket one, two;

    take(10, all);
    cr_assert_eq(cupool_kv_allocate_async(pool, 5, NONE, 1000, late, note, &ended, &one), 0);
    cr_assert_eq(cupool_kv_allocate_async(pool, 5, NONE, 0, never, note, &ended, &two), 0);
    cr_assert_eq(cupool_kv_poll(pool), 0);
    fake.clock_ns = 1000;
    cr_assert_eq(cupool_kv_poll(pool), 1);
    cr_assert_eq(ended.errors[0], -ETIMEDOUT);
    cr_assert_eq(cupool_kv_cancel(pool, one), -ESTALE);
    cr_assert_eq(cupool_kv_cancel(pool, two), 0);
    cr_assert_eq(ended.errors[1], -ECANCELED);
    cr_assert_eq(cupool_kv_cancel(pool, two), -ESTALE);
    give(all, 10);
    cr_assert_eq(ended.count, 2);
    cr_assert_eq(stats_now().free, 10);
}

Test(kv_requests, a_descriptor_and_a_result_instead_of_a_callback, .init = setup, .fini = teardown)
{
    cupool_kv_handle all[10], got[3];
    cupool_kv_ticket ticket, other;
    struct pollfd descriptor = {.events = POLLIN};

    cr_assert_eq(cupool_kv_event_fd(pool, &descriptor.fd), 0);
    take(10, all);
    cr_assert_eq(cupool_kv_allocate_async(pool, 3, NONE, 0, got, NULL, NULL, &ticket), 0);
    cr_assert_eq(poll(&descriptor, 1, 0), 0);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), -EINPROGRESS);
    give(all, 10);
    cr_assert_eq(poll(&descriptor, 1, 0), 1);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), 0);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), -ESTALE);
    give(got, 3);
    /* Ended, and given up before anybody asked: the blocks come back. */
    cr_assert_eq(cupool_kv_allocate_async(pool, 3, NONE, 0, got, NULL, NULL, &other), 0);
    cr_assert_eq(cupool_kv_cancel(pool, other), 0);
    cr_assert_eq(stats_now().free, 10);
}

Test(kv_requests, more_than_there_is_room_for, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct ended ended = {.count = 0};
    cupool_kv_handle all[10], got[3];
    cupool_kv_ticket ticket;

    config.requests = 2;
    pool = pool_make(&config);
    take(10, all);
    for (unsigned at = 0; at < 2; at++)
        cr_assert_eq(cupool_kv_allocate_async(pool, 1, NONE, 0, got + at, note, &ended, &ticket),
                     0);
    cr_assert_eq(cupool_kv_allocate_async(pool, 1, NONE, 0, got + 2, note, &ended, &ticket),
                 -ENOBUFS);
    cupool_kv_destroy(pool);
    pool = NULL;
    cr_assert_eq(ended.count, 2, "a pool that ends tells those who wait");
    cr_assert_eq(ended.errors[1], -ECANCELED);
}

Test(kv_requests, a_waiter_behind_device_work_is_served_by_a_poll, .init = setup, .fini = teardown)
{
    struct ended ended = {.count = 0};
    cupool_kv_handle all[10], got[2];
    cupool_kv_ticket ticket;

    take(10, all);
    cr_assert_eq(cupool_kv_release(pool, all, 10, FAKE_STREAM(1)), 0);
    cr_assert_eq(cupool_kv_allocate_async(pool, 2, NONE, 0, got, note, &ended, &ticket), 0);
    cr_assert_eq(cupool_kv_poll(pool), 0);
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_kv_poll(pool), 1);
    cr_assert_eq(ended.errors[0], 0);
    give(got, 2);
}

/** A lower tier that holds hashes 2, 3, 5 and 6 and loads when the test says so. */
struct tier {
    struct load {
        cupool_kv_ticket ticket;
        uint32_t index;
    } loads[8];
    unsigned count, refuse_from, calls;
    bool at_once;
};

static int tier_lookup(void *state, const struct cupool_kv_hash *hashes, uint32_t count,
                       uint8_t *ret_found)
{
    for (uint32_t at = 0; at < count; at++) {
        uint64_t number;

        memcpy(&number, hashes[at].bytes, sizeof(number));
        ret_found[at] = number == 2 || number == 3 || number == 5 || number == 6;
    }
    return 0;
}

static int tier_load(void *state, const struct cupool_kv_hash *hash, cupool_kv_handle handle,
                     cupool_kv_ticket ticket, uint32_t index, cupool_stream stream)
{
    struct tier *tier = state;

    if (tier->refuse_from != 0 && tier->count + 1 >= tier->refuse_from)
        return -EIO;
    tier->loads[tier->count++] = (struct load){ticket, index};
    if (tier->at_once)
        cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, index, 0), 0);
    return 0;
}

static void tier_use(struct tier *tier)
{
    struct cupool_kv_lower lower = {.state = tier, .lookup = tier_lookup, .load = tier_load};

    cr_assert_eq(cupool_kv_set_lower(pool, &lower), 0);
}

/* The same loads, those of a look-up at once. */
static uint32_t tier_load_many(void *state, const struct cupool_kv_load *loads, uint32_t count,
                               cupool_kv_ticket ticket, cupool_stream stream)
{
    struct tier *tier = state;

    tier->calls++;
    for (uint32_t at = 0; at < count; at++)
        if (tier_load(tier, &loads[at].hash, loads[at].handle, ticket, loads[at].index, stream) < 0)
            return at;
    return count;
}

static void tier_use_many(struct tier *tier)
{
    struct cupool_kv_lower lower = {
        .state = tier, .lookup = tier_lookup, .load = tier_load, .load_many = tier_load_many};

    cr_assert_eq(cupool_kv_set_lower(pool, &lower), 0);
}

/* Blocks 0 and 1 are here, 2, 3, 5, 6 below, 4 and 7 nowhere. */
static int prefetch_start(struct ended *ended, cupool_kv_handle *handles, uint8_t *sources,
                          cupool_kv_ticket *ret_ticket)
{
    static struct cupool_kv_hash hashes[8];
    cupool_kv_handle here[2];

    hashes_number(hashes, 0, 8);
    take(2, here);
    enter(here, 2, 0);
    give(here, 2);
    return cupool_kv_prefetch(pool, hashes, 8, NULL, NONE, handles, sources, note, ended,
                              ret_ticket);
}

Test(kv_requests, a_prefetch_loads_and_reserves, .init = setup, .fini = teardown)
{
    struct ended ended = {.count = 0};
    struct tier tier = {.count = 0};
    cupool_kv_handle handles[8];
    cupool_kv_ticket ticket;
    uint8_t sources[8];
    static const uint8_t right[8] = {0, 0, 1, 1, 2, 1, 2, 2};

    tier_use(&tier);
    cr_assert_eq(prefetch_start(&ended, handles, sources, &ticket), 0);
    cr_assert_eq(tier.count, 4);
    cr_assert_eq(ended.count, 0);
    cr_assert_eq(sources[2], CUPOOL_KV_LOADING);
    for (unsigned at = 0; at < 3; at++)
        cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, tier.loads[at].index, 0), 0);
    cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, tier.loads[0].index, 0), -ESTALE);
    cr_assert_eq(ended.count, 0);
    cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, tier.loads[3].index, -EIO), 0);
    cr_assert_eq(ended.count, 1);
    cr_assert_eq(ended.errors[0], 0);
    for (unsigned at = 0; at < 8; at++)
        cr_assert_eq(sources[at], right[at], "block %u: %d", at, sources[at]);
    cr_assert_eq(seen(0, 8), 4, "what was loaded can be matched");
    give(handles, 8);
    cr_assert_eq(stats_now().available, 10);
}

/* The threads that load cannot wait for the caller's own stream, so it must not wait for them. */
Test(kv_requests, a_prefetch_takes_no_block_in_use_for_the_stream_of_each_thread, .init = setup,
     .fini = teardown)
{
    struct ended ended = {.count = 0};
    struct tier tier = {.count = 0};
    struct cupool_kv_hash hashes[2];
    cupool_kv_handle all[10], handles[2];
    cupool_kv_ticket ticket;
    uint8_t sources[2];

    tier_use(&tier);
    hashes_number(hashes, 2, 2);
    take(10, all);
    cr_assert_eq(cupool_kv_release(pool, all, 2, FAKE_STREAM(1)), 0);
    cr_assert_eq(cupool_kv_prefetch(pool, hashes, 2, NULL, CUPOOL_STREAM_PER_THREAD, handles,
                                    sources, note, &ended, &ticket),
                 -EAGAIN, "kernels of stream 1 may read the blocks still");
    cr_assert_eq(tier.count, 0);
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_kv_prefetch(pool, hashes, 2, NULL, CUPOOL_STREAM_PER_THREAD, handles,
                                    sources, note, &ended, &ticket),
                 0);
    cr_assert_eq(tier.count, 2);
    for (unsigned at = 0; at < 2; at++)
        cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, tier.loads[at].index, 0), 0);
    cr_assert_eq(ended.count, 1);
    give(handles, 2);
    give(all + 2, 8);
}

/* A load that ends while its prefetch is cancelled: the thread that ends it is held where it is
 * about to register the block, and goes on when the other one is about to release it. */
static struct {
    struct cupool_kv *pool;
    cupool_kv_ticket ticket;
    pthread_t thread;
    int (*record)(void *state, kv_stream stream, uint64_t *ret_fence);
    _Atomic bool there, go, joined;
} ending;

static void ending_join(void)
{
    atomic_store(&ending.go, true);
    if (!atomic_exchange(&ending.joined, true))
        pthread_join(ending.thread, NULL);
}

static int ending_record(void *state, kv_stream stream, uint64_t *ret_fence)
{
    if (pthread_equal(pthread_self(), ending.thread)) {
        atomic_store(&ending.there, true);
        while (!atomic_load(&ending.go))
            sched_yield();
    } else if (atomic_load(&ending.there)) {
        ending_join();
    }
    return ending.record(state, stream, ret_fence);
}

static void *ending_run(void *state)
{
    cr_assert_eq(cupool_kv_prefetch_loaded(ending.pool, ending.ticket, 0, 0), 0);
    return NULL;
}

Test(kv_requests, a_load_that_ends_while_it_is_cancelled_leaks_nothing, .init = setup,
     .fini = teardown)
{
    struct ended ended = {.count = 0};
    struct tier tier = {.count = 0};
    struct cupool_kv_hash hash;
    cupool_kv_handle older, handle;
    struct cupool_kv_block block;
    uint8_t source;

    tier_use(&tier);
    hashes_number(&hash, 2, 1);
    cr_assert_eq(cupool_kv_prefetch(pool, &hash, 1, NULL, FAKE_STREAM(3), &handle, &source, note,
                                    &ended, &ending.ticket),
                 0);
    cr_assert_eq(tier.count, 1);
    take(1, &older);
    enter(&older, 1, 2);
    ending.pool = pool;
    ending.record = pool->backend.fence_record;
    pool->backend.fence_record = ending_record;
    cr_assert_eq(pthread_create(&ending.thread, NULL, ending_run, NULL), 0);
    while (!atomic_load(&ending.there))
        sched_yield();
    cr_assert_eq(cupool_kv_cancel(pool, ending.ticket), 0);
    ending_join();
    cr_assert_eq(ended.count, 1);
    cr_assert_eq(ended.errors[0], -ECANCELED);
    cr_assert_eq(handle, 0, "it was given back");
    cr_assert_eq(cupool_kv_describe(pool, older, &block), 0);
    cr_assert_eq(block.references, 1);
    give(&older, 1);
    fake_pass(&fake, 3);
}

Test(kv_requests, a_prefetch_ended_at_any_step_leaks_nothing, .init = setup, .fini = teardown)
{
    for (unsigned variant = 0; variant < 4; variant++) {
        for (unsigned step = 0; step <= 4; step++) {
            struct ended ended = {.count = 0};
            struct tier tier = {.count = 0, .refuse_from = variant % 2 * 3};
            cupool_kv_handle handles[8];
            cupool_kv_ticket ticket;
            uint8_t sources[8];

            (variant < 2 ? tier_use : tier_use_many)(&tier);
            cr_assert_eq(prefetch_start(&ended, handles, sources, &ticket), 0);
            cr_assert_eq(tier.calls, variant < 2 ? 0 : 1, "one call for all that were found");
            unsigned loaded = 0;
            for (; loaded < step && loaded < tier.count; loaded++)
                cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, tier.loads[loaded].index, 0),
                             0);
            int error = cupool_kv_cancel(pool, ticket);
            check();
            if (ended.count == 1 && error == -ESTALE) {
                give(handles, 8); /* it was through before */
            } else {
                cr_assert_eq(error, 0);
                cr_assert_eq(stats_now().available, 10 - (tier.count - loaded),
                             "a load owns its block until it ends");
                for (; loaded < tier.count; loaded++)
                    cr_assert_eq(
                        cupool_kv_prefetch_loaded(pool, ticket, tier.loads[loaded].index, 0), 0);
                cr_assert_eq(ended.errors[0], -ECANCELED);
            }
            cr_assert_eq(ended.count, 1);
            cr_assert_eq(stats_now().available, 10, "variant %u, step %u", variant, step);
            cr_assert_eq(cupool_kv_reset(pool, NULL), 0);
        }
    }
}

Test(kv_requests, a_prefetch_on_a_captured_stream_loses_no_block, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct tier tier = {.count = 0};
    struct ended ended = {.count = 0};
    struct cupool_kv_hash hashes[8];
    cupool_kv_handle handles[8];
    cupool_kv_ticket ticket, second;
    uint8_t sources[8];

    config.requests = 1;
    pool = pool_make(&config);
    tier_use(&tier);
    hashes_number(hashes, 0, 8);
    cr_assert_eq(cupool_kv_prefetch(pool, hashes, 4, NULL, FAKE_STREAM(5), handles, sources, note,
                                    &ended, &ticket),
                 0);
    /* No slot for another. */
    fake.captured = 5;
    cr_assert_eq(cupool_kv_prefetch(pool, hashes + 4, 4, NULL, FAKE_STREAM(5), handles + 4,
                                    sources + 4, note, &ended, &second),
                 -ENOBUFS);
    cr_assert_eq(stats_now().available, 6);
    cr_assert_eq(cupool_kv_cancel(pool, ticket), -EBUSY);
    cr_assert_eq(stats_now().available, 6, "nothing changed");
    fake.captured = 0;
    cr_assert_eq(cupool_kv_cancel(pool, ticket), 0);
    /* Captured again when the loads end: their blocks stay with the caller. */
    fake.captured = 5;
    for (unsigned at = 0; at < tier.count; at++)
        cr_assert_eq(cupool_kv_prefetch_loaded(pool, ticket, tier.loads[at].index, 0), 0);
    fake.captured = 0;
    cr_assert_eq(ended.errors[0], -ECANCELED);
    fake_pass(&fake, 5);
    cr_assert_eq(cupool_kv_poll(pool), 0);
    cr_assert_eq(stats_now().available, 8);
    for (unsigned at = 0; at < 4; at++)
        if (handles[at] != 0)
            give(&handles[at], 1);
    cr_assert_eq(stats_now().available, 10);
}

Test(kv_requests, a_prefetch_without_room_takes_nothing, .init = setup, .fini = teardown)
{
    struct ended ended = {.count = 0};
    struct tier tier = {.at_once = true};
    cupool_kv_handle handles[8], rest[4];
    cupool_kv_ticket ticket;
    uint8_t sources[8];

    tier_use(&tier);
    take(4, rest);
    cr_assert_eq(prefetch_start(&ended, handles, sources, &ticket), -ENOMEM);
    cr_assert_eq(stats_now().available, 6);
    give(rest, 4);
    cr_assert_eq(prefetch_start(&ended, handles, sources, &ticket), 0);
    cr_assert_eq(ended.count, 1, "loads may end before they return");
    give(handles, 8);
}

Test(kv_requests, a_child_after_fork_has_its_own_pool, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[4];
    int status;

    take(2, handles);
    pid_t child = fork();
    if (child == 0) {
        cupool_kv_handle more[8];
        char why[64];

        _exit(cupool_kv_allocate(pool, 8, NONE, more) == 0 &&
                      cupool_kv_release(pool, more, 8, NONE) == 0 &&
                      cupool_kv_release(pool, handles, 2, NONE) == 0 &&
                      cupool_kv_check(pool, why, sizeof(why)) == 0
                  ? 0
                  : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(stats_now().mutable_blocks, 2);
    give(handles, 2);
}

Test(kv_requests, device_memory_stays_with_the_parent, .fini = teardown)
{
    struct kv_backend backend = fake_backend(&fake);
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[4];
    int status;

    backend.outlives_fork = 0;
    cr_assert_eq(kv_create(&backend, &config, &pool), 0);
    take(4, handles);
    atomic_store(&pool->fronts_on, true); /* as after contention: free blocks are there */
    cr_assert_eq(cupool_kv_release(pool, handles + 2, 2, NONE), 0);
    pid_t child = fork();
    if (child == 0) {
        uint64_t calls = fake.calls;
        int failed = cupool_kv_allocate(pool, 1, NONE, handles + 2) != -ECHILD ||
                     cupool_kv_release(pool, handles, 2, FAKE_STREAM(1)) != -ECHILD ||
                     cupool_kv_reset(pool, NULL) != -ECHILD;

        cupool_kv_destroy(pool);
        _exit(failed || fake.calls != calls || fake.memory != 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    give(handles, 2);
}
