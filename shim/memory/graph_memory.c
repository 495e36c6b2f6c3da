/* SPDX-License-Identifier: MIT */
/*
 * Memory nodes that are added to a graph by the general function, whose parameters tell what kind
 * of node it is. As with the functions for one kind of node, the address counts from the moment the
 * node is added.
 */
#include "shim/hooks/call.h"
#include "shim/memory/ledger.h"
#include "shim/hooks/pooled.h"

/* The entry of memory that a free node is about to give back. */
static struct ledger_entry node_take(const struct call *call, const CUgraphNodeParams *params)
{
    if (!params || params->type != CU_GRAPH_NODE_TYPE_MEM_FREE)
        return (struct ledger_entry){0};
    return pooled_foreign_take(call, TRACE_MEMORY_ASYNC, params->free.dptr);
}

static void node_added(const struct call *call, const CUgraphNodeParams *params,
                       const struct ledger_entry *entry, CUresult result)
{
    if (!params)
        return;
    if (params->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
        pooled_foreign_freed(call, TRACE_MEMORY_ASYNC, params->free.dptr, NULL, entry, (int)result);
    if (params->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        return;
    const struct record_block block = {
        .memory = TRACE_MEMORY_ASYNC,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = result == CUDA_SUCCESS ? params->alloc.dptr : 0,
        .requested_bytes = params->alloc.bytesize,
        .allocated_bytes = params->alloc.bytesize,
    };
    if (result == CUDA_SUCCESS)
        pooled_foreign_taken(call, &block);
    else
        record_allocate_refused(call, &block, (int)result);
}

#define ADD_NODE(name, params, args)                                                               \
    CUresult name params                                                                           \
    {                                                                                              \
        struct call call;                                                                          \
        const struct driver_functions *real = CALL_REAL_DRIVER();                                  \
        if (!real || !real->name)                                                                  \
            return MISSING_DRIVER;                                                                 \
        if (!call_begin(&call, HOOK_##name, __builtin_return_address(0)))                          \
            return real->name args;                                                                \
        struct ledger_entry entry = node_take(&call, nodeParams);                                  \
        CUresult result = real->name args;                                                         \
        node_added(&call, nodeParams, &entry, result);                                             \
        call_end(&call);                                                                           \
        return result;                                                                             \
    }

ADD_NODE(cuGraphAddNode,
         (CUgraphNode * phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
          size_t numDependencies, CUgraphNodeParams *nodeParams),
         (phGraphNode, hGraph, dependencies, numDependencies, nodeParams))
ADD_NODE(cuGraphAddNode_v2,
         (CUgraphNode * phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
          const CUgraphEdgeData *dependencyData, size_t numDependencies,
          CUgraphNodeParams *nodeParams),
         (phGraphNode, hGraph, dependencies, dependencyData, numDependencies, nodeParams))
