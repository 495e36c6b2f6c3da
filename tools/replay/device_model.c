/* SPDX-License-Identifier: MIT */
/*
 * Counting, and the device as a backend of the pool.
 *
 * Addresses ascend and are never used again, unless the script says which ones the driver gave.
 * A fence's handle is the time at which it is passed + 1.
 */
#include "tools/replay/device_model.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/infile.h"

#define PROFILE_MOST_BYTES ((size_t)1 << 20)
#define FIRST_ADDRESS      (UINT64_C(1) << 40)

static const struct {
    const char *function, *source;
    uint64_t base_ns, mib_ns;
} calls[DEVICE_CALLS] = {
#define DEVICE_CALL(NAME, function_, base, mib, source_)                                           \
    [DEVICE_##NAME] = {#function_, source_, base, mib},
#include "tools/replay/device_calls.def"
#undef DEVICE_CALL
};

const char *device_call_source(enum device_call call)
{
    return calls[call].source;
}

const char *device_call_function(enum device_call call)
{
    return calls[call].function;
}

/* ---- profiles ---- */

void device_profile_init(struct device_profile *ret_profile)
{
    *ret_profile = (struct device_profile){
        .source = "published figures of several devices, none measured on this one"};
    for (unsigned call = 0; call < DEVICE_CALLS; call++) {
        ret_profile->base_ns[call] = calls[call].base_ns;
        ret_profile->mib_ns[call] = calls[call].mib_ns;
    }
}

/* `function = ns [ns per MiB …]`; functions that no policy calls are passed over. */
static int cost_line(const char *line, struct device_profile *profile)
{
    char function[64];
    unsigned long long base, mib = 0;

    if (sscanf(line, " %63[A-Za-z0-9_] = %llu %llu", function, &base, &mib) < 2)
        return -EINVAL;
    for (unsigned call = 0; call < DEVICE_CALLS; call++)
        if (!strcmp(function, calls[call].function)) {
            profile->base_ns[call] = base;
            profile->mib_ns[call] = mib;
        }
    return 0;
}

static bool is_blank(const char *line)
{
    line += strspn(line, " \t\r");
    return !*line || *line == '#' || *line == ';';
}

int device_profile_read(const char *path, struct device_profile *profile, char *ret_why,
                        size_t why_bytes)
{
    char *text, *rest;
    size_t bytes;
    bool costs = false;
    unsigned number = 0;
    int r = infile_read(path, PROFILE_MOST_BYTES, &text, &bytes);

    if (r < 0) {
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(r));
        return r;
    }
    rest = text;
    for (char *line; r == 0 && (line = strsep(&rest, "\n"));) {
        number++;
        if (*line == '[')
            costs = !strncmp(line, "[cost]", 6);
        else if (costs && !is_blank(line))
            r = cost_line(line, profile);
    }
    if (r < 0)
        snprintf(ret_why, why_bytes, "%s:%u: not a cost: wanted is 'function = ns [ns per MiB]'",
                 path, number);
    free(text);
    if (r == 0)
        profile->source = path;
    return r;
}

/* ---- counting ---- */

void device_model_init(struct device_model *ret_device, const struct device_profile *profile)
{
    *ret_device = (struct device_model){.next_address = FIRST_ADDRESS, .profile = profile};
}

uint64_t device_model_calls(const struct device_model *device)
{
    uint64_t all = 0;

    for (unsigned call = 0; call < DEVICE_CALLS; call++)
        all += device->calls[call];
    return all;
}

uint64_t device_model_memory_calls(const struct device_model *device)
{
    return device_model_calls(device) - device->calls[DEVICE_FENCE] - device->calls[DEVICE_QUERY] -
           device->calls[DEVICE_INFO];
}

void device_model_call(struct device_model *device, enum device_call call, uint64_t bytes)
{
    const struct device_profile *profile = device->profile;

    device->calls[call]++;
    device->simulated_ns += profile->base_ns[call] + (profile->mib_ns[call] * (bytes >> 10) >> 10);
}

int device_model_take(struct device_model *device, uint64_t bytes)
{
    uint64_t used;

    if (__builtin_add_overflow(device->used_bytes, bytes, &used) ||
        (device->capacity_bytes && used > device->capacity_bytes))
        return -ENOMEM;
    device->used_bytes = used;
    if (used > device->peak_bytes)
        device->peak_bytes = used;
    return 0;
}

void device_model_give(struct device_model *device, uint64_t bytes)
{
    device->used_bytes -= bytes;
}

/* ---- the script ---- */

void device_model_follow(struct device_model *device, const struct replay_trace *trace)
{
    device->script = trace;
}

static size_t script_next(const struct device_model *device, unsigned context)
{
    size_t at = device->script_at[context];

    while (at < device->script->script_count && device->script->script[at].context != context)
        at++;
    return at;
}

bool device_model_follows(const struct device_model *device)
{
    if (!device->script || device->strayed)
        return false;
    for (unsigned context = 0; context < REPLAY_CONTEXTS_MAX; context++)
        if (script_next(device, context) < device->script->script_count)
            return false;
    return true;
}

