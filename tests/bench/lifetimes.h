/* SPDX-License-Identifier: MIT */
/*
 * Lifetimes of buffers as events in time: read from a file, or generated.
 *
 * Threading: single-threaded.
 */
#ifndef TESTS_BENCH_LIFETIMES_H
#define TESTS_BENCH_LIFETIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/**
 * Reads `id,lower,upper,size` lines (half-open lifetimes), sizes multiplied by `scale`; events are
 * ordered by time, frees first. False when there is nothing to replay.
 */
bool trace_read(const char *path, uint64_t scale, struct trace *trace);

/** 48 tensors, each step each one is replaced by one that is 4 KiB longer. */
void trace_kv(struct trace *trace, uint64_t start_bytes);

/** 24 layers of weights, then steps of activations: four buffers per layer, of varying batch. */
void trace_layers(struct trace *trace);

void trace_done(struct trace *trace);

#endif
