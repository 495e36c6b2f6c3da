/* SPDX-License-Identifier: MIT */
/*
 * Writes a large trace of a program that never ran: allocations and frees by several threads from
 * many sites, the same for the same arguments but for thread ids, paths and start.
 * usage: make_trace FILE EVENTS [THREADS [TRACE_MAX [COUNTS]]]
 *
 * Times are made up: the threads take turns, a microsecond an event, so that their blocks overlap
 * in the file as those of real threads do; they wait for each other every TURN events. A block
 * lives for LIVE of its thread's events.
 *
 * COUNTS is a file of one 64-bit counter for each thread, mapped: the events written completely.
 * It is right after any death, and the times are the clock's then.
 *
 * Threading: the writer's threads touch nothing of each other.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cupti/write/trace_writer.h"

#define THREADS_MOST 64
#define LIVE         2000 /* blocks of a thread */
#define SITES        400
#define TURN         256 /* events */

struct worker {
    struct trace_writer *writer;
    uint64_t index, threads, events;
    uint16_t allocate, release;
    pthread_barrier_t *turn;
    volatile uint64_t *counts; /* NULL: nobody counts */
};

static uint32_t sites[SITES];

static uint64_t mixed(uint64_t number)
{
    number *= UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return number ^ number >> 31;
}

/** The allocation of a thread's block `number`, or its free. */
static struct trace_record record_of(const struct worker *worker, uint64_t number, bool release)
{
    uint64_t random = mixed(number * worker->threads + worker->index);
    uint64_t size = (UINT64_C(512) << random % 12) + (random >> 20 & 511);

    return (struct trace_record){.kind = release ? TRACE_EVENT_FREE : TRACE_EVENT_ALLOCATE,
                                 .api = release ? worker->release : worker->allocate,
                                 .memory = TRACE_MEMORY_DEVICE,
                                 .outcome = release       ? TRACE_OUTCOME_NONE
                                            : random & 15 ? TRACE_OUTCOME_HIT
                                                          : TRACE_OUTCOME_MISS,
                                 .latency = 20 + (uint32_t)(random >> 40 & 1023),
                                 .size = size,
                                 .value = (size + 511) / 512 * 512,
                                 .address = (worker->index + 1) << 40 | (number % (2 * LIVE)) << 21,
                                 .context = 1,
                                 .site = sites[random % SITES]};
}

static void *work(void *argument)
{
    const struct worker *worker = argument;

    for (uint64_t event = 0, allocated = 0, freed = 0; event < worker->events; event++) {
        bool release = allocated - freed >= LIVE && event & 1;
        struct trace_record record = record_of(worker, release ? freed++ : allocated++, release);

        if (!worker->counts && event % TURN == 0)
            pthread_barrier_wait(worker->turn);
        if (!worker->counts)
            record.time_ns = (event * worker->threads + worker->index + 1) * 1000;
        trace_writer_emit(worker->writer, &record);
        if (worker->counts)
            *worker->counts = event + 1;
    }
    return NULL;
}

static void describe(struct trace_writer *writer)
{
    const struct trace_record process = {.kind = TRACE_EVENT_PROCESS,
                                         .time_ns = 1,
                                         .value = trace_writer_string(writer, "./make_trace"),
                                         .address = trace_writer_string(writer, "cupool 0 pool")};
    const struct trace_record device = {.kind = TRACE_EVENT_DEVICE,
                                        .time_ns = 2,
                                        .size = UINT64_C(8) << 30,
                                        .value = trace_writer_string(writer, "GPU (simulated)")};

    trace_writer_emit(writer, &process);
    trace_writer_emit(writer, &device);
    for (size_t i = 0; i < SITES; i++)
        sites[i] = trace_writer_site(writer, (const char *)describe + 16 * i);
}

static void workers_run(struct trace_writer *writer, uint64_t threads, uint64_t events,
                        volatile uint64_t *counts)
{
    struct worker worker[THREADS_MOST];
    pthread_t thread[THREADS_MOST];
    pthread_barrier_t turn;

    pthread_barrier_init(&turn, NULL, (unsigned)threads);
    for (uint64_t i = 0; i < threads; i++) {
        worker[i] = (struct worker){.writer = writer,
                                    .index = i,
                                    .threads = threads,
                                    .events = events / threads,
                                    .allocate = (uint16_t)trace_writer_string(writer, "cudaMalloc"),
                                    .release = (uint16_t)trace_writer_string(writer, "cudaFree"),
                                    .turn = &turn,
                                    .counts = counts ? counts + i : NULL};
        if (pthread_create(&thread[i], NULL, work, &worker[i]) != 0)
            exit(1);
    }
    for (uint64_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

static volatile uint64_t *counts_map(const char *path)
{
    const size_t bytes = THREADS_MOST * sizeof(uint64_t);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *counts = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
        counts = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    return counts;
}

int main(int argc, char **argv)
{
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t threads = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    struct trace_writer *writer;
    int error;

    if (!events || !threads || threads > THREADS_MOST) {
        fprintf(stderr, "usage: make_trace FILE EVENTS [THREADS [TRACE_MAX [COUNTS]]]\n");
        return 2;
    }
    error = trace_writer_open_limited(argv[1], argc > 4 ? strtoull(argv[4], NULL, 10) : 0, &writer);
    if (error < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(-error));
        return 1;
    }
    describe(writer);
    workers_run(writer, threads, events, argc > 5 ? counts_map(argv[5]) : NULL);
    error = trace_writer_error(writer);
    trace_writer_close(writer);
    return error != 0;
}
