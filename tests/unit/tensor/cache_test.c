/* SPDX-License-Identifier: MIT */
/*
 * Keys, waste, reserved tensors, limits, memory that runs out: the tensor cache call by call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tensor/fixture.h"

Test(tensors, a_shape_comes_back_to_its_stream, .init = setup, .fini = teardown)
{
    void *first, *again;
    cupool_tensor tensor = take(shape_of(4, 256), ONE, EXACT, &first);

    memset(first, 1, 1024);
    give(tensor, ONE);
    tensor = take(shape_of(4, 256), ONE, EXACT, &again);
    cr_assert_eq(first, again);
    cr_assert_eq(fakes[0].fences, 0, "the stream's own work is in order");
    give(tensor, ONE);
    struct cupool_tensors_statistics stats = stats_of(0);
    cr_assert(stats.acquires == 2 && stats.hits == 1 && stats.misses == 1 && stats.fits == 0);
    cr_assert(stats.live == 0 && stats.cached == 1 && stats.cached_bytes == KIB);
    cr_assert(stats.peak_bytes == KIB && stats.peak_cached_bytes == KIB);
}

Test(tensors, every_part_of_the_key_counts, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape base = shape_of(2, 3), other[8];
    cupool_tensor tensor = take(base, ONE, EXACT, NULL);

    give(tensor, ONE);
    for (unsigned at = 0; at < 8; at++)
        other[at] = base;
    other[0] = shape_of(3, 2);
    other[1].rank = 1;
    other[1].dimensions[0] = 6;
    other[2].type = CUPOOL_TENSOR_I8;
    other[3].flags = 1;
    other[4].device = 1;
    other[5].device = HOST;
    other[6].rank = 3;
    other[6].dimensions[2] = 1;
    for (unsigned at = 0; at < 7; at++) {
        uint64_t misses = stats_of(other[at].device).misses;

        tensor = take(other[at], ONE, EXACT, NULL);
        cr_assert_eq(stats_of(other[at].device).misses, misses + 1, "%u", at);
        give(tensor, ONE);
        check();
    }
    tensor = take(base, TWO, EXACT, NULL);
    cr_assert_eq(stats_of(0).hits, 0, "another stream");
    give(tensor, TWO);
    tensor = take(base, ONE, EXACT, NULL);
    cr_assert_eq(stats_of(0).hits, 1);
    give(tensor, ONE);
}

Test(tensors, dimensions_beyond_the_rank_do_not_count, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(2, 3);

    give(take(shape, ONE, EXACT, NULL), ONE);
    shape.dimensions[5] = 99;
    give(take(shape, ONE, EXACT, NULL), ONE);
    cr_assert_eq(stats_of(0).hits, 1);
}

Test(tensors, waste_is_bounded_and_the_smallest_serves, .init = setup, .fini = teardown)
{
    void *small, *large, *memory;
    cupool_tensor one = take(shape_of(1, 1100), ONE, EXACT, &small);
    cupool_tensor two = take(shape_of(1, 1200), ONE, EXACT, &large);
    struct cupool_tensor_info info;

    give(two, ONE);
    give(one, ONE);
    one = take(shape_of(1, 1000), ONE, 99, &memory);
    cr_assert(memory != small && memory != large, "100 bytes are too many");
    give(one, ONE);
    one = take(shape_of(10, 100), ONE, 100, &memory);
    cr_assert_eq(stats_of(0).fits, 1, "the cached one of 1,000 bytes and another shape");
    two = take(shape_of(10, 100), ONE, 100, &memory);
    cr_assert_eq(memory, small);
    cr_assert_eq(cupool_tensors_describe(cache, two, &info), 0);
    cr_assert(info.bytes == 1100 && info.shape.dimensions[1] == 1100 && info.memory == small);
    cupool_tensor three = take(shape_of(10, 100), ONE, SIZE_MAX - 1, &memory);
    cr_assert_eq(memory, large, "waste without a bound");
    struct cupool_tensor_shape flagged = shape_of(10, 100);
    flagged.flags = 1;
    give(three, ONE);
    give(take(flagged, ONE, 4096, &memory), ONE);
    cr_assert_neq(memory, large, "other flags");
    give(one, ONE);
    give(two, ONE);
    cr_assert_eq(stats_of(0).fits, 3);
    one = take(shape_of(1, 1100), ONE, EXACT, &memory);
    cr_assert_eq(memory, small, "it went back to its own shape");
    give(one, ONE);
}

Test(tensors, same_size_of_another_shape_needs_leave, .init = setup, .fini = teardown)
{
    void *first, *memory;

    give(take(shape_of(2, 3), ONE, EXACT, &first), ONE);
    cupool_tensor tensor = take(shape_of(3, 2), ONE, EXACT, &memory);
    cr_assert_neq(memory, first);
    cupool_tensor fits = take(shape_of(6, 1), ONE, 0, &memory);
    cr_assert_eq(memory, first);
    give(tensor, ONE);
    give(fits, ONE);
}

Test(tensors, work_of_another_stream_is_waited_for_on_the_device, .init = setup, .fini = teardown)
{
    void *first, *again;
    cupool_tensor tensor = take(shape_of(1, 64), ONE, EXACT, &first);

    give(tensor, TWO);
    cr_assert_eq(fakes[0].fences, 1);
    tensor = take(shape_of(1, 64), ONE, EXACT, &again);
    cr_assert_eq(again, first);
    cr_assert_eq(fakes[0].waits, 1);
    cr_assert_eq(stats_of(0).waits, 1);
    cr_assert_eq(fakes[0].fences, 0);
    give(tensor, NONE);
    tensor = take(shape_of(1, 64), ONE, EXACT, &again);
    cr_assert_eq(again, first);
    cr_assert_eq(fakes[0].waits, 1, "there was no work");
    give(tensor, TWO);
    fakes[0].passed = true;
    tensor = take(shape_of(1, 64), ONE, EXACT, &again);
    cr_assert_eq(again, first);
    cr_assert_eq(fakes[0].waits, 1, "it has ended");
    give(tensor, ONE);
}

Test(tensors, the_threads_own_stream_is_another_in_each, .init = setup, .fini = teardown)
{
    const cupool_stream own = CUPOOL_STREAM_PER_THREAD;
    void *first, *again;
    cupool_tensor tensor = take(shape_of(1, 64), own, EXACT, &first);

    give(tensor, own);
    cr_assert_eq(fakes[0].fences, 1, "another thread may take it next");
    tensor = take(shape_of(1, 64), own, EXACT, &again);
    cr_assert_eq(again, first);
    cr_assert_eq(fakes[0].waits, 1);
    give(tensor, ONE);
    tensor = take(shape_of(1, 64), own, EXACT, &again);
    cr_assert_eq(fakes[0].waits, 2);
    /* Whoever evicts it has another stream of that name, and lets it wait. */
    give(tensor, own);
    cr_assert_eq(cupool_tensors_trim(cache, 0, 0, NULL), 0);
    cr_assert_eq(fakes[0].waits, 3);
    cr_assert_eq(fakes[0].fences, 0);
}

