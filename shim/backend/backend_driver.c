/* SPDX-License-Identifier: MIT */
/*
 * Segments from cuMemAlloc, fences from cuCtxRecordEvent.
 *
 * Every operation makes the pool's context current if it is not, and relaxes the thread's capture
 * mode around its calls: they touch no stream of the program and must not invalidate its captures.
 * Recording an event on a context does conflict with a capture in it. So a recording first keeps
 * captures from beginning; while one is in progress it fails (-EBUSY).
 *
 * -EBUSY makes an open fence. It is recorded as soon as no capture is in progress any more, by the
 * hook on the end of the last: so it covers what was submitted up to then, and no more.
 *
 * A fence covers the work of every known context of the process, not only the pool's: peers can
 * access this memory too. The events of a fence belong to their contexts and end with them; a
 * destroyed context has no work left. While a context is being destroyed, it may have some, and the
 * driver must not be asked: a fence is open then, too, until somebody queries it later.
 *
 * Threading: as backend.h says. Driver functions are called without a lock of ours, except for
 * recording (the capture lock). The context's lock guards the spare events, and is not held around
 * driver calls.
 */
#include "shim/backend/backend_driver.h"

#include <errno.h>
#include <stdlib.h>

#include "cupti/base/backoff.h"
#include "shim/backend/free_wait.h"
#include "shim/backend/scope.h"
#include "shim/context/capture.h"
#include "shim/context/gate.h"
#include "shim/memory/limit.h"
#include "shim/observe/record.h"

#define FENCE_EVENTS_FIRST 4 /* of a fence; more are added when there are more contexts */

#define OPEN_WAIT_NS (UINT64_C(100) * 1000000)
#define PEER_WAIT_NS (UINT64_C(4) * 1000000000)

struct fence_event {
    struct context *context;
    CUevent event;
};

/** Open: a stream captured when the fence was requested, or a context was ending, so its events are
 * not recorded yet. */
struct fence {
    atomic_bool open;
    struct fence *next_open; /* guarded by the context's lock */
    unsigned users;          /* of a context's fence before its captures; likewise */
    int count, room;
    struct fence_event *events; /* NULL: none yet */
};

static bool is_gone(const struct context *context)
{
    return context_life(context) == CONTEXT_GONE;
}

static int segment_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct context *context = state;
    struct scope scope;
    CUdeviceptr address = 0;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    if (!limit_take_segment(scope.driver, context, bytes)) {
        scope_leave(&scope);
        return -ENOMEM;
    }
    error = scope_error(scope.driver->cuMemAlloc_v2(&address, bytes));
    scope_leave(&scope);
    if (error < 0) {
        limit_give_segment(context, bytes);
        return error;
    }
    *ret_address = address;
    return 0;
}

static int segment_free(void *state, uint64_t address, size_t bytes)
{
    struct context *context = state;
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    scope_step_out(&scope, context);
    CUresult result = REAL_ASK(scope.driver->cuMemFree_v2(address));
    scope_step_in(&scope);
    error = scope_error(result);
    scope_leave(&scope);
    if (error == 0)
        limit_give_segment(context, bytes);
    return error;
}

static CUevent event_take(struct context *context)
{
    pthread_mutex_lock(&context->backend_lock);
    CUevent event = context->event_count ? context->events[--context->event_count] : NULL;
    pthread_mutex_unlock(&context->backend_lock);
    return event;
}

/* False when enough are kept. */
static bool event_keep(struct context *context, CUevent event)
{
    pthread_mutex_lock(&context->backend_lock);
    bool kept = context->event_count < CONTEXT_EVENTS_KEPT;
    if (kept)
        context->events[context->event_count++] = event;
    pthread_mutex_unlock(&context->backend_lock);
    return kept;
}

static void event_give(struct context *context, CUevent event)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (!is_gone(context) && !event_keep(context, event) && driver &&
        context_life(context) == CONTEXT_LIVES)
        driver->cuEventDestroy_v2(event);
}

