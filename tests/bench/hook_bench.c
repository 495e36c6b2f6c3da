/* SPDX-License-Identifier: MIT */
/*
 * The cost of cudaMalloc and cudaFree as a program sees it: a CUDA program that knows nothing of
 * cupool, run bare or preloaded, and prints one JSON object.
 *
 * Each thread keeps a number of live blocks and replaces one of them per step, so that in the
 * steady state every allocation can be a hit. Sizes are drawn from 512 B to --max-size,
 * log-uniform. The time of each call is taken with the time-stamp counter, less the counter's own
 * cost; the percentiles are over single calls. The order of replacement is "random" or "oldest"
 * first. --depth adds calling frames, half of them without a frame pointer, for the recorded stack.
 */
#include <cuda_runtime_api.h>
#include <getopt.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "tests/compiled_with.h"
#include "tests/random.h"

#define HISTOGRAM_NS 100000

struct options {
    unsigned threads;
    size_t live;
    size_t steps;
    size_t max_size;
    unsigned seed;
    int oldest_first;
    unsigned depth;
};

struct histogram {
    uint64_t count[HISTOGRAM_NS];
    uint64_t total;
    double sum_ns;
};

struct worker {
    const struct options *options;
    unsigned index;
    pthread_barrier_t *start;
    struct histogram *allocate, *release;
    double elapsed_ns;
    int failed;
};

static double ticks_per_ns;
static uint64_t counter_cost;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t ticks(void)
{
    unsigned cpu;

    return __rdtscp(&cpu);
}

static void calibrate(void)
{
    uint64_t begin_ns = now_ns(), begin = ticks();

    while (now_ns() - begin_ns < 50000000)
        ;
    ticks_per_ns = (double)(ticks() - begin) / (double)(now_ns() - begin_ns);
    counter_cost = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t first = ticks(), second = ticks();

        if (second - first < counter_cost)
            counter_cost = second - first;
    }
}

static void histogram_add(struct histogram *histogram, uint64_t elapsed_ticks)
{
    uint64_t net = elapsed_ticks > counter_cost ? elapsed_ticks - counter_cost : 0;
    double ns = (double)net / ticks_per_ns;
    size_t slot = ns < HISTOGRAM_NS - 1 ? (size_t)ns : HISTOGRAM_NS - 1;

    histogram->count[slot]++;
    histogram->total++;
    histogram->sum_ns += ns;
}

static void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_NS; i++)
        into->count[i] += from->count[i];
    into->total += from->total;
    into->sum_ns += from->sum_ns;
}

static size_t histogram_percentile(const struct histogram *histogram, double part)
{
    uint64_t seen = 0, wanted = (uint64_t)(part * (double)histogram->total);

    for (size_t i = 0; i < HISTOGRAM_NS; i++) {
        seen += histogram->count[i];
        if (seen > wanted)
            return i;
    }
    return HISTOGRAM_NS;
}

static uint64_t random_next(uint64_t *state)
{
    *state = random_xorshift(*state);
    return *state;
}

static size_t random_size(uint64_t *state, size_t max_size)
{
    unsigned doublings = 0;

    while (((size_t)512 << (doublings + 1)) <= max_size)
        doublings++;
    size_t low = (size_t)512 << (random_next(state) % (doublings + 1));
    size_t size = low + random_next(state) % low;
    return size < max_size ? size : max_size;
}

static int replace_block(struct worker *worker, void **block, uint64_t *random, int measured)
{
    size_t size = random_size(random, worker->options->max_size);
    void *victim = *(void *volatile *)block, *fresh = NULL;
    uint64_t begin = ticks();
    cudaError_t freed = cudaFree(victim);
    uint64_t middle = ticks();
    cudaError_t allocated = cudaMalloc(&fresh, size);
    uint64_t end = ticks();

    *block = fresh;
    if (measured) {
        histogram_add(worker->release, middle - begin);
        histogram_add(worker->allocate, end - middle);
    }
    return freed == cudaSuccess && allocated == cudaSuccess;
}

static void work_here(struct worker *worker)
{
    const struct options *options = worker->options;
    uint64_t random = 0x9E3779B97F4A7C15u * (options->seed + worker->index + 1);
    size_t live = options->live / options->threads ? options->live / options->threads : 1;
    void **blocks = calloc(live, sizeof *blocks);

    for (size_t i = 0; i < live; i++)
        worker->failed |= cudaMalloc(&blocks[i], random_size(&random, options->max_size)) != 0;
    for (size_t i = 0; i < options->steps / 4; i++)
        worker->failed |= !replace_block(worker, &blocks[random_next(&random) % live], &random, 0);

    pthread_barrier_wait(worker->start);
    uint64_t begin = now_ns();
    for (size_t i = 0; i < options->steps; i++) {
        size_t victim = options->oldest_first ? i % live : random_next(&random) % live;

        worker->failed |= !replace_block(worker, &blocks[victim], &random, 1);
    }
    worker->elapsed_ns = (double)(now_ns() - begin);
    for (size_t i = 0; i < live; i++)
        cudaFree(blocks[i]);
    free(blocks);
}