Test(tensors, without_a_stream_work_must_have_ended, .init = setup, .fini = teardown)
{
    void *first, *memory;
    cupool_tensor tensor = take(shape_of(1, 64), NONE, EXACT, &first);

    give(tensor, ONE);
    tensor = take(shape_of(1, 64), NONE, EXACT, &memory);
    cr_assert_neq(memory, first, "its work may not have ended");
    give(tensor, NONE);
    cr_assert_eq(take(shape_of(1, 64), ONE, EXACT, &memory) != 0, true);
    cr_assert_eq(fakes[0].waits, 0, "every stream may take what was released without one");
}

Test(tensors, a_refused_fence_changes_nothing, .init = setup, .fini = teardown)
{
    cupool_tensor tensor = take(shape_of(1, 64), ONE, EXACT, NULL);

    fakes[0].captured = 2;
    cr_assert_eq(cupool_tensors_release(cache, tensor, TWO), -EBUSY);
    cr_assert(strstr(cupool_tensors_error(cache), "event") != NULL);
    cr_assert_eq(stats_of(0).live, 1);
    check();
    give(tensor, ONE);
}

Test(tensors, stale_and_foreign_handles_change_nothing, .init = setup, .fini = teardown)
{
    cupool_tensor tensor = take(shape_of(1, 64), ONE, EXACT, NULL);
    struct cupool_tensor_info info;

    give(tensor, ONE);
    cr_assert_eq(cupool_tensors_release(cache, tensor, ONE), -ESTALE);
    cr_assert_eq(cupool_tensors_describe(cache, tensor, &info), -ESTALE);
    cr_assert_eq(cupool_tensors_release(cache, 0, ONE), -EINVAL);
    cr_assert_eq(cupool_tensors_release(cache, UINT64_MAX, ONE), -EINVAL);
    cr_assert_eq(cupool_tensors_release(cache, tensor + 1000, ONE), -EINVAL);
    cr_assert_eq(cupool_tensors_release(cache, tensor | UINT64_C(9) << 32, ONE), -EINVAL);
    cupool_tensor again = take(shape_of(1, 64), ONE, EXACT, NULL);
    cr_assert_eq(cupool_tensors_release(cache, tensor, ONE), -ESTALE, "the record is used again");
    give(again, ONE);
    cr_assert_eq(stats_of(0).cached, 1);
}

