/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace of cupool: the program's device memory, and its pool's driver calls.
 *
 * Requests that a module made outside the pool (exempt) are left out if there is a pool, because
 * the pool did not see them; in a trace of `mode:observe` every request is replayed. Memory of
 * other kinds does not come from cudaMalloc and is left out, as in the report.
 *
 * A free belongs to the block at its address, on the device and in the context of that block: a
 * program may free while another device or context is current, which is what the record may name.
 */
#include "tools/replay/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"
#include "tools/replay/input_tables.h"
#include "tools/trace/trace_open.h"

/** What the pool of a context says of itself. */
struct level {
    struct replay_recorded recorded;
    uint64_t reserved_bytes; /* below 0 in a damaged trace, as all of them */
    size_t ended_buffers;    /* earlier buffers of the context ended with it */
};

/** A request made inside a call whose record comes later. */
struct held_request {
    bool set;
    uint32_t thread; /* as in the record */
    struct replay_event event;
};

struct cupool_input {
    struct replay_trace *trace;
    struct trace_reader *reader;
    struct live_table live;
    struct number_table threads, streams, contexts;
    int device;    /* that is replayed */
    bool has_pool; /* some request was served by a pool */
    struct held_request held;
    struct level levels[REPLAY_CONTEXTS_MAX];
    uint64_t reserved_bytes, reserved_peak; /* of all contexts */
};

#define DEVICES_MAX 64
#define ERRNO_END   4096u

/* ---- the first pass: which device, whether there is a pool, the options ---- */

struct survey {
    uint64_t bytes[DEVICES_MAX];
    bool has_pool;
};

static void survey_record(struct cupool_input *input, struct survey *survey,
                          const struct trace_record *record)
{
    struct replay_trace *trace = input->trace;
    const char *text = trace_reader_string(input->reader, record->value);

    if (record->kind == TRACE_EVENT_ALLOCATE && record->memory == TRACE_MEMORY_DEVICE &&
        record->device < DEVICES_MAX) {
        survey->bytes[record->device] += record->size;
        survey->has_pool |= record->outcome == TRACE_OUTCOME_HIT ||
                            record->outcome == TRACE_OUTCOME_MISS ||
                            record->outcome == TRACE_OUTCOME_WAITED;
    }
    /* Options of a newer version do not prevent the replay: the script will show whether they
     * matter.
     */
    if (record->kind == TRACE_EVENT_OPTIONS && text)
        options_set_list(&trace->options, text, NULL, NULL);
}

static int survey_make(struct cupool_input *input, int wanted, char *ret_why, size_t why_bytes)
{
    struct survey survey = {0};
    struct trace_record record;
    int error = trace_reader_rewind(input->reader, TRACE_ORDER_FILE);

    while (error == 0 &&
           (error = trace_reader_next(input->reader, &record, ret_why, why_bytes)) > 0) {
        survey_record(input, &survey, &record);
        error = 0;
    }
    input->has_pool = survey.has_pool;
    input->device = wanted < 0 ? 0 : wanted;
    for (int device = 1; wanted < 0 && device < DEVICES_MAX; device++)
        if (survey.bytes[device] > survey.bytes[input->device])
            input->device = device;
    return error;
}

/* ---- the second pass ---- */

static int context_of(struct cupool_input *input, const struct trace_record *record,
                      uint32_t *ret_context)
{
    *ret_context = 0;
    return number_table_get(&input->contexts, record->context, REPLAY_CONTEXTS_MAX, ret_context);
}

static int event_of(struct cupool_input *input, const struct trace_record *record,
                    enum replay_kind kind, uint32_t context, struct replay_event *ret_event)
{
    uint32_t thread = 0, stream = 0;
    int error = number_table_get(&input->threads, record->thread, REPLAY_THREADS_MAX, &thread);

    if (error == 0)
        error = number_table_get(&input->streams, record->stream, REPLAY_STREAMS_MAX, &stream);
    *ret_event = (struct replay_event){
        .time_ns = trace_record_order_ns(record) & (UINT64_MAX >> 3),
        .kind = kind & 7,
        .thread = thread & (REPLAY_THREADS_MAX - 1),
        .stream = stream & (REPLAY_STREAMS_MAX - 1),
        .context = context & (REPLAY_CONTEXTS_MAX - 1),
    };
    return error;
}

static int event_add(struct cupool_input *input, const struct trace_record *record,
                     enum replay_kind kind, uint32_t context, uint32_t buffer)
{
    struct replay_event event;
    int error = event_of(input, record, kind, context, &event);

    event.buffer = buffer;
    return error < 0 ? error : replay_trace_event(input->trace, &event);
}

