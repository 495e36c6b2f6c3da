/* SPDX-License-Identifier: MIT */
/*
 * Reads a memory snapshot of PyTorch: torch.cuda.memory._dump_snapshot() after
 * _record_memory_history(). Layout as in torch/cuda/memory.py and _memory_viz.py:
 *
 *   {'segments': [{'device', 'stream', 'blocks': [{'address', 'size', 'requested_size',
 * 'state'}]}], 'device_traces': [[{'action', 'addr', 'size', 'stream', 'time_us'}], … one list per
 * device]}
 *
 * The history is a ring: blocks allocated before its start are known by their free, or because they
 * are live at the end. They are allocated at the beginning of the replay. `free_requested` is the
 * program's free, `free_completed` the release by PyTorch's allocator. The requests are the
 * program's tensors, not the segments that PyTorch gets from the driver.
 */
#include "tools/replay/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/file/infile.h"
#include "tools/replay/input_tables.h"
#include "tools/replay/pickle.h"

#define FILE_MOST_BYTES ((size_t)1 << 30)
#define SIZE_MOST       (UINT64_C(1) << 47)

struct snapshot {
    struct pickle *pickle;
    struct replay_trace *trace;
    struct live_table live;
    struct number_table streams;
    uint64_t first_ns, last_ns;
    size_t early; /* buffers of the beginning: their events are put first at the end */
};

static int event_add(struct snapshot *snapshot, enum replay_kind kind, uint32_t buffer,
                     uint64_t time_ns, uint64_t stream)
{
    uint32_t number;
    int error = number_table_get(&snapshot->streams, stream, REPLAY_STREAMS_MAX, &number);

    return error < 0 ? error
                     : replay_trace_event(
                           snapshot->trace,
                           &(struct replay_event){.time_ns = time_ns & (UINT64_MAX >> 3),
                                                  .kind = kind & 7,
                                                  .buffer = buffer,
                                                  .stream = number & (REPLAY_STREAMS_MAX - 1)});
}

/* A block allocated before the start of the history. */
static int early_add(struct snapshot *snapshot, uint64_t bytes, uint64_t stream,
                     uint32_t *ret_buffer)
{
    int64_t buffer = replay_trace_buffer(snapshot->trace, bytes);

    if (buffer < 0)
        return (int)buffer;
    *ret_buffer = (uint32_t)buffer;
    snapshot->early++;
    return event_add(snapshot, REPLAY_ALLOCATE, (uint32_t)buffer, 0, stream);
}

static int allocate_add(struct snapshot *snapshot, struct live_buffer *live, uint64_t bytes,
                        uint64_t time_ns, uint64_t stream)
{
    int64_t buffer = replay_trace_buffer(snapshot->trace, bytes);

    if (buffer < 0)
        return (int)buffer;
    live->number = (uint32_t)buffer + 1;
    return event_add(snapshot, REPLAY_ALLOCATE, (uint32_t)buffer, time_ns, stream);
}

static int free_add(struct snapshot *snapshot, struct live_buffer *live, uint64_t bytes,
                    uint64_t time_ns, uint64_t stream)
{
    uint32_t buffer = live->number - 1;
    int error = live->number ? 0 : early_add(snapshot, bytes, stream, &buffer);

    live->number = 0;
    return error < 0 ? error : event_add(snapshot, REPLAY_FREE, buffer, time_ns, stream);
}

/* Times never go back; a history without times is in order. */
static uint64_t entry_time(struct snapshot *snapshot, const struct pickle_value *entry)
{
    uint64_t time_us = pickle_unsigned(pickle_get(snapshot->pickle, entry, "time_us"), 0);
    uint64_t time_ns;

    if (!snapshot->first_ns)
        snapshot->first_ns = time_us;
    time_ns = time_us > snapshot->first_ns && time_us - snapshot->first_ns < UINT64_MAX >> 12
                  ? (time_us - snapshot->first_ns) * 1000 + 1
                  : 1;
    if (time_ns > snapshot->last_ns)
        snapshot->last_ns = time_ns;
    return snapshot->last_ns;
}