Test(tensors, bytes_of_shapes)
{
    struct cupool_tensor_shape shape = {
        .rank = 3, .type = CUPOOL_TENSOR_F32, .dimensions = {2, 3, 4}};
    uint64_t bytes = 0;

    cr_assert(cupool_tensor_bytes(&shape, &bytes) == 0 && bytes == 96);
    shape.rank = 0;
    cr_assert(cupool_tensor_bytes(&shape, &bytes) == 0 && bytes == 4, "a scalar");
    shape = (struct cupool_tensor_shape){
        .rank = 2, .type = CUPOOL_TENSOR_F64, .dimensions = {UINT64_MAX, 2}};
    cr_assert_eq(cupool_tensor_bytes(&shape, &bytes), -EOVERFLOW);
    shape.dimensions[0] = UINT64_C(1) << 60;
    cr_assert_eq(cupool_tensor_bytes(&shape, &bytes), -EOVERFLOW);
    shape.dimensions[1] = 0;
    cr_assert(cupool_tensor_bytes(&shape, &bytes) == 0 && bytes == 0, "no element");
    shape.rank = 9;
    cr_assert_eq(cupool_tensor_bytes(&shape, &bytes), -EINVAL);
    shape.rank = 1;
    shape.type = CUPOOL_TENSOR_TYPES;
    cr_assert_eq(cupool_tensor_bytes(&shape, &bytes), -EINVAL);
}

Test(tensors, a_tensor_without_elements_has_no_memory, .init = setup, .fini = teardown)
{
    void *memory = &memory;
    cupool_tensor tensor = take(shape_of(0, 4096), ONE, EXACT, &memory);

    cr_assert_null(memory);
    cr_assert_eq(fakes[0].allocations, 0);
    give(tensor, ONE);
    cr_assert_eq(cupool_tensors_release(cache, tensor, ONE), -ESTALE);
    cr_assert_eq(stats_of(0).cached, 0);
}

Test(tensors, host_memory_knows_no_streams, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(1, 64);
    void *first, *memory;

    shape.device = HOST;
    give(take(shape, ONE, EXACT, &first), TWO);
    give(take(shape, TWO, EXACT, &memory), ONE);
    cr_assert_eq(memory, first);
    cr_assert_eq(stats_of(0).acquires, 0, "devices are apart");
}

Test(tensors, limits_evict_the_oldest, .init = setup, .fini = teardown)
{
    cupool_tensor tensors[6];
    void *memory[6], *again;

    cr_assert_eq(cupool_tensors_limit(cache, 0, 3 * KIB, 0), 0);
    for (unsigned at = 0; at < 6; at++)
        tensors[at] = take(shape_of(1 + at, KIB), ONE, EXACT, &memory[at]);
    for (unsigned at = 0; at < 3; at++)
        give(tensors[at], ONE); /* 1, 2 and 3 KiB */
    cr_assert_eq(stats_of(0).cached, 1, "1 and 2 went for 3");
    cr_assert_eq(stats_of(0).evictions, 2);
    give(tensors[3], ONE);
    cr_assert_eq(stats_of(0).cached, 0, "4 KiB are more than the limit");
    cr_assert_eq(cupool_tensors_limit(cache, 0, 0, 1), 0);
    give(tensors[4], ONE);
    give(tensors[5], ONE);
    cr_assert_eq(stats_of(0).cached, 1);
    give(take(shape_of(6, KIB), ONE, EXACT, &again), ONE);
    cr_assert_eq(again, memory[5], "the newest stayed");
    cr_assert_eq(fakes[0].live, 1);
    cr_assert_eq(stats_of(1).limit_entries, 0, "of this device alone");
}

