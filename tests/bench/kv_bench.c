/* SPDX-License-Identifier: MIT */
/*
 * Costs of the KV block pool: the figures of docs/engine.md, each the median of several rounds.
 *
 *     kv_bench [--json]
 *
 *   allocate_release_ns      a block, in batches of 16, of a pool of 1,024; …_1m: of 1,048,576
 *   match_8192_us            8,192 hashes, all cached, among 1,048,576
 *   match_8192_apart_us      the same with no two blocks of a sequence adjacent
 *   sha256_ns_token          identity of blocks of 16 tokens; xxh3_ns_token likewise
 *   threads_8_ratio          throughput of eight threads over that of one
 *   threads_8_cpu            processor time a block of eight threads, by that of one: what they
 *                            lose to each other, also on a machine that has other work
 *   heap_calls               of all of the above after creation
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/cupool/kv.h"
#include "tests/bench/bench.h"
#include "tests/bench/heap_count.h"

#define BATCH   16u
#define ROUNDS  9
#define MILLION (1u << 20)
#define MATCHED 8192u
#define THREADS 8

static struct cupool_device *device;
static uint64_t heap_used;

static double cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Sorts in place: qsort() may allocate, and heap calls are counted. */
static double middle(double *figures, unsigned count)
{
    for (unsigned at = 1; at < count; at++) {
        double figure = figures[at];
        unsigned to = at;

        for (; to > 0 && figures[to - 1] > figure; to--)
            figures[to] = figures[to - 1];
        figures[to] = figure;
    }
    return figures[count / 2];
}

/* The middle of ROUNDS runs of a measurement. */
static double median(double (*measure)(void *state), void *state)
{
    double rounds[ROUNDS];
    uint64_t before = heap_calls();

    for (int round = 0; round < ROUNDS; round++)
        rounds[round] = measure(state);
    heap_used += heap_calls() - before;
    return middle(rounds, ROUNDS);
}

static struct cupool_kv *pool_make(uint32_t blocks)
{
    struct cupool_kv_config config;
    struct cupool_kv *pool;

    cupool_kv_config_init(&config);
    config.blocks = blocks;
    need(cupool_kv_create(device, &config, &pool), "create");
    return pool;
}

static void allocate_release(struct cupool_kv *pool, unsigned batches)
{
    cupool_kv_handle handles[BATCH];

    for (unsigned at = 0; at < batches; at++) {
        need(cupool_kv_allocate(pool, BATCH, CUPOOL_STREAM_NONE, handles), "allocate");
        need(cupool_kv_release(pool, handles, BATCH, CUPOOL_STREAM_NONE), "release");
    }
}

static double measure_allocate(void *state)
{
    const unsigned batches = 20000;
    double begin = now_ns();

    allocate_release(state, batches);
    return (now_ns() - begin) / batches / BATCH;
}

/* All blocks out, then all in: every record is touched. */
static double measure_sweep(void *state)
{
    static cupool_kv_handle *handles;
    double begin;

    if (!handles)
        handles = malloc(MILLION * sizeof(*handles));
    begin = now_ns();
    for (uint32_t at = 0; at < MILLION; at += BATCH)
        need(cupool_kv_allocate(state, BATCH, CUPOOL_STREAM_NONE, handles + at), "allocate");
    for (uint32_t at = 0; at < MILLION; at += BATCH)
        need(cupool_kv_release(state, handles + at, BATCH, CUPOOL_STREAM_NONE), "release");
    return (now_ns() - begin) / MILLION;
}

struct thread_work {
    struct cupool_kv *pool;
    pthread_barrier_t *start;
    unsigned batches;
};

static void *thread_run(void *state)
{
    struct thread_work *work = state;

    pthread_barrier_wait(work->start);
    allocate_release(work->pool, work->batches);
    return NULL;
}

/* Blocks per second of `threads` threads; processor time per block. */
static double throughput(struct cupool_kv *pool, unsigned threads, double *ret_cpu_ns)
{
    struct thread_work work[THREADS];
    pthread_t ids[THREADS];
    pthread_barrier_t start;
    const unsigned batches = 160000 / threads;

    pthread_barrier_init(&start, NULL, threads + 1);
    for (unsigned at = 0; at < threads; at++) {
        work[at] = (struct thread_work){pool, &start, batches};
        if (pthread_create(&ids[at], NULL, thread_run, &work[at]) != 0)
            need(-1, "thread");
    }
    pthread_barrier_wait(&start);
    double begin = now_ns(), cpu_begin = cpu_ns();
    for (unsigned at = 0; at < threads; at++)
        pthread_join(ids[at], NULL);
    double blocks = (double)batches * threads * BATCH;
    *ret_cpu_ns = (cpu_ns() - cpu_begin) / blocks;
    begin = now_ns() - begin;
    pthread_barrier_destroy(&start);
    return blocks / begin * 1e9;
}

static double measure_threads(void *state)
{
    double cpu, one = throughput(state, 1, &cpu);

    return throughput(state, THREADS, &cpu) / one;
}

static double measure_threads_cpu(void *state)
{
    double one, all;

    throughput(state, 1, &one);
    throughput(state, THREADS, &all);
    return all / one;
}

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

static struct cupool_kv_hash hash_of(uint64_t number)
{
    struct cupool_kv_hash hash;
    uint64_t words[4];

    for (unsigned at = 0; at < 4; at++)
        words[at] = mix(number * 4 + at);
    memcpy(hash.bytes, words, sizeof(words));
    return hash;
}

/** A million cached blocks, as sequences of MATCHED. */
struct matching {
    struct cupool_kv *pool;
    struct cupool_kv_hash *hashes;
    cupool_kv_handle *handles;
    uint32_t next;
};

