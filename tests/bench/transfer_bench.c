/* SPDX-License-Identifier: MIT */
/*
 * Transfers by size of the fragments and by method, on GPU 0: bytes per second, and resources used.
 *
 *     transfer_bench [--json] [--quick] [--host]
 *
 * A row is 8 MiB in fragments of one size, at most 4,096 of them, with gaps between them; the
 * median of five rounds. The methods:
 *
 *   copy      a copy of the driver for each, page-locked memory
 *   batch     its batched call
 *   kernel    the copy kernel
 *   ring      pageable memory; the thresholds are the defaults
 *   joined    neighbours, in no order; page-locked memory
 *
 * On the simulated device the counts are exact and the times meaningless. With --host there is one
 * method, and heap_calls counts the heap calls of all rounds.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool/memory.h"
#include "include/cupool/transfer.h"
#include "tests/bench/bench.h"
#include "tests/bench/heap_count.h"

#define ROUNDS    5
#define TOTAL     ((size_t)8 << 20)
#define MOST      4096u
#define GAP       64u
#define KIB       ((size_t)1024)
#define ROOM      (TOTAL + (size_t)MOST * GAP)
#define BATCH_OFF 0u

enum way { COPY, BATCH, KERNEL, RING, JOINED, WAYS };

static const char *const way_names[WAYS] = {"copy", "batch", "kernel", "ring", "joined"};
static const struct cupool_transfer_thresholds way_thresholds[WAYS] = {
    [COPY] = {0, 1, BATCH_OFF}, [BATCH] = {0, 1, 2},          [KERNEL] = {UINT64_MAX, 1, BATCH_OFF},
    [RING] = {28 << 10, 16, 4}, [JOINED] = {0, 1, BATCH_OFF},
};

static struct cupool_device *device;
static uint8_t *on_device, *pinned, *pageable;
static struct cupool_copy copies[MOST];

/** A line of the table. */
struct row {
    enum way way;
    enum cupool_direction direction;
    size_t fragment_bytes;
    unsigned fragments;
    double bytes_per_s;
    struct cupool_transfer_statistics stats; /* of one round */
    uint64_t heap_calls;
};

/* Adds what the device says. */
static void need_device(int error, const char *what)
{
    if (error < 0 && device)
        fprintf(stderr, "%s\n", cupool_device_error(device));
    need(error, what);
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static void copies_make(const struct row *row)
{
    uint8_t *host = row->way == RING ? pageable : pinned;
    size_t stride = row->fragment_bytes + (row->way == JOINED ? 0 : GAP);

    for (unsigned at = 0; at < row->fragments; at++) {
        size_t place = (size_t)at * 1103 % row->fragments * stride; /* 1103 is a prime */
        void *outside = on_device + place, *inside = host + place;

        copies[at] = row->direction == CUPOOL_TO_DEVICE
                         ? (struct cupool_copy){outside, inside, row->fragment_bytes}
                         : (struct cupool_copy){inside, outside, row->fragment_bytes};
    }
}

static double round_run(struct cupool_transfers *transfers, const struct row *row)
{
    cupool_transfer transfer;
    double begin = now_ns();

    need_device(
        cupool_transfers_submit(transfers, row->direction, copies, row->fragments, NULL, &transfer),
        "submit");
    need_device(cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER), "wait");
    return now_ns() - begin;
}

static void row_measure(struct row *row, unsigned rounds)
{
    struct cupool_transfers_config config;
    struct cupool_transfer_statistics before;
    struct cupool_transfers *transfers;
    double times[ROUNDS];

    cupool_transfers_config_init(&config);
    config.thresholds = &way_thresholds[row->way];
    need_device(cupool_transfers_create(device, &config, &transfers), "create");
    copies_make(row);
    round_run(transfers, row);
    need_device(cupool_transfers_stats(transfers, row->direction, &before), "stats");
    uint64_t heap = heap_calls();
    for (unsigned round = 0; round < rounds; round++)
        times[round] = round_run(transfers, row);
    row->heap_calls = heap_calls() - heap;
    qsort(times, rounds, sizeof(*times), ascending);
    row->bytes_per_s = (double)row->fragments * (double)row->fragment_bytes / times[rounds / 2] *
                       1e9;
    row->stats = before; /* that of the round that was not timed */
    cupool_transfers_destroy(transfers);
}

