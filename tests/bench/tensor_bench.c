/* SPDX-License-Identifier: MIT */
/*
 * Costs of the tensor cache on host memory, each figure the median of several rounds.
 *
 *     tensor_bench [--json] [--quick]
 *
 *   hit_ns                acquire and release of one shape
 *   hit_1000_ns           of 1,000 shapes in turn
 *   fit_ns                a tensor of another shape, among 1,000 of different sizes
 *   evict_ns              a miss that evicts for it, 4 KiB each
 *   plain_ns              4 KiB from the memory manager and back, without the cache
 *   threads_8_ratio       hits of eight threads over those of one
 *   hits, misses          of all of the above
 *   heap_calls            of the hits and fits, after the first round
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool/memory.h"
#include "include/cupool/tensor.h"
#include "tests/bench/bench.h"
#include "tests/bench/heap_count.h"

#define ROUNDS  9
#define SHAPES  1000u
#define THREADS 8

static struct cupool_device *device;
static struct cupool_tensors *cache;
static unsigned times = 200000;
static uint64_t heap_used;

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The median of ROUNDS runs, after a warm-up run. */
static double median(double (*measure)(void), bool counted)
{
    double rounds[ROUNDS];

    measure();
    uint64_t before = heap_calls();
    for (int round = 0; round < ROUNDS; round++)
        rounds[round] = measure();
    heap_used += counted ? heap_calls() - before : 0;
    qsort(rounds, ROUNDS, sizeof(*rounds), ascending);
    return rounds[ROUNDS / 2];
}

static void once(uint64_t rows, uint64_t columns, size_t waste)
{
    const struct cupool_tensor_shape shape = {
        .rank = 2, .type = CUPOOL_TENSOR_U8, .dimensions = {rows, columns}};
    cupool_tensor tensor;
    void *memory;

    need(cupool_tensors_acquire(cache, &shape, CUPOOL_STREAM_NONE, waste, &tensor, &memory),
         "acquire");
    need(cupool_tensors_release(cache, tensor, CUPOOL_STREAM_NONE), "release");
}

static double measure_hit(void)
{
    double begin = now_ns();

    for (unsigned at = 0; at < times; at++)
        once(4, 256, CUPOOL_TENSOR_EXACT);
    return (now_ns() - begin) / times;
}

static double measure_shapes(void)
{
    double begin = now_ns();

    for (unsigned at = 0; at < times; at++)
        once(1 + at % SHAPES, 64, CUPOOL_TENSOR_EXACT);
    return (now_ns() - begin) / times;
}

/* 32 bytes less than the cached sizes, as one row of bytes: no shape of its own is cached. */
static double measure_fit(void)
{
    double begin = now_ns();

    for (unsigned at = 0; at < times; at++)
        once(1, 64 * (1 + at % 16) - 32, 32);
    return (now_ns() - begin) / times;
}

/* Two alternating sizes, with room for one. */
static double measure_evict(void)
{
    unsigned turns = times / 20;
    double begin;

    need(cupool_tensors_limit(cache, 0, 0, 1), "limit");
    begin = now_ns();
    for (unsigned at = 0; at < turns; at++)
        once(1 + at % 2, 4096, CUPOOL_TENSOR_EXACT);
    begin = (now_ns() - begin) / turns;
    need(cupool_tensors_limit(cache, 0, 0, 0), "limit");
    return begin;
}

static double measure_plain(void)
{
    unsigned turns = times / 20;
    double begin = now_ns();

    for (unsigned at = 0; at < turns; at++) {
        void *memory;

        need(cupool_memory_allocate(device, 4096, CUPOOL_STREAM_NONE, &memory), "allocate");
        need(cupool_memory_free(device, memory, CUPOOL_STREAM_NONE), "free");
    }
    return (now_ns() - begin) / turns;
}

static void *thread_run(void *state)
{
    unsigned turns = *(unsigned *)state;

    for (unsigned at = 0; at < turns; at++)
        once(4, 256, CUPOOL_TENSOR_EXACT);
    return NULL;
}

/* Hits per second of all threads. */
static double throughput(unsigned threads)
{
    pthread_t ids[THREADS];
    unsigned turns = times / threads;
    double begin = now_ns();

    for (unsigned at = 0; at < threads; at++)
        if (pthread_create(&ids[at], NULL, thread_run, &turns) != 0)
            need(-1, "thread");
    for (unsigned at = 0; at < threads; at++)
        pthread_join(ids[at], NULL);
    return (double)turns * threads / (now_ns() - begin) * 1e9;
}

static double measure_threads(void)
{
    double one = throughput(1);

    return throughput(THREADS) / one;
}

int main(int argc, char **argv)
{
    struct cupool_tensors_config config;
    struct cupool_tensors_statistics stats;
    bool json = false;

    for (int at = 1; at < argc; at++) {
        json |= strcmp(argv[at], "--json") == 0;
        times = strcmp(argv[at], "--quick") == 0 ? 4000 : times;
    }
    need(cupool_device_host(&device), "device");
    cupool_tensors_config_init(&config);
    config.devices = &device;
    config.device_count = 1;
    config.shapes = 4096;
    need(cupool_tensors_create(&config, &cache), "create");
    double hit = median(measure_hit, true), shapes = median(measure_shapes, true);
    double fit = median(measure_fit, true), threads = median(measure_threads, false);
    double evict = median(measure_evict, false), plain = median(measure_plain, false);
    need(cupool_tensors_check(cache, NULL, 0), "check");
    need(cupool_tensors_stats(cache, 0, &stats), "stats");
    printf(json ? "{\"hit_ns\": %.1f, \"hit_1000_ns\": %.1f, \"fit_ns\": %.1f, \"evict_ns\": %.1f, "
                  "\"plain_ns\": %.1f, \"threads_8_ratio\": %.3f, \"hits\": %llu, \"fits\": %llu, "
                  "\"misses\": %llu, \"heap_calls\": %llu}\n"
                : "hit                   %8.1f ns\n1,000 shapes          %8.1f ns\n"
                  "another shape         %8.1f ns\nmiss with eviction    %8.1f ns\n"
                  "without the cache     %8.1f ns\n8 threads over one    %8.3f\n"
                  "hits %llu, of other shapes %llu, misses %llu\nheap calls %llu\n",
           hit, shapes, fit, evict, plain, threads, (unsigned long long)stats.hits,
           (unsigned long long)stats.fits, (unsigned long long)stats.misses,
           (unsigned long long)heap_used);
    cupool_tensors_destroy(cache);
    cupool_device_close(device);
    return 0;
}
