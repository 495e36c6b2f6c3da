/* SPDX-License-Identifier: MIT */
/*
 * Replays buffer lifetimes through the real pool on a device that costs nothing.
 *
 *   trace_replay [--waste PERCENT] [--capacity] [--held] [--mapped MIB | default] [--move]
 *                [--json FILE] DIRECTORY | --synthetic
 *
 * DIRECTORY holds CSV files of `id,lower,upper,size` (half-open lifetimes), itself or in folders.
 * With --synthetic there are none.
 * Events are replayed by time, frees first. For each trace:
 *
 *   R        peak reserved / peak requested, memory unlimited
 *   bare     peak reserved / peak of what the driver itself would hold for the same buffers: up to
 *            1 MiB packed into 2 MiB segments without loss, above rounded up to 2 MiB
 *   minCap   with --capacity: smallest device on which the trace completes / peak requested,
 *            to 1/4096
 *   seg      driver segment calls per 1,000 operations: the whole trace, and its second replay in
 *            the same pool, which is what a program that repeats itself sees
 *   fences   fence calls per 1,000 operations, second replay
 *
 * With --held, the memory held on a device slightly smaller than minCap: each kind as a share of
 * the requested memory.
 *
 * With --mapped the pool maps its memory, with handles of up to MIB MiB or as the pool chooses, and
 * `seg` counts every call that creates, maps, enables, unmaps or releases memory. --move allows
 * breaking handles in use.
 *
 * Traces under a folder `minimalloc` have abstract units and are replayed at 1000 and 4096 bytes a
 * unit. After the files come synthetic workloads: kv, 48 tensors that grow by allocating anew,
 * copying and freeing the old; layers, an inference step of activations over fixed weights.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pool/heap/types.h"
#include "tests/bench/lifetimes.h"
#include "tests/bench/pool_device.h"

/* ---- replay ---- */

struct outcome {
    uint64_t peak_requested, peak_reserved, peak_bare;
    double cold_segments, warm_segments, warm_fences; /* per 1,000 operations */
    bool complete;
};

static uint32_t waste_percent = UINT32_MAX;
static bool mapped;
static uint64_t mapped_page_bytes; /* 0: chosen by the pool */
static bool move;

static double part(uint64_t bytes, uint64_t of)
{
    return 100.0 * (double)bytes / (double)of;
}

/* Memory held and not requested, at a failed allocation. */
static void held_report(struct pool *pool, const struct trace *trace, size_t event)
{
    struct pool_statistics now;
    struct pool_memory memory;

    pool_statistics_get(pool, &now);
    pool_memory_get(pool, &memory);
    uint64_t requested = now.live_requested_bytes.current;
    uint64_t outside = runs_free_bytes(&pool->runs);
    printf("  held at event %zu, for %.2f MiB more: %% of the requested %.1f MiB: rounding %.3f, "
           "quarantine %.3f, free in slabs and segments %.3f, tails %.3f, free elsewhere %.3f, of "
           "this whole handles %.3f\n",
           event, (double)trace->sizes[trace->events[event].buffer] / (1 << 20),
           (double)requested / (1 << 20), part(memory.live_bytes - requested, requested),
           part(memory.quarantined_bytes, requested), part(memory.free_bytes - outside, requested),
           part(memory.waste_bytes, requested), part(outside, requested),
           part(memory.returnable_bytes, requested));
}

static bool want_held;

static bool replay_once(struct pool *pool, const struct trace *trace, uint64_t *addresses)
{
    for (size_t index = 0; index < trace->event_count; index++) {
        const struct event *event = &trace->events[index];
        struct pool_block block;

        if (!event->allocate) {
            pool_free(addresses[event->buffer], 0, NULL);
            continue;
        }
        if (pool_allocate(pool, trace->sizes[event->buffer], 0, &block) != 0) {
            if (want_held)
                held_report(pool, trace, index);
            return false;
        }
        addresses[event->buffer] = block.address;
    }
    return true;
}