/* The recorded call that this one is; NULL: it is another, and so will be what follows. */
static const struct script_call *script_step(struct device_context *context, enum script_kind kind,
                                             uint64_t bytes)
{
    struct device_model *device = context->device;
    const struct script_call *call;
    size_t at;

    if (!device->script || device->strayed)
        return NULL;
    at = script_next(device, context->context);
    call = at < device->script->script_count ? &device->script->script[at] : NULL;
    if (!call || call->kind != kind ||
        ((kind == SCRIPT_ALLOCATE || kind == SCRIPT_FREE) && call->bytes != bytes)) {
        device->strayed = true;
        return NULL;
    }
    device->script_at[context->context] = at + 1;
    return call;
}

/* ---- when work is done ---- */

/*
 * A fence that was not passed when the pool asked says that the work before it took at least until
 * then, and so did all work submitted later. Nothing says that it took longer than the record
 * shows, for the pool asks only when it needs memory. A replay's clock stands at the end of the
 * request that it makes, so an answer holds until there.
 */
struct device_work {
    bool busy_at_once; /* fences were mostly not passed in the request that recorded them */
    size_t count;
    struct {
        uint64_t recorded_ns, busy_until_ns; /* the latest of this fence and those before it */
    } fence[];
};

/* The pool asks for its oldest fence; when that is passed, for the newest, which answers for all
 * between; when that is not, for one after the other until one is not. */
static size_t query_apply(struct device_work *work, size_t *oldest, unsigned *step, bool passed,
                          uint64_t time_ns)
{
    size_t about = *step == 1 ? work->count - 1 : *oldest;

    if (passed) {
        *oldest = about + 1;
        *step = *oldest == work->count ? 0 : *step + 1;
    } else {
        work->fence[about].busy_until_ns = time_ns + 1;
        *step = *step == 1 ? 2 : 0;
    }
    return about;
}

/* The time at which a replay makes the request in which something happened. */
static uint64_t request_time(const struct replay_trace *trace, uint64_t time_ns)
{
    size_t low = 0, high = trace->event_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (trace->events[middle].time_ns < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low < trace->event_count ? trace->events[low].time_ns : time_ns;
}

struct device_work *device_work_create(const struct replay_trace *trace)
{
    struct device_work *work;
    size_t oldest = 0, at_once = 0, at_once_busy = 0;
    unsigned step = 0;

    work = calloc(1, sizeof *work + trace->script_count * sizeof *work->fence);
    if (!work)
        return NULL;
    for (size_t i = 0; i < trace->script_count; i++) {
        const struct script_call *call = &trace->script[i];
        uint64_t time_ns = request_time(trace, call->time_ns);

        if (call->kind == SCRIPT_FENCE && call->error == 0) {
            work->fence[work->count].recorded_ns = time_ns;
            work->fence[work->count++].busy_until_ns = time_ns;
        } else if (call->kind == SCRIPT_QUERY && oldest < work->count) {
            size_t about = query_apply(work, &oldest, &step, call->bytes == 1, time_ns);

            at_once += work->fence[about].recorded_ns == time_ns;
            at_once_busy += work->fence[about].recorded_ns == time_ns && call->bytes == 0;
        } else if (call->kind == SCRIPT_WAIT && oldest < work->count) {
            work->fence[oldest++].busy_until_ns = time_ns;
            step = 0;
        }
    }
    for (size_t i = 1; i < work->count; i++)
        if (work->fence[i].busy_until_ns < work->fence[i - 1].busy_until_ns)
            work->fence[i].busy_until_ns = work->fence[i - 1].busy_until_ns;
    work->busy_at_once = 2 * at_once_busy > at_once;
    return work;
}

void device_work_destroy(struct device_work *work)
{
    free(work);
}

/* When what was submitted up to now is done: not before the work of the last recorded fence. */
static uint64_t work_done_ns(const struct device_model *device)
{
    const struct device_work *work = device->work;
    uint64_t now = device->now_ns, busy;
    size_t low = 0, high = work ? work->count : 0;

    if (!work)
        return now + device->fence_delay_ns;
    while (low < high) { /* the first fence that was recorded later */
        size_t middle = low + (high - low) / 2;

        if (work->fence[middle].recorded_ns <= now)
            low = middle + 1;
        else
            high = middle;
    }
    busy = low > 0 ? work->fence[low - 1].busy_until_ns : 0;
    now += work->busy_at_once;
    return busy > now ? busy : now;
}

/* ---- the backend ---- */

static int segment_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct device_context *context = state;
    struct device_model *device = context->device;
    const struct script_call *call = script_step(context, SCRIPT_ALLOCATE, bytes);
    int error = call && call->error < 0 ? call->error : device_model_take(device, bytes);

    device_model_call(device, DEVICE_ALLOCATE, bytes);
    if (error < 0)
        return error;
    if (call) {
        *ret_address = call->address;
        return 0;
    }
    *ret_address = device->next_address;
    device->next_address += bytes;
    return 0;
}

