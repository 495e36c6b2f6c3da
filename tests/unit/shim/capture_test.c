/* SPDX-License-Identifier: MIT */
/*
 * Which captures forbid what to whom, by the rules of cuThreadExchangeStreamCaptureMode, with a
 * driver that knows the thread's mode and the context of a stream only.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "shim/context/capture.h"
#include "shim/context/context.h"

#define STREAM(number)  ((CUstream)(uintptr_t)(0x1000 + (number)))
#define CONTEXT(number) ((CUcontext)(uintptr_t)(0x2000 + (number)))

_Atomic(const struct driver_functions *) real_driver_table;

static _Thread_local CUstreamCaptureMode mode_now;

const struct driver_functions *real_driver_resolve(bool may_load)
{
    return NULL;
}

/* Context 1 is known, context 2 is not. */
struct context *context_find(CUcontext handle)
{
    static struct context known;

    return handle == CONTEXT(1) ? &known : NULL;
}

static CUresult exchange(CUstreamCaptureMode *mode)
{
    CUstreamCaptureMode before = mode_now;

    mode_now = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

static CUresult context_of(CUstream stream, CUcontext *ret_context)
{
    *ret_context = stream == STREAM(2) ? CONTEXT(2) : CONTEXT(1);
    return CUDA_SUCCESS;
}

static const struct driver_functions driver = {
    .cuThreadExchangeStreamCaptureMode = exchange,
    .cuStreamGetCtx = context_of,
};

static bool host_is_full;

void *__real_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);

void *__wrap_realloc(void *block, size_t bytes)
{
    return host_is_full ? NULL : __real_realloc(block, bytes);
}

static void setup(void)
{
    atomic_store(&real_driver_table, &driver);
}

static bool held_off(CUcontext context)
{
    bool free = capture_hold(context);

    capture_allow();
    return !free;
}

struct question {
    CUstreamCaptureMode mode;
    bool forbidden;
};

static void *ask(void *data)
{
    struct question *question = data;

    mode_now = question->mode;
    question->forbidden = capture_forbids_here(&driver);
    cr_expect_eq(mode_now, question->mode, "the mode is put back");
    return NULL;
}

static bool forbidden(CUstreamCaptureMode thread_mode, bool on_other_thread)
{
    struct question question = {.mode = thread_mode};
    pthread_t thread;

    if (!on_other_thread) {
        ask(&question);
    } else {
        pthread_create(&thread, NULL, ask, &question);
        pthread_join(thread, NULL);
    }
    return question.forbidden;
}

TestSuite(capture, .init = setup);

Test(capture, forbids_as_the_driver_does)
{
    enum { GLOBAL, LOCAL, RELAXED, MODES };
    static const CUstreamCaptureMode modes[] = {CU_STREAM_CAPTURE_MODE_GLOBAL,
                                                CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
                                                CU_STREAM_CAPTURE_MODE_RELAXED};
    /* [mode of the capture][mode of the thread][same thread, other thread] */
    static const bool expected[MODES][MODES][2] = {
        [GLOBAL] = {[GLOBAL] = {1, 1}, [LOCAL] = {1, 0}, [RELAXED] = {0, 0}},
        [LOCAL] = {[GLOBAL] = {1, 0}, [LOCAL] = {1, 0}, [RELAXED] = {0, 0}},
        [RELAXED] = {[GLOBAL] = {0, 0}, [LOCAL] = {0, 0}, [RELAXED] = {0, 0}},
    };
    for (int capture = 0; capture < MODES; capture++) {
        capture_begin(STREAM(1), false, modes[capture]);
        for (int thread = 0; thread < MODES; thread++)
            for (int other = 0; other < 2; other++)
                cr_expect_eq(forbidden(modes[thread], other), expected[capture][thread][other],
                             "capture %d, thread %d, other %d", capture, thread, other);
        capture_end(STREAM(1), false);
        cr_expect_not(forbidden(CU_STREAM_CAPTURE_MODE_GLOBAL, false));
    }
}