/* Records an event behind all work of one context. */
static int context_record(struct context *context, CUevent *ret_event)
{
    struct scope scope;
    CUevent event = event_take(context);
    int error = scope_enter(&scope, context);

    if (error < 0)
        goto keep;
    if (!event)
        error = scope_error(REAL_ASK(scope.driver->cuEventCreate(&event, CU_EVENT_DISABLE_TIMING)));
    if (error == 0) {
        error = capture_hold(context->handle)
                    ? scope_error(REAL_ASK(scope.driver->cuCtxRecordEvent(context->handle, event)))
                    : -EBUSY;
        capture_allow();
    }
    scope_leave(&scope);
keep:
    if (error < 0 && event)
        event_give(context, event);
    if (error == 0)
        *ret_event = event;
    return error == -EPERM ? -EBUSY : error;
}

bool backend_driver_has_fences(const struct driver_functions *driver)
{
    return driver->cuCtxRecordEvent && driver->cuEventCreate && driver->cuEventDestroy_v2;
}

static bool is_open(const struct fence *fence)
{
    return atomic_load_explicit(&fence->open, memory_order_acquire);
}

static void open_remove_locked(struct context *context, const struct fence *fence)
{
    for (struct fence **link = &context->open_fences; *link; link = &(*link)->next_open) {
        if (*link == fence) {
            *link = fence->next_open;
            return;
        }
    }
}

static void fence_release(void *state, pool_fence handle)
{
    struct fence *fence = (struct fence *)(uintptr_t)handle;
    struct context *own = state;

    if (!fence)
        return;
    if (is_open(fence)) {
        pthread_mutex_lock(&own->backend_lock);
        open_remove_locked(own, fence);
        pthread_mutex_unlock(&own->backend_lock);
    }
    for (int i = 0; i < fence->count; i++)
        event_give(fence->events[i].context, fence->events[i].event);
    free(fence->events);
    free(fence);
}

/* Makes room for one more event. */
static int fence_room_make(struct fence *fence)
{
    if (fence->count < fence->room)
        return 0;
    int room = fence->room ? 2 * fence->room : FENCE_EVENTS_FIRST;
    struct fence_event *events = realloc(fence->events, (size_t)room * sizeof(*events));
    if (!events)
        return -ENOMEM;
    fence->events = events;
    fence->room = room;
    return 0;
}

/* A peer that broke or went away has no work left to wait for. Another thread may be destroying
 * it right now, with its hook not yet returned. */
static bool is_lost_peer(const struct fence_event *part, const void *own, int error)
{
    return error == -EIO && part->context != own;
}

/* Contexts of the pool's device, and of other devices too if `peers`. */
static int fence_record_for(struct context *own, bool peers, pool_fence *ret_fence)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (!driver || !backend_driver_has_fences(driver))
        return -ENOTSUP;
    struct fence *fence = calloc(1, sizeof(*fence));
    int error = fence ? 0 : -ENOMEM;
    for (struct context *context = context_first(); context && error == 0;
         context = context_next(context)) {
        if (!peers && context->device != own->device)
            continue;
        error = fence_room_make(fence);
        if (error < 0)
            break;
        struct fence_event *next = &fence->events[fence->count];
        *next = (struct fence_event){.context = context};
        error = context_record(context, &next->event);
        if (error == 0)
            fence->count++;
        else if (is_lost_peer(next, own, error))
            error = 0;
    }
    if (error < 0) {
        fence_release(own, (pool_fence)(uintptr_t)fence);
        return error;
    }
    *ret_fence = (pool_fence)(uintptr_t)fence;
    return 0;
}

/* While a stream captures the fence stays open until the captures are over, or until somebody
 * waits. */