Test(tensors, reserved_ones_are_never_evicted, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(1, KIB);
    uint64_t bytes = 1;

    cr_assert_eq(cupool_tensors_reserve(cache, &shape, ONE, 3), 0);
    struct cupool_tensors_statistics stats = stats_of(0);
    cr_assert(stats.reserved == 3 && stats.reserved_bytes == 3 * KIB && stats.cached == 0);
    cr_assert(stats.peak_bytes == 3 * KIB && stats.acquires == 0);
    cr_assert_eq(cupool_tensors_limit(cache, 0, 1, 1), 0);
    cr_assert_eq(cupool_tensors_trim(cache, 0, 0, &bytes), 0);
    cr_assert_eq(bytes, 0);
    cr_assert_eq(fakes[0].live, 3);
    for (unsigned at = 0; at < 10; at++)
        give(take(shape, ONE, EXACT, NULL), ONE);
    cr_assert_eq(stats_of(0).hits, 10);
    cupool_tensor tensor = take(shape, ONE, EXACT, NULL);
    cr_assert_eq(cupool_tensors_unreserve(cache, 0), 0);
    cr_assert_eq(stats_of(0).reserved, 0);
    cr_assert_eq(stats_of(0).cached, 0, "down to the limit");
    give(tensor, ONE);
}

static void unreserve(void)
{
    cr_assert_eq(cupool_tensors_unreserve(cache, 0), 0);
}

Test(tensors, an_unreserve_counts_for_a_tensor_that_is_being_released, .init = setup,
     .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(1, KIB);
    cupool_tensor tensor;

    cr_assert_eq(cupool_tensors_reserve(cache, &shape, ONE, 1), 0);
    tensor = take(shape, ONE, EXACT, NULL);
    fakes[0].meanwhile = unreserve;
    give(tensor, TWO);
    cr_assert_eq(stats_of(0).reserved, 0);
    cr_assert_eq(cupool_tensors_trim(cache, 0, 0, NULL), 0);
    cr_assert_eq(fakes[0].live, 0, "it can be evicted");
}

Test(tensors, reserved_for_every_stream, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(1, KIB);
    void *first, *second;

    cr_assert_eq(cupool_tensors_reserve(cache, &shape, NONE, 1), 0);
    give(take(shape, ONE, EXACT, &first), ONE);
    cr_assert_eq(fakes[0].fences, 1, "others must be able to wait");
    give(take(shape, ONE, EXACT, &second), ONE);
    cr_assert_eq(second, first);
    cr_assert_eq(fakes[0].waits, 0, "its own work");
    give(take(shape, TWO, EXACT, &second), TWO);
    cr_assert_eq(second, first);
    cr_assert_eq(fakes[0].waits, 1);
    cr_assert_eq(stats_of(0).hits, 3);
}

Test(tensors, reserved_bytes_serve_every_shape_of_their_class, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape bytes = {
        .rank = 1, .type = CUPOOL_TENSOR_BYTES, .dimensions = {4096}};
    struct cupool_tensor_shape shape = {
        .rank = 2, .type = CUPOOL_TENSOR_F32, .flags = 5, .dimensions = {3, 200}};
    void *memory;

    cr_assert_eq(cupool_tensors_reserve(cache, &bytes, NONE, 1), 0);
    cupool_tensor tensor = take(shape, ONE, EXACT, &memory);
    cr_assert_eq(stats_of(0).fits, 1, "2,400 of 4,096 bytes");
    give(tensor, ONE);
    shape.dimensions[1] = 341; /* 4,092 */
    give(take(shape, TWO, EXACT, NULL), TWO);
    shape.dimensions[1] = 170; /* 2,040: half */
    give(take(shape, ONE, EXACT, NULL), ONE);
    cr_assert_eq(stats_of(0).fits, 2);
    cr_assert_eq(stats_of(0).misses, 1);
    cr_assert_eq(cupool_tensors_unreserve(cache, 0), 0);
    shape.dimensions[1] = 300;
    give(take(shape, ONE, EXACT, NULL), ONE);
    cr_assert_eq(stats_of(0).misses, 2, "no longer reserved");
}