Test(capture, holds_off_events_of_its_context)
{
    cr_expect_not(held_off(CONTEXT(1)));
    capture_begin(STREAM(1), false, CU_STREAM_CAPTURE_MODE_RELAXED);
    cr_expect(held_off(CONTEXT(1)));
    cr_expect_not(held_off(CONTEXT(3)));
    capture_end(STREAM(5), false);
    cr_expect(held_off(CONTEXT(1)), "the end of another stream's changes nothing");
    capture_end(STREAM(1), false);
    cr_expect_not(held_off(CONTEXT(1)));
}

Test(capture, ends_by_its_own_handle)
{
    capture_begin(STREAM(1), false, CU_STREAM_CAPTURE_MODE_RELAXED);
    capture_end(NULL, true);
    cr_expect(held_off(CONTEXT(1)), "the end of the thread's own stream's changes nothing");
    capture_end(STREAM(1), false);
    capture_begin(NULL, true, CU_STREAM_CAPTURE_MODE_RELAXED);
    capture_end(NULL, false);
    cr_expect(held_off(CONTEXT(1)), "the legacy stream is another");
    capture_end(CU_STREAM_PER_THREAD, false);
    cr_expect_not(held_off(CONTEXT(1)));
}

Test(capture, of_an_unknown_context_counts_for_all)
{
    capture_begin(STREAM(2), false, CU_STREAM_CAPTURE_MODE_RELAXED);
    cr_expect(held_off(CONTEXT(1)));
    cr_expect(held_off(CONTEXT(3)));
    capture_end(STREAM(2), false);
}

Test(capture, refused_beginnings_leave_the_first)
{
    capture_begin(STREAM(1), false, CU_STREAM_CAPTURE_MODE_GLOBAL);
    capture_begin(STREAM(1), false, CU_STREAM_CAPTURE_MODE_GLOBAL);
    capture_end(STREAM(1), false);
    cr_expect(capture_is_active());
    capture_end(STREAM(1), false);
    cr_expect_not(capture_is_active());
}

Test(capture, ends_with_its_context)
{
    capture_begin(STREAM(1), false, CU_STREAM_CAPTURE_MODE_GLOBAL);
    capture_begin(STREAM(3), false, CU_STREAM_CAPTURE_MODE_GLOBAL);
    capture_forget_context(CONTEXT(1));
    cr_expect_not(capture_is_active());
}

static void *begin_own(void *unused)
{
    capture_begin(NULL, true, CU_STREAM_CAPTURE_MODE_GLOBAL);
    return NULL;
}

Test(capture, of_per_thread_streams_are_apart)
{
    pthread_t thread;

    capture_begin(CU_STREAM_PER_THREAD, false, CU_STREAM_CAPTURE_MODE_GLOBAL);
    pthread_create(&thread, NULL, begin_own, NULL);
    pthread_join(thread, NULL);
    capture_end(NULL, true);
    cr_expect(capture_is_active(), "the other thread's goes on");
    capture_forget_context(CONTEXT(1));
}

Test(capture, as_many_as_begin_are_listed)
{
    for (int i = 0; i < 300; i++)
        capture_begin(STREAM(10 + i), false, CU_STREAM_CAPTURE_MODE_RELAXED);
    for (int i = 0; i < 300; i++)
        capture_end(STREAM(10 + i), false);
    cr_expect(!held_off(CONTEXT(1)));
    cr_expect(!capture_is_active());
}

Test(capture, without_host_memory_counts_for_all_for_good)
{
    host_is_full = true;
    capture_begin(STREAM(1), false, CU_STREAM_CAPTURE_MODE_RELAXED);
    host_is_full = false;
    cr_expect(held_off(CONTEXT(1)));
    cr_expect(held_off(CONTEXT(3)));
    capture_end(STREAM(1), false);
    cr_expect(held_off(CONTEXT(1)));
    cr_expect(capture_is_active());
}