static int fence_record(void *state, pool_fence *ret_fence)
{
    struct context *context = state;
    int error = fence_record_for(context, true, ret_fence);

    if (error != -EBUSY)
        return error;
    struct fence *fence = calloc(1, sizeof(*fence));
    if (!fence)
        return -ENOMEM;
    atomic_init(&fence->open, true);
    pthread_mutex_lock(&context->backend_lock);
    fence->next_open = context->open_fences;
    context->open_fences = fence;
    pthread_mutex_unlock(&context->backend_lock);
    *ret_fence = (pool_fence)(uintptr_t)fence;
    return 0;
}

/* Takes the events of the other fence; NULL: all work has been waited for, so nothing is left to
 * poll. */
static void fence_close_locked(struct context *context, struct fence *fence, struct fence *by)
{
    open_remove_locked(context, fence);
    if (by) {
        fence->count = by->count;
        fence->events = by->events;
        by->events = NULL;
        by->count = 0;
    }
    atomic_store_explicit(&fence->open, false, memory_order_release);
}

/* Uses up the other fence. */
static void fence_close(struct context *context, struct fence *fence, struct fence *by)
{
    pthread_mutex_lock(&context->backend_lock);
    if (is_open(fence))
        fence_close_locked(context, fence, by);
    pthread_mutex_unlock(&context->backend_lock);
    fence_release(context, (pool_fence)(uintptr_t)by);
}

/* Records the events of an open fence now; recorded late, they cover more work. True when the
 * fence is no longer open. */
static bool fence_is_recorded(struct context *context, struct fence *fence)
{
    pool_fence late;

    if (!is_open(fence))
        return true;
    if (fence_record_for(context, true, &late) < 0)
        return false;
    fence_close(context, fence, (struct fence *)(uintptr_t)late);
    return true;
}

/* The fence that is closed is chosen after the recording: meanwhile its owner may release it. */
static bool any_open_record(struct context *context)
{
    pool_fence late;

    pthread_mutex_lock(&context->backend_lock);
    bool any = context->open_fences != NULL;
    pthread_mutex_unlock(&context->backend_lock);
    if (!any || fence_record_for(context, true, &late) < 0)
        return false;
    struct fence *by = (struct fence *)(uintptr_t)late;
    pthread_mutex_lock(&context->backend_lock);
    any = context->open_fences != NULL;
    if (any)
        fence_close_locked(context, context->open_fences, by);
    pthread_mutex_unlock(&context->backend_lock);
    fence_release(context, late);
    return any;
}

/* The last one that uses a fence before captures releases it. */
static void before_leave(struct context *context, struct fence *fence)
{
    pthread_mutex_lock(&context->backend_lock);
    bool last = fence && --fence->users == 0;
    pthread_mutex_unlock(&context->backend_lock);
    if (last)
        fence_release(context, (pool_fence)(uintptr_t)fence);
}

static void before_set(struct context *context, struct fence *fence)
{
    if (fence)
        fence->users = 1; /* the context */
    pthread_mutex_lock(&context->backend_lock);
    struct fence *old = context->before_captures;
    context->before_captures = fence;
    pthread_mutex_unlock(&context->backend_lock);
    before_leave(context, old);
}

void backend_driver_captures_begin(void)
{
    pool_fence fence;

    if (thread_state.depth != 0 || capture_is_active())
        return;
    thread_enter();
    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context))
        if (context->pool)
            before_set(context, fence_record_for(context, true, &fence) == 0
                                    ? (struct fence *)(uintptr_t)fence
                                    : NULL);
    gate_leave();
    thread_leave();
}

void backend_driver_forget(struct context *context)
{
    before_set(context, NULL);
}

void backend_driver_captures_ended(void)
{
    if (thread_state.depth != 0)
        return;
    thread_enter();
    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context))
        while (context->pool && any_open_record(context))
            ;
    gate_leave();
    thread_leave();
}

static bool fence_open(void *state, pool_fence handle)
{
    return handle ? is_open((const struct fence *)(uintptr_t)handle) : capture_is_active();
}

