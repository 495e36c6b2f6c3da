/* SPDX-License-Identifier: MIT */
/*
 * Replays events one by one. The device's clock is the trace's, so fences are signalled at the
 * recorded times.
 */
#include "tools/replay/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"
#include "tools/base/progress.h"

#define PROGRESS_EVENTS   65536u
#define CAPACITY_FRACTION 4096u
#define MODEL_BYTES_MOST  (UINT64_C(1) << 48) /* no device has so many addresses */

struct run {
    const struct replay_trace *trace;
    const struct policy_ops *ops;
    void *state;
    struct device_model device;
    uint64_t most_calls;               /* of a pass */
    uint64_t *tokens;                  /* by buffer; 0: not live */
    uint64_t shift_ns;                 /* of the second replay */
    size_t ended[REPLAY_CONTEXTS_MAX]; /* event of the context's last end in this pass; 0: none */
    struct progress *progress;
};

static int run_allocate(struct run *run, const struct replay_event *event)
{
    struct policy_request request = {.bytes = run->trace->sizes[event->buffer],
                                     .stream = event->stream,
                                     .context = event->context};

    /* Models round sizes up and add them; the pool refuses such a block itself, as it did. */
    if (!run->ops->request && request.bytes > MODEL_BYTES_MOST)
        return -ENOMEM;
    return run->ops->allocate(run->state, &request, &run->tokens[event->buffer]);
}

static void run_free(struct run *run, uint32_t buffer)
{
    uint64_t token = run->tokens[buffer];

    run->tokens[buffer] = 0;
    if (token)
        run->ops->release(run->state, token);
}

/* Only for a replay of the recorded run: another pool might have served the request. */
static int run_refused(struct run *run, const struct replay_event *event)
{
    int error = run->device.script && !run->device.strayed ? run_allocate(run, event) : 0;

    run_free(run, event->buffer);
    return error == -ENOMEM || error == -ENOTSUP ? 0 : error;
}

/* The blocks of a context are gone; only a buffer's allocation names its context. */
static void run_end(struct run *run, size_t end, unsigned context)
{
    for (size_t i = run->ended[context]; i < end; i++) {
        const struct replay_event *event = &run->trace->events[i];

        if (event->kind != REPLAY_ALLOCATE || event->context != context)
            continue;
        if (run->ops->end)
            run->tokens[event->buffer] = 0;
        else
            run_free(run, event->buffer);
    }
    run->ended[context] = end;
    if (run->ops->end)
        run->ops->end(run->state, context);
}

/* Models of others know none of these. */
static void run_request(struct run *run, const struct replay_event *event)
{
    uint32_t what = event->stream;
    uint64_t about = what == POOL_REQUEST_PIN    ? run->tokens[event->buffer]
                     : what == POOL_REQUEST_TRIM ? run->trace->sizes[event->buffer]
                                                 : 0;

    if (run->ops->request)
        run->ops->request(run->state, event->context, (enum pool_request)what, about);
}

static int run_event(struct run *run, size_t index)
{
    const struct replay_event *event = &run->trace->events[index];

    run->device.now_ns = event->time_ns + run->shift_ns;
    switch ((enum replay_kind)event->kind) {
    case REPLAY_ALLOCATE: return run_allocate(run, event);
    case REPLAY_FREE: run_free(run, event->buffer); break;
    case REPLAY_END: run_end(run, index, event->context); break;
    case REPLAY_REFUSED: return run_refused(run, event);
    case REPLAY_BEGIN: return run->ops->begin ? run->ops->begin(run->state, event->context) : 0;
    case REPLAY_REQUEST: run_request(run, event); break;
    }
    return 0;
}

static void refusal_note(const struct replay_trace *trace, size_t index,
                         struct replay_outcome *outcome)
{
    const struct replay_event *event = &trace->events[index];

    outcome->refused_event = index;
    outcome->refused_time_ns = event->time_ns;
    outcome->refused_bytes = event->kind == REPLAY_ALLOCATE ? trace->sizes[event->buffer] : 0;
}

/* Replays all events. 1: all were served; 0: one could not be, or took too many steps; or an
 * error. */
static int run_pass(struct run *run, struct replay_outcome *outcome)
{
    const struct replay_trace *trace = run->trace;
    uint64_t most_steps = run->device.steps + run->most_calls;

    memset(run->ended, 0, sizeof run->ended);
    for (size_t i = 0; i < trace->event_count; i++) {
        int error = run_event(run, i);

        if (i % PROGRESS_EVENTS == 0 && run->progress)
            progress_add(run->progress, PROGRESS_EVENTS * sizeof *trace->events);
        outcome->stopped = run->device.steps > most_steps;
        if (error == 0 && !outcome->stopped)
            continue;
        if (error < 0 && error != -ENOMEM && error != -ENOTSUP)
            return error;
        refusal_note(trace, i, outcome);
        return 0;
    }
    return 1;
}

