/* SPDX-License-Identifier: MIT */
/*
 * Events are appended as they come and sorted once. Out of memory ends the benchmark.
 */
#include "tests/bench/lifetimes.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/random.h"

static void *grown(void *array, size_t *room, size_t item)
{
    *room = *room * 2 + 1024;
    array = realloc(array, *room * item);
    if (!array)
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

void trace_done(struct trace *trace)
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

bool trace_read(const char *path, uint64_t scale, struct trace *trace)
{
    char line[256];
    FILE *file = fopen(path, "r");

    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
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

void trace_kv(struct trace *trace, uint64_t start_bytes)
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

void trace_layers(struct trace *trace)
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
        state = random_lcg(state);
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
