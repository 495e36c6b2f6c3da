/* SPDX-License-Identifier: MIT */
/*
 * Arrays grow by half, so that ten million events stay within the memory limit.
 */
#include "tools/replay/replay_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more item. */
static int room_make(void **items, size_t used, size_t *room, size_t item_bytes)
{
    size_t more = *room + *room / 2 + 1024;
    void *grown;

    if (used < *room)
        return 0;
    grown = reallocarray(*items, more, item_bytes);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *room = more;
    return 0;
}

int64_t replay_trace_buffer(struct replay_trace *trace, uint64_t bytes)
{
    if (trace->buffers >= UINT32_MAX - 1)
        return -E2BIG;
    if (room_make((void **)&trace->sizes, trace->buffers, &trace->buffer_room,
                  sizeof *trace->sizes) < 0)
        return -ENOMEM;
    trace->sizes[trace->buffers] = bytes;
    return (int64_t)trace->buffers++;
}

int replay_trace_event(struct replay_trace *trace, const struct replay_event *event)
{
    if (room_make((void **)&trace->events, trace->event_count, &trace->event_room,
                  sizeof *trace->events) < 0)
        return -ENOMEM;
    trace->events[trace->event_count++] = *event;
    return 0;
}

int replay_trace_script(struct replay_trace *trace, const struct script_call *call)
{
    if (room_make((void **)&trace->script, trace->script_count, &trace->script_room,
                  sizeof *trace->script) < 0)
        return -ENOMEM;
    trace->script[trace->script_count++] = *call;
    return 0;
}

static int event_compare(const void *a, const void *b)
{
    const struct replay_event *x = a, *y = b;

    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind == REPLAY_FREE   ? -1
               : y->kind == REPLAY_FREE ? 1
               : x->kind < y->kind      ? -1
                                        : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

int replay_trace_sort(struct replay_trace *trace)
{
    if (trace->event_count)
        qsort(trace->events, trace->event_count, sizeof *trace->events, event_compare);
    return 0;
}

static uint64_t hash_add(uint64_t hash, uint64_t value)
{
    for (unsigned byte = 0; byte < 8; byte++)
        hash = (hash ^ (value >> (8 * byte) & 255)) * UINT64_C(1099511628211);
    return hash;
}

/* Hash of everything a replay depends on except the clock: two recordings of the same run agree. */
static uint64_t trace_hash(const struct replay_trace *trace)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < trace->event_count; i++) {
        const struct replay_event *event = &trace->events[i];
        bool of_buffer = event->kind == REPLAY_ALLOCATE || event->kind == REPLAY_FREE;

        if (event->kind >= REPLAY_REFUSED)
            continue;
        hash = hash_add(hash, (uint64_t)event->buffer << 8 | event->kind);
        if (of_buffer)
            hash = hash_add(hash, trace->sizes[event->buffer]);
    }
    return hash;
}

int replay_trace_finish(struct replay_trace *trace)
{
    uint64_t live = 0, of_context[REPLAY_CONTEXTS_MAX] = {0};

    /* Blocks that end with the program need no replay; it would let a second one start cold. */
    while (trace->event_count && trace->events[trace->event_count - 1].kind == REPLAY_END)
        trace->event_count--;

    for (size_t i = 0; i < trace->event_count; i++) {
        const struct replay_event *event = &trace->events[i];
        uint64_t *context = &of_context[event->context];

        switch ((enum replay_kind)event->kind) {
        case REPLAY_ALLOCATE:
            trace->operations++;
            live += trace->sizes[event->buffer];
            *context += trace->sizes[event->buffer];
            break;
        case REPLAY_FREE:
            trace->operations++;
            live -= trace->sizes[event->buffer];
            *context -= trace->sizes[event->buffer];
            break;
        case REPLAY_END:
            live -= *context;
            *context = 0;
            break;
        case REPLAY_REFUSED:
        case REPLAY_BEGIN:
        case REPLAY_REQUEST: break;
        }
        if (live > trace->peak_requested_bytes)
            trace->peak_requested_bytes = live;
    }
    if (trace->recorded.contexts)
        trace->recorded.peak_requested_bytes = trace->peak_requested_bytes;
    trace->hash = trace_hash(trace);
    return 0;
}

void replay_trace_done(struct replay_trace *trace)
{
    free(trace->events);
    free(trace->sizes);
    free(trace->script);
    memset(trace, 0, sizeof *trace);
}