static int segment_free(void *state, uint64_t address, size_t bytes)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_FREE, bytes);

    (void)address;
    device_model_call(context->device, DEVICE_FREE, bytes);
    if (call && call->error < 0)
        return call->error;
    device_model_give(context->device, bytes);
    return 0;
}

static int fence_record(void *state, pool_fence *ret_fence)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_FENCE, 0);

    device_model_call(context->device, DEVICE_FENCE, 0);
    if (call && call->error < 0)
        return call->error;
    *ret_fence = work_done_ns(context->device) + 1;
    return 0;
}

static int fence_query(void *state, pool_fence fence)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_QUERY, 0);

    device_model_call(context->device, DEVICE_QUERY, 0);
    if (call)
        return call->error < 0 ? call->error : (int)call->bytes;
    return fence - 1 <= context->device->now_ns;
}

/* Waiting costs what the work still takes. */
static int wait_until(struct device_context *context, uint64_t done_ns)
{
    struct device_model *device = context->device;

    if (done_ns > device->now_ns)
        device->simulated_ns += done_ns - device->now_ns;
    return 1;
}

static int fence_wait(void *state, pool_fence fence, uint64_t most_ns)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_WAIT, 0);

    (void)most_ns;
    device_model_call(context->device, DEVICE_QUERY, 0);
    if (call && call->error < 0)
        return call->error;
    return wait_until(context, fence - 1);
}

static void fence_release(void *state, pool_fence fence)
{
    (void)state;
    (void)fence;
}

static int device_wait(void *state)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_WAIT, 0);

    device_model_call(context->device, DEVICE_QUERY, 0);
    if (call && call->error < 0)
        return call->error;
    wait_until(context, work_done_ns(context->device));
    return 0;
}

static int memory_fill(void *state, uint64_t address, size_t bytes, uint8_t value, bool after_work)
{
    (void)state;
    (void)address;
    (void)bytes;
    (void)value;
    (void)after_work;
    return 0;
}

/* An endless device has a tebibyte. */
static int memory_info(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes)
{
    struct device_context *context = state;
    struct device_model *device = context->device;
    uint64_t total = device->capacity_bytes ? device->capacity_bytes : UINT64_C(1) << 40;
    const struct script_call *call = script_step(context, SCRIPT_ROOM, 0);

    device_model_call(device, DEVICE_INFO, 0);
    if (call && call->error < 0)
        return call->error;
    *ret_total_bytes = total;
    *ret_free_bytes = call                         ? call->bytes
                      : total > device->used_bytes ? total - device->used_bytes
                                                   : 0;
    return 0;
}

static uint64_t clock_ns(void *state)
{
    return ((struct device_context *)state)->device->now_ns;
}

/* ---- mapped memory: a handle is its size ---- */

static int range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    struct device_model *device = ((struct device_context *)state)->device;

    device_model_call(device, DEVICE_RESERVE, 0);
    *ret_address = device->next_address;
    device->next_address += bytes;
    return 0;
}

static int range_release(void *state, uint64_t address, size_t bytes)
{
    (void)state;
    (void)address;
    (void)bytes;
    return 0;
}

static int page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    struct device_model *device = ((struct device_context *)state)->device;
    int error = device_model_take(device, bytes);

    device_model_call(device, DEVICE_CREATE, bytes);
    if (error == 0)
        *ret_handle = bytes;
    return error;
}

static int page_release(void *state, pool_page_handle handle)
{
    struct device_model *device = ((struct device_context *)state)->device;

    device_model_call(device, DEVICE_RELEASE, handle);
    device_model_give(device, handle);
    return 0;
}

static int page_map(void *state, uint64_t address, size_t bytes, pool_page_handle handle)
{
    (void)address;
    (void)handle;
    device_model_call(((struct device_context *)state)->device, DEVICE_MAP, bytes);
    return 0;
}

static int page_enable(void *state, uint64_t address, size_t bytes)
{
    (void)address;
    device_model_call(((struct device_context *)state)->device, DEVICE_ACCESS, bytes);
    return 0;
}

static int page_unmap(void *state, uint64_t address, size_t bytes)
{
    (void)address;
    device_model_call(((struct device_context *)state)->device, DEVICE_UNMAP, bytes);
    return 0;
}

struct pool_backend device_model_backend(struct device_context *context)
{
    return (struct pool_backend){
        .state = context,
        .segment_allocate = segment_allocate,
        .segment_free = segment_free,
        .fence_record = fence_record,
        .fence_query = fence_query,
        .fence_wait = fence_wait,
        .fence_release = fence_release,
        .device_wait = device_wait,
        .memory_fill = memory_fill,
        .memory_info = memory_info,
        .clock_ns = clock_ns,
        .range_reserve = range_reserve,
        .range_release = range_release,
        .page_create = page_create,
        .page_release = page_release,
        .page_map = page_map,
        .page_enable = page_enable,
        .page_unmap = page_unmap,
    };
}