static void row_print(const struct row *row, bool json, bool first)
{
    const char *direction = row->direction == CUPOOL_TO_DEVICE ? "to" : "from";

    if (json)
        printf("%s\n  {\"way\": \"%s\", \"direction\": \"%s\", \"fragment_bytes\": %zu, "
               "\"fragments\": %u, \"bytes_per_s\": %.0f, \"driver_calls\": %llu, "
               "\"copies\": %llu, \"batches\": %llu, \"launches\": %llu, \"descriptors\": %llu, "
               "\"joined\": %llu, \"staged_bytes\": %llu, \"heap_calls\": %llu}",
               first ? "" : ",", way_names[row->way], direction, row->fragment_bytes,
               row->fragments, row->bytes_per_s, (unsigned long long)row->stats.driver_calls,
               (unsigned long long)row->stats.copies, (unsigned long long)row->stats.batches,
               (unsigned long long)row->stats.launches, (unsigned long long)row->stats.descriptors,
               (unsigned long long)row->stats.joined, (unsigned long long)row->stats.staged_bytes,
               (unsigned long long)row->heap_calls);
    else
        printf("%-7s %-5s %8zu %6u %9.2f %6llu %7llu %10llu\n", way_names[row->way], direction,
               row->fragment_bytes, row->fragments, row->bytes_per_s / 1e9,
               (unsigned long long)row->stats.driver_calls,
               (unsigned long long)row->stats.descriptors,
               (unsigned long long)row->stats.staged_bytes);
}

static void memory_make(bool host)
{
    void *memory;

    need_device(host ? cupool_device_host(&device) : cupool_device_open(0, &device), "device");
    need_device(cupool_memory_allocate(device, ROOM, CUPOOL_STREAM_NONE, &memory), "device memory");
    on_device = memory;
    need_device(cupool_host_allocate(device, ROOM, NULL, &memory), "page-locked memory");
    pinned = memory;
    pageable = malloc(ROOM);
    need_device(!pageable ? -1 : 0, "memory");
    memset(pinned, 1, ROOM);
    memset(pageable, 2, ROOM);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1, 4, 8, 16, 28, 64, 256, 1024};
    bool json = false, quick = false, host = false, first = true;

    for (int at = 1; at < argc; at++) {
        json |= strcmp(argv[at], "--json") == 0;
        quick |= strcmp(argv[at], "--quick") == 0;
        host |= strcmp(argv[at], "--host") == 0;
    }
    memory_make(host);
    printf(json ? "{\"rows\": ["
                : "way     way  fragment      n      GB/s  calls descrip.     staged\n");
    for (unsigned way = 0; way < (host ? 1 : WAYS); way++)
        for (unsigned direction = CUPOOL_TO_DEVICE; direction <= CUPOOL_FROM_DEVICE; direction++)
            for (unsigned at = 0; at < sizeof(sizes) / sizeof(*sizes); at += quick ? 3 : 1) {
                struct row row = {.way = (enum way)way,
                                  .direction = (enum cupool_direction)direction,
                                  .fragment_bytes = sizes[at] * KIB};
                size_t count = (quick ? TOTAL / 8 : TOTAL) / row.fragment_bytes;

                row.fragments = count < MOST ? (unsigned)count : MOST;
                row_measure(&row, quick ? 1 : ROUNDS);
                row_print(&row, json, first);
                first = false;
            }
    printf(json ? "\n]}\n" : "");
    need_device(cupool_host_free(device, pinned), "free");
    need_device(cupool_memory_free(device, on_device, CUPOOL_STREAM_NONE), "free");
    free(pageable);
    cupool_device_close(device);
    return 0;
}
