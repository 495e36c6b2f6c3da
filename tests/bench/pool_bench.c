/* SPDX-License-Identifier: MIT */
/*
 * Time of one allocation and one free, compared with mimalloc and jemalloc on the same sequence.
 *
 *   pool_bench [--quick] [--json FILE] [--only ALLOCATOR] [--threads N] [--live N] [--mix MIX]
 *   pool_bench --sequence ALLOCATOR --live N --operations N [--mix small|wide]
 *
 * Allocators: pool, as used without recording; recorded, the pool as used with recording, with
 * sites and with sizes at every free; mapped, the first with mapped memory; mimalloc; jemalloc.
 *
 * A run fills N slots with blocks, then again and again frees the block of a slot, a random one or
 * the oldest, and allocates another. Single operations are timed with the time-stamp counter, its
 * own cost (the median of an empty measurement) subtracted; means come from untimed passes. The
 * device costs nothing, so the figures are the pool's alone, with all of its statistics, quarantine
 * included. The second form runs the sequence and prints nothing: pool_instructions counts its
 * instructions.
 *
 * Mixes: small, 512 B to 4 KiB; wide, log-uniform from 512 B to 1 MiB.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "pool/base/clock.h"
#include "tests/bench/pool_device.h"
#include "tests/random.h"

#define THREADS_MAX    8
#define SAMPLES_MAX    200000
#define SEQUENCE_SEEDS 0x9E3779B97F4A7C15u

/* ---- allocators ---- */

struct allocator {
    const char *name;
    bool (*open)(void);
    uint64_t (*allocate)(size_t bytes);
    void (*release)(uint64_t handle);
    void (*close)(void);
};

static struct pool_device device;
static struct pool *pool;

static bool backing_open(enum pool_backing backing)
{
    struct pool_config config;

    pool_device_init(&device);
    struct pool_backend backend = pool_device_backend(&device);
    pool_config_init(&config);
    config.backing = backing;
    return pool_create(&config, &backend, &pool) == 0;
}

static bool pool_open(void)
{
    return backing_open(POOL_BACKING_DRIVER);
}

static bool mapped_open(void)
{
    return backing_open(POOL_BACKING_MAPPED);
}

static uint64_t pool_take(size_t bytes)
{
    struct pool_block block;

    return pool_allocate(pool, bytes, 0, &block) == 0 ? block.address : 0;
}

static void pool_give(uint64_t handle)
{
    pool_free(handle, 0, NULL);
}

static uint64_t recorded_take(size_t bytes)
{
    struct pool_block block;

    return pool_allocate(pool, bytes, 1, &block) == 0 ? block.address : 0;
}

static void recorded_give(uint64_t handle)
{
    struct pool_block block;

    pool_free(handle, 2, &block);
}

static void pool_close(void)
{
    pool_destroy(pool, POOL_END_RETURN);
}

static void *(*peer_malloc)(size_t bytes);
static void (*peer_free)(void *pointer);

static bool peer_open(const char *library, const char *allocate, const char *release)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        return false;
    *(void **)&peer_malloc = dlsym(handle, allocate);
    *(void **)&peer_free = dlsym(handle, release);
    return peer_malloc && peer_free;
}

static bool mimalloc_open(void)
{
    return peer_open("libmimalloc.so.2", "mi_malloc", "mi_free") ||
           peer_open("libmimalloc.so.2.0", "mi_malloc", "mi_free");
}

static bool jemalloc_open(void)
{
    return peer_open("libjemalloc.so.2", "malloc", "free");
}

static uint64_t peer_take(size_t bytes)
{
    return (uint64_t)(uintptr_t)peer_malloc(bytes);
}

static void peer_give(uint64_t handle)
{
    peer_free((void *)(uintptr_t)handle);
}

static void peer_close(void)
{
}

static const struct allocator allocators[] = {
    {"pool", pool_open, pool_take, pool_give, pool_close},
    {"recorded", pool_open, recorded_take, recorded_give, pool_close},
    {"mapped", mapped_open, pool_take, pool_give, pool_close},
    {"mimalloc", mimalloc_open, peer_take, peer_give, peer_close},
    {"jemalloc", jemalloc_open, peer_take, peer_give, peer_close},
};
#define ALLOCATORS (sizeof(allocators) / sizeof(*allocators))

/* ---- time ---- */