bool backend_driver_fence_order(pool_fence handle, CUstream stream)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    const struct fence *fence = (const struct fence *)(uintptr_t)handle;

    if (is_open(fence))
        return false;
    for (int i = 0; i < fence->count; i++)
        if (!is_gone(fence->events[i].context) &&
            (context_life(fence->events[i].context) == CONTEXT_ENDS ||
             REAL_ASK(driver->cuStreamWaitEvent(stream, fence->events[i].event, 0)) !=
                 CUDA_SUCCESS))
            return false;
    return true;
}

static int event_query(const struct fence_event *part)
{
    struct scope scope;

    if (is_gone(part->context))
        return 1;
    int error = scope_enter(&scope, part->context);
    if (error < 0)
        return error == -EPERM ? -EBUSY : error;
    CUresult result = REAL_ASK(scope.driver->cuEventQuery(part->event));
    int done = result == CUDA_SUCCESS           ? 1
               : result == CUDA_ERROR_NOT_READY ? 0
                                                : scope_error(result);
    scope_leave(&scope);
    return done == -EPERM ? -EBUSY : done;
}

/* Waits without a time limit, as the driver's own free would. */
static int event_wait(struct context *own, const struct fence_event *part)
{
    struct scope scope;

    if (is_gone(part->context))
        return 1;
    int error = scope_enter(&scope, part->context);
    if (error < 0)
        return error == -EPERM ? -EBUSY : error;
    scope_step_out(&scope, own);
    CUresult result = REAL_ASK(scope.driver->cuEventSynchronize(part->event));
    scope_step_in(&scope);
    error = scope_error(result);
    scope_leave(&scope);
    if (error == -EPERM)
        return -EBUSY;
    return error < 0 ? error : 1;
}

/* The driver has no wait with a timeout, so this polls with growing pauses. */
static int event_wait_until(const struct fence_event *part, uint64_t end_ns)
{
    struct backoff backoff = {0};
    int done = event_query(part);

    while (done == 0 && backoff_pause(&backoff, end_ns))
        done = event_query(part);
    return done;
}

static int fence_query(void *state, pool_fence handle)
{
    struct fence *fence = (struct fence *)(uintptr_t)handle;
    int done = fence_is_recorded(state, fence);

    for (int i = 0; i < fence->count && done == 1; i++) {
        done = event_query(&fence->events[i]);
        if (is_lost_peer(&fence->events[i], state, done))
            done = 1;
    }
    return done;
}

/* Without context events the driver waits for all work; it must not while a stream captures. */
static int context_synchronize(struct context *context)
{
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error == -EPERM ? -EBUSY : error;
    bool idle = capture_hold(context->handle);
    capture_allow();
    scope_step_out(&scope, context);
    CUresult result = idle ? REAL_ASK(scope.driver->cuCtxSynchronize()) : CUDA_SUCCESS;
    scope_step_in(&scope);
    error = idle ? scope_error(result) : -EBUSY;
    scope_leave(&scope);
    return error == -EPERM ? -EBUSY : error;
}

void backend_driver_wait(struct context *context)
{
    if (context_synchronize(context) == -EBUSY)
        (void)free_wait(context);
}

/* Waits for the work from before the captures, whose fence can be queried meanwhile. 0: it goes
 * on. */
static int before_wait(struct context *context, uint64_t most_ns)
{
    uint64_t end_ns = monotonic_ns() + most_ns;
    int done = 1;

    pthread_mutex_lock(&context->backend_lock);
    struct fence *fence = context->before_captures;
    if (fence)
        fence->users++;
    pthread_mutex_unlock(&context->backend_lock);
    for (int i = 0; fence && i < fence->count && done == 1; i++) {
        done = event_wait_until(&fence->events[i], end_ns);
        if (is_lost_peer(&fence->events[i], context, done))
            done = 1;
    }
    before_leave(context, fence);
    return done;
}

