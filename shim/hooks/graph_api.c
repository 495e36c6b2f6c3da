/* SPDX-License-Identifier: MIT */
/*
 * The hooks around graphs that hold memory. See shim/memory/graph_memory.h.
 *
 * The memory of a graph's nodes counts as soon as a launch is accepted, and what the graph itself
 * frees counts as free again at once: when the device reaches these nodes is not known.
 */
#include "shim/context/capture.h"
#include "shim/hooks/call.h"
#include "shim/hooks/pooled.h"
#include "shim/memory/graph_memory.h"
#include "shim/memory/ledger.h"
#include "shim/memory/place.h"

#define RELIEFS_MAX 2

static void record_node_freed(const struct call *call, uint64_t address, bool inside)
{
    struct ledger_entry entry;

    if (!ledger_take(TRACE_MEMORY_ASYNC, address, &entry))
        return;
    record_free(call, &(struct record_block){
                          .memory = entry.memory,
                          .outcome = TRACE_OUTCOME_PASSED,
                          .address = address,
                          .requested_bytes = entry.requested_bytes,
                          .allocated_bytes = entry.allocated_bytes,
                          .place = entry.device < 0 ? PLACE_HERE : PLACE_DEVICE(entry.device),
                          .instant = inside,
                      });
}

static void record_node_taken(const struct call *call, const struct graph_memory_node *node,
                              CUstream stream)
{
    pooled_foreign_taken(call, &(struct record_block){
                                   .memory = place_memory(TRACE_MEMORY_ASYNC, node->place),
                                   .outcome = TRACE_OUTCOME_PASSED,
                                   .address = node->address,
                                   .requested_bytes = node->bytes,
                                   .allocated_bytes = node->bytes,
                                   .stream = stream,
                                   .place = node->place,
                                   .instant = true,
                               });
}

/* Memory that an earlier launch left is freed first; otherwise the driver would have refused
 * this one. */
static void record_launch(const struct call *call, const struct graph_memory *body, CUstream stream)
{
    if (!pooled_accounts(call))
        return;
    for (size_t i = 0; i < body->count; i++)
        if (body->node[i].bytes)
            record_node_freed(call, body->node[i].address, false);
    for (size_t i = 0; i < body->count; i++)
        if (body->node[i].bytes)
            record_node_taken(call, &body->node[i], stream);
        else
            record_node_freed(call, body->node[i].address, true);
}

/* A launch that is captured becomes part of another graph. */
static struct graph_memory *launch_begin(CUgraphExec handle, CUstream stream)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (capture_is_active() && driver && capture_includes(driver, stream))
        return NULL;
    return graph_memory_enter(handle);
}

/* The pools on the devices that a launch takes memory from return what they can. */
static bool relieve(const struct graph_memory *body)
{
    bool relieved = false;
    int last = PLACE_HERE;

    for (size_t i = 0; i < body->count; i++) {
        const struct graph_memory_node *node = &body->node[i];

        if (node->bytes && node->place != last)
            relieved |= pooled_relieve_at(node->place, 0);
        last = node->bytes ? node->place : last;
    }
    return relieved;
}

static CUresult driver_launch(const struct driver_functions *driver,
                              const struct graph_memory *body, __typeof__(cuGraphLaunch) *real,
                              CUgraphExec handle, CUstream stream)
{
    for (int attempt = 0;; attempt++) {
        CUresult result = body && graph_memory_is_refused(driver, body) ? CUDA_ERROR_OUT_OF_MEMORY
                                                                        : real(handle, stream);

        if (result != CUDA_SUCCESS)
            limit_hold_end();
        if (!body || attempt == RELIEFS_MAX || result != CUDA_ERROR_OUT_OF_MEMORY || !relieve(body))
            return result;
    }
}

static CUresult driver_launch_hook(enum hook_id hook, __typeof__(cuGraphLaunch) *real,
                                   const void *code, CUgraphExec handle, CUstream stream,
                                   CUstream meant)
{
    struct call call;

    if (!real)
        return MISSING_DRIVER;
    if (!graph_memory_is_noticed() || shim_mode() == SHIM_OFF)
        return call_observe(real(handle, stream));
    bool outer = call_begin(&call, hook, code);
    struct graph_memory *body = launch_begin(handle, meant);
    CUresult result = driver_launch(real_driver_if_loaded(), body, real, handle, stream);
    if (outer && body && result == CUDA_SUCCESS)
        record_launch(&call, body, meant);
    if (body)
        graph_memory_leave(body);
    call_observe(result);
    if (outer)
        call_end(&call);
    return result;
}

CUresult cuGraphLaunch(CUgraphExec hGraphExec, CUstream stream)
{
    const struct driver_functions *real = real_driver();

    return driver_launch_hook(HOOK_cuGraphLaunch, real ? real->cuGraphLaunch : NULL,
                              __builtin_return_address(0), hGraphExec, stream, stream);
}