/* Peak of the driver's memory, by the model above. */
static uint64_t bare_peak(const struct trace *trace)
{
    uint64_t small = 0, large = 0, peak = 0;

    for (size_t index = 0; index < trace->event_count; index++) {
        const struct event *event = &trace->events[index];
        uint64_t bytes = trace->sizes[event->buffer];
        bool packed = bytes <= 1 << 20;
        uint64_t grain = packed ? 512 : POOL_SEGMENT_BYTES;
        uint64_t held = (bytes + grain - 1) / grain * grain;

        *(packed ? &small : &large) += event->allocate ? held : -held;
        uint64_t all = large +
                       (small + POOL_SEGMENT_BYTES - 1) / POOL_SEGMENT_BYTES * POOL_SEGMENT_BYTES;
        peak = all > peak ? all : peak;
    }
    return peak;
}

static struct outcome replay(const struct trace *trace, uint64_t capacity_bytes)
{
    struct pool_device device;
    struct pool_config config;
    struct pool_statistics statistics;
    struct pool *pool;
    struct outcome outcome = {0};

    pool_device_init(&device);
    device.capacity_bytes = capacity_bytes;
    struct pool_backend backend = pool_device_backend(&device);
    pool_config_init(&config);
    if (waste_percent != UINT32_MAX)
        config.large_waste_percent = waste_percent;
    config.backing = mapped ? POOL_BACKING_MAPPED : POOL_BACKING_DRIVER;
    config.page_bytes = mapped_page_bytes;
    config.move = move;
    if (pool_create(&config, &backend, &pool) != 0)
        exit(2);
    uint64_t *addresses = calloc(trace->buffers, sizeof(*addresses));
    double thousands = (double)trace->event_count / 1000;

    outcome.complete = replay_once(pool, trace, addresses);
    outcome.cold_segments = (double)device.segment_calls / thousands;
    pool_statistics_get(pool, &statistics);
    outcome.peak_requested = statistics.live_requested_bytes.peak;
    outcome.peak_reserved = device.peak_bytes;
    outcome.peak_bare = bare_peak(trace);
    if (capacity_bytes == 0) {
        uint64_t segments = device.segment_calls, fences = device.fence_calls;

        replay_once(pool, trace, addresses);
        outcome.warm_segments = (double)(device.segment_calls - segments) / thousands;
        outcome.warm_fences = (double)(device.fence_calls - fences) / thousands;
    }
    free(addresses);
    pool_destroy(pool, POOL_END_RETURN);
    return outcome;
}

static double capacity_find(const struct trace *trace, const struct outcome *free_run)
{
    uint64_t low = free_run->peak_requested, high = free_run->peak_reserved;
    bool held = want_held;

    want_held = false;
    while (high - low > low / 4096) {
        uint64_t middle = low + (high - low) / 2;

        if (replay(trace, middle).complete)
            high = middle;
        else
            low = middle;
    }
    want_held = held;
    if (held)
        replay(trace, high - POOL_SEGMENT_BYTES);
    return (double)high / (double)free_run->peak_requested;
}

static bool want_capacity;
static FILE *json;
static unsigned rows;

static void trace_report(const struct trace *trace)
{
    struct outcome outcome = replay(trace, 0);
    double r = (double)outcome.peak_reserved / (double)outcome.peak_requested;
    double capacity = want_capacity ? capacity_find(trace, &outcome) : 0;
    double bare = (double)outcome.peak_reserved / (double)outcome.peak_bare;

    printf("%-28s %8zu %10.1f %7.3f %7.3f", trace->name, trace->event_count,
           (double)outcome.peak_requested / (1 << 20), r, bare);
    if (want_capacity)
        printf(" %7.3f", capacity);
    else
        printf(" %7s", "-");
    printf(" %8.2f %8.2f %8.2f\n", outcome.cold_segments, outcome.warm_segments,
           outcome.warm_fences);
    fflush(stdout);
    if (json)
        fprintf(json,
                "%s\n  {\"bare\": %.4f, \"cold_segment_calls\": %.3f, \"events\": %zu, "
                "\"min_capacity\": %.4f, "
                "\"overhead\": %.4f, \"peak_requested_bytes\": %llu, \"trace\": \"%s\", "
                "\"warm_fence_calls\": %.3f, \"warm_segment_calls\": %.3f}",
                rows > 0 ? "," : "", bare, outcome.cold_segments, trace->event_count, capacity, r,
                (unsigned long long)outcome.peak_requested, trace->name, outcome.warm_fences,
                outcome.warm_segments);
    rows++;
}