static void leave_out(struct cupool_input *input, const char *why)
{
    input->trace->left_out++;
    input->trace->left_out_why = why;
}

/* The recorded pool tried everything; a replay of that run must do so, too. */
static int refused_add(struct cupool_input *input, const struct trace_record *record)
{
    uint32_t context;
    int64_t buffer = context_of(input, record, &context);

    if (record->size == 0)
        return 0;
    if (buffer == 0)
        buffer = replay_trace_buffer(input->trace, record->size);
    return buffer < 0 ? (int)buffer
                      : event_add(input, record, REPLAY_REFUSED, context, (uint32_t)buffer);
}

static int allocate_add(struct cupool_input *input, const struct trace_record *record)
{
    struct live_buffer *live;
    uint32_t context;
    int64_t buffer;
    int error;

    if (record->outcome == TRACE_OUTCOME_FAILED || record->size == 0) {
        leave_out(input, "allocations that failed");
        return 0;
    }
    error = live_table_get(&input->live, record->address, &live);
    if (error == 0 && input->has_pool && record->outcome == TRACE_OUTCOME_PASSED) {
        live->number = 0; /* what was there ended with its context */
        leave_out(input, "allocations outside the pool");
        return 0;
    }
    if (error == 0)
        error = context_of(input, record, &context);
    buffer = error < 0 ? error : replay_trace_buffer(input->trace, record->size);
    if (buffer < 0)
        return (int)buffer;
    *live = (struct live_buffer){(uint32_t)buffer + 1, context};
    return event_add(input, record, REPLAY_ALLOCATE, context, (uint32_t)buffer);
}

/* Whether a buffer has not ended with its context. */
static bool is_live(const struct cupool_input *input, const struct live_buffer *live)
{
    return live && live->number > input->levels[live->context].ended_buffers;
}

static int free_add(struct cupool_input *input, const struct trace_record *record)
{
    struct live_buffer *live = live_table_find(&input->live, record->address);
    struct live_buffer freed;

    if (record->outcome == TRACE_OUTCOME_FAILED || !is_live(input, live))
        return 0; /* as for blocks of another device or kind, or from outside the pool */
    freed = *live;
    live->number = 0;
    return event_add(input, record, REPLAY_FREE, freed.context, freed.number - 1);
}

static int level_get(struct cupool_input *input, const struct trace_record *record,
                     struct level **ret_level)
{
    uint32_t context;
    int error = context_of(input, record, &context);

    *ret_level = &input->levels[context];
    return error;
}

/* A negative errno, whatever a damaged trace says. */
static int32_t error_of(uint64_t value)
{
    return value == 0 ? 0 : value < ERRNO_END ? -(int32_t)value : -EIO;
}

static int script_add(struct cupool_input *input, const struct trace_record *record,
                      enum script_kind kind)
{
    uint32_t context;
    int error = context_of(input, record, &context);

    return error < 0 ? error
                     : replay_trace_script(input->trace, &(struct script_call){
                                                             .time_ns = record->time_ns,
                                                             .address = record->address,
                                                             .bytes = record->size,
                                                             .error = error_of(record->value),
                                                             .detail = (uint8_t)record->stream,
                                                             .kind = (uint8_t)kind,
                                                             .context = (uint8_t)context,
                                                         });
}

/* Mapped pieces are shown as segments, but the calls were maps and unmaps. */
static int segment_add(struct cupool_input *input, const struct trace_record *record,
                       enum script_kind kind)
{
    struct level *level;
    int error = level_get(input, record, &level);

    if (error < 0)
        return error;
    if (!record->value) {
        uint64_t bytes = kind == SCRIPT_ALLOCATE ? record->size : -record->size;

        level->reserved_bytes += bytes;
        input->reserved_bytes += bytes;
        if ((int64_t)input->reserved_bytes > (int64_t)input->reserved_peak)
            input->reserved_peak = input->reserved_bytes;
    }
    return record->memory == TRACE_MEMORY_MAPPING ? 0 : script_add(input, record, kind);
}

static int context_end(struct cupool_input *input, const struct trace_record *record)
{
    struct level *level;
    int error = level_get(input, record, &level);

    if (error < 0)
        return error;
    input->reserved_bytes -= level->reserved_bytes;
    level->reserved_bytes = 0;
    level->ended_buffers = input->trace->buffers;
    return event_add(input, record, REPLAY_END, (uint32_t)(level - input->levels), 0);
}

/* Drops the calls of a pool that could not be made for lack of addresses. */
static void script_drop(struct replay_trace *trace, unsigned context)
{
    size_t kept = 0;

    for (size_t i = 0; i < trace->script_count; i++)
        if (trace->script[i].context != context)
            trace->script[kept++] = trace->script[i];
    trace->script_count = kept;
}

