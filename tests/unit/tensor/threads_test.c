/* SPDX-License-Identifier: MIT */
/*
 * Threads at one cache: nobody gets a tensor that another one has, and the figures add up.
 */
#include <pthread.h>

#include "tests/unit/tensor/fixture.h"

#define THREADS 8
#define ROUNDS  4000
#define HELD    4

static void fill(void *memory, uint64_t word)
{
    uint64_t *words = memory;

    words[0] = words[7] = word;
}

static void *thread_run(void *state)
{
    uint64_t mine = (uintptr_t)state;
    uint32_t random = (uint32_t)mine * 77 + 1;
    struct {
        cupool_tensor tensor;
        uint64_t *memory;
    } held[HELD] = {{0, NULL}};

    for (unsigned round = 0; round < ROUNDS; round++) {
        random = random * 1664525 + 1013904223;
        unsigned at = random >> 16 & (HELD - 1);
        cupool_stream stream = FAKE_STREAM(1 + (random >> 20) % 3);
        if (held[at].tensor != 0) {
            if (held[at].memory[0] != mine || held[at].memory[7] != mine ||
                cupool_tensors_release(cache, held[at].tensor, stream) < 0)
                return "a tensor was not its own";
            held[at].tensor = 0;
            continue;
        }
        struct cupool_tensor_shape shape = shape_of(1 + random % 5, 64);
        shape.device = random >> 8 & 1;
        int error = cupool_tensors_acquire(cache, &shape, stream, random & 64 ? 128 : EXACT,
                                           &held[at].tensor, (void **)&held[at].memory);
        if (error < 0 && error != -ENOMEM)
            return "a tensor was refused";
        if (error == 0)
            fill(held[at].memory, mine);
        if (random % 97 == 0)
            cupool_tensors_trim(cache, 0, 512, NULL);
        if (random % 499 == 0 && cupool_tensors_check(cache, NULL, 0) < 0)
            return "an invariant is broken";
    }
    for (unsigned at = 0; at < HELD; at++)
        if (held[at].tensor != 0)
            cupool_tensors_release(cache, held[at].tensor, ONE);
    return NULL;
}

Test(tensors_threads, a_tensor_has_one_owner)
{
    pthread_t threads[THREADS];
    struct cupool_tensor_shape shape = shape_of(2, 64);

    memset(fakes, 0, sizeof(fakes));
    cache = cache_make(48, 24, 1024, 0);
    fakes[1].capacity = 16 * 64; /* runs out and is trimmed */
    cr_assert_eq(cupool_tensors_reserve(cache, &shape, NONE, 4), 0);
    for (uintptr_t at = 0; at < THREADS; at++)
        cr_assert_eq(pthread_create(&threads[at], NULL, thread_run, (void *)(at + 1)), 0);
    for (unsigned at = 0; at < THREADS; at++) {
        void *wrong = NULL;

        pthread_join(threads[at], &wrong);
        cr_assert(!wrong, "%s", (const char *)wrong);
    }
    cr_assert_eq(stats_of(0).live, 0);
    cr_assert_gt(stats_of(1).retries, 0);
    teardown();
}