static void file_report(const char *path, const char *name)
{
    static const uint64_t abstract_scales[] = {1000, 4096, 0}, byte_scale[] = {1, 0};
    bool abstract = strstr(path, "minimalloc") != NULL;

    for (const uint64_t *scale = abstract ? abstract_scales : byte_scale; *scale != 0; scale++) {
        struct trace trace = {0};

        snprintf(trace.name, sizeof(trace.name), "%.*s", (int)strcspn(name, "."), name);
        if (abstract)
            snprintf(trace.name, sizeof(trace.name), "%.*s x%llu", (int)strcspn(name, "."), name,
                     (unsigned long long)*scale);
        if (trace_read(path, *scale, &trace))
            trace_report(&trace);
        trace_done(&trace);
    }
}

static void directory_report(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);

    for (int index = 0; index < count; index++) {
        char path[4096];
        struct stat status;
        const char *name = entries[index]->d_name;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        if (name[0] != '.' && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
            directory_report(path);
        else if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".csv") == 0)
            file_report(path, name);
        free(entries[index]);
    }
    if (count >= 0)
        free(entries);
}

static void synthetic_report(void)
{
    static const uint64_t starts[] = {16 << 10, 256 << 10, 4 << 20, 32 << 20};

    for (size_t index = 0; index < sizeof(starts) / sizeof(*starts); index++) {
        struct trace trace = {0};

        trace_kv(&trace, starts[index]);
        trace_report(&trace);
        trace_done(&trace);
    }
    struct trace trace = {0};
    trace_layers(&trace);
    trace_report(&trace);
    trace_done(&trace);
}

int main(int argc, char **argv)
{
    const char *directory = NULL;
    bool synthetic = false;

    for (int index = 1; index < argc; index++) {
        if (strcmp(argv[index], "--capacity") == 0)
            want_capacity = true;
        else if (strcmp(argv[index], "--held") == 0)
            want_capacity = want_held = true;
        else if (strcmp(argv[index], "--synthetic") == 0)
            synthetic = true;
        else if (strcmp(argv[index], "--waste") == 0 && index + 1 < argc)
            waste_percent = (uint32_t)strtoul(argv[++index], NULL, 0);
        else if (strcmp(argv[index], "--mapped") == 0 && index + 1 < argc) {
            mapped = true;
            mapped_page_bytes = strtoull(argv[++index], NULL, 0) << 20;
        } else if (strcmp(argv[index], "--move") == 0)
            move = true;
        else if (strcmp(argv[index], "--json") == 0 && index + 1 < argc)
            json = fopen(argv[++index], "w");
        else
            directory = argv[index];
    }
    struct stat status;
    if (!synthetic && (!directory || stat(directory, &status) != 0)) {
        fprintf(stderr, "trace_replay: no traces at %s, skipped\n",
                directory ? directory : "(no directory given)");
        return 77;
    }
    printf("%-28s %8s %10s %7s %7s %7s %8s %8s %8s\n", "trace", "events", "peak MiB", "R", "bare",
           "minCap", "seg cold", "seg warm", "fences");
    if (json)
        fprintf(json, "[");
    if (directory)
        directory_report(directory);
    synthetic_report();
    if (json) {
        fprintf(json, "\n]\n");
        fclose(json);
    }
    return 0;
}
