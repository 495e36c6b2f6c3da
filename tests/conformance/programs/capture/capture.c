/* SPDX-License-Identifier: MIT */
/*
 * Allocation and free while a stream captures: forbidden calls fail and invalidate the capture,
 * permitted ones leave it intact.
 */
#include <pthread.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

static void *spare; /* allocated before any capture */

static void both(const char *who)
{
    void *pointer = NULL;
    int error = route_allocate(&pointer, 5000);

    printf("%s allocates: %s\n", who, route_error_name(error));
    if (error == 0)
        printf("%s frees: %s\n", who, route_error_name(route_free(pointer)));
    route_report("last error", route_last_error());
}

static void free_spare(const char *who)
{
    printf("%s frees: %s\n", who, route_error_name(route_free(spare)));
    route_report("last error", route_last_error());
}

static CUstream beside; /* captures nothing */

static void free_in_order(const char *who)
{
    printf("%s frees in order: %s\n", who, route_error_name(route_free_async(spare, beside)));
    route_report("last error", route_last_error());
}

static void *other(void *body)
{
    route_start();
    ((void (*)(const char *))body)("other thread");
    return NULL;
}

static CUstream capturing;

/** Who did not begin a capture cannot end it. */
static void *end_other(void *unused)
{
    CUgraph graph = NULL;

    route_start();
    route_report("other thread ends", route_capture_end(capturing, &graph));
    route_report("last error", route_last_error());
    return NULL;
}

static void ended_elsewhere(const char *who)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, end_other, NULL) == 0)
        pthread_join(thread, NULL);
    both(who);
}

/* A stream that captures cannot begin again: its capture goes on as it began. */
static void begun_again(const char *who)
{
    route_report("begin again", route_capture_begin(capturing, CU_STREAM_CAPTURE_MODE_GLOBAL));
    route_report("last error", route_last_error());
    free_spare(who);
}

static void elsewhere(void (*body)(const char *))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, other, (void *)body) == 0)
        pthread_join(thread, NULL);
}

static void during(const char *title, CUstreamCaptureMode mode, void (*body)(const char *),
                   bool on_other_thread)
{
    CUstream stream;
    CUgraph graph = NULL;
    void *target;

    printf("== %s, %s thread\n", title, on_other_thread ? "other" : "same");
    route_report("allocate", route_allocate(&target, 4096));
    route_report("spare", route_allocate(&spare, 4096));
    route_report("stream", route_stream_create(&stream));
    capturing = stream;
    route_report("begin", route_capture_begin(stream, mode));
    route_report("fill", route_fill_async(target, 1, 4096, stream));
    if (on_other_thread)
        elsewhere(body);
    else
        body("same thread");
    route_report("fill", route_fill_async(target, 2, 4096, stream));
    route_report("end", route_capture_end(stream, &graph));
    printf("graph: %s\n", graph ? "yes" : "no");
    if (graph)
        route_report("run", route_graph_run(graph, stream));
    route_report("last error", route_last_error());
    route_report("stream", route_stream_destroy(stream));
    route_report("free", route_free(target));
    both("afterwards");
}

static void relaxed(const char *who)
{
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;

    route_report("exchange", route_capture_mode_exchange(&mode));
    both(who);
    free_spare(who);
    route_report("exchange", route_capture_mode_exchange(&mode));
    printf("mode put back: %d\n", mode == CU_STREAM_CAPTURE_MODE_RELAXED);
}

int program_capture(const char *self, const char *route, const char *argument)
{
    static const struct {
        const char *title;
        CUstreamCaptureMode mode;
    } modes[] = {
        {"global", CU_STREAM_CAPTURE_MODE_GLOBAL},
        {"thread-local", CU_STREAM_CAPTURE_MODE_THREAD_LOCAL},
        {"relaxed", CU_STREAM_CAPTURE_MODE_RELAXED},
    };

    route_start();
    route_report("stream", route_stream_create(&beside));
    during("global, the first free in order", CU_STREAM_CAPTURE_MODE_GLOBAL, free_in_order, false);
    for (int i = 0; i < 3; i++) {
        for (int thread = 0; thread < 2; thread++) {
            during(modes[i].title, modes[i].mode, both, thread);
            during(modes[i].title, modes[i].mode, free_spare, thread);
            during(modes[i].title, modes[i].mode, relaxed, thread);
            during(modes[i].title, modes[i].mode, begun_again, thread);
        }
        during(modes[i].title, modes[i].mode, ended_elsewhere, false);
    }
    return 0;
}
