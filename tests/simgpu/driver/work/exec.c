/* SPDX-License-Identifier: MIT */
/*
 * Executable graphs. A launch executes a body: a private clone in topological order.
 * Changes to an executable graph make a new body when launches in flight still refer to the old
 * one.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/graph.h"

static struct handle_cache exec_cache = {
    HANDLE_EXEC, sizeof(struct CUgraphExec_st), {NULL}, {NULL}};

void body_unref(struct graph_body *body)
{
    if (!body || --body->refs)
        return;
    graph_destroy(body->graph);
    free(body->order);
    free(body);
}

static size_t count_deep(CUgraph graph)
{
    size_t count = 0;
    CUgraphNode each;

    TAILQ_FOREACH(each, &graph->nodes, link)
    count += each->work->kind == WORK_CHILD ? 1 + count_deep(each->work->child) : 1;
    return count;
}

/* Depth first along the dependencies; a node that is visited again before it is done closes a
 * cycle. Nodes of a child graph come in the place of their parent. */
enum { UNSEEN, OPEN, DONE };

static bool order_graph(struct graph_body *body, CUgraph graph);

static bool order_node(struct graph_body *body, CUgraphNode node)
{
    if (node->mark != UNSEEN)
        return node->mark == DONE;
    node->mark = OPEN;
    for (size_t i = 0; i < node->dep_count; i++)
        if (!order_node(body, node->deps[i]))
            return false;
    node->mark = DONE;
    if (node->work->kind == WORK_CHILD && !node->disabled)
        return order_graph(body, node->work->child);
    body->order[body->order_count++] = node;
    return true;
}

static bool order_graph(struct graph_body *body, CUgraph graph)
{
    CUgraphNode each;

    TAILQ_FOREACH(each, &graph->nodes, link)
    each->mark = UNSEEN;
    TAILQ_FOREACH(each, &graph->nodes, link)
    if (!order_node(body, each))
        return false;
    return true;
}

static CUresult body_create(CUgraph graph, struct graph_body **ret)
{
    struct graph_body *made = calloc(1, sizeof *made);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->refs = 1;
    made->graph = graph_clone(graph);
    if (!made->graph) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->order = calloc(count_deep(made->graph) + 1, sizeof *made->order);
    CUresult result = !made->order                     ? CUDA_ERROR_OUT_OF_MEMORY
                      : order_graph(made, made->graph) ? CUDA_SUCCESS
                                                       : CUDA_ERROR_INVALID_VALUE;
    if (result != CUDA_SUCCESS) {
        body_unref(made);
        return result;
    }
    *ret = made;
    return CUDA_SUCCESS;
}