static int backing_add(struct cupool_input *input, const struct trace_record *record)
{
    struct replay_event event;
    uint32_t context;
    int error = context_of(input, record, &context);

    if (error == 0)
        error = event_of(input, record, REPLAY_BEGIN, context, &event);
    if (error < 0)
        return error;
    if (!record->value && !input->trace->backing[event.context].known) /* once: it goes over all */
        script_drop(input->trace, event.context);
    input->trace->backing[event.context] = (struct replay_backing){
        .known = true,
        .frees_wait = record->outcome == TRACE_OUTCOME_WAITED,
        .range_address = record->address,
        .range_bytes = record->value,
    };
    return replay_trace_event(input->trace, &event);
}

/* Requests to the pool other than blocks. A pin concerns a live block. */
static int request_add(struct cupool_input *input, const struct trace_record *record)
{
    struct replay_event event;
    uint32_t context;
    int64_t buffer = 0;
    int error = context_of(input, record, &context);

    if (error == 0)
        error = event_of(input, record, REPLAY_REQUEST, context, &event);
    if (record->stream == POOL_REQUEST_TRIM)
        buffer = replay_trace_buffer(input->trace, record->size);
    if (error == 0 && record->stream == POOL_REQUEST_PIN) {
        const struct live_buffer *live = live_table_find(&input->live, record->address);

        if (!is_live(input, live))
            return 0;
        buffer = (int64_t)live->number - 1;
    }
    if (error < 0 || buffer < 0)
        return error < 0 ? error : (int)buffer;
    event.stream = record->stream & (REPLAY_STREAMS_MAX - 1);
    event.buffer = (uint32_t)buffer;
    if (record->stream != POOL_REQUEST_IDLE_TRIM)
        return replay_trace_event(input->trace, &event);
    input->held = (struct held_request){.set = true, .thread = record->thread, .event = event};
    return 0;
}

static int held_add(struct cupool_input *input)
{
    bool set = input->held.set;

    input->held.set = false;
    return set ? replay_trace_event(input->trace, &input->held.event) : 0;
}

/* A free is recorded at its end, after the idle trim that may be its last step; it is replayed
 * before the trim. */
static bool is_inside(const struct cupool_input *input, const struct trace_record *record)
{
    return input->held.set && record->thread == input->held.thread &&
           record->kind == TRACE_EVENT_FREE &&
           trace_record_order_ns(record) <= input->held.event.time_ns;
}

/* What follows on the thread of a request, or is another request, shows where it belongs. */
static bool is_settling(const struct cupool_input *input, const struct trace_record *record)
{
    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_REQUEST:
    case TRACE_EVENT_CONTEXT: return input->held.set;
    case TRACE_EVENT_ALLOCATE:
    case TRACE_EVENT_FAILURE:
    case TRACE_EVENT_FREE: return input->held.set && record->thread == input->held.thread;
    default: return false;
    }
}

/* The last values count; peaks and totals only rise. */
static int counter_add(struct cupool_input *input, const struct trace_record *record)
{
    const char *name = trace_reader_string(input->reader, record->api);
    struct level *level;
    struct replay_recorded *recorded;
    int error = level_get(input, record, &level);

    if (error < 0)
        return error;
    recorded = &level->recorded;
    const struct {
        const char *name;
        uint64_t *figure, value;
    } rows[] = {{"driver_calls", &recorded->driver_calls, record->size},
                {"segment_allocations", &recorded->segment_allocations, record->size},
                {"segment_frees", &recorded->segment_frees, record->size},
                {"fences", &recorded->fences, record->size},
                {"fence_queries", &recorded->fence_queries, record->size},
                {"live_requested_bytes", &recorded->peak_requested_bytes, record->address},
                {"reserved_bytes", &recorded->peak_reserved_bytes, record->address}};

    for (size_t i = 0; name && i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(name, rows[i].name) && rows[i].value > *rows[i].figure)
            *rows[i].figure = rows[i].value;
    return 0;
}

/* Sums over the pools of all contexts. Their levels peaked at different times. */
static void recorded_sum(struct cupool_input *input)
{
    struct replay_recorded *sum = &input->trace->recorded;

    *sum = input->levels[0].recorded;
    for (unsigned i = 1; i < input->contexts.count && i < REPLAY_CONTEXTS_MAX; i++) {
        const struct replay_recorded *one = &input->levels[i].recorded;

        sum->driver_calls += one->driver_calls;
        sum->segment_allocations += one->segment_allocations;
        sum->segment_frees += one->segment_frees;
        sum->fences += one->fences;
        sum->fence_queries += one->fence_queries;
        sum->contexts |= one->driver_calls != 0;
    }
    if (sum->contexts)
        sum->peak_reserved_bytes = input->reserved_peak;
}