Test(tensors, a_reservation_is_all_or_none, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(1, KIB);

    fakes[0].capacity = 4 * KIB;
    cr_assert_eq(cupool_tensors_reserve(cache, &shape, ONE, 5), -ENOMEM);
    cr_assert_eq(fakes[0].live, 0);
    cr_assert(stats_of(0).reserved == 0 && stats_of(0).live == 0);
    fakes[0].capacity = 0;
    cr_assert_eq(cupool_tensors_reserve(cache, &shape, ONE, 65), -ENOBUFS);
    cr_assert_eq(fakes[0].live, 0);
    check();
    cr_assert_eq(cupool_tensors_reserve(cache, &shape, ONE, 4), 0);
}

Test(tensors, trimmed_and_repeated_when_the_device_runs_out, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape reserved = shape_of(1, KIB);
    void *memory;

    fakes[0].capacity = 4 * KIB;
    cr_assert_eq(cupool_tensors_reserve(cache, &reserved, ONE, 1), 0);
    cupool_tensor tensors[3];
    for (unsigned at = 0; at < 3; at++)
        tensors[at] = take(shape_of(1, KIB - at), ONE, EXACT, NULL);
    for (unsigned at = 0; at < 3; at++)
        give(tensors[at], ONE);
    cupool_tensor large = take(shape_of(3, KIB), ONE, EXACT, &memory);
    struct cupool_tensors_statistics stats = stats_of(0);
    cr_assert(stats.retries == 1 && stats.evictions >= 2 && stats.plain == 0);
    cr_assert_eq(stats.reserved, 1);
    fakes[0].cached_bytes = KIB;
    cupool_tensor more = take(shape_of(1, KIB / 2), ONE, EXACT, &memory);
    cr_assert_eq(fakes[0].reliefs, 2, "the source gave back what it had cached");
    fakes[0].plain_capacity = 2 * KIB;
    cupool_tensor plain = take(shape_of(2, KIB), ONE, EXACT, &memory);
    cr_assert_eq(stats_of(0).plain, 1, "then the plain allocator");
    cupool_tensor none = 5;
    struct cupool_tensor_shape shape = shape_of(3, KIB);
    cr_assert_eq(cupool_tensors_acquire(cache, &shape, ONE, EXACT, &none, &memory), -ENOMEM);
    cr_assert_eq(none, 5);
    cr_assert_eq(stats_of(0).failures, 1);
    cr_assert(strstr(cupool_tensors_error(cache), "memory") != NULL);
    check();
    give(plain, ONE);
    give(more, ONE);
    give(large, ONE);
}

Test(tensors, records_and_shapes_run_out)
{
    cupool_tensor tensors[4];
    void *memory;

    memset(fakes, 0, sizeof(fakes));
    cache = cache_make(4, 3, 0, 0);
    /* More shapes than there are rows: the one idle for longest is forgotten. */
    for (unsigned at = 1; at <= 20; at++) {
        give(take(shape_of(at, 16), ONE, EXACT, NULL), ONE);
        check();
    }
    cr_assert_leq(stats_of(0).cached, 3);
    cr_assert_eq(cupool_tensors_trim(cache, 0, 0, NULL), 0);
    for (unsigned at = 0; at < 3; at++)
        tensors[at] = take(shape_of(at + 1, 32), ONE, EXACT, &memory);
    struct cupool_tensor_shape shape = shape_of(9, 32);
    cr_assert_eq(cupool_tensors_acquire(cache, &shape, ONE, EXACT, &tensors[3], &memory), -ENOBUFS);
    tensors[3] = take(shape_of(1, 32), ONE, EXACT, &memory);
    shape = shape_of(1, 32);
    cupool_tensor fifth;
    cr_assert_eq(cupool_tensors_acquire(cache, &shape, ONE, EXACT, &fifth, &memory), -ENOBUFS);
    for (unsigned at = 0; at < 4; at++)
        give(tensors[at], ONE);
    /* A record held by a cached tensor goes to who needs it. */
    shape = shape_of(2, 48);
    give(take(shape, ONE, EXACT, NULL), ONE);
    teardown();
}

