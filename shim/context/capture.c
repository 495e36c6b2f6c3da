/* SPDX-License-Identifier: MIT */
/*
 * The list of captures. See capture.h.
 *
 * Stream handles 0, 1 and 2 mean different streams in different contexts and threads, so an entry
 * also holds the current context, and for the per-thread stream the thread. Captures that
 * find no host memory are only counted, as captures of every context, and never forgotten. From
 * then on the pool records no fences: frees wait, and free memory of another size may not be had.
 */
#include "shim/context/capture.h"

#include <pthread.h>
#include <stdlib.h>

#include "shim/context/context.h"

#define CAPTURES_FIRST 16

struct capture {
    CUstream stream;
    CUcontext context; /* NULL: unknown, counts for every context */
    pthread_t thread;  /* that began it */
    uint64_t number;   /* of the call that began it */
    CUstreamCaptureMode mode;
    bool per_thread; /* the handle means the thread's own stream */
};

atomic_int capture_count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct capture *captures; /* guarded by lock */
static int used, room;           /* guarded by lock */
static int uncounted;            /* that found no room; guarded by lock */
static uint64_t last_number;     /* guarded by lock */

static bool is_default_stream(CUstream stream, bool per_thread)
{
    return stream == CU_STREAM_PER_THREAD || (per_thread && !stream);
}

/* Returns the context of a stream; NULL when it is none we know, such as a green one, or one whose
 * handle capture_forget_context() may be about to get. */
static CUcontext context_of(CUstream stream)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUcontext context = NULL;

    if (!driver || !driver->cuStreamGetCtx ||
        REAL_ASK(driver->cuStreamGetCtx(stream, &context)) != CUDA_SUCCESS)
        return NULL;
    const struct context *known = context_find(context);
    return known && context_life(known) == CONTEXT_LIVES ? context : NULL;
}

static bool room_make_locked(void)
{
    if (used < room)
        return true;
    int more = room ? 2 * room : CAPTURES_FIRST;
    struct capture *larger = realloc(captures, (size_t)more * sizeof(*larger));
    if (!larger)
        return false;
    captures = larger;
    room = more;
    return true;
}

uint64_t capture_begin(CUstream stream, bool per_thread, CUstreamCaptureMode mode)
{
    struct capture capture = {
        .stream = stream,
        .context = context_of(stream),
        .thread = pthread_self(),
        .mode = mode,
        .per_thread = is_default_stream(stream, per_thread),
    };

    pthread_mutex_lock(&lock);
    uint64_t number = capture.number = ++last_number;
    if (room_make_locked())
        captures[used++] = capture;
    else
        uncounted++;
    atomic_store_explicit(&capture_count, used + uncounted, memory_order_release);
    pthread_mutex_unlock(&lock);
    return number;
}

static bool is_same(const struct capture *capture, CUstream stream, bool own)
{
    if (capture->per_thread != own)
        return false;
    return own ? pthread_equal(capture->thread, pthread_self()) : capture->stream == stream;
}

static void remove_locked(int i)
{
    captures[i] = captures[--used];
    atomic_store_explicit(&capture_count, used + uncounted, memory_order_release);
}

void capture_undo(uint64_t number)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used; i++) {
        if (captures[i].number == number) {
            remove_locked(i);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

void capture_end(CUstream stream, bool per_thread)
{
    bool own = is_default_stream(stream, per_thread);

    if (!capture_is_active())
        return;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used; i++) {
        if (is_same(&captures[i], stream, own)) {
            remove_locked(i);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

void capture_forget_context(CUcontext context)
{
    if (!capture_is_active())
        return;
    pthread_mutex_lock(&lock);
    for (int i = used; i-- > 0;)
        if (captures[i].context == context)
            remove_locked(i);
    pthread_mutex_unlock(&lock);
}

bool capture_mode_relax(const struct driver_functions *driver, CUstreamCaptureMode *ret_mode)
{
    *ret_mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    return driver->cuThreadExchangeStreamCaptureMode &&
           REAL_ASK(driver->cuThreadExchangeStreamCaptureMode(ret_mode)) == CUDA_SUCCESS;
}

void capture_mode_restore(const struct driver_functions *driver, CUstreamCaptureMode mode)
{
    (void)REAL_ASK(driver->cuThreadExchangeStreamCaptureMode(&mode));
}

/* Reads the thread's interaction mode by exchanging it twice. */
static CUstreamCaptureMode thread_mode(const struct driver_functions *driver)
{
    CUstreamCaptureMode mode;

    if (!capture_mode_relax(driver, &mode))
        return CU_STREAM_CAPTURE_MODE_GLOBAL;
    capture_mode_restore(driver, mode);
    return mode;
}

bool capture_forbids_here(const struct driver_functions *driver)
{
    if (!capture_is_active())
        return false;
    CUstreamCaptureMode mode = thread_mode(driver);
    if (mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return false;
    bool forbidden = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used && !forbidden; i++) {
        const struct capture *capture = &captures[i];
        bool mine = pthread_equal(capture->thread, pthread_self());

        if (mine)
            forbidden = capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
        else
            forbidden = mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                        capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    }
    pthread_mutex_unlock(&lock);
    return forbidden;
}

bool capture_includes(const struct driver_functions *driver, CUstream stream)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

    if (!capture_is_active() || !driver->cuStreamIsCapturing)
        return false;
    return REAL_ASK(driver->cuStreamIsCapturing(stream, &status)) != CUDA_SUCCESS ||
           status != CU_STREAM_CAPTURE_STATUS_NONE;
}

bool capture_hold(CUcontext context)
{
    pthread_mutex_lock(&lock);
    bool busy = uncounted > 0;
    for (int i = 0; i < used && !busy; i++)
        busy = !captures[i].context || captures[i].context == context;
    return !busy;
}

void capture_allow(void)
{
    pthread_mutex_unlock(&lock);
}

void capture_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    captures = NULL; /* not freed: a change may be incomplete */
    used = room = uncounted = 0;
    atomic_store(&capture_count, 0);
}