static int entry_add(struct snapshot *snapshot, const struct pickle_value *entry)
{
    struct pickle *pickle = snapshot->pickle;
    const struct pickle_value *action = pickle_get(pickle, entry, "action");
    uint64_t address = pickle_unsigned(pickle_get(pickle, entry, "addr"), 0);
    uint64_t bytes = pickle_unsigned(pickle_get(pickle, entry, "size"), 0);
    uint64_t stream = pickle_unsigned(pickle_get(pickle, entry, "stream"), 0);
    uint64_t time_ns = entry_time(snapshot, entry);
    bool allocates = pickle_is(action, "alloc"), frees = pickle_is(action, "free_requested");
    struct live_buffer *live;
    int error;

    if (pickle_is(action, "oom")) {
        snapshot->trace->left_out++;
        snapshot->trace->left_out_why = "allocations that failed";
    }
    if ((!allocates && !frees) || bytes == 0)
        return 0;
    if (bytes > SIZE_MOST)
        return -EBADMSG;
    error = live_table_get(&snapshot->live, address, &live);
    if (error < 0)
        return error;
    return allocates ? allocate_add(snapshot, live, bytes, time_ns, stream)
                     : free_add(snapshot, live, bytes, time_ns, stream);
}

static int history_add(struct snapshot *snapshot, const struct pickle_value *history)
{
    int error = 0;

    for (size_t i = 0; error == 0 && history && i < history->count; i++) {
        error = entry_add(snapshot, pickle_item(snapshot->pickle, history, i));
        if (pickle_is_exhausted(snapshot->pickle))
            return -E2BIG;
    }
    return error;
}

/* A block that is live at the end and never allocated in the history existed all the time. */
static int block_add(struct snapshot *snapshot, const struct pickle_value *block, uint64_t stream)
{
    struct pickle *pickle = snapshot->pickle;
    uint64_t size = pickle_unsigned(pickle_get(pickle, block, "size"), 0);
    uint64_t bytes = pickle_unsigned(pickle_get(pickle, block, "requested_size"), size);
    const struct pickle_value *address = pickle_get(pickle, block, "address");
    struct live_buffer *live;
    uint32_t buffer = 0;
    int error;

    if (!pickle_is(pickle_get(pickle, block, "state"), "active_allocated") || !address ||
        bytes == 0)
        return 0;
    if (bytes > SIZE_MOST)
        return -EBADMSG;
    error = live_table_get(&snapshot->live, pickle_unsigned(address, 0), &live);
    if (error < 0 || live->number)
        return error;
    error = early_add(snapshot, bytes, stream, &buffer);
    live->number = buffer + 1;
    return error;
}

static int segments_add(struct snapshot *snapshot, const struct pickle_value *segments,
                        uint64_t device)
{
    struct pickle *pickle = snapshot->pickle;
    int error = 0;

    for (size_t i = 0; error == 0 && segments && i < segments->count; i++) {
        const struct pickle_value *segment = pickle_item(pickle, segments, i);
        const struct pickle_value *blocks = pickle_get(pickle, segment, "blocks");
        uint64_t stream = pickle_unsigned(pickle_get(pickle, segment, "stream"), 0);

        if (pickle_unsigned(pickle_get(pickle, segment, "device"), 0) != device)
            continue;
        for (size_t j = 0; error == 0 && blocks && blocks->type == PICKLE_LIST && j < blocks->count;
             j++) {
            error = block_add(snapshot, pickle_item(pickle, blocks, j), stream);
            if (pickle_is_exhausted(pickle))
                return -E2BIG;
        }
    }
    return pickle_is_exhausted(pickle) ? -E2BIG : error;
}