static inline __attribute__((always_inline)) void work_below(struct worker *worker, unsigned depth);

/* Room on the stack that the compiler cannot remove, so the call does not become a jump. */
COMPILED_WITH("no-omit-frame-pointer")
static void work_with_pointer(struct worker *worker, unsigned depth)
{
    volatile char room[64] = {(char)depth};

    work_below(worker, depth);
    room[0]++;
}

COMPILED_WITH("omit-frame-pointer")
static void work_without_pointer(struct worker *worker, unsigned depth)
{
    volatile char room[64] = {(char)depth};

    work_below(worker, depth);
    room[0]++;
}

static void work_below(struct worker *worker, unsigned depth)
{
    if (!depth)
        work_here(worker);
    else if (depth % 2)
        work_with_pointer(worker, depth - 1);
    else
        work_without_pointer(worker, depth - 1);
}

static void *work(void *argument)
{
    struct worker *worker = argument;

    work_below(worker, worker->options->depth);
    return NULL;
}

static int parse(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"threads", required_argument, NULL, 't'}, {"live", required_argument, NULL, 'l'},
        {"steps", required_argument, NULL, 'n'},   {"max-size", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 's'},    {"oldest-first", no_argument, NULL, 'o'},
        {"depth", required_argument, NULL, 'd'},   {0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 't': options->threads = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'l': options->live = strtoull(optarg, NULL, 0); break;
        case 'n': options->steps = strtoull(optarg, NULL, 0); break;
        case 'm': options->max_size = strtoull(optarg, NULL, 0); break;
        case 's': options->seed = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'o': options->oldest_first = 1; break;
        case 'd': options->depth = (unsigned)strtoul(optarg, NULL, 0); break;
        default: return -1;
        }
    }
    return options->threads >= 1 && options->threads <= 64 && options->max_size >= 512 ? 0 : -1;
}

static void print_call(const char *name, const struct histogram *histogram, const char *end)
{
    printf("\"%s\": {\"p50_ns\": %zu, \"p99_ns\": %zu, \"mean_ns\": %.1f}%s", name,
           histogram_percentile(histogram, 0.5), histogram_percentile(histogram, 0.99),
           histogram->sum_ns / (double)histogram->total, end);
}

int main(int argc, char **argv)
{
    struct options options = {1, 1000, 200000, 32768, 1, 0, 0};

    if (parse(argc, argv, &options)) {
        fprintf(stderr,
                "usage: %s [--threads N] [--live N] [--steps N] [--max-size BYTES] [--seed N] "
                "[--oldest-first] [--depth FRAMES]\n",
                argv[0]);
        return 2;
    }
    calibrate();
    if (cudaFree(NULL) != cudaSuccess) {
        fprintf(stderr, "hook_bench: no CUDA device\n");
        return 1;
    }

    pthread_t threads[64];
    struct worker workers[64];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, options.threads);
    for (unsigned i = 0; i < options.threads; i++) {
        workers[i] = (struct worker){&options,
                                     i,
                                     &start,
                                     calloc(1, sizeof(struct histogram)),
                                     calloc(1, sizeof(struct histogram)),
                                     0,
                                     0};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    int failed = 0;
    double elapsed_ns = 0;
    for (unsigned i = 0; i < options.threads; i++) {
        pthread_join(threads[i], NULL);
        failed |= workers[i].failed;
        elapsed_ns = workers[i].elapsed_ns > elapsed_ns ? workers[i].elapsed_ns : elapsed_ns;
        if (i > 0) {
            histogram_merge(workers[0].allocate, workers[i].allocate);
            histogram_merge(workers[0].release, workers[i].release);
        }
    }
    printf("{\"threads\": %u, \"live\": %zu, \"operations\": %zu, ", options.threads, options.live,
           2 * options.steps * options.threads);
    print_call("allocate", workers[0].allocate, ", ");
    print_call("free", workers[0].release, ", ");
    printf("\"throughput_ns\": %.1f, \"failed\": %s}\n",
           elapsed_ns / (double)(2 * options.steps * options.threads), failed ? "true" : "false");
    return failed;
}
