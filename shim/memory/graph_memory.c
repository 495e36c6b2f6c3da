/* SPDX-License-Identifier: MIT */
/*
 * Memory inside graphs. See graph_memory.h.
 *
 * Within a launch nodes count in the order in which they were added, which respects the
 * dependencies of what was captured. Their memory counts as soon as the launch is accepted, and
 * what the graph itself frees is free again then: when the device gets there is not known.
 */
#include "shim/memory/graph_memory.h"

#include <pthread.h>
#include <stdlib.h>

#include "shim/hooks/call.h"
#include "shim/context/capture.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/place.h"
#include "shim/hooks/pooled.h"
#include "shim/memory/table.h"

#define CHILDREN_DEEP 16 /* graphs in graphs that are looked into */
#define RELIEFS_MAX   2

/* A node that allocates, or (bytes 0) frees. */
struct memory_node {
    uint64_t address;
    size_t bytes;
    int place;
};

/* What a launch does to memory. Immutable; freed by the last reference. */
struct body {
    unsigned references; /* guarded by lock */
    size_t count, room;
    struct memory_node *node;
};

struct exec {
    struct table_node node; /* key: the executable graph */
    struct body *body;
};

static atomic_bool noticed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table execs = TABLE_OF(struct exec); /* guarded by lock */

void graph_memory_noticed(void)
{
    atomic_store_explicit(&noticed, true, memory_order_release);
}

static bool is_noticed(void)
{
    return __builtin_expect(atomic_load_explicit(&noticed, memory_order_acquire), 0);
}

/* What a graph holds. */

static bool node_add(struct body *body, const struct memory_node *node)
{
    if (body->count == body->room) {
        size_t room = body->room ? 2 * body->room : 16;
        struct memory_node *grown = reallocarray(body->node, room, sizeof(*grown));
        if (!grown)
            return false;
        body->node = grown;
        body->room = room;
    }
    body->node[body->count++] = *node;
    return true;
}

static bool graph_read(const struct driver_functions *driver, CUgraph graph, int depth,
                       struct body *body);

static bool node_read(const struct driver_functions *driver, CUgraphNode node, int depth,
                      struct body *body)
{
    CUDA_MEM_ALLOC_NODE_PARAMS taken;
    CUgraphNodeType type;
    CUdeviceptr given;
    CUgraph child;
    if (REAL_ASK(driver->cuGraphNodeGetType(node, &type)) != CUDA_SUCCESS)
        return false;
    switch (type) {
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        return REAL_ASK(driver->cuGraphMemAllocNodeGetParams(node, &taken)) == CUDA_SUCCESS &&
               node_add(body,
                        &(struct memory_node){.address = taken.dptr,
                                              .bytes = taken.bytesize,
                                              .place = place_of((int)taken.poolProps.allocType,
                                                                (int)taken.poolProps.location.type,
                                                                taken.poolProps.location.id)});
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        return REAL_ASK(driver->cuGraphMemFreeNodeGetParams(node, &given)) == CUDA_SUCCESS &&
               node_add(body, &(struct memory_node){.address = given});
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return REAL_ASK(driver->cuGraphChildGraphNodeGetGraph(node, &child)) == CUDA_SUCCESS &&
               graph_read(driver, child, depth + 1, body);
    default: return true;
    }
}

/* Goes on behind a node that the driver does not tell about. */
static bool graph_read(const struct driver_functions *driver, CUgraph graph, int depth,
                       struct body *body)
{
    size_t count = 0;
    if (depth == CHILDREN_DEEP ||
        REAL_ASK(driver->cuGraphGetNodes(graph, NULL, &count)) != CUDA_SUCCESS)
        return false;
    CUgraphNode *nodes = calloc(count + 1, sizeof(*nodes));
    bool whole = nodes && REAL_ASK(driver->cuGraphGetNodes(graph, nodes, &count)) == CUDA_SUCCESS;
    for (size_t i = 0; whole && i < count; i++)
        node_read(driver, nodes[i], depth, body);
    free(nodes);
    return whole;
}

static bool driver_tells(const struct driver_functions *driver)
{
    return driver->cuGraphGetNodes && driver->cuGraphNodeGetType &&
           driver->cuGraphMemAllocNodeGetParams && driver->cuGraphMemFreeNodeGetParams &&
           driver->cuGraphChildGraphNodeGetGraph;
}

/* Bodies and the executable graphs that have them. */

static void body_drop_locked(struct body *body)
{
    if (--body->references)
        return;
    free(body->node);
    free(body);
}

static void exec_remove_locked(CUgraphExec handle)
{
    struct exec *exec = table_first(&execs, (uint64_t)(uintptr_t)handle);
    if (!exec)
        return;
    body_drop_locked(exec->body);
    table_remove(&execs, exec);
}

static void exec_forget(CUgraphExec handle)
{
    pthread_mutex_lock(&lock);
    exec_remove_locked(handle);
    pthread_mutex_unlock(&lock);
}