static uint64_t ticks(void)
{
#if defined(__x86_64__)
    unsigned aux;
    uint64_t now = __rdtscp(&aux);
    _mm_lfence();
    return now;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static double thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double ticks_per_ns;
static uint64_t ticks_overhead;

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void time_calibrate(void)
{
    uint64_t start_ns = pool_clock_ns(), start = ticks();

    while (pool_clock_ns() - start_ns < 50000000)
        ;
    ticks_per_ns = (double)(ticks() - start) / (double)(pool_clock_ns() - start_ns);
    enum { EMPTY = 10001 };
    static uint32_t empty[EMPTY];
    for (int index = 0; index < EMPTY; index++) {
        uint64_t before = ticks();

        empty[index] = (uint32_t)(ticks() - before);
    }
    qsort(empty, EMPTY, sizeof(*empty), compare_u32);
    ticks_overhead = empty[EMPTY / 2];
}

/* ---- the sequence ---- */

enum mix { MIX_SMALL, MIX_WIDE };

static const char *const mix_name[] = {"small", "wide"};

struct work {
    const struct allocator *allocator;
    enum mix mix;
    bool oldest; /* is replaced, not a random one */
    size_t live, operations;
    size_t step;
    bool timed;
    uint64_t seed;
    pthread_barrier_t *barrier;
    /* results */
    uint32_t *allocate_ticks, *free_ticks;
    size_t samples;
    double spent_ns; /* processor time of the thread */
};

static uint64_t random_next(uint64_t *state)
{
    *state = random_xorshift(*state);
    return *state;
}

static size_t size_next(enum mix mix, uint64_t r)
{
    if (mix == MIX_SMALL)
        return 512 + r % 3585;
    size_t base = (size_t)512 << (r % 11);
    return base + (r >> 8) % base;
}

static uint64_t *slot_next(struct work *work, uint64_t *slots, uint64_t r)
{
    return &slots[work->oldest ? work->step++ % work->live : (r >> 32) % work->live];
}

static void work_step(struct work *work, uint64_t *slots, uint64_t *state)
{
    uint64_t r = random_next(state);
    uint64_t *slot = slot_next(work, slots, r);

    work->allocator->release(*slot);
    *slot = work->allocator->allocate(size_next(work->mix, r));
}

static void work_step_timed(struct work *work, uint64_t *slots, uint64_t *state)
{
    uint64_t r = random_next(state);
    uint64_t *slot = slot_next(work, slots, r);
    size_t bytes = size_next(work->mix, r);
    uint64_t handle = *slot; /* keeps the benchmark's own cache miss out of the measurement */
    uint64_t start = ticks();

    work->allocator->release(handle);
    uint64_t freed = ticks();
    *slot = work->allocator->allocate(bytes);
    uint64_t end = ticks();
    if (work->samples < SAMPLES_MAX) {
        work->free_ticks[work->samples] = (uint32_t)(freed - start);
        work->allocate_ticks[work->samples++] = (uint32_t)(end - freed);
    }
}

static void *work_main(void *argument)
{
    struct work *work = argument;
    uint64_t state = work->seed;
    uint64_t *slots = calloc(work->live, sizeof(*slots));

    for (size_t slot = 0; slot < work->live; slot++)
        slots[slot] = work->allocator->allocate(size_next(work->mix, random_next(&state)));
    for (size_t warm = 0; warm < work->live && !work->timed; warm++)
        work_step(work, slots, &state);
    if (work->barrier)
        pthread_barrier_wait(work->barrier);
    double start_ns = thread_ns();
    for (size_t operation = 0; operation < work->operations; operation++)
        (work->timed ? work_step_timed : work_step)(work, slots, &state);
    work->spent_ns = thread_ns() - start_ns;
    if (work->barrier)
        pthread_barrier_wait(work->barrier);
    if (work->barrier) /* no free before the metadata was read */
        pthread_barrier_wait(work->barrier);
    for (size_t slot = 0; slot < work->live; slot++)
        work->allocator->release(slots[slot]);
    free(slots);
    return NULL;
}

/* ---- measuring ---- */

struct result {
    const char *allocator, *mix, *replaced;
    unsigned threads;
    size_t live;
    double mean_ns, allocate_p50_ns, allocate_p99_ns, free_p50_ns, free_p99_ns;
    double metadata_bytes_per_block;
};

static double percentile_ns(uint32_t *samples, size_t count, unsigned percent)
{
    if (count == 0)
        return 0;
    qsort(samples, count, sizeof(*samples), compare_u32);
    uint32_t value = samples[count * percent / 100];
    return value <= ticks_overhead ? 0 : (double)(value - ticks_overhead) / ticks_per_ns;
}

static double metadata_per_block(const struct allocator *allocator)
{
    struct pool_statistics statistics;

    if (allocator->open != pool_open && allocator->open != mapped_open)
        return 0;
    pool_statistics_get(pool, &statistics);
    return (double)statistics.metadata_bytes / (double)statistics.live_blocks.current;
}

/* Nanoseconds of processor time per operation, over all threads; an operation is one allocation or
 * one free. */
static double mean_measure(struct work *works, unsigned threads, double *ret_metadata)
{
    pthread_barrier_t barrier;
    pthread_t ids[THREADS_MAX];

    pthread_barrier_init(&barrier, NULL, threads + 1);
    for (unsigned index = 0; index < threads; index++) {
        works[index].barrier = &barrier;
        pthread_create(&ids[index], NULL, work_main, &works[index]);
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    *ret_metadata = metadata_per_block(works[0].allocator);
    pthread_barrier_wait(&barrier);
    double ns = 0;
    for (unsigned index = 0; index < threads; index++) {
        pthread_join(ids[index], NULL);
        ns += works[index].spent_ns;
    }
    pthread_barrier_destroy(&barrier);
    return ns / (double)(threads * works[0].operations * 2);
}

/** The runs with each allocator. */
struct bench_case {
    enum mix mix;
    unsigned threads;
    size_t live;
    bool oldest;
};

static bool measure(const struct allocator *allocator, const struct bench_case *bench,
                    size_t operations, struct result *ret_result)
{
    unsigned threads = bench->threads;
    size_t live = bench->live;
    struct work works[THREADS_MAX];
    static uint32_t allocate_ticks[SAMPLES_MAX], free_ticks[SAMPLES_MAX];

    if (!allocator->open())
        return false;
    for (unsigned index = 0; index < threads; index++)
        works[index] = (struct work){.allocator = allocator,
                                     .mix = bench->mix,
                                     .oldest = bench->oldest,
                                     .live = live / threads,
                                     .operations = operations,
                                     .seed = SEQUENCE_SEEDS + index};
    struct result result = {.allocator = allocator->name,
                            .mix = mix_name[bench->mix],
                            .replaced = bench->oldest ? "oldest" : "random",
                            .threads = threads,
                            .live = live};
    result.mean_ns = mean_measure(works, threads, &result.metadata_bytes_per_block);

    struct work timed = works[0];
    timed.timed = true;
    timed.barrier = NULL;
    timed.live = live;
    timed.operations = SAMPLES_MAX;
    timed.allocate_ticks = allocate_ticks;
    timed.free_ticks = free_ticks;
    if (threads == 1)
        work_main(&timed);
    result.allocate_p50_ns = percentile_ns(allocate_ticks, timed.samples, 50);
    result.allocate_p99_ns = percentile_ns(allocate_ticks, timed.samples, 99);
    result.free_p50_ns = percentile_ns(free_ticks, timed.samples, 50);
    result.free_p99_ns = percentile_ns(free_ticks, timed.samples, 99);
    allocator->close();
    *ret_result = result;
    return true;
}

/* ---- printing ---- */

static void result_print(const struct result *r)
{
    printf("%-9s %-6s %-8s %7u %9zu %8.1f ", r->allocator, r->mix, r->replaced, r->threads, r->live,
           r->mean_ns);
    if (r->threads == 1)
        printf("%9.1f %9.1f %9.1f %9.1f", r->allocate_p50_ns, r->allocate_p99_ns, r->free_p50_ns,
               r->free_p99_ns);
    else
        printf("%9s %9s %9s %9s", "-", "-", "-", "-");
    if (r->metadata_bytes_per_block > 0)
        printf(" %9.1f", r->metadata_bytes_per_block);
    printf("\n");
    fflush(stdout);
}

static void result_json(FILE *json, const struct result *r, bool first)
{
    fprintf(json,
            "%s\n  {\"allocate_p50_ns\": %.1f, \"allocate_p99_ns\": %.1f, \"allocator\": \"%s\", "
            "\"free_p50_ns\": %.1f, \"free_p99_ns\": %.1f, \"live_blocks\": %zu, "
            "\"mean_ns\": %.2f, \"metadata_bytes_per_block\": %.1f, \"mix\": \"%s\", "
            "\"replaced\": \"%s\", \"threads\": %u}",
            first ? "" : ",", r->allocate_p50_ns, r->allocate_p99_ns, r->allocator, r->free_p50_ns,
            r->free_p99_ns, r->live, r->mean_ns, r->metadata_bytes_per_block, r->mix, r->replaced,
            r->threads);
}

static const struct bench_case cases[] = {
    {MIX_SMALL, 1, 100, false},     {MIX_SMALL, 1, 10000, false}, {MIX_SMALL, 1, 1000000, false},
    {MIX_SMALL, 1, 1000000, true},  {MIX_SMALL, 8, 800, false},   {MIX_SMALL, 8, 10000, false},
    {MIX_SMALL, 8, 1000000, false}, {MIX_WIDE, 1, 100, false},    {MIX_WIDE, 1, 10000, false},
    {MIX_WIDE, 8, 10000, false},
};

/** Filters of the table; 0 and NULL: none. */
struct filter {
    const char *allocator, *mix;
    unsigned threads;
    size_t live;
};

static bool filter_admits(const struct filter *filter, const struct bench_case *bench,
                          const struct allocator *allocator)
{
    return (!filter->allocator || strcmp(filter->allocator, allocator->name) == 0) &&
           (!filter->mix || strcmp(filter->mix, mix_name[bench->mix]) == 0) &&
           (filter->threads == 0 || filter->threads == bench->threads) &&
           (filter->live == 0 || filter->live == bench->live);
}

static int table_run(size_t operations, const char *json_path, const struct filter *filter)
{
    FILE *json = json_path ? fopen(json_path, "w") : NULL;

    if (json_path && !json) {
        fprintf(stderr, "pool_bench: %s: %s\n", json_path, strerror(errno));
        return 2;
    }
    time_calibrate();
    printf("%-9s %-6s %-8s %7s %9s %8s %9s %9s %9s %9s %9s\n", "allocator", "mix", "replaced",
           "threads", "live", "mean ns", "alloc p50", "alloc p99", "free p50", "free p99",
           "metadata");
    bool first = true;
    if (json)
        fprintf(json, "[");
    for (size_t index = 0; index < sizeof(cases) / sizeof(*cases); index++) {
        for (size_t which = 0; which < ALLOCATORS; which++) {
            struct result result;

            if (!filter_admits(filter, &cases[index], &allocators[which]) ||
                !measure(&allocators[which], &cases[index], operations / cases[index].threads,
                         &result))
                continue;
            result_print(&result);
            if (json)
                result_json(json, &result, first);
            first = false;
        }
    }
    if (json) {
        fprintf(json, "\n]\n");
        fclose(json);
    }
    return 0;
}

static int sequence_run(const char *name, size_t live, size_t operations, enum mix mix)
{
    for (size_t which = 0; which < ALLOCATORS; which++) {
        if (strcmp(allocators[which].name, name) != 0)
            continue;
        if (!allocators[which].open()) {
            fprintf(stderr, "pool_bench: %s is not installed\n", name);
            return 77;
        }
        struct work work = {.allocator = &allocators[which],
                            .mix = mix,
                            .live = live,
                            .operations = operations,
                            .seed = SEQUENCE_SEEDS};
        work_main(&work);
        return 0;
    }
    fprintf(stderr, "pool_bench: no allocator is called %s\n", name);
    return 2;
}

/* A library opened late needs room in the static thread-local block, which is reserved at start.
 */
static void static_tls_reserve(char **argv)
{
    if (getenv("GLIBC_TUNABLES") != NULL)
        return;
    setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    static_tls_reserve(argv);
    const char *json_path = NULL, *sequence = NULL;
    size_t operations = 2000000;
    struct filter filter = {0};
    for (int index = 1; index < argc; index++) {
        const char *value = index + 1 < argc ? argv[index + 1] : "";

        if (strcmp(argv[index], "--quick") == 0) {
            operations = 100000;
            continue;
        }
        if (strcmp(argv[index], "--json") == 0)
            json_path = value;
        else if (strcmp(argv[index], "--sequence") == 0)
            sequence = value;
        else if (strcmp(argv[index], "--live") == 0)
            filter.live = strtoull(value, NULL, 0);
        else if (strcmp(argv[index], "--only") == 0)
            filter.allocator = value;
        else if (strcmp(argv[index], "--threads") == 0)
            filter.threads = (unsigned)strtoul(value, NULL, 0);
        else if (strcmp(argv[index], "--operations") == 0)
            operations = strtoull(value, NULL, 0);
        else if (strcmp(argv[index], "--mix") == 0)
            filter.mix = value;
        else {
            fprintf(stderr, "pool_bench: unknown option %s\n", argv[index]);
            return 2;
        }
        index++;
    }
    if ((sequence && filter.live == 0) || operations == 0) {
        fprintf(stderr, "pool_bench: --live and --operations want a number above 0\n");
        return 2;
    }
    if (!sequence)
        return table_run(operations, json_path, &filter);
    bool wide = filter.mix && strcmp(filter.mix, mix_name[MIX_WIDE]) == 0;
    return sequence_run(sequence, filter.live, operations, wide ? MIX_WIDE : MIX_SMALL);
}
