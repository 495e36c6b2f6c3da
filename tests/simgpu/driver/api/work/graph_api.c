/* SPDX-License-Identifier: MIT */
/*
 * Graphs as graphs: making, cloning, asking for nodes and edges, changing edges.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/work/graph.h"

static CUresult create(CUgraph *ret, unsigned flags)
{
    return ret && !flags ? graph_create(ret) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult destroy(CUgraph graph)
{
    if (!handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    graph_destroy(graph);
    return CUDA_SUCCESS;
}

static CUresult clone_make(CUgraph *ret, CUgraph graph)
{
    if (!ret || !handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = graph_clone(graph);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult find_in_clone(CUgraphNode *ret, CUgraphNode original, CUgraph graph)
{
    if (!ret || !handle_is(original, HANDLE_NODE) || !handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    CUgraphNode found = graph_find(graph, original->id);
    if (!found || found->original != original)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = found;
    return CUDA_SUCCESS;
}

static CUresult type_get(CUgraphNode node, CUgraphNodeType *ret)
{
    if (!ret || !handle_is(node, HANDLE_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = node->type;
    return CUDA_SUCCESS;
}

/* Lists: with no array only the count; else as many as fit, the rest of the array NULL. */
struct list {
    CUgraphNode *nodes;
    size_t room;
    size_t count;
};

static void list_add(struct list *list, CUgraphNode node)
{
    if (list->nodes && list->count < list->room)
        list->nodes[list->count] = node;
    list->count++;
}

static CUresult list_end(struct list *list, size_t *ret_count)
{
    if (list->nodes)
        for (size_t i = list->count; i < list->room; i++)
            list->nodes[i] = NULL;
    *ret_count = !list->nodes || list->count < list->room ? list->count : list->room;
    return CUDA_SUCCESS;
}

