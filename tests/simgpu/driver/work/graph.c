/* SPDX-License-Identifier: MIT */
/*
 * Graphs and nodes as data. A node's deps are nodes of the same graph; a node without a graph does
 * not exist.
 */
#include "tests/simgpu/driver/work/graph.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/work/user_object.h"

static struct handle_cache graph_cache = {HANDLE_GRAPH, sizeof(struct CUgraph_st), {NULL}, {NULL}};
static struct handle_cache node_cache = {
    HANDLE_NODE, sizeof(struct CUgraphNode_st), {NULL}, {NULL}};

CUresult graph_create(CUgraph *ret)
{
    CUgraph made = handle_take(&graph_cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    TAILQ_INIT(&made->nodes);
    made->node_count = 0;
    made->original = NULL;
    made->objects = NULL;
    *ret = made;
    return CUDA_SUCCESS;
}

void node_destroy(CUgraphNode node)
{
    TAILQ_REMOVE(&node->graph->nodes, node, link);
    node->graph->node_count--;
    work_destroy(node->work);
    free(node->deps);
    node->deps = NULL;
    handle_give(&node_cache, node);
}

void graph_destroy(CUgraph graph)
{
    while (!TAILQ_EMPTY(&graph->nodes))
        node_destroy(TAILQ_FIRST(&graph->nodes));
    graph_drop_objects(graph);
    handle_give(&graph_cache, graph);
}

static const CUgraphNodeType types[] = {
    [WORK_EMPTY] = CU_GRAPH_NODE_TYPE_EMPTY,
    [WORK_COPY] = CU_GRAPH_NODE_TYPE_MEMCPY,
    [WORK_FILL] = CU_GRAPH_NODE_TYPE_MEMSET,
    [WORK_KERNEL] = CU_GRAPH_NODE_TYPE_KERNEL,
    [WORK_HOST] = CU_GRAPH_NODE_TYPE_HOST,
    [WORK_RECORD] = CU_GRAPH_NODE_TYPE_EVENT_RECORD,
    [WORK_WAIT] = CU_GRAPH_NODE_TYPE_WAIT_EVENT,
    [WORK_ALLOC] = CU_GRAPH_NODE_TYPE_MEM_ALLOC,
    [WORK_FREE] = CU_GRAPH_NODE_TYPE_MEM_FREE,
    [WORK_WRITE_VALUE] = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP,
    [WORK_WAIT_VALUE] = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP,
    [WORK_CHILD] = CU_GRAPH_NODE_TYPE_GRAPH,
};

CUgraphNodeType node_type_of(const struct work *work)
{
    return types[work->kind];
}

CUresult node_add_dep(CUgraphNode node, CUgraphNode dep)
{
    CUgraphNode *grown = realloc(node->deps, (node->dep_count + 1) * sizeof *grown);

    if (!grown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    node->deps = grown;
    grown[node->dep_count++] = dep;
    return CUDA_SUCCESS;
}

static CUgraphNode node_create(CUgraph graph, struct work *work, CUgraphNodeType type, uint64_t id)
{
    CUgraphNode made = handle_take(&node_cache);

    if (!made)
        return NULL;
    made->graph = graph;
    made->work = work;
    made->type = type;
    made->deps = NULL;
    made->dep_count = 0;
    made->id = id;
    made->original = NULL;
    made->disabled = false;
    made->mark = 0;
    TAILQ_INSERT_TAIL(&graph->nodes, made, link);
    graph->node_count++;
    return made;
}

CUresult graph_add(CUgraph graph, const CUgraphNode *deps, size_t dep_count, struct work *work,
                   CUgraphNodeType type, CUgraphNode *ret)
{
    static uint64_t last_id;
    CUresult result = CUDA_SUCCESS;

    for (size_t i = 0; i < dep_count; i++)
        if (!handle_is(deps[i], HANDLE_NODE) || deps[i]->graph != graph) {
            work_destroy(work);
            return CUDA_ERROR_INVALID_VALUE;
        }
    CUgraphNode made = node_create(graph, work, type, ++last_id);
    if (!made) {
        work_destroy(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (size_t i = 0; i < dep_count && result == CUDA_SUCCESS; i++)
        result = node_add_dep(made, deps[i]);
    if (result != CUDA_SUCCESS) {
        node_destroy(made);
        return result;
    }
    *ret = made;
    return CUDA_SUCCESS;
}

CUgraphNode graph_find(CUgraph graph, uint64_t id)
{
    CUgraphNode each;

    TAILQ_FOREACH(each, &graph->nodes, link)
    if (each->id == id)
        return each;
    return NULL;
}

/* While a graph is cloned, each original knows its copy, so that edges cost nothing to find. */
static bool clone_nodes(CUgraph from, CUgraph into)
{
    CUgraphNode each;

    TAILQ_FOREACH(each, &from->nodes, link)
    {
        struct work *work = work_clone(each->work);
        CUgraphNode made = work ? node_create(into, work, each->type, each->id) : NULL;
        if (!made) {
            work_destroy(work);
            return false;
        }
        made->disabled = each->disabled;
        made->original = each;
        each->copy = made;
    }
    return true;
}

CUgraph graph_clone(CUgraph graph)
{
    CUgraph made;
    CUgraphNode each;

    if (graph_create(&made) != CUDA_SUCCESS)
        return NULL;
    made->original = graph;
    if (!clone_nodes(graph, made) || !graph_share_objects(made, graph))
        goto drop;
    TAILQ_FOREACH(each, &graph->nodes, link)
    for (size_t i = 0; i < each->dep_count; i++)
        if (node_add_dep(each->copy, each->deps[i]->copy) != CUDA_SUCCESS)
            goto drop;
    return made;
drop:
    graph_destroy(made);
    return NULL;
}