static void figures_note(struct run *run, struct replay_outcome *outcome)
{
    outcome->peak_reserved_bytes = run->device.peak_bytes;
    outcome->memory_calls = device_model_memory_calls(&run->device);
    outcome->driver_calls = run->ops->driver_calls ? run->ops->driver_calls(run->state)
                                                   : device_model_calls(&run->device);
    outcome->simulated_ns = run->device.simulated_ns;
    outcome->peak_allocated_bytes = run->ops->peak_allocated ? run->ops->peak_allocated(run->state)
                                                             : 0;
    outcome->follows = device_model_follows(&run->device);
}

/* What is still live goes first. */
static int run_second(struct run *run, struct replay_outcome *outcome)
{
    const struct replay_trace *trace = run->trace;
    struct replay_outcome again = {0};
    uint64_t memory_calls, all;
    int error;

    for (size_t buffer = 0; buffer < trace->buffers; buffer++)
        run_free(run, (uint32_t)buffer);
    run->shift_ns = trace->events[trace->event_count - 1].time_ns + 1;
    run->device.script = NULL;
    memory_calls = device_model_memory_calls(&run->device);
    all = run->ops->driver_calls ? run->ops->driver_calls(run->state)
                                 : device_model_calls(&run->device);
    error = run_pass(run, &again);
    outcome->repeated = error == 1;
    if (error <= 0)
        return error;
    outcome->memory_calls_second = device_model_memory_calls(&run->device) - memory_calls;
    outcome->driver_calls_second = (run->ops->driver_calls ? run->ops->driver_calls(run->state)
                                                           : device_model_calls(&run->device)) -
                                   all;
    return 0;
}

static void device_prepare(struct run *run, const struct policy *policy,
                           const struct replay_settings *settings)
{
    device_model_init(&run->device, settings->profile);
    run->device.capacity_bytes = settings->capacity_bytes;
    run->device.fence_delay_ns = settings->fence_delay_ns;
    if (policy->options.limit.bytes &&
        (!run->device.capacity_bytes || policy->options.limit.bytes < run->device.capacity_bytes))
        run->device.capacity_bytes = policy->options.limit.bytes;
    if (policy->as_recorded && run->trace->script_count && !settings->fence_delay_given &&
        !settings->capacity_bytes)
        device_model_follow(&run->device, run->trace);
    run->device.total_bytes = device_model_endless_bytes(run->trace->peak_requested_bytes);
    if (run->trace->device_bytes)
        run->device.total_bytes = run->trace->device_bytes;
    if (settings->capacity_bytes)
        run->device.total_bytes = settings->capacity_bytes;
    if (run->device.script && !run->device.capacity_bytes)
        run->device.capacity_bytes = run->trace->device_bytes;
}

int replay_run(const struct replay_trace *trace, const struct policy *policy,
               const struct replay_settings *settings, struct replay_outcome *ret_outcome)
{
    struct run run = {.trace = trace, .ops = policy->ops};
    struct replay_outcome outcome = {0};
    struct device_work *work = NULL;
    struct progress progress;
    int error;

    device_prepare(&run, policy, settings);
    run.most_calls = REPLAY_CALLS_ANY + REPLAY_CALLS_EACH * (uint64_t)trace->event_count;
    if (settings->most_calls && settings->most_calls < run.most_calls)
        run.most_calls = settings->most_calls;
    if (!settings->fence_delay_given)
        work = device_work_create(trace, settings->haste);
    run.device.work = work;
    run.tokens = calloc(trace->buffers + 1, sizeof *run.tokens);
    error = run.tokens ? run.ops->create(&run.device, &policy->options, &run.state) : -ENOMEM;
    if (error < 0)
        goto done;
    if (!settings->quiet) {
        progress_begin_work(&progress, policy->name,
                            trace->event_count * sizeof *trace->events * (settings->once ? 1 : 2));
        run.progress = &progress;
    }
    error = run_pass(&run, &outcome);
    outcome.completed = error == 1;
    if (error >= 0) {
        figures_note(&run, &outcome);
        error = outcome.completed && !settings->once ? run_second(&run, &outcome) : 0;
    }
    if (run.progress)
        progress_end(run.progress);
    run.ops->destroy(run.state);
done:
    device_model_done(&run.device);
    device_work_destroy(work);
    free(run.tokens);
    if (error == 0)
        *ret_outcome = outcome;
    return error;
}

int replay_capacity_find(const struct replay_trace *trace, const struct policy *policy,
                         const struct replay_settings *settings,
                         const struct replay_outcome *free_run, uint64_t *ret_bytes)
{
    uint64_t low = trace->peak_requested_bytes - 1, high = free_run->peak_reserved_bytes;
    struct replay_settings smaller = *settings;

    smaller.once = smaller.quiet = true;
    while (high > low + low / CAPACITY_FRACTION + 1) {
        uint64_t middle = low + (high - low) / 2;
        struct replay_outcome outcome;
        int error;

        smaller.capacity_bytes = middle;
        error = replay_run(trace, policy, &smaller, &outcome);
        if (error < 0)
            return error;
        if (outcome.completed)
            high = middle;
        else
            low = middle;
    }
    *ret_bytes = high;
    return 0;
}