static void matching_fill(struct matching *matching, bool apart)
{
    matching->pool = pool_make(MILLION);
    matching->hashes = malloc(MILLION * sizeof(*matching->hashes));
    matching->handles = malloc(MILLION * sizeof(*matching->handles));
    if (!matching->hashes || !matching->handles)
        need(-1, "memory");
    for (uint32_t at = 0; at < MILLION; at++)
        matching->hashes[at] = hash_of(at);
    need(cupool_kv_allocate(matching->pool, MILLION, CUPOOL_STREAM_NONE, matching->handles),
         "allocate");
    for (uint32_t at = MILLION - 1; at > 0 && apart; at--) {
        uint64_t other = mix(at) % (at + 1);
        cupool_kv_handle handle = matching->handles[at];

        matching->handles[at] = matching->handles[other];
        matching->handles[other] = handle;
    }
    for (uint32_t at = 0; at < MILLION; at += MATCHED) {
        cupool_kv_handle *handles = matching->handles + at;

        need(cupool_kv_complete(matching->pool, handles, MATCHED), "complete");
        need(cupool_kv_register(matching->pool, handles, matching->hashes + at, MATCHED, NULL,
                                CUPOOL_KV_KEEP_BOTH, CUPOOL_STREAM_NONE, handles),
             "register");
        need(cupool_kv_release(matching->pool, handles, MATCHED, CUPOOL_STREAM_NONE), "release");
    }
}

static double measure_match(void *state)
{
    struct matching *matching = state;
    double spent[16];

    for (unsigned at = 0; at < 16; at++) {
        uint32_t matched = 0, first = matching->next;
        double begin = now_ns();

        need(cupool_kv_match(matching->pool, matching->hashes + first, MATCHED, matching->handles,
                             &matched),
             "match");
        spent[at] = now_ns() - begin;
        if (matched != MATCHED)
            need(-1, "a cached block was not found");
        need(cupool_kv_release(matching->pool, matching->handles, MATCHED, CUPOOL_STREAM_NONE),
             "release");
        /* Another sequence each time, so its records are not in a cache. */
        matching->next = (first + 37 * MATCHED) % MILLION;
    }
    return middle(spent, 16) / 1000;
}

static double measure_identity(void *state)
{
    static int32_t tokens[4096];
    static struct cupool_kv_hash hashes[4096 / 16];
    const struct cupool_kv_identity *identity = state;
    const unsigned times = 40;
    struct cupool_kv_hash root;

    for (unsigned at = 0; at < 4096; at++)
        tokens[at] = (int32_t)(mix(at) % 128000);
    need(cupool_kv_identity_root(identity, NULL, &root), "root");
    double begin = now_ns();
    for (unsigned at = 0; at < times; at++)
        need(cupool_kv_identity_blocks(identity, NULL, &root, tokens, 0, 4096 / 16, hashes),
             "identity");
    return (now_ns() - begin) / times / 4096;
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    struct cupool_kv_identity sha = {.method = CUPOOL_KV_SHA256, .block_tokens = 16};
    struct cupool_kv_identity xxh = {.method = CUPOOL_KV_XXH3, .block_tokens = 16, .secret = 42};
    struct matching matching = {.next = 0}, apart = {.next = 0};

    need(cupool_device_host(&device), "device");
    struct cupool_kv *small = pool_make(1024), *large = pool_make(MILLION);
    measure_sweep(large); /* the array and the pages stay allocated */
    double allocate = median(measure_allocate, small);
    double allocate_large = median(measure_allocate, large);
    double sweep = median(measure_sweep, large);
    uint64_t heap_so_far = heap_used; /* threads allocate stacks and barriers */
    double threads = median(measure_threads, small);
    double threads_cpu = median(measure_threads_cpu, small);
    heap_used = heap_so_far;
    matching_fill(&matching, false);
    double match = median(measure_match, &matching);
    cupool_kv_destroy(matching.pool);
    matching_fill(&apart, true);
    double match_apart = median(measure_match, &apart);
    double sha_ns = median(measure_identity, &sha), xxh_ns = median(measure_identity, &xxh);
    printf(json ? "{\"allocate_release_ns\": %.1f, \"allocate_release_ns_1m\": %.1f, "
                  "\"sweep_ns_1m\": %.1f, \"match_8192_us\": %.1f, \"match_8192_apart_us\": %.1f, "
                  "\"sha256_ns_token\": %.2f, "
                  "\"xxh3_ns_token\": %.2f, \"threads_8_ratio\": %.2f, \"threads_8_cpu\": %.2f, "
                  "\"cores\": %ld, "
                  "\"heap_calls\": %llu}\n"
                : "allocate and release   %8.1f ns a block of 1,024\n"
                  "                       %8.1f ns a block of 1,048,576\n"
                  "  all of them in turn  %8.1f ns a block\n"
                  "match of 8,192 in 1 M  %8.1f us\n"
                  "  that lie apart       %8.1f us\n"
                  "SHA-256                %8.2f ns a token\n"
                  "XXH3                   %8.2f ns a token\n"
                  "8 threads by one       %8.2f times, processor time %.2f times, on %ld cores\n"
                  "heap calls             %8llu\n",
           allocate, allocate_large, sweep, match, match_apart, sha_ns, xxh_ns, threads,
           threads_cpu, sysconf(_SC_NPROCESSORS_ONLN), (unsigned long long)heap_used);
    cupool_kv_destroy(small);
    cupool_kv_destroy(large);
    cupool_kv_destroy(apart.pool);
    cupool_device_close(device);
    return 0;
}