static int device_note(struct cupool_input *input, const struct trace_record *record)
{
    const char *name = trace_reader_string(input->reader, record->value);

    input->trace->device_bytes = record->size;
    snprintf(input->trace->device_name, sizeof input->trace->device_name, "%s", name ? name : "");
    return 0;
}

static int kind_add(struct cupool_input *input, const struct trace_record *record)
{
    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_DEVICE: return device_note(input, record);
    case TRACE_EVENT_ALLOCATE:
        return record->memory == TRACE_MEMORY_DEVICE ? allocate_add(input, record) : 0;
    case TRACE_EVENT_FAILURE: return refused_add(input, record);
    case TRACE_EVENT_FREE:
        return record->memory == TRACE_MEMORY_DEVICE ? free_add(input, record) : 0;
    case TRACE_EVENT_CONTEXT: return record->value ? 0 : context_end(input, record);
    case TRACE_EVENT_BACKING: return backing_add(input, record);
    case TRACE_EVENT_REQUEST: return request_add(input, record);
    case TRACE_EVENT_COUNTER: return counter_add(input, record);
    case TRACE_EVENT_SEGMENT_ALLOCATE: return segment_add(input, record, SCRIPT_ALLOCATE);
    case TRACE_EVENT_SEGMENT_FREE: return segment_add(input, record, SCRIPT_FREE);
    case TRACE_EVENT_MAP: return script_add(input, record, SCRIPT_MAP);
    case TRACE_EVENT_UNMAP: return script_add(input, record, SCRIPT_UNMAP);
    case TRACE_EVENT_REFUSAL: return script_add(input, record, SCRIPT_REFUSAL);
    case TRACE_EVENT_FENCE: return script_add(input, record, SCRIPT_FENCE);
    case TRACE_EVENT_FENCE_QUERY: return script_add(input, record, SCRIPT_QUERY);
    case TRACE_EVENT_ROOM: return script_add(input, record, SCRIPT_ROOM);
    case TRACE_EVENT_WAIT: return script_add(input, record, SCRIPT_WAIT);
    default: return 0;
    }
}

static int record_add(struct cupool_input *input, const struct trace_record *record)
{
    bool settles = is_settling(input, record), inside = is_inside(input, record);
    int error = 0;

    if (record->device != (uint16_t)input->device && record->kind != TRACE_EVENT_FREE)
        return 0;
    if (settles && !inside)
        error = held_add(input);
    if (error == 0)
        error = kind_add(input, record);
    return error == 0 && inside ? held_add(input) : error;
}

static int records_add(struct cupool_input *input, char *ret_why, size_t why_bytes)
{
    struct trace_record record;
    int error = trace_reader_rewind(input->reader, TRACE_ORDER_TIME);

    while (error == 0 &&
           (error = trace_reader_next(input->reader, &record, ret_why, why_bytes)) > 0)
        error = record_add(input, &record);
    return error < 0 ? error : held_add(input);
}

static int reader_read(struct cupool_input *input, const struct input_request *request,
                       char *ret_why, size_t why_bytes)
{
    const struct trace_summary *summary = trace_reader_summary(input->reader);
    int error;

    if (trace_reader_carry(input->reader)) {
        snprintf(ret_why, why_bytes,
                 "%s: the first events were dropped (trace_max), so the trace cannot be replayed: "
                 "record without a limit",
                 input->trace->name);
        return -EINVAL;
    }
    error = survey_make(input, request->device, ret_why, why_bytes);
    if (error == 0)
        error = records_add(input, ret_why, why_bytes);
    input->trace->threads = input->threads.count;
    input->trace->streams = input->streams.count;
    input->trace->contexts = input->contexts.count;
    recorded_sum(input);
    input->trace->recorded.known = input->has_pool && summary->complete;
    return error;
}

int input_cupool_read(const char *path, const struct input_request *request,
                      struct replay_trace *trace, char *ret_why, size_t why_bytes)
{
    struct cupool_input input = {.trace = trace};
    char why[512] = "";
    int error = trace_open(path, &input.reader, why, sizeof why);

    trace->format = "cupool";
    if (error == 0)
        error = reader_read(&input, request, why, sizeof why);
    if (error < 0 && *why)
        snprintf(ret_why, why_bytes, "%s%s%s", strstr(why, path) ? "" : path,
                 strstr(why, path) ? "" : ": ", why);
    trace_reader_close(input.reader);
    live_table_done(&input.live);
    number_table_done(&input.threads);
    number_table_done(&input.streams);
    number_table_done(&input.contexts);
    return error;
}
