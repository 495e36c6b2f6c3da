/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the reader of memory snapshots: a pickle is refused with a reason, or read; then
 * it is an ordered trace in which every free has its allocation.
 *
 * Threading: single-threaded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/replay/input.h"

static void trace_check(const struct replay_trace *trace)
{
    unsigned char *live = calloc(trace->buffers + 1, 1);
    uint64_t last = 0;

    if (!live)
        abort();
    for (size_t i = 0; i < trace->event_count; i++) {
        const struct replay_event *event = &trace->events[i];

        if (event->buffer >= trace->buffers || event->time_ns < last ||
            live[event->buffer] != (event->kind == REPLAY_FREE))
            abort();
        live[event->buffer] = event->kind == REPLAY_ALLOCATE;
        last = event->time_ns;
    }
    free(live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct replay_trace trace = {.name = "fuzz"};
    const struct input_request request = {.device = -1};
    char why[256] = "";
    unsigned char *copy = malloc(bytes + !bytes); /* exactly as long, so that reading on is seen */
    int error;

    if (!copy)
        abort();
    memcpy(copy, data, bytes);
    error = input_snapshot_parse(copy, bytes, &request, &trace, why, sizeof why);
    if (error < 0 && error != -ENOMEM && !*why)
        abort();
    if (error == 0 && replay_trace_finish(&trace) == 0)
        trace_check(&trace);
    replay_trace_done(&trace);
    free(copy);
    return 0;
}