static void exec_made(const struct driver_functions *driver, CUgraphExec handle, CUgraph graph)
{
    struct body *body = driver_tells(driver) ? calloc(1, sizeof(*body)) : NULL;
    if (!body)
        return;
    body->references = 1;
    graph_read(driver, graph, 0, body);
    pthread_mutex_lock(&lock);
    exec_remove_locked(handle);
    struct exec *exec = body->count ? table_add(&execs, (uint64_t)(uintptr_t)handle) : NULL;
    if (exec)
        exec->body = body;
    else
        body_drop_locked(body);
    pthread_mutex_unlock(&lock);
}

/* The body of a graph that is launched now; given back by body_leave. */
static struct body *body_enter(CUgraphExec handle)
{
    pthread_mutex_lock(&lock);
    const struct exec *exec = table_first(&execs, (uint64_t)(uintptr_t)handle);
    struct body *body = exec ? exec->body : NULL;
    if (body)
        body->references++;
    pthread_mutex_unlock(&lock);
    return body;
}

static void body_leave(struct body *body)
{
    pthread_mutex_lock(&lock);
    body_drop_locked(body);
    pthread_mutex_unlock(&lock);
}

/* A launch. */

/* Bytes that a launch adds to a device at most, beside what the one before left there. */
static size_t body_needs(const struct body *body, int device)
{
    struct ledger_entry left;
    int64_t now = 0, most = 0;
    for (size_t i = 0; i < body->count; i++) {
        const struct memory_node *node = &body->node[i];
        if (node->bytes && place_device(node->place) != device)
            continue;
        if (!node->bytes)
            now -= ledger_look_up(TRACE_MEMORY_ASYNC, node->address, &left) && left.device == device
                       ? (int64_t)left.allocated_bytes
                       : 0;
        else if (!ledger_look_up(TRACE_MEMORY_ASYNC, node->address, &left))
            now += (int64_t)node->bytes;
        most = now > most ? now : most;
    }
    return (size_t)most;
}

static bool limit_refuses(const struct driver_functions *driver, const struct body *body)
{
    int asked = LEDGER_HOST;
    for (size_t i = 0; limit_is_set() && i < body->count; i++) {
        int device = body->node[i].bytes ? place_device(body->node[i].place) : LEDGER_HOST;
        if (device == LEDGER_HOST || device == asked)
            continue;
        if (!limit_admits(driver, device, body_needs(body, device)))
            return true;
        asked = device;
    }
    return false;
}

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

static void record_node_taken(const struct call *call, const struct memory_node *node,
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

/* What the launch before left is freed first: else the driver would have refused this one. */
static void record_launch(const struct call *call, const struct body *body, CUstream stream)
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

/* A launch that is captured becomes a part of another graph. */
static struct body *launch_begin(CUgraphExec handle, CUstream stream)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    if (capture_is_active() && driver && capture_includes(driver, stream))
        return NULL;
    return body_enter(handle);
}

static CUresult driver_launch(const struct driver_functions *driver, const struct body *body,
                              __typeof__(cuGraphLaunch) *real, CUgraphExec handle, CUstream stream)
{
    for (int attempt = 0;; attempt++) {
        CUresult result = body && limit_refuses(driver, body) ? CUDA_ERROR_OUT_OF_MEMORY
                                                              : real(handle, stream);
        if (!body || attempt == RELIEFS_MAX || result != CUDA_ERROR_OUT_OF_MEMORY ||
            !pooled_relieve(driver))
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
    if (!is_noticed() || shim_mode() == SHIM_OFF)
        return real(handle, stream);
    bool outer = call_begin(&call, hook, code);
    struct body *body = launch_begin(handle, meant);
    CUresult result = driver_launch(real_driver_if_loaded(), body, real, handle, stream);
    if (outer && body && result == CUDA_SUCCESS)
        record_launch(&call, body, meant);
    if (body)
        body_leave(body);
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
    if (!is_noticed() || !call_begin(&call, hook, code))
        return real(handle, stream);
    struct body *body = launch_begin(handle, meant);
    cudaError_t result = real(handle, stream);
    if (body && result == cudaSuccess)
        record_launch(&call, body, meant);
    if (body)
        body_leave(body);
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

/* The life of graphs and nodes. These act at any depth: the runtime's own calls count. */

#define INSTANTIATE(name, params, args)                                                            \
    CUresult name params                                                                           \
    {                                                                                              \
        const struct driver_functions *real = real_driver();                                       \
        if (!real || !real->name)                                                                  \
            return MISSING_DRIVER;                                                                 \
        CUresult result = real->name args;                                                         \
        int saved_errno = errno;                                                                   \
        if (result == CUDA_SUCCESS && is_noticed() && shim_mode() != SHIM_OFF)                     \
            exec_made(real, *phGraphExec, hGraph);                                                 \
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
    if (is_noticed() && shim_mode() != SHIM_OFF)
        exec_forget(hGraphExec);
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