/* Early blocks come first, the others stay in their order. */
static int early_first(struct snapshot *snapshot)
{
    struct replay_trace *trace = snapshot->trace;
    struct replay_event *ordered = calloc(trace->event_count + 1, sizeof *ordered);
    size_t used = 0;

    if (!ordered)
        return -ENOMEM;
    for (unsigned late = 0; late < 2; late++)
        for (size_t i = 0; i < trace->event_count; i++)
            if ((trace->events[i].time_ns > 0) == late)
                ordered[used++] = trace->events[i];
    free(trace->events);
    trace->events = ordered;
    trace->event_room = trace->event_count + 1;
    return 0;
}

static const struct pickle_value *history_choose(const struct pickle *pickle,
                                                 const struct pickle_value *histories, int wanted,
                                                 uint64_t *ret_device)
{
    const struct pickle_value *best = NULL;

    *ret_device = wanted < 0 ? 0 : (uint64_t)wanted;
    if (wanted >= 0)
        return pickle_item(pickle, histories, (size_t)wanted);
    for (size_t i = 0; histories && histories->type == PICKLE_LIST && i < histories->count; i++) {
        const struct pickle_value *history = pickle_item(pickle, histories, i);

        if (history->type == PICKLE_LIST && (!best || history->count > best->count)) {
            best = history;
            *ret_device = i;
        }
    }
    return best;
}

static int snapshot_read(struct snapshot *snapshot, const struct input_request *request,
                         char *ret_why, size_t why_bytes)
{
    struct pickle *pickle = snapshot->pickle;
    const struct pickle_value *root = pickle_root(pickle);
    const struct pickle_value *histories = pickle_get(pickle, root, "device_traces");
    const struct pickle_value *segments = pickle_get(pickle, root, "segments"), *history;
    uint64_t device;
    int error;

    if (!histories || histories->type != PICKLE_LIST || !segments ||
        segments->type != PICKLE_LIST) {
        snprintf(ret_why, why_bytes,
                 "a pickle, but not a memory snapshot: 'segments' or 'device_traces' is missing");
        return -EINVAL;
    }
    history = history_choose(pickle, histories, request->device, &device);
    if (history && history->type != PICKLE_LIST)
        history = NULL;
    error = history_add(snapshot, history);
    if (error == 0)
        error = segments_add(snapshot, segments, device);
    if (error == -EBADMSG)
        snprintf(ret_why, why_bytes, "a block of more than 2^47 bytes");
    if (error == -E2BIG)
        snprintf(ret_why, why_bytes, "it names the same lists and dicts over and over");
    return error < 0 ? error : early_first(snapshot);
}

int input_snapshot_parse(const unsigned char *bytes, size_t length,
                         const struct input_request *request, struct replay_trace *trace,
                         char *ret_why, size_t why_bytes)
{
    struct snapshot snapshot = {.trace = trace};
    struct pickle *pickle = NULL;
    int error = pickle_parse(bytes, length, &pickle, ret_why, why_bytes);

    if (error < 0)
        return error;
    *ret_why = '\0';
    snapshot.pickle = pickle;
    trace->format = "PyTorch snapshot";
    trace->threads = trace->contexts = 1;
    error = snapshot_read(&snapshot, request, ret_why, why_bytes);
    trace->streams = snapshot.streams.count;
    live_table_done(&snapshot.live);
    number_table_done(&snapshot.streams);
    pickle_destroy(pickle);
    return error;
}

int input_snapshot_read(const char *path, const struct input_request *request,
                        struct replay_trace *trace, char *ret_why, size_t why_bytes)
{
    char *text, why[256];
    size_t length;
    int error = infile_read(path, FILE_MOST_BYTES, &text, &length);

    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(error));
        return error;
    }
    error = input_snapshot_parse((const unsigned char *)text, length, request, trace, why,
                                 sizeof why);
    if (error < 0)
        snprintf(ret_why, why_bytes, "%s: %s", path, *why ? why : strerror(-error));
    free(text);
    return error;
}