static int device_settle(void *state, uint64_t most_ns)
{
    if (most_ns != POOL_WAIT_FOREVER)
        return free_wait_most(state, most_ns);
    int error = free_wait(state);
    return error < 0 ? error : 1;
}

/* A free by the driver has no timeout, so a short wait does not begin one, nor one that is limited
 * while work is known to go on. What began in the capture may not end: it is not waited for longer,
 * either. */
static int open_wait(struct context *context, struct fence *fence, uint64_t most_ns)
{
    if (most_ns < OPEN_WAIT_NS)
        return 0;
    uint64_t begin_ns = monotonic_ns();
    int done = most_ns == POOL_WAIT_FOREVER ? 1 : before_wait(context, most_ns);
    if (done == 1)
        done = device_settle(context, most_ns == POOL_WAIT_FOREVER
                                          ? most_ns
                                          : pool_minus(begin_ns + most_ns, monotonic_ns()));
    if (done == 1)
        fence_close(context, fence, NULL);
    return done;
}

/* POOL_WAIT_FOREVER covers the work of the device's own contexts, as a free by the driver does;
 * it leaves out the peers'. */
static int fence_wait(void *state, pool_fence handle, uint64_t most_ns)
{
    struct fence *fence = (struct fence *)(uintptr_t)handle;
    const struct context *own = state;

    if (!fence_is_recorded(state, fence))
        return open_wait(state, fence, most_ns);
    uint64_t end_ns = monotonic_ns() + (most_ns < PEER_WAIT_NS ? most_ns : PEER_WAIT_NS);
    int done = 1;
    for (int i = 0; i < fence->count && done == 1; i++) {
        bool endless = most_ns == POOL_WAIT_FOREVER &&
                       fence->events[i].context->device == own->device;

        done = endless ? event_wait(state, &fence->events[i])
                       : event_wait_until(&fence->events[i], end_ns);
        if (is_lost_peer(&fence->events[i], state, done))
            done = 1;
    }
    return done;
}

/* While a stream captures, a free waits all the same. */
static int device_wait(void *state)
{
    pool_fence fence;
    int error = fence_record_for(state, false, &fence);

    if (error == 0) {
        int done = fence_wait(state, fence, POOL_WAIT_FOREVER);

        fence_release(state, fence);
        error = done < 0 ? done : 0;
    } else if (error == -ENOTSUP) {
        error = context_synchronize(state);
    }
    return error == -EBUSY ? free_wait(state) : error;
}

static bool is_linked(const struct context *own, const struct context *context)
{
    return context->device < 64 && atomic_load(&own->peers) >> context->device & 1;
}

/* Whether a return of the pool's memory may wait for this context: the driver's free waits for the
 * device, an unmapping perhaps for those that have access. */
static bool return_awaits(const struct context *own, const struct context *context)
{
    return context->device == own->device || (atomic_load(&own->vmm) && is_linked(own, context));
}

static bool is_idle(struct context *own, struct context *context, uint64_t end_ns)
{
    struct fence_event now = {.context = context};
    int done = context_record(context, &now.event);

    if (done == 0) {
        done = event_wait_until(&now, end_ns);
        event_give(context, now.event);
    }
    return done == 1 || is_lost_peer(&now, own, done);
}

bool backend_driver_idle_await(struct context *own, uint64_t most_ns)
{
    uint64_t end_ns = monotonic_ns() + most_ns;
    const struct driver_functions *driver = real_driver_if_loaded();
    bool idle = driver && backend_driver_has_fences(driver);

    for (struct context *context = context_first(); context && idle;
         context = context_next(context))
        idle = !return_awaits(own, context) || is_idle(own, context, end_ns);
    return idle;
}

/* The fences have answered already if no other device counts. */
static int own_idle(void *state)
{
    struct context *own = state;
    bool others = false, idle = true;

    for (struct context *context = context_first(); context; context = context_next(context))
        others = others || !return_awaits(own, context);
    for (struct context *context = context_first(); others && context && idle;
         context = context_next(context))
        idle = !return_awaits(own, context) || is_idle(own, context, 0);
    if (!others || !idle)
        return 0;
    for (struct context *context = context_first(); context && idle;
         context = context_next(context))
        idle = !is_linked(own, context) || is_idle(own, context, 0);
    return idle ? 2 : 1;
}

