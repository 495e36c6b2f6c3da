/* SPDX-License-Identifier: MIT */
/*
 * Each context has its own position in the script. Calls about physical memory are recorded by
 * their result, a map or an unmap; single calls only where they failed.
 */
#include "tools/replay/device_script.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/base/bound.h"

/* Widens [*low, *high) so that it has these addresses. */
static void cover(uint64_t address, uint64_t bytes, uint64_t *low, uint64_t *high)
{
    uint64_t end;

    if (!address || __builtin_add_overflow(address, bytes, &end))
        return;
    *low = address < *low ? address : *low;
    *high = end > *high ? end : *high;
}

/* After the first different call the model's own addresses are needed beside the recorded ones:
 * from below or above those, where there are more. */
static void addresses_choose(struct device_model *device)
{
    const struct replay_trace *trace = device->script;
    struct address_space *space = &device->addresses;
    uint64_t first = space->next, end = space->end, low = UINT64_MAX, high = 0;

    for (size_t i = 0; i < trace->script_count; i++)
        if (trace->script[i].kind == SCRIPT_ALLOCATE && !trace->script[i].error)
            cover(trace->script[i].address, trace->script[i].bytes, &low, &high);
    for (unsigned context = 0; context < REPLAY_CONTEXTS_MAX; context++)
        cover(trace->backing[context].range_address, trace->backing[context].range_bytes, &low,
              &high);
    if (low >= end || high <= first)
        return;
    high = (high + POOL_SEGMENT_BYTES - 1) / POOL_SEGMENT_BYTES * POOL_SEGMENT_BYTES;
    low = low / POOL_SEGMENT_BYTES * POOL_SEGMENT_BYTES;
    uint64_t below = low > first ? low - first : 0, above = high < end ? end - high : 0;
    if (below >= above)
        address_space_init(space, first, first + below);
    else
        address_space_init(space, high, end);
}

void device_model_follow(struct device_model *device, const struct replay_trace *trace)
{
    device->script = trace;
    addresses_choose(device);
}

/* Returns the next recorded call of a context; NULL: none. */
static const struct script_call *script_next(struct device_model *device, unsigned context)
{
    const struct replay_trace *trace = device->script;
    size_t at = device->script_at[context];

    while (at < trace->script_count && trace->script[at].context != context)
        at++;
    device->script_at[context] = at;
    return at < trace->script_count ? &trace->script[at] : NULL;
}

bool device_model_follows(struct device_model *device)
{
    if (!device->script || device->strayed)
        return false;
    for (unsigned context = 0; context < REPLAY_CONTEXTS_MAX; context++)
        if (script_next(device, context))
            return false;
    return true;
}

static bool has_bytes(enum script_kind kind)
{
    return kind == SCRIPT_ALLOCATE || kind == SCRIPT_FREE || kind == SCRIPT_MAP ||
           kind == SCRIPT_UNMAP;
}

const struct script_call *script_step(struct device_context *context, enum script_kind kind,
                                      uint64_t bytes)
{
    struct device_model *device = context->device;
    const struct script_call *call;

    if (!device->script || device->strayed)
        return NULL;
    call = script_next(device, context->context);
    if (!call || call->kind != kind || (has_bytes(kind) && call->bytes != bytes)) {
        device->strayed = true;
        return NULL;
    }
    device->script_at[context->context]++;
    return call;
}

int script_refusal(struct device_context *context, enum pool_refusal refusal)
{
    struct device_model *device = context->device;
    uint64_t before = device->page_calls[context->context][refusal - 1]++;
    const struct script_call *call;

    if (!device->script || device->strayed)
        return 0;
    call = script_next(device, context->context);
    if (!call || call->kind != SCRIPT_REFUSAL || call->detail != refusal || call->address != before)
        return 0;
    device->script_at[context->context]++;
    return call->error;
}

bool script_range(const struct device_context *context, uint64_t bytes, uint64_t *ret_address)
{
    const struct replay_trace *trace = context->device->script;
    const struct replay_backing *backing;

    if (!trace || !trace->backing[context->context].known)
        return true;
    backing = &trace->backing[context->context];
    /* The driver gives whole pages; a damaged trace may say anything. */
    if (bytes != backing->range_bytes || backing->range_address % POOL_SEGMENT_BYTES != 0)
        return false;
    if (backing->range_bytes)
        *ret_address = backing->range_address;
    return true;
}

/* ---- when work is done ---- */

/*
 * A fence that was pending when the pool queried it shows that the work before it, and all later
 * work, took at least until then. Nothing shows that it took longer, because the pool queries only
 * when it needs memory. A replay's clock stands at the end of the current request, so an answer
 * applies until then.
 */
struct work_fence {
    uint64_t recorded_ns, busy_until_ns; /* the latest of this fence and those before it */
    uint64_t passed_ns; /* the earliest time at which it, or a later one, was; 0: never seen */
    uint32_t number;    /* of the epoch; 0: a question whether the device is idle */
    uint32_t context;
};