Test(tensors, faults_at_every_call_leave_it_whole)
{
    for (uint64_t fail = 1; fail < 40; fail++) {
        static const int errors[] = {-ENOMEM, -EIO, -EBUSY};
        cupool_tensor held[3] = {0};

        memset(fakes, 0, sizeof(fakes));
        cache = cache_make(8, 8, 2 * KIB, 0);
        fakes[0].fail_at = fail;
        fakes[0].fail_error = errors[fail % 3];
        for (unsigned at = 0; at < 24; at++) {
            struct cupool_tensor_shape shape = shape_of(1 + at % 3, 512);
            cupool_tensor tensor = 0;
            void *memory;

            if (at == 5)
                cupool_tensors_reserve(cache, &shape, NONE, 2);
            if (cupool_tensors_acquire(cache, &shape, at % 2 ? ONE : TWO, at % 4 ? 600 : EXACT,
                                       &tensor, &memory) < 0)
                continue;
            memset(memory, 1, 512);
            if (held[at % 3] != 0 && cupool_tensors_release(cache, held[at % 3], ONE) < 0)
                give(held[at % 3], NONE);
            held[at % 3] = tensor;
            check();
        }
        teardown(); /* with tensors still in use */
    }
}

Test(tensors, figures_by_shape, .init = setup, .fini = teardown)
{
    struct cupool_tensors_row rows[2];

    for (unsigned at = 0; at < 5; at++)
        give(take(shape_of(7, 7), ONE, EXACT, NULL), ONE);
    give(take(shape_of(8, 8), ONE, EXACT, NULL), ONE);
    for (unsigned at = 0; at < 2; at++)
        give(take(shape_of(9, 9), ONE, EXACT, NULL), ONE);
    cr_assert_eq(cupool_tensors_rows(cache, rows, 2), 2);
    cr_assert(rows[0].shape.dimensions[0] == 7 && rows[0].hits == 4 && rows[0].misses == 1);
    cr_assert(rows[1].shape.dimensions[0] == 9 && rows[1].bytes == 81 && rows[1].cached == 1);
    cr_assert_eq(rows[0].stream, ONE);
}

Test(tensors, a_child_after_fork_is_refused, .init = setup, .fini = teardown)
{
    struct cupool_tensor_shape shape = shape_of(1, 1);
    cupool_tensor tensor = take(shape, ONE, EXACT, NULL), other;
    void *memory;
    int status = 1;
    pid_t child = fork();

    if (child == 0)
        _exit(cupool_tensors_release(cache, tensor, ONE) == -ECHILD &&
                      cupool_tensors_acquire(cache, &shape, ONE, EXACT, &other, &memory) == -ECHILD
                  ? 0
                  : 1);
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    give(tensor, ONE);
}

Test(tensors, configurations_that_make_no_cache)
{
    struct cupool_tensors_config config;
    struct tensor_backend backend = {.state = NULL};
    struct cupool_tensors *made = NULL;

    cupool_tensors_config_init(&config);
    cr_assert_eq(tensors_create(&config, &backend, &made), -EINVAL, "no device");
    config.device_count = 1;
    config.tensors = 0;
    cr_assert_eq(tensors_create(&config, &backend, &made), -EINVAL);
    config.tensors = 1;
    config.shapes = 0;
    cr_assert_eq(tensors_create(&config, &backend, &made), -EINVAL);
    config.shapes = UINT32_MAX;
    cr_assert_eq(tensors_create(&config, &backend, &made), -EINVAL);
    cr_assert_null(made);
    cupool_tensors_destroy(NULL);
}
