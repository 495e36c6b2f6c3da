/* SPDX-License-Identifier: MIT */
/*
 * The state machine of stream capture. A stream takes part while stream->capture is set; its
 * capture_deps are the nodes that its next node will wait for. Equation: ctx->captures = number of
 * streams of the context with a capture; active_captures = number of captures.
 */
#include "tests/simgpu/driver/work/capture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/base/thread.h"
#include "tests/simgpu/driver/work/capture_calls.h"
#include "tests/simgpu/driver/work/graph.h"

static LIST_HEAD(, capture) captures;
static _Atomic unsigned active_captures;

bool capture_any(void)
{
    return atomic_load_explicit(&active_captures, memory_order_acquire) != 0;
}

static struct capture *capture_by_id(uint64_t id)
{
    struct capture *each;

    LIST_FOREACH(each, &captures, link)
        if (each->id == id)
            return each;
    return NULL;
}

/* The rules stand at cuThreadExchangeStreamCaptureMode in cuda.h. */
static bool forbids(const struct capture *capture, const struct thread *self)
{
    if (self->capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return false;
    if (capture->thread_id == self->id)
        return capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    return self->capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
           capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

CUresult capture_check_unsafe(void)
{
    const struct thread *self = thread_self();
    struct capture *each;
    CUresult result = CUDA_SUCCESS;

    LIST_FOREACH(each, &captures, link)
        if (forbids(each, self)) {
            each->invalid = true;
            result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    return result;
}

CUresult capture_refuse(CUstream stream, CUresult error)
{
    stream->capture->invalid = true;
    return error;
}

CUresult capture_enter_unsafe(CUcontext *ret_ctx)
{
    CUresult result = context_current(ret_ctx);

    return result == CUDA_SUCCESS ? capture_check_unsafe() : result;
}

CUresult capture_check_context(CUcontext ctx)
{
    CUstream each;
    CUresult result = capture_check_unsafe();

    LIST_FOREACH(each, &ctx->streams, link)
        if (each->capture)
            result = capture_refuse(each, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    return result;
}

CUresult capture_refuse_legacy(CUcontext ctx)
{
    CUstream each;
    CUresult result = CUDA_SUCCESS;

    LIST_FOREACH(each, &ctx->streams, link)
        if (each->capture && stream_is_blocking(each))
            result = capture_refuse(each, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    return result;
}

CUresult capture_check_stream(CUstream stream)
{
    if (stream->capture)
        return capture_refuse(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    return stream_check_capture(stream);
}

CUresult capture_check_event(CUevent event)
{
    struct capture *capture = capture_by_id(event->capture_id);

    if (!capture)
        return CUDA_SUCCESS;
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult capture_check_event_query(CUevent event)
{
    struct capture *capture = capture_by_id(event->capture_id);

    if (capture)
        capture->invalid = true;
    if (event->capture_id)
        return CUDA_ERROR_CAPTURED_EVENT;
    return capture_check_unsafe();
}

/* Dependencies of a stream. */

static bool has_dep(CUstream stream, CUgraphNode node)
{
    for (size_t i = 0; i < stream->capture_dep_count; i++)
        if (stream->capture_deps[i] == node)
            return true;
    return false;
}

static CUresult deps_add(CUstream stream, const CUgraphNode *nodes, size_t count)
{
    CUgraphNode *grown = realloc(stream->capture_deps,
                                 (stream->capture_dep_count + count + 1) * sizeof *grown);

    if (!grown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stream->capture_deps = grown;
    for (size_t i = 0; i < count; i++)
        if (!has_dep(stream, nodes[i]))
            grown[stream->capture_dep_count++] = nodes[i];
    return CUDA_SUCCESS;
}

static CUresult deps_set(CUstream stream, const CUgraphNode *nodes, size_t count)
{
    stream->capture_dep_count = 0;
    return deps_add(stream, nodes, count);
}

static CUresult join(CUstream stream, struct capture *capture, const CUgraphNode *deps,
                     size_t count)
{
    stream->capture_deps = NULL;
    CUresult result = deps_set(stream, deps, count);
    if (result != CUDA_SUCCESS)
        return result;
    stream->capture = capture;
    stream->ctx->captures++;
    return CUDA_SUCCESS;
}

static void leave(CUstream stream)
{
    stream->capture = NULL;
    stream->ctx->captures--;
    free(stream->capture_deps);
    stream->capture_deps = NULL;
    stream->capture_dep_count = 0;
}

static void everybody_leaves(struct capture *capture)
{
    CUcontext ctx;
    CUstream each;

    LIST_FOREACH(ctx, &contexts, link)
        LIST_FOREACH(each, &ctx->streams, link)
            if (each->capture == capture)
                leave(each);
}

static void capture_end(struct capture *capture)
{
    everybody_leaves(capture);
    LIST_REMOVE(capture, link);
    active_captures--;
    free(capture);
}

CUresult capture_add_node(CUstream stream, struct work *work, CUgraphNode *ret)
{
    CUgraphNode node;

    if (stream->capture->invalid) {
        work_destroy(work);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    CUresult result = graph_add(stream->capture->graph, stream->capture_deps,
                                stream->capture_dep_count, work, node_type_of(work), &node);
    if (result == CUDA_SUCCESS)
        result = deps_set(stream, &node, 1);
    if (result == CUDA_SUCCESS && ret)
        *ret = node;
    return result;
}

CUresult capture_add(CUstream stream, struct work *work)
{
    return capture_add_node(stream, work, NULL);
}

static CUresult add_event_node(CUstream stream, CUevent event, enum work_kind kind)
{
    struct work *work = work_create(kind);

    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->event.event = event;
    event_ref(event);
    return capture_add(stream, work);
}

CUresult capture_record(CUstream stream, CUevent event, bool external)
{
    if (stream->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (external)
        return add_event_node(stream, event, WORK_RECORD);
    size_t bytes = stream->capture_dep_count * sizeof *event->capture_deps;
    CUgraphNode *deps = malloc(bytes + 1);
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (bytes)
        memcpy(deps, stream->capture_deps, bytes);
    free(event->capture_deps);
    event->capture_deps = deps;
    event->capture_dep_count = stream->capture_dep_count;
    event->capture_id = stream->capture->id;
    return CUDA_SUCCESS;
}

CUresult capture_wait(CUstream stream, CUevent event, bool external)
{
    struct capture *from = event->capture_id ? capture_by_id(event->capture_id) : NULL;

    if (stream->capture && stream->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream->capture && external)
        return add_event_node(stream, event, WORK_WAIT);
    if (!event->capture_id)
        return event->state->recorded ? capture_refuse(stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION)
                                      : CUDA_SUCCESS;
    if (!from)
        return CUDA_ERROR_CAPTURED_EVENT;
    if (from->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream->capture && stream->capture != from) {
        from->invalid = true;
        return capture_refuse(stream, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    }
    if (stream->capture)
        return deps_add(stream, event->capture_deps, event->capture_dep_count);
    if (stream->kind == STREAM_LEGACY) {
        from->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    return join(stream, from, event->capture_deps, event->capture_dep_count);
}

void capture_stream_destroyed(CUstream stream)
{
    struct capture *capture = stream->capture;

    if (capture->origin != stream) {
        capture->invalid = true;
        leave(stream);
        return;
    }
    if (capture->owns_graph)
        graph_destroy(capture->graph);
    capture_end(capture);
}

void captures_drop(CUcontext ctx)
{
    struct capture *each = LIST_FIRST(&captures);

    while (each) {
        struct capture *next = LIST_NEXT(each, link);

        if (each->ctx == ctx)
            capture_stream_destroyed(each->origin);
        each = next;
    }
}

/* Bodies of the calls. */

CUresult capture_begin(CUstream given, bool per_thread, CUstreamCaptureMode mode, CUgraph graph,
                       const CUgraphNode *deps, size_t dep_count)
{
    static uint64_t last_id;
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream->kind == STREAM_LEGACY)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    struct capture *made = calloc(1, sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *made = (struct capture){.id = ++last_id,
                             .mode = mode,
                             .thread_id = thread_self()->id,
                             .ctx = stream->ctx,
                             .origin = stream,
                             .graph = graph,
                             .owns_graph = !graph};
    if (!graph)
        result = graph_create(&made->graph);
    if (result == CUDA_SUCCESS)
        result = join(stream, made, deps, dep_count);
    if (result != CUDA_SUCCESS) {
        if (made->owns_graph && made->graph)
            graph_destroy(made->graph);
        free(made);
        return result;
    }
    LIST_INSERT_HEAD(&captures, made, link);
    active_captures++;
    return CUDA_SUCCESS;
}

static bool reaches(CUgraphNode from, CUgraphNode node, unsigned mark)
{
    if (from == node)
        return true;
    if (from->mark == mark)
        return false;
    from->mark = mark;
    for (size_t i = 0; i < from->dep_count; i++)
        if (reaches(from->deps[i], node, mark))
            return true;
    return false;
}

/* Work of a stream that the origin does not depend on when it ends has not been joined. */
static bool is_joined(CUstream stream, CUstream origin)
{
    static unsigned mark;

    for (size_t i = 0; i < stream->capture_dep_count; i++) {
        bool found = false;

        mark++;
        for (size_t j = 0; j < origin->capture_dep_count && !found; j++)
            found = reaches(origin->capture_deps[j], stream->capture_deps[i], mark);
        if (!found)
            return false;
    }
    return true;
}

static bool all_joined(struct capture *capture)
{
    CUcontext ctx;
    CUstream each;

    LIST_FOREACH(ctx, &contexts, link)
        LIST_FOREACH(each, &ctx->streams, link)
            if (each->capture == capture && each != capture->origin &&
                !is_joined(each, capture->origin))
                return false;
    return true;
}

CUresult capture_finish(CUstream given, bool per_thread, CUgraph *ret)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    struct capture *capture = stream->capture;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = NULL;
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != stream)
        return capture_refuse(stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread_id != thread_self()->id)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (capture->invalid)
        result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else if (!all_joined(capture))
        result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    if (result == CUDA_SUCCESS)
        *ret = capture->graph;
    else if (capture->owns_graph)
        graph_destroy(capture->graph);
    capture_end(capture);
    return result;
}

static CUresult status_of(CUstream stream, CUstreamCaptureStatus *ret)
{
    CUstream each;

    if (stream->kind == STREAM_LEGACY)
        LIST_FOREACH(each, &stream->ctx->streams, link)
            if (each->capture && stream_is_blocking(each))
                return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    *ret = !stream->capture           ? CU_STREAM_CAPTURE_STATUS_NONE
           : stream->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                      : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

CUresult capture_status(CUstream given, bool per_thread, CUstreamCaptureStatus *ret)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS && !ret)
        result = CUDA_ERROR_INVALID_VALUE;
    return result == CUDA_SUCCESS ? status_of(stream, ret) : result;
}

CUresult capture_info(CUstream given, bool per_thread, struct capture_info info)
{
    CUstream stream;
    CUresult result = capture_status(given, per_thread, info.status);

    if (result != CUDA_SUCCESS || *info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return result;
    stream_resolve(given, per_thread, &stream);
    if (info.id)
        *info.id = stream->capture->id;
    if (info.graph)
        *info.graph = stream->capture->graph;
    if (info.deps)
        *info.deps = stream->capture_deps;
    if (info.edges)
        *info.edges = NULL; /* all edges are plain ones */
    if (info.dep_count)
        *info.dep_count = stream->capture_dep_count;
    return CUDA_SUCCESS;
}

CUresult capture_update(CUstream given, bool per_thread, CUgraphNode *deps, size_t count,
                        unsigned flags)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (!stream->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    for (size_t i = 0; i < count; i++)
        if (!handle_is(deps[i], HANDLE_NODE) || deps[i]->graph != stream->capture->graph)
            return CUDA_ERROR_INVALID_VALUE;
    if (flags == CU_STREAM_ADD_CAPTURE_DEPENDENCIES)
        return deps_add(stream, deps, count);
    return flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES ? deps_set(stream, deps, count)
                                                       : CUDA_ERROR_INVALID_VALUE;
}