static CUstream fill_stream(struct context *context, const struct driver_functions *driver)
{
    pthread_mutex_lock(&context->backend_lock);
    CUstream stream = context->fill_stream;
    pthread_mutex_unlock(&context->backend_lock);
    if (stream || driver->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS)
        return stream;
    pthread_mutex_lock(&context->backend_lock);
    if (!context->fill_stream)
        context->fill_stream = stream;
    stream = context->fill_stream;
    pthread_mutex_unlock(&context->backend_lock);
    return stream;
}

/* Waits for the fill, which is costly; only an option enables it. Its stream is not ordered
 * with any other. */
static int memory_fill(void *state, uint64_t address, size_t bytes, uint8_t value, bool after_work)
{
    struct context *context = state;
    struct scope scope;
    int error = after_work ? device_wait(context) : 0;

    if (error < 0)
        return error;
    error = scope_enter(&scope, context);
    if (error < 0)
        return error;
    CUstream stream = fill_stream(context, scope.driver);
    error = stream ? scope_error(
                         REAL_ASK(scope.driver->cuMemsetD8Async(address, value, bytes, stream)))
                   : -EIO;
    if (error == 0)
        error = scope_error(REAL_ASK(scope.driver->cuStreamSynchronize(stream)));
    scope_leave(&scope);
    return error;
}

/* Nothing else runs, so only the copy itself is waited for. */
static int memory_copy(void *state, uint64_t target, uint64_t source, size_t bytes)
{
    struct context *context = state;
    struct scope scope;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    CUstream stream = scope.driver->cuMemcpyDtoDAsync_v2 ? fill_stream(context, scope.driver)
                                                         : NULL;
    error = stream ? scope_error(REAL_ASK(
                         scope.driver->cuMemcpyDtoDAsync_v2(target, source, bytes, stream)))
                   : -EIO;
    if (error == 0)
        error = scope_error(REAL_ASK(scope.driver->cuStreamSynchronize(stream)));
    scope_leave(&scope);
    return error;
}

/* Within the limit, as segment_allocate is. */
static int memory_info(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes)
{
    struct context *context = state;
    struct scope scope;
    size_t free_bytes = 0, total_bytes = 0;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    error = scope_error(REAL_ASK(scope.driver->cuMemGetInfo_v2(&free_bytes, &total_bytes)));
    size_t limit = limit_bytes(scope.driver, context->device);
    size_t used = limit == SIZE_MAX ? 0 : limit_used_bytes(context->device);
    scope_leave(&scope);
    if (error < 0)
        return error;
    size_t left = limit - (used < limit ? used : limit);
    *ret_free_bytes = free_bytes < left ? free_bytes : left;
    *ret_total_bytes = total_bytes;
    return 0;
}

/* The trace's clock if there is one, so that the pool's timestamps match the trace. */
static uint64_t clock_ns(void *state)
{
    struct trace_writer *writer = atomic_load_explicit(&record_trace, memory_order_acquire);

    return writer ? trace_writer_now(writer) : monotonic_ns();
}

void backend_driver_init(struct pool_backend *backend, struct context *context)
{
    *backend = (struct pool_backend){
        .state = context,
        .segment_allocate = segment_allocate,
        .segment_free = segment_free,
        .fence_record = fence_record,
        .fence_query = fence_query,
        .fence_wait = fence_wait,
        .fence_release = fence_release,
        .fence_open = fence_open,
        .device_wait = device_wait,
        .device_settle = device_settle,
        .own_idle = own_idle,
        .memory_fill = memory_fill,
        .memory_copy = memory_copy,
        .memory_info = memory_info,
        .clock_ns = clock_ns,
    };
}