CUresult exec_create(CUgraph graph, uint64_t flags, CUgraphExec *ret)
{
    struct graph_body *body;
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        result = body_create(graph, &body);
    if (result != CUDA_SUCCESS)
        return result;
    CUgraphExec made = handle_take(&exec_cache);
    if (!made) {
        body_unref(body);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->body = body;
    made->flags = flags;
    made->ctx = ctx;
    made->last = (struct point){NULL, 0, NULL};
    *ret = made;
    return CUDA_SUCCESS;
}

CUresult exec_node(CUgraphExec exec, CUgraphNode node, CUgraphNode *ret)
{
    if (!handle_is(exec, HANDLE_EXEC) || !handle_is(node, HANDLE_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    if (exec->body->refs > 1) {
        struct graph_body *fresh;
        CUresult result = body_create(exec->body->graph, &fresh);

        if (result != CUDA_SUCCESS)
            return result;
        body_unref(exec->body);
        exec->body = fresh;
    }
    *ret = graph_find(exec->body->graph, node->id);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static void wait_for_event(CUevent event)
{
    struct point point = {&event->state->completed, event->state->recorded, NULL};

    pthread_mutex_lock(&driver_lock);
    point_wait(&point, event->remote);
    pthread_mutex_unlock(&driver_lock);
}

void body_run(struct graph_body *body, CUcontext ctx)
{
    for (size_t i = 0; i < body->order_count; i++) {
        CUgraphNode node = body->order[i];

        if (node->disabled)
            continue;
        if (node->work->kind == WORK_WAIT)
            wait_for_event(node->work->event.event);
        work_execute(node->work, ctx);
        pthread_mutex_lock(&driver_lock);
        work_settle(node->work, threads_virtual_ns());
        pthread_cond_broadcast(&driver_progress);
        pthread_mutex_unlock(&driver_lock);
    }
}

uint64_t body_virtual_ns(const struct graph_body *body)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < body->order_count; i++)
        sum += body->order[i]->disabled ? 0 : work_virtual_ns(body->order[i]->work);
    return sum;
}

static bool freed_inside(const struct graph_body *body, const struct graph_memory *memory)
{
    for (size_t i = 0; i < body->order_count; i++)
        if (body->order[i]->work->kind == WORK_FREE &&
            body->order[i]->work->memory.memory == memory)
            return true;
    return false;
}

/* Memory that the last launch left allocated forbids another, unless the graph frees at launch. */
static CUresult memory_prepare(CUgraphExec exec)
{
    struct graph_body *body = exec->body;

    for (size_t i = 0; i < body->order_count; i++) {
        struct work *work = body->order[i]->work;

        if (work->kind != WORK_ALLOC)
            continue;
        struct graph_memory *memory = work->memory.memory;
        bool free_first = exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        if (memory->handed && !free_first)
            return CUDA_ERROR_INVALID_VALUE;
        CUresult result = graph_memory_back(memory);
        if (result != CUDA_SUCCESS)
            return result;
    }
    return CUDA_SUCCESS;
}

/* Memory allocated after this launch and all before it. */
static void memory_hand(const struct graph_body *body)
{
    for (size_t i = 0; i < body->order_count; i++) {
        struct graph_memory *memory = body->order[i]->work->memory.memory;

        if (body->order[i]->work->kind == WORK_ALLOC)
            memory->handed = !freed_inside(body, memory);
        else if (body->order[i]->work->kind == WORK_FREE && memory)
            memory->handed = false;
    }
}

static void records_open(const struct graph_body *body)
{
    for (size_t i = 0; i < body->order_count; i++)
        if (body->order[i]->work->kind == WORK_RECORD)
            body->order[i]->work->event.event->state->recorded++;
}

/* A launch while the stream captures becomes a child graph of the captured graph. */
static CUresult launch_captured(CUgraphExec exec, CUstream stream)
{
    struct work *work = work_create(WORK_CHILD);

    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->child = graph_clone(exec->body->graph);
    if (!work->child) {
        work->kind = WORK_EMPTY;
        work_destroy(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return capture_add(stream, work);
}

CUresult exec_launch(CUgraphExec exec, CUstream given, bool per_thread)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS && !handle_is(exec, HANDLE_EXEC))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = stream_check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture)
        return launch_captured(exec, stream);
    result = memory_prepare(exec);
    if (result != CUDA_SUCCESS)
        return result;
    struct work *work = work_create(WORK_GRAPH);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->body = exec->body;
    exec->body->refs++;
    if (exec->last.counter && !work_wait_for(work, exec->last)) {
        work_destroy(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    records_open(exec->body);
    memory_hand(exec->body);
    exec->last = (struct point){&stream->completed, stream->submitted + 1, NULL};
    return stream_submit(stream, work, false);
}

/* Calls. */

static CUresult instantiate(CUgraphExec *ret, CUgraph graph, uint64_t flags)
{
    if (!ret || !handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    return exec_create(graph, flags, ret);
}

static CUresult destroy(CUgraphExec exec)
{
    if (!handle_is(exec, HANDLE_EXEC))
        return CUDA_ERROR_INVALID_VALUE;
    body_unref(exec->body);
    exec->body = NULL;
    handle_give(&exec_cache, exec);
    return CUDA_SUCCESS;
}

static CUresult flags_get(CUgraphExec exec, cuuint64_t *ret)
{
    if (!handle_is(exec, HANDLE_EXEC) || !ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = exec->flags;
    return CUDA_SUCCESS;
}

/* Nodes are compared in the order in which they were made, which is how captures pair up. */
static CUgraphExecUpdateResult compare(CUgraph was, CUgraph now, CUgraphNode *ret_node)
{
    CUgraphNode a = TAILQ_FIRST(&was->nodes), b = TAILQ_FIRST(&now->nodes);

    *ret_node = NULL;
    for (; a && b; a = TAILQ_NEXT(a, link), b = TAILQ_NEXT(b, link)) {
        *ret_node = b;
        if (a->type != b->type)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
        if (a->dep_count != b->dep_count)
            return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        if (a->work->kind == WORK_ALLOC || a->work->kind == WORK_FREE)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED;
    }
    *ret_node = b;
    return a || b ? CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED : CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

/* The nodes of the new body answer to the ids of the first graph, as the header promises. */
static CUresult body_replace(CUgraphExec exec, CUgraph graph)
{
    struct graph_body *fresh;
    CUresult result = body_create(graph, &fresh);

    if (result != CUDA_SUCCESS)
        return result;
    CUgraphNode was = TAILQ_FIRST(&exec->body->graph->nodes);
    CUgraphNode now = TAILQ_FIRST(&fresh->graph->nodes);
    for (; was && now; was = TAILQ_NEXT(was, link), now = TAILQ_NEXT(now, link))
        now->id = was->id;
    body_unref(exec->body);
    exec->body = fresh;
    return CUDA_SUCCESS;
}

static CUresult update(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *ret)
{
    CUgraphNode node;

    if (!handle_is(exec, HANDLE_EXEC) || !handle_is(graph, HANDLE_GRAPH) || !ret)
        return CUDA_ERROR_INVALID_VALUE;
    CUgraphExecUpdateResult outcome = compare(exec->body->graph, graph, &node);
    *ret = (CUgraphExecUpdateResultInfo){outcome, node, NULL};
    return outcome == CU_GRAPH_EXEC_UPDATE_SUCCESS ? body_replace(exec, graph)
                                                   : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
}

static CUresult update_v1(CUgraphExec exec, CUgraph graph, CUgraphNode *ret_node,
                          CUgraphExecUpdateResult *ret_result)
{
    CUgraphExecUpdateResultInfo info = {CU_GRAPH_EXEC_UPDATE_ERROR, NULL, NULL};
    CUresult result = update(exec, graph, &info);

    if (ret_node)
        *ret_node = info.errorNode;
    if (ret_result)
        *ret_result = info.result;
    return result;
}

CUresult CUDAAPI cuGraphInstantiate(CUgraphExec *phGraphExec, CUgraph hGraph,
                                    CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize)
{
    CALL(cuGraphInstantiate, instantiate(phGraphExec, hGraph, 0));
}

CUresult CUDAAPI cuGraphInstantiate_v2(CUgraphExec *phGraphExec, CUgraph hGraph,
                                       CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize)
{
    CALL(cuGraphInstantiate_v2, instantiate(phGraphExec, hGraph, 0));
}

CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec *phGraphExec, CUgraph hGraph,
                                             unsigned long long flags)
{
    CALL(cuGraphInstantiateWithFlags, instantiate(phGraphExec, hGraph, flags));
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec hGraphExec)
{
    CALL(cuGraphExecDestroy, destroy(hGraphExec));
}

CUresult CUDAAPI cuGraphExecGetFlags(CUgraphExec hGraphExec, cuuint64_t *flags)
{
    CALL(cuGraphExecGetFlags, flags_get(hGraphExec, flags));
}

CUresult CUDAAPI cuGraphExecUpdate(CUgraphExec hGraphExec, CUgraph hGraph,
                                   CUgraphNode *hErrorNode_out,
                                   CUgraphExecUpdateResult *updateResult_out)
{
    CALL(cuGraphExecUpdate, update_v1(hGraphExec, hGraph, hErrorNode_out, updateResult_out));
}

CUresult CUDAAPI cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph,
                                      CUgraphExecUpdateResultInfo *resultInfo)
{
    CALL(cuGraphExecUpdate_v2, update(hGraphExec, hGraph, resultInfo));
}
