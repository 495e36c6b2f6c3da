/* SPDX-License-Identifier: MIT */
/*
 * Queues and workers. A unit starts when it is first in its queue, the stream is not held, and its
 * points are reached. It is then executed without the lock, by the stream's worker or, when the
 * caller waits for it anyway or there is nothing to execute, by the caller.
 */
#include "tests/simgpu/driver/work/stream.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/base/thread.h"
#include "tests/simgpu/driver/context/green.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/work.h"

static struct handle_cache stream_cache = {
    HANDLE_STREAM, sizeof(struct CUstream_st), {NULL}, {NULL}};

bool stream_is_idle(CUstream stream)
{
    return stream->completed == stream->submitted;
}

bool stream_is_blocking(CUstream stream)
{
    return (stream->kind == STREAM_USER || stream->kind == STREAM_PER_THREAD) &&
           !(stream->flags & CU_STREAM_NON_BLOCKING);
}

CUresult stream_create(CUcontext ctx, enum stream_kind kind, unsigned flags, int priority,
                       CUstream *ret)
{
    static uint64_t last_id = 4;
    CUstream made = handle_take(&stream_cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!made->has_wake) {
        pthread_cond_init(&made->wake, NULL);
        made->has_wake = true;
    }
    made->ctx = ctx;
    made->green = kind == STREAM_USER ? green_current() : NULL;
    made->kind = kind;
    made->flags = flags;
    made->priority = priority;
    made->id = kind == STREAM_LEGACY ? 1 : kind == STREAM_PER_THREAD ? 2 : ++last_id;
    made->thread_id = kind == STREAM_PER_THREAD ? thread_self()->id : 0;
    TAILQ_INIT(&made->works);
    made->held = 0;
    made->running = made->destroyed = false;
    made->capture = NULL;
    LIST_INSERT_HEAD(&ctx->streams, made, link);
    *ret = made;
    return CUDA_SUCCESS;
}

void stream_destroy(CUstream stream)
{
    LIST_REMOVE(stream, link);
    stream->destroyed = true;
    stream->held = 0;
    stream->handle.magic = HANDLE_FREE;
    if (stream->has_worker)
        pthread_cond_signal(&stream->wake);
    else
        handle_give(&stream_cache, stream);
}

static CUresult default_of_thread(CUcontext ctx, CUstream *ret)
{
    CUstream each;
    uint64_t mine = thread_self()->id;

    LIST_FOREACH(each, &ctx->streams, link)
        if (each->kind == STREAM_PER_THREAD && each->thread_id == mine) {
            *ret = each;
            return CUDA_SUCCESS;
        }
    return stream_create(ctx, STREAM_PER_THREAD, CU_STREAM_DEFAULT, 0, ret);
}

CUresult stream_resolve(CUstream given, bool per_thread, CUstream *ret)
{
    CUcontext ctx;

    if (given && given != CU_STREAM_LEGACY && given != CU_STREAM_PER_THREAD) {
        if (!handle_is(given, HANDLE_STREAM))
            return CUDA_ERROR_INVALID_HANDLE;
        *ret = given;
        if (green_check(given->green) != CUDA_SUCCESS)
            return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        return context_check(given->ctx);
    }
    CUresult result = context_current(&ctx);
    if (result != CUDA_SUCCESS)
        return result;
    if (given == CU_STREAM_PER_THREAD || (!given && per_thread))
        return default_of_thread(ctx, ret);
    *ret = ctx->legacy;
    return CUDA_SUCCESS;
}

static bool points_reached(const struct work *work)
{
    for (size_t i = 0; i < work->wait_count; i++)
        if (atomic_load(work->waits[i].counter) < work->waits[i].value)
            return false;
    return true;
}

static bool waits_on_remote(const struct work *work)
{
    for (size_t i = 0; i < work->wait_count; i++)
        if (work->waits[i].event && work->waits[i].event->remote)
            return true;
    return false;
}

