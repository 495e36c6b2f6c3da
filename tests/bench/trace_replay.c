/* SPDX-License-Identifier: MIT */
/*
 * Replays buffer lifetimes through the real pool on a device that costs nothing.
 *
 *   trace_replay [--waste PERCENT] [--capacity] [--json FILE] DIRECTORY
 *
 * DIRECTORY holds CSV files of `id,lower,upper,size` (half-open lifetimes), itself or in folders.
 * Events are replayed by time, frees first. For each trace:
 *
 *   R        peak reserved / peak requested, memory unlimited
 *   bare     peak reserved / peak of what the driver itself would hold for the same buffers: up to
 *            1 MiB packed into 2 MiB segments without loss, above rounded up to 2 MiB
 *   minCap   with --capacity: smallest device on which the trace completes / peak requested
 *   seg      driver segment calls per 1,000 operations: the whole trace, and its second replay in
 *            the same pool, which is what a program that repeats itself sees
 *   fences   fence calls per 1,000 operations, second replay
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

#include "tests/bench/pool_device.h"

struct event {
    int64_t time;
    uint32_t buffer;
    bool allocate;
};

struct trace {
    char name[160];
    struct event *events;
    size_t event_count, event_room;
    uint64_t *sizes; /* by buffer */
    size_t buffers, buffer_room;
};

static void *grown(void *array, size_t *room, size_t item)
{
    *room = *room * 2 + 1024;
    array = realloc(array, *room * item);
    if (array == NULL)
        exit(2);
    return array;
}

static uint32_t trace_buffer(struct trace *trace, uint64_t bytes)
{
    if (trace->buffers == trace->buffer_room)
        trace->sizes = grown(trace->sizes, &trace->buffer_room, sizeof(*trace->sizes));
    trace->sizes[trace->buffers] = bytes;
    return (uint32_t)trace->buffers++;
}

static void trace_event(struct trace *trace, int64_t time, uint32_t buffer, bool allocate)
{
    if (trace->event_count == trace->event_room)
        trace->events = grown(trace->events, &trace->event_room, sizeof(*trace->events));
    trace->events[trace->event_count++] = (struct event){time, buffer, allocate};
}

static void trace_done(struct trace *trace)
{
    free(trace->events);
    free(trace->sizes);
}

static int event_compare(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->allocate != y->allocate)
        return x->allocate ? 1 : -1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static bool trace_read(const char *path, uint64_t scale, struct trace *trace)
{
    char line[256];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        long long lower, upper, size;
        if (sscanf(line, "%*[^,],%lld,%lld,%lld", &lower, &upper, &size) != 3 || size <= 0)
            continue;
        uint32_t buffer = trace_buffer(trace, (uint64_t)size * scale);
        trace_event(trace, lower, buffer, true);
        trace_event(trace, upper, buffer, false);
    }
    fclose(file);
    qsort(trace->events, trace->event_count, sizeof(*trace->events), event_compare);
    return trace->event_count > 0;
}

/* ---- synthetic workloads ---- */

/* 48 tensors, each step each one is replaced by one that is 4 KiB longer. */
static void trace_kv(struct trace *trace, uint64_t start_bytes)
{
    enum { TENSORS = 48, STEPS = 400 };
    uint32_t current[TENSORS];
    int64_t now = 0;
    snprintf(trace->name, sizeof(trace->name), "kv from %llu KiB",
             (unsigned long long)(start_bytes >> 10));
    uint32_t weights = trace_buffer(trace, (uint64_t)256 << 20);
    trace_event(trace, now, weights, true);
    for (int step = 0; step < STEPS; step++) {
        for (int tensor = 0; tensor < TENSORS; tensor++) {
            uint32_t next = trace_buffer(trace, start_bytes + (uint64_t)step * 4096);
            trace_event(trace, now++, next, true);
            if (step > 0)
                trace_event(trace, now++, current[tensor], false);
            current[tensor] = next;
        }
    }
    for (int tensor = 0; tensor < TENSORS; tensor++)
        trace_event(trace, now++, current[tensor], false);
    trace_event(trace, now, weights, false);
}

/* 24 layers of weights, then steps of activations: four buffers per layer, of varying batch. */
static void trace_layers(struct trace *trace)
{
    enum { LAYERS = 24, STEPS = 200 };
    int64_t now = 0;
    uint32_t weights[LAYERS * 4];
    uint64_t state = 88172645463325252u;
    snprintf(trace->name, sizeof(trace->name), "layers");
    for (int index = 0; index < LAYERS * 4; index++) {
        weights[index] = trace_buffer(trace, (uint64_t)(index % 4 + 1) * 2654208);
        trace_event(trace, now++, weights[index], true);
    }
    for (int step = 0; step < STEPS; step++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t rows = 1 + (state >> 40) % 512;
        for (int layer = 0; layer < LAYERS; layer++) {
            uint32_t scratch[4];
            for (int index = 0; index < 4; index++) {
                scratch[index] = trace_buffer(trace, rows * 768 * (index == 2 ? 16 : 4));
                trace_event(trace, now++, scratch[index], true);
            }
            for (int index = 0; index < 4; index++)
                trace_event(trace, now++, scratch[index], false);
        }
    }
    for (int index = 0; index < LAYERS * 4; index++)
        trace_event(trace, now++, weights[index], false);
}

/* ---- replay ---- */

struct outcome {
    uint64_t peak_requested, peak_reserved, peak_bare;
    double cold_segments, warm_segments, warm_fences; /* per 1,000 operations */
    bool complete;
};

static uint32_t waste_percent = UINT32_MAX;

static bool replay_once(struct pool *pool, const struct trace *trace, uint64_t *addresses)
{
    for (size_t index = 0; index < trace->event_count; index++) {
        const struct event *event = &trace->events[index];
        struct pool_block block;
        if (!event->allocate) {
            pool_free(addresses[event->buffer], 0, NULL);
            continue;
        }
        if (pool_allocate(pool, trace->sizes[event->buffer], 0, &block) != 0)
            return false;
        addresses[event->buffer] = block.address;
    }
    return true;
}

/* What the driver holds at most, by the model above. */
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
    while (high - low > low / 1000) {
        uint64_t middle = low + (high - low) / 2;
        if (replay(trace, middle).complete)
            high = middle;
        else
            low = middle;
    }
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
    if (json != NULL)
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
    for (int index = 1; index < argc; index++) {
        if (strcmp(argv[index], "--capacity") == 0)
            want_capacity = true;
        else if (strcmp(argv[index], "--waste") == 0 && index + 1 < argc)
            waste_percent = (uint32_t)strtoul(argv[++index], NULL, 0);
        else if (strcmp(argv[index], "--json") == 0 && index + 1 < argc)
            json = fopen(argv[++index], "w");
        else
            directory = argv[index];
    }
    struct stat status;
    if (directory == NULL || stat(directory, &status) != 0) {
        fprintf(stderr, "trace_replay: no traces at %s, skipped\n",
                directory != NULL ? directory : "(no directory given)");
        return 77;
    }
    printf("%-28s %8s %10s %7s %7s %7s %8s %8s %8s\n", "trace", "events", "peak MiB", "R", "bare",
           "minCap", "seg cold", "seg warm", "fences");
    if (json != NULL)
        fprintf(json, "[");
    directory_report(directory);
    synthetic_report();
    if (json != NULL) {
        fprintf(json, "\n]\n");
        fclose(json);
    }
    return 0;
}