struct device_work {
    enum device_haste haste;
    bool busy_at_once; /* fences were mostly not passed in the request that recorded them */
    size_t at_once, at_once_busy;
    size_t oldest[REPLAY_CONTEXTS_MAX]; /* what lies before it is of no interest */
    size_t count;
    struct work_fence fence[];
};

/* A pool has at most 64 pending fences; a damaged trace must not make each answer cost more. */
#define FENCES_LOOKED_AT 8192u

static struct work_fence *fence_find(struct device_work *work, const struct script_call *call)
{
    size_t oldest = work->oldest[call->context], newer = work->count - oldest;
    size_t most = newer < FENCES_LOOKED_AT ? newer : FENCES_LOOKED_AT;

    if (call->address == 0) { /* asked at once, and no more */
        for (size_t i = work->count; i-- > work->count - most;)
            if (work->fence[i].context == call->context)
                return work->fence[i].number == 0 ? &work->fence[i] : NULL;
        return NULL;
    }
    for (size_t i = oldest; i < oldest + most; i++)
        if (work->fence[i].context == call->context && work->fence[i].number == call->address)
            return &work->fence[i];
    return NULL;
}

/* Handles the answer about a fence: all fences before a signalled one are signalled, too. */
static void answer_note(struct device_work *work, const struct script_call *call, uint64_t time_ns)
{
    struct work_fence *fence = fence_find(work, call);
    bool passed = call->kind == SCRIPT_WAIT ? call->detail == 0 : call->bytes == 1;

    if (!fence || call->error < 0)
        return;
    work->at_once += fence->recorded_ns == time_ns;
    work->at_once_busy += fence->recorded_ns == time_ns && !(passed && call->kind == SCRIPT_QUERY);
    if (!passed)
        fence->busy_until_ns = time_ns + 1;
    else if (call->kind == SCRIPT_WAIT)
        fence->busy_until_ns = time_ns;
    if (!passed)
        return;
    fence->passed_ns = time_ns;
    work->oldest[call->context] = (size_t)(fence - work->fence) + 1;
}

/* Returns the time at which a replay makes the request that contains an event. */
static uint64_t request_time(const struct replay_trace *trace, uint64_t time_ns)
{
    size_t low = 0, high = trace->event_count;

    while (low < high) { /* time_ns is a bit-field */
        size_t middle = low + (high - low) / 2;

        if (trace->events[middle].time_ns < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low < trace->event_count ? trace->events[low].time_ns : time_ns;
}

struct device_work *device_work_create(const struct replay_trace *trace, enum device_haste haste)
{
    struct device_work *work = calloc(1, sizeof *work + trace->script_count * sizeof *work->fence);

    if (!work)
        return NULL;
    for (size_t i = 0; i < trace->script_count; i++) {
        const struct script_call *call = &trace->script[i];
        uint64_t time_ns = request_time(trace, call->time_ns);

        if (call->kind == SCRIPT_FENCE && call->error == 0)
            work->fence[work->count++] = (struct work_fence){.recorded_ns = time_ns,
                                                             .busy_until_ns = time_ns,
                                                             .number = (uint32_t)call->address,
                                                             .context = call->context};
        else if (call->kind == SCRIPT_QUERY || call->kind == SCRIPT_WAIT)
            answer_note(work, call, time_ns);
    }
    work->haste = haste;
    for (size_t i = work->count; i-- > 1;) {
        uint64_t later = work->fence[i].passed_ns;

        if (later && (!work->fence[i - 1].passed_ns || later < work->fence[i - 1].passed_ns))
            work->fence[i - 1].passed_ns = later;
    }
    for (size_t i = 1; i < work->count; i++)
        if (work->fence[i].busy_until_ns < work->fence[i - 1].busy_until_ns)
            work->fence[i].busy_until_ns = work->fence[i - 1].busy_until_ns;
    work->busy_at_once = 2 * work->at_once_busy > work->at_once;
    return work;
}

void device_work_destroy(struct device_work *work)
{
    free(work);
}

/* Returns the first fence that was recorded at a time or later. */
static size_t fence_from(const struct device_work *work, uint64_t time_ns)
{
    return LOWER_BOUND(work->fence, work->count, recorded_ns, time_ns);
}

static uint64_t done_late_ns(const struct device_work *work, uint64_t now)
{
    size_t at = fence_from(work, now);
    uint64_t passed = at < work->count ? work->fence[at].passed_ns : 0;

    return passed > now ? passed : now + 1;
}

uint64_t device_work_done_ns(const struct device_model *device)
{
    const struct device_work *work = device->work;
    uint64_t now = device->now_ns, busy;
    size_t later;

    if (!work || work->count == 0)
        return now + device->fence_delay_ns;
    if (work->haste == DEVICE_EARLY)
        return now;
    if (work->haste == DEVICE_LATE)
        return done_late_ns(work, now);
    later = fence_from(work, now + 1);
    busy = later > 0 ? work->fence[later - 1].busy_until_ns : 0;
    now += work->busy_at_once;
    return busy > now ? busy : now;
}