static CUresult nodes_get(CUgraph graph, CUgraphNode *nodes, size_t *count, bool roots_only)
{
    CUgraphNode each;

    if (!count || !handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    struct list list = {nodes, nodes ? *count : 0, 0};
    TAILQ_FOREACH(each, &graph->nodes, link)
    if (!roots_only || !each->dep_count)
        list_add(&list, each);
    return list_end(&list, count);
}

static CUresult deps_get(CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
    if (!count || !handle_is(node, HANDLE_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    struct list list = {nodes, nodes ? *count : 0, 0};
    for (size_t i = 0; i < node->dep_count; i++)
        list_add(&list, node->deps[i]);
    return list_end(&list, count);
}

static CUresult dependents_get(CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
    CUgraphNode each;

    if (!count || !handle_is(node, HANDLE_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    struct list list = {nodes, nodes ? *count : 0, 0};
    TAILQ_FOREACH(each, &node->graph->nodes, link)
    for (size_t i = 0; i < each->dep_count; i++)
        if (each->deps[i] == node)
            list_add(&list, each);
    return list_end(&list, count);
}

static CUresult edges_get(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count)
{
    CUgraphNode each;

    if (!count || !handle_is(graph, HANDLE_GRAPH) || !from != !to)
        return CUDA_ERROR_INVALID_VALUE;
    struct list sources = {from, from ? *count : 0, 0};
    struct list targets = {to, to ? *count : 0, 0};
    TAILQ_FOREACH(each, &graph->nodes, link)
    for (size_t i = 0; i < each->dep_count; i++) {
        list_add(&sources, each->deps[i]);
        list_add(&targets, each);
    }
    size_t same;
    list_end(&sources, &same);
    return list_end(&targets, count);
}

/* All edges are plain ones. */
static void edge_data_clear(CUgraphEdgeData *data, const size_t *count)
{
    if (data && count)
        for (size_t i = 0; i < *count; i++)
            data[i] = (CUgraphEdgeData){0};
}

static CUresult with_edge_data(CUresult result, CUgraphEdgeData *data, const size_t *count)
{
    if (result == CUDA_SUCCESS)
        edge_data_clear(data, count);
    return result;
}

static long dep_index(CUgraphNode node, CUgraphNode dep)
{
    for (size_t i = 0; i < node->dep_count; i++)
        if (node->deps[i] == dep)
            return (long)i;
    return -1;
}

static CUresult edges_change(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             size_t count, bool add)
{
    if (!handle_is(graph, HANDLE_GRAPH) || (count && (!from || !to)))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++)
        if (!handle_is(from[i], HANDLE_NODE) || !handle_is(to[i], HANDLE_NODE) ||
            from[i]->graph != graph || to[i]->graph != graph || from[i] == to[i] ||
            (dep_index(to[i], from[i]) < 0) != add)
            return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        if (add) {
            CUresult result = node_add_dep(to[i], from[i]);

            if (result != CUDA_SUCCESS)
                return result;
        } else {
            to[i]->deps[dep_index(to[i], from[i])] = to[i]->deps[to[i]->dep_count - 1];
            to[i]->dep_count--;
        }
    }
    return CUDA_SUCCESS;
}

static CUresult destroy_node(CUgraphNode node)
{
    CUgraphNode each;

    if (!handle_is(node, HANDLE_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    TAILQ_FOREACH(each, &node->graph->nodes, link)
    if (dep_index(each, node) >= 0)
        edges_change(node->graph, &node, &each, 1, false);
    node_destroy(node);
    return CUDA_SUCCESS;
}

static CUresult enabled_get(CUgraphExec exec, CUgraphNode node, unsigned *ret)
{
    CUgraphNode inside;
    CUresult result = ret ? exec_node(exec, node, &inside) : CUDA_ERROR_INVALID_VALUE;

    if (result == CUDA_SUCCESS)
        *ret = !inside->disabled;
    return result;
}

static CUresult enabled_set(CUgraphExec exec, CUgraphNode node, unsigned enabled)
{
    CUgraphNode inside;
    CUresult result = exec_node(exec, node, &inside);

    if (result == CUDA_SUCCESS)
        inside->disabled = !enabled;
    return result;
}

CUresult CUDAAPI cuGraphCreate(CUgraph *phGraph, unsigned int flags)
{
    CALL(cuGraphCreate, create(phGraph, flags));
}

CUresult CUDAAPI cuGraphDestroy(CUgraph hGraph)
{
    CALL(cuGraphDestroy, destroy(hGraph));
}

CUresult CUDAAPI cuGraphClone(CUgraph *phGraphClone, CUgraph originalGraph)
{
    CALL(cuGraphClone, clone_make(phGraphClone, originalGraph));
}

CUresult CUDAAPI cuGraphNodeFindInClone(CUgraphNode *phNode, CUgraphNode hOriginalNode,
                                        CUgraph hClonedGraph)
{
    CALL(cuGraphNodeFindInClone, find_in_clone(phNode, hOriginalNode, hClonedGraph));
}

CUresult CUDAAPI cuGraphNodeGetType(CUgraphNode hNode, CUgraphNodeType *type)
{
    CALL(cuGraphNodeGetType, type_get(hNode, type));
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph hGraph, CUgraphNode *nodes, size_t *numNodes)
{
    CALL(cuGraphGetNodes, nodes_get(hGraph, nodes, numNodes, false));
}

CUresult CUDAAPI cuGraphGetRootNodes(CUgraph hGraph, CUgraphNode *rootNodes, size_t *numRootNodes)
{
    CALL(cuGraphGetRootNodes, nodes_get(hGraph, rootNodes, numRootNodes, true));
}

CUresult CUDAAPI cuGraphGetEdges(CUgraph hGraph, CUgraphNode *from, CUgraphNode *to,
                                 size_t *numEdges)
{
    CALL(cuGraphGetEdges, edges_get(hGraph, from, to, numEdges));
}

CUresult CUDAAPI cuGraphGetEdges_v2(CUgraph hGraph, CUgraphNode *from, CUgraphNode *to,
                                    CUgraphEdgeData *edgeData, size_t *numEdges)
{
    CALL(cuGraphGetEdges_v2,
         with_edge_data(edges_get(hGraph, from, to, numEdges), edgeData, numEdges));
}

CUresult CUDAAPI cuGraphNodeGetDependencies(CUgraphNode hNode, CUgraphNode *dependencies,
                                            size_t *numDependencies)
{
    CALL(cuGraphNodeGetDependencies, deps_get(hNode, dependencies, numDependencies));
}

CUresult CUDAAPI cuGraphNodeGetDependencies_v2(CUgraphNode hNode, CUgraphNode *dependencies,
                                               CUgraphEdgeData *edgeData, size_t *numDependencies)
{
    CALL(cuGraphNodeGetDependencies_v2,
         with_edge_data(deps_get(hNode, dependencies, numDependencies), edgeData, numDependencies));
}

CUresult CUDAAPI cuGraphNodeGetDependentNodes(CUgraphNode hNode, CUgraphNode *dependentNodes,
                                              size_t *numDependentNodes)
{
    CALL(cuGraphNodeGetDependentNodes, dependents_get(hNode, dependentNodes, numDependentNodes));
}

CUresult CUDAAPI cuGraphNodeGetDependentNodes_v2(CUgraphNode hNode, CUgraphNode *dependentNodes,
                                                 CUgraphEdgeData *edgeData,
                                                 size_t *numDependentNodes)
{
    CALL(cuGraphNodeGetDependentNodes_v2,
         with_edge_data(dependents_get(hNode, dependentNodes, numDependentNodes), edgeData,
                        numDependentNodes));
}

CUresult CUDAAPI cuGraphAddDependencies(CUgraph hGraph, const CUgraphNode *from,
                                        const CUgraphNode *to, size_t numDependencies)
{
    CALL(cuGraphAddDependencies, edges_change(hGraph, from, to, numDependencies, true));
}

CUresult CUDAAPI cuGraphAddDependencies_v2(CUgraph hGraph, const CUgraphNode *from,
                                           const CUgraphNode *to, const CUgraphEdgeData *edgeData,
                                           size_t numDependencies)
{
    CALL(cuGraphAddDependencies_v2, edges_change(hGraph, from, to, numDependencies, true));
}

CUresult CUDAAPI cuGraphRemoveDependencies(CUgraph hGraph, const CUgraphNode *from,
                                           const CUgraphNode *to, size_t numDependencies)
{
    CALL(cuGraphRemoveDependencies, edges_change(hGraph, from, to, numDependencies, false));
}

CUresult CUDAAPI cuGraphRemoveDependencies_v2(CUgraph hGraph, const CUgraphNode *from,
                                              const CUgraphNode *to,
                                              const CUgraphEdgeData *edgeData,
                                              size_t numDependencies)
{
    CALL(cuGraphRemoveDependencies_v2, edges_change(hGraph, from, to, numDependencies, false));
}

CUresult CUDAAPI cuGraphDestroyNode(CUgraphNode hNode)
{
    CALL(cuGraphDestroyNode, destroy_node(hNode));
}

CUresult CUDAAPI cuGraphNodeGetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode,
                                       unsigned int *isEnabled)
{
    CALL(cuGraphNodeGetEnabled, enabled_get(hGraphExec, hNode, isEnabled));
}

CUresult CUDAAPI cuGraphNodeSetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode,
                                       unsigned int isEnabled)
{
    CALL(cuGraphNodeSetEnabled, enabled_set(hGraphExec, hNode, isEnabled));
}