CUresult cuGraphLaunch_ptsz(CUgraphExec hGraphExec, CUstream stream)
{
    const struct driver_functions *real = real_driver();

    return driver_launch_hook(HOOK_cuGraphLaunch_ptsz, real ? real->cuGraphLaunch_ptsz : NULL,
                              __builtin_return_address(0), hGraphExec, stream,
                              stream ? stream : CU_STREAM_PER_THREAD);
}

static cudaError_t runtime_launch_hook(enum hook_id hook, __typeof__(cudaGraphLaunch) *real,
                                       const void *code, cudaGraphExec_t handle,
                                       cudaStream_t stream, cudaStream_t meant)
{
    struct call call;

    if (!real)
        return MISSING_RUNTIME;
    if (!graph_memory_is_noticed() || !call_begin(&call, hook, code))
        return real(handle, stream);
    struct graph_memory *body = launch_begin(handle, meant);
    cudaError_t result = real(handle, stream);
    if (body && result == cudaSuccess)
        record_launch(&call, body, meant);
    if (body)
        graph_memory_leave(body);
    call_end(&call);
    return result;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    const struct runtime_functions *real = CALL_REAL_RUNTIME();

    return runtime_launch_hook(HOOK_cudaGraphLaunch, real ? real->cudaGraphLaunch : NULL,
                               __builtin_return_address(0), graphExec, stream, stream);
}

cudaError_t cudaGraphLaunch_ptsz(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    const struct runtime_functions *real = CALL_REAL_RUNTIME();

    return runtime_launch_hook(HOOK_cudaGraphLaunch_ptsz, real ? real->cudaGraphLaunch_ptsz : NULL,
                               __builtin_return_address(0), graphExec, stream,
                               stream ? stream : cudaStreamPerThread);
}

/* Creation and destruction of graphs and nodes. These hooks act at any depth: the runtime's own
 * calls count. */

#define INSTANTIATE(name, params, args)                                                            \
    CUresult name params                                                                           \
    {                                                                                              \
        const struct driver_functions *real = real_driver();                                       \
        if (!real || !real->name)                                                                  \
            return MISSING_DRIVER;                                                                 \
        CUresult result = real->name args;                                                         \
        int saved_errno = errno;                                                                   \
        if (result == CUDA_SUCCESS && graph_memory_is_noticed() && shim_mode() != SHIM_OFF)        \
            graph_memory_exec_made(real, *phGraphExec, hGraph);                                    \
        errno = saved_errno;                                                                       \
        return result;                                                                             \
    }

INSTANTIATE(cuGraphInstantiate,
            (CUgraphExec * phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer,
             size_t bufferSize),
            (phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize))
INSTANTIATE(cuGraphInstantiate_v2,
            (CUgraphExec * phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer,
             size_t bufferSize),
            (phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize))
INSTANTIATE(cuGraphInstantiateWithFlags,
            (CUgraphExec * phGraphExec, CUgraph hGraph, unsigned long long flags),
            (phGraphExec, hGraph, flags))
INSTANTIATE(cuGraphInstantiateWithParams,
            (CUgraphExec * phGraphExec, CUgraph hGraph,
             CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams),
            (phGraphExec, hGraph, instantiateParams))
INSTANTIATE(cuGraphInstantiateWithParams_ptsz,
            (CUgraphExec * phGraphExec, CUgraph hGraph,
             CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams),
            (phGraphExec, hGraph, instantiateParams))

CUresult cuGraphExecDestroy(CUgraphExec hGraphExec)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuGraphExecDestroy)
        return MISSING_DRIVER;
    if (graph_memory_is_noticed() && shim_mode() != SHIM_OFF)
        graph_memory_exec_forget(hGraphExec);
    return real->cuGraphExecDestroy(hGraphExec);
}

#define ADD_NODE(name, takes, params, args)                                                        \
    CUresult name params                                                                           \
    {                                                                                              \
        const struct driver_functions *real = real_driver();                                       \
        if (!real || !real->name)                                                                  \
            return MISSING_DRIVER;                                                                 \
        CUresult result = real->name args;                                                         \
        if (result == CUDA_SUCCESS && (takes))                                                     \
            graph_memory_noticed();                                                                \
        return result;                                                                             \
    }

ADD_NODE(cuGraphAddMemAllocNode, true,
         (CUgraphNode * phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
          size_t numDependencies, CUDA_MEM_ALLOC_NODE_PARAMS *nodeParams),
         (phGraphNode, hGraph, dependencies, numDependencies, nodeParams))
ADD_NODE(cuGraphAddNode, nodeParams->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC,
         (CUgraphNode * phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
          size_t numDependencies, CUgraphNodeParams *nodeParams),
         (phGraphNode, hGraph, dependencies, numDependencies, nodeParams))
ADD_NODE(cuGraphAddNode_v2, nodeParams->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC,
         (CUgraphNode * phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
          const CUgraphEdgeData *dependencyData, size_t numDependencies,
          CUgraphNodeParams *nodeParams),
         (phGraphNode, hGraph, dependencies, dependencyData, numDependencies, nodeParams))