static void nap(pthread_cond_t *condition, bool remote)
{
    struct timespec until;

    if (!remote) {
        pthread_cond_wait(condition, &driver_lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(condition, &driver_lock, &until);
}

void point_wait(const struct point *point, bool remote)
{
    while (atomic_load(point->counter) < point->value)
        nap(&driver_progress, remote);
}

/* SIMGPU_DELAY_US: real time, so that work in flight overlaps the program's actions. */
static void linger(void)
{
    static _Atomic uint64_t drawn;
    uint64_t ns = profile.delay_ns;

    if (profile.delay_seed) {
        uint64_t x = profile.delay_seed * 0x9e3779b97f4a7c15u + ++drawn * 0xbf58476d1ce4e5b9u;

        ns = (x ^ x >> 31) * 0x94d049bb133111ebu % (ns + 1);
    }
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&time, NULL);
}

static void advance_clock(CUstream stream, const struct work *work)
{
    uint64_t start = stream->virtual_ns > work->submit_ns ? stream->virtual_ns : work->submit_ns;

    for (size_t i = 0; i < work->wait_count; i++)
        if (work->waits[i].event) {
            uint64_t reached = work->waits[i].event->state->time_ns;

            start = start > reached ? start : reached;
        }
    stream->virtual_ns = start + work_virtual_ns(work);
}

static void run_first(CUstream stream)
{
    struct work *work = TAILQ_FIRST(&stream->works);
    CUcontext ctx = stream->ctx;

    stream->running = true;
    if (!work_is_instant(work) || profile.delay_ns) {
        pthread_mutex_unlock(&driver_lock);
        if (profile.delay_ns)
            linger();
        work_execute(work, ctx);
        pthread_mutex_lock(&driver_lock);
    }
    advance_clock(stream, work);
    work_settle(work, stream->virtual_ns);
    TAILQ_REMOVE(&stream->works, work, link);
    stream->running = false;
    stream->completed = work->number;
    work_destroy(work);
    pthread_cond_broadcast(&driver_progress);
}

static bool first_may_start(CUstream stream)
{
    struct work *first = TAILQ_FIRST(&stream->works);

    return first && !stream->held && !stream->running && points_reached(first);
}

static void *worker_main(void *argument)
{
    CUstream stream = argument;

    pthread_mutex_lock(&driver_lock);
    for (;;) {
        struct work *first = TAILQ_FIRST(&stream->works);

        if (first_may_start(stream))
            run_first(stream);
        else if (!first && stream->destroyed)
            break;
        else if (!first || stream->held)
            pthread_cond_wait(&stream->wake, &driver_lock);
        else
            nap(&driver_progress, waits_on_remote(first));
    }
    stream->has_worker = false;
    handle_give(&stream_cache, stream);
    pthread_mutex_unlock(&driver_lock);
    return NULL;
}

/* Signals are the program's; only those that a fault raises are taken here (work_guard.c). */
static CUresult worker_start(CUstream stream)
{
    pthread_t thread;
    sigset_t blocked, before;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(&thread, NULL, worker_main, stream);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_detach(thread);
    stream->has_worker = true;
    return CUDA_SUCCESS;
}

static CUresult wait_for_stream(struct work *work, CUstream other)
{
    struct point point = {&other->completed, other->submitted, NULL};

    if (stream_is_idle(other))
        return CUDA_SUCCESS;
    return work_wait_for(work, point) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The legacy default stream and blocking streams wait for each other. */
static CUresult order_with_default(CUstream stream, struct work *work)
{
    CUstream each;

    if (stream_is_blocking(stream))
        return wait_for_stream(work, stream->ctx->legacy);
    if (stream->kind != STREAM_LEGACY)
        return CUDA_SUCCESS;
    LIST_FOREACH(each, &stream->ctx->streams, link) {
        CUresult result = stream_is_blocking(each) ? wait_for_stream(work, each) : CUDA_SUCCESS;

        if (result != CUDA_SUCCESS)
            return result;
    }
    return CUDA_SUCCESS;
}

CUresult stream_check_capture(CUstream stream)
{
    if (stream->capture || stream->kind != STREAM_LEGACY || !stream->ctx->captures)
        return CUDA_SUCCESS;
    return capture_refuse_legacy(stream->ctx);
}

static CUresult enqueue(CUstream stream, struct work *work)
{
    CUresult result = order_with_default(stream, work);

    if (result != CUDA_SUCCESS) {
        work_destroy(work);
        return result;
    }
    work->number = ++stream->submitted;
    work->submit_ns = threads_virtual_ns();
    TAILQ_INSERT_TAIL(&stream->works, work, link);
    return CUDA_SUCCESS;
}

CUresult stream_submit(CUstream stream, struct work *work, bool wait)
{
    CUresult result = stream_check_capture(stream);

    if (result != CUDA_SUCCESS) {
        work_destroy(work);
        return result;
    }
    if (stream->capture)
        return capture_add(stream, work);
    result = enqueue(stream, work);
    if (result != CUDA_SUCCESS)
        return result;
    struct point done = {&stream->completed, work->number, NULL};
    bool alone = TAILQ_FIRST(&stream->works) == work && first_may_start(stream);
    if (alone && !profile.delay_ns && (wait || work_is_instant(work)))
        run_first(stream);
    else if (stream->has_worker)
        pthread_cond_signal(&stream->wake);
    else
        result = worker_start(stream);
    if (wait && result == CUDA_SUCCESS) {
        point_wait(&done, false);
        result = stream->ctx->sticky;
    }
    return result;
}

void stream_wait(CUstream stream)
{
    struct point point = {&stream->completed, stream->submitted, NULL};

    point_wait(&point, false);
}

CUresult context_points(CUcontext ctx, CUgreenCtx green, struct point **ret_points,
                        size_t *ret_count)
{
    CUstream each;
    size_t count = 0;

    LIST_FOREACH(each, &ctx->streams, link)
        count++;
    struct point *points = calloc(count + 1, sizeof *points);
    if (!points)
        return CUDA_ERROR_OUT_OF_MEMORY;
    count = 0;
    LIST_FOREACH(each, &ctx->streams, link)
        if ((!green || each->green == green) && !stream_is_idle(each))
            points[count++] = (struct point){&each->completed, each->submitted, NULL};
    *ret_points = points;
    *ret_count = count;
    return CUDA_SUCCESS;
}

void context_wait(CUcontext ctx)
{
    struct point *points;
    size_t count;

    if (context_points(ctx, NULL, &points, &count) != CUDA_SUCCESS)
        return;
    for (size_t i = 0; i < count; i++)
        point_wait(&points[i], false);
    free(points);
}

/* Waiting lets go of the lock, so contexts may come and go: begin again until none is busy with
 * what was submitted before. A context is visited once per life. */
void device_wait(struct device *device)
{
    CUcontext each, waited[64];
    size_t count = 0;

again:
    LIST_FOREACH(each, &contexts, link) {
        bool seen = false;

        for (size_t i = 0; i < count; i++)
            seen |= waited[i] == each;
        if (each->device != device || seen || count == 64)
            continue;
        waited[count++] = each;
        context_wait(each);
        goto again;
    }
}

bool device_is_busy(struct device *device)
{
    CUcontext ctx;
    CUstream each;

    LIST_FOREACH(ctx, &contexts, link)
        if (ctx->device == device)
            LIST_FOREACH(each, &ctx->streams, link)
                if (!stream_is_idle(each))
                    return true;
    return false;
}
