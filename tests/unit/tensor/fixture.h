/* SPDX-License-Identifier: MIT */
/*
 * A cache over two fake GPUs and host memory.
 */
#ifndef TESTS_UNIT_TENSOR_FIXTURE_H
#define TESTS_UNIT_TENSOR_FIXTURE_H

#include <errno.h>
#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/tensor/fake.h"

#define DEVICES 3u
#define HOST    2u
#define NONE    CUPOOL_STREAM_NONE
#define ONE     FAKE_STREAM(1)
#define TWO     FAKE_STREAM(2)
#define EXACT   CUPOOL_TENSOR_EXACT
#define KIB     UINT64_C(1024)

__attribute__((unused)) static struct fake fakes[DEVICES];
__attribute__((unused)) static struct cupool_tensors *cache;

__attribute__((unused)) static struct cupool_tensors *cache_make(uint32_t tensors, uint32_t shapes,
                                                                 uint64_t limit_bytes,
                                                                 uint32_t limit_entries)
{
    struct cupool_tensors_config config;
    struct tensor_backend backends[DEVICES];
    struct cupool_tensors *made = NULL;

    cupool_tensors_config_init(&config);
    config.device_count = DEVICES;
    config.tensors = tensors;
    config.shapes = shapes;
    config.limit_bytes = limit_bytes;
    config.limit_entries = limit_entries;
    fakes[HOST].host = true;
    for (unsigned at = 0; at < DEVICES; at++)
        backends[at] = fake_backend(&fakes[at]);
    cr_assert_eq(tensors_create(&config, backends, &made), 0);
    return made;
}

__attribute__((unused)) static void check(void)
{
    char why[160] = "";

    cr_assert_eq(cupool_tensors_check(cache, why, sizeof(why)), 0, "%s", why);
}

__attribute__((unused)) static void setup(void)
{
    memset(fakes, 0, sizeof(fakes));
    cache = cache_make(64, 32, 0, 0);
}

__attribute__((unused)) static void teardown(void)
{
    check();
    cupool_tensors_destroy(cache);
    for (unsigned at = 0; at < DEVICES; at++) {
        cr_assert_eq(fakes[at].live, 0, "memory was kept");
        cr_assert_eq(fakes[at].fences, 0, "events were kept");
    }
}

/** Rank 2, of bytes; a GPU. */
__attribute__((unused)) static struct cupool_tensor_shape shape_of(uint64_t rows, uint64_t columns)
{
    return (struct cupool_tensor_shape){
        .rank = 2, .type = CUPOOL_TENSOR_U8, .dimensions = {rows, columns}};
}

__attribute__((unused)) static cupool_tensor take(struct cupool_tensor_shape shape,
                                                  cupool_stream stream, size_t waste,
                                                  void **ret_memory)
{
    cupool_tensor tensor = 0;
    void *memory;

    cr_assert_eq(cupool_tensors_acquire(cache, &shape, stream, waste, &tensor,
                                        ret_memory ? ret_memory : &memory),
                 0);
    return tensor;
}

__attribute__((unused)) static void give(cupool_tensor tensor, cupool_stream stream)
{
    cr_assert_eq(cupool_tensors_release(cache, tensor, stream), 0);
}

__attribute__((unused)) static struct cupool_tensors_statistics stats_of(uint32_t device)
{
    struct cupool_tensors_statistics stats;

    cr_assert_eq(cupool_tensors_stats(cache, device, &stats), 0);
    return stats;
}

#endif
