/* SPDX-License-Identifier: MIT */
/*
 * Making, reading and changing nodes, one kind after the other.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/work/copy.h"
#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/graph_nodes.h"
#include "tests/simgpu/driver/work/launch.h"

static CUresult work_take(enum work_kind kind, struct work **ret)
{
    *ret = work_create(kind);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult work_of_kernel(const CUDA_KERNEL_NODE_PARAMS *params, struct work **ret)
{
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    const unsigned grid[3] = {params->gridDimX, params->gridDimY, params->gridDimZ};
    const unsigned block[3] = {params->blockDimX, params->blockDimY, params->blockDimZ};
    struct launch launch;
    CUfunction function = params->func ? params->func : (CUfunction)params->kern;
    CUresult result = launch_resolve(function, grid, block, params->sharedMemBytes,
                                     params->kernelParams, params->extra, &launch);
    if (result == CUDA_SUCCESS)
        result = work_take(WORK_KERNEL, ret);
    if (result == CUDA_SUCCESS)
        (*ret)->launch = launch;
    return result;
}

CUresult work_of_copy(const CUDA_MEMCPY3D *params, struct work **ret)
{
    struct copy copy;
    CUresult result = params ? copy_resolve(params, &copy) : CUDA_ERROR_INVALID_VALUE;

    if (result == CUDA_SUCCESS)
        result = work_take(WORK_COPY, ret);
    if (result == CUDA_SUCCESS)
        (*ret)->copy = copy;
    return result;
}

CUresult work_of_fill(const CUDA_MEMSET_NODE_PARAMS *params, struct work **ret)
{
    struct fill fill;

    if (!params ||
        (params->elementSize != 1 && params->elementSize != 2 && params->elementSize != 4))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = fill_resolve(params->dst, params->pitch, params->value, params->elementSize,
                                   params->width, params->height, &fill);
    if (result == CUDA_SUCCESS)
        result = work_take(WORK_FILL, ret);
    if (result == CUDA_SUCCESS)
        (*ret)->fill = fill;
    return result;
}

CUresult work_of_host(const CUDA_HOST_NODE_PARAMS *params, struct work **ret)
{
    if (!params || !params->fn)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = work_take(WORK_HOST, ret);
    if (result == CUDA_SUCCESS) {
        (*ret)->host.function = params->fn;
        (*ret)->host.data = params->userData;
    }
    return result;
}

CUresult work_of_event(CUevent event, bool record, struct work **ret)
{
    if (!handle_is(event, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = work_take(record ? WORK_RECORD : WORK_WAIT, ret);
    if (result == CUDA_SUCCESS) {
        (*ret)->event.event = event;
        event_ref(event);
    }
    return result;
}

CUresult work_of_alloc(CUDA_MEM_ALLOC_NODE_PARAMS *params, struct work **ret)
{
    struct graph_memory *memory;

    if (!params || !params->bytesize ||
        params->poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    struct device *device = device_get(params->poolProps.location.id);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    CUresult result = graph_memory_create(device, params->bytesize, &memory);
    if (result != CUDA_SUCCESS)
        return result;
    result = work_take(WORK_ALLOC, ret);
    if (result != CUDA_SUCCESS) {
        graph_memory_unref(memory);
        return result;
    }
    params->dptr = memory->allocation.base;
    (*ret)->memory.memory = memory;
    (*ret)->memory.address = memory->allocation.base;
    (*ret)->memory.params = *params;
    return CUDA_SUCCESS;
}

CUresult work_of_free(CUdeviceptr address, struct work **ret)
{
    struct graph_memory *memory = graph_memory_find(address);

    if (!memory)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = work_take(WORK_FREE, ret);
    if (result == CUDA_SUCCESS) {
        (*ret)->memory.memory = memory;
        (*ret)->memory.address = address;
        graph_memory_ref(memory);
    }
    return result;
}

CUresult work_of_child(CUgraph child, struct work **ret)
{
    if (!handle_is(child, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    CUgraph copy = graph_clone(child);
    CUresult result = copy ? work_take(WORK_CHILD, ret) : CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_SUCCESS)
        (*ret)->child = copy;
    else if (copy)
        graph_destroy(copy);
    return result;
}

/* Handling of a new unit by the entry points, which own it; `made`: whether there is one. */

static CUresult add(CUresult made, struct work **work, CUgraph graph, const CUgraphNode *deps,
                    size_t count, CUgraphNode *ret)
{
    if (made != CUDA_SUCCESS)
        return made;
    if (!ret || !handle_is(graph, HANDLE_GRAPH) || (count && !deps)) {
        work_destroy(*work);
        return CUDA_ERROR_INVALID_VALUE;
    }
    return graph_add(graph, deps, count, *work, node_type_of(*work), ret);
}

/* A node keeps its kind. */
static CUresult set(CUresult made, struct work **work, CUgraphNode node)
{
    if (made != CUDA_SUCCESS)
        return made;
    if (!handle_is(node, HANDLE_NODE) || node->work->kind != (*work)->kind) {
        work_destroy(*work);
        return CUDA_ERROR_INVALID_VALUE;
    }
    work_destroy(node->work);
    node->work = *work;
    return CUDA_SUCCESS;
}

static CUresult exec_set(CUresult made, struct work **work, CUgraphExec exec, CUgraphNode node)
{
    CUgraphNode inside;

    if (made != CUDA_SUCCESS)
        return made;
    CUresult result = exec_node(exec, node, &inside);
    if (result != CUDA_SUCCESS) {
        work_destroy(*work);
        return result;
    }
    return set(CUDA_SUCCESS, work, inside);
}

static struct work *work_in(CUgraphNode node, enum work_kind kind, const void *ret)
{
    return ret && handle_is(node, HANDLE_NODE) && node->work->kind == kind ? node->work : NULL;
}

static CUDA_KERNEL_NODE_PARAMS kernel_of_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *v1)
{
    CUDA_KERNEL_NODE_PARAMS wide = {.func = v1->func,
                                    .gridDimX = v1->gridDimX,
                                    .gridDimY = v1->gridDimY,
                                    .gridDimZ = v1->gridDimZ,
                                    .blockDimX = v1->blockDimX,
                                    .blockDimY = v1->blockDimY,
                                    .blockDimZ = v1->blockDimZ,
                                    .sharedMemBytes = v1->sharedMemBytes,
                                    .kernelParams = v1->kernelParams,
                                    .extra = v1->extra};

    return wide;
}

static CUresult work_of_kernel_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *v1, struct work **ret)
{
    if (!v1)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_KERNEL_NODE_PARAMS wide = kernel_of_v1(v1);
    return work_of_kernel(&wide, ret);
}

static CUresult kernel_get(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *ret)
{
    struct work *work = work_in(node, WORK_KERNEL, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CUDA_KERNEL_NODE_PARAMS){.func = work->launch.function,
                                     .gridDimX = work->launch.grid[0],
                                     .gridDimY = work->launch.grid[1],
                                     .gridDimZ = work->launch.grid[2],
                                     .blockDimX = work->launch.block[0],
                                     .blockDimY = work->launch.block[1],
                                     .blockDimZ = work->launch.block[2],
                                     .sharedMemBytes = work->launch.shared_bytes,
                                     .kernelParams = work->launch.arguments};
    return CUDA_SUCCESS;
}

static CUresult kernel_get_v1(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1 *ret)
{
    CUDA_KERNEL_NODE_PARAMS wide;

    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = kernel_get(node, &wide);
    if (result != CUDA_SUCCESS)
        return result;
    *ret = (CUDA_KERNEL_NODE_PARAMS_v1){.func = wide.func,
                                        .gridDimX = wide.gridDimX,
                                        .gridDimY = wide.gridDimY,
                                        .gridDimZ = wide.gridDimZ,
                                        .blockDimX = wide.blockDimX,
                                        .blockDimY = wide.blockDimY,
                                        .blockDimZ = wide.blockDimZ,
                                        .sharedMemBytes = wide.sharedMemBytes,
                                        .kernelParams = wide.kernelParams};
    return CUDA_SUCCESS;
}

static CUresult copy_get(CUgraphNode node, CUDA_MEMCPY3D *ret)
{
    struct work *work = work_in(node, WORK_COPY, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = work->copy.as_given;
    return CUDA_SUCCESS;
}

static CUresult fill_get(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS *ret)
{
    struct work *work = work_in(node, WORK_FILL, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CUDA_MEMSET_NODE_PARAMS){work->fill.target,        work->fill.pitch, work->fill.value,
                                     work->fill.element_bytes, work->fill.width, work->fill.height};
    return CUDA_SUCCESS;
}

static CUresult host_get(CUgraphNode node, CUDA_HOST_NODE_PARAMS *ret)
{
    struct work *work = work_in(node, WORK_HOST, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CUDA_HOST_NODE_PARAMS){work->host.function, work->host.data};
    return CUDA_SUCCESS;
}

static CUresult event_get(CUgraphNode node, enum work_kind kind, CUevent *ret)
{
    struct work *work = work_in(node, kind, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = work->event.event;
    return CUDA_SUCCESS;
}

static CUresult alloc_get(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS *ret)
{
    struct work *work = work_in(node, WORK_ALLOC, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = work->memory.params;
    return CUDA_SUCCESS;
}

static CUresult free_get(CUgraphNode node, CUdeviceptr *ret)
{
    struct work *work = work_in(node, WORK_FREE, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = work->memory.address;
    return CUDA_SUCCESS;
}

static CUresult child_get(CUgraphNode node, CUgraph *ret)
{
    struct work *work = work_in(node, WORK_CHILD, ret);

    if (!work)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = work->child;
    return CUDA_SUCCESS;
}

/* Any kind, for cuGraphAddNode and cuGraphNodeSetParams. */
static CUresult work_of_any(CUgraphNodeParams *any, struct work **ret)
{
    if (!any)
        return CUDA_ERROR_INVALID_VALUE;
    switch (any->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: {
        const CUDA_KERNEL_NODE_PARAMS_v3 *v3 = &any->kernel;
        CUDA_KERNEL_NODE_PARAMS kernel = {v3->func,      v3->gridDimX,       v3->gridDimY,
                                          v3->gridDimZ,  v3->blockDimX,      v3->blockDimY,
                                          v3->blockDimZ, v3->sharedMemBytes, v3->kernelParams,
                                          v3->extra,     v3->kern,           v3->ctx};

        return work_of_kernel(&kernel, ret);
    }
    case CU_GRAPH_NODE_TYPE_MEMCPY: return work_of_copy(&any->memcpy.copyParams, ret);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
        const CUDA_MEMSET_NODE_PARAMS_v2 *v2 = &any->memset;
        CUDA_MEMSET_NODE_PARAMS fill = {v2->dst,         v2->pitch, v2->value,
                                        v2->elementSize, v2->width, v2->height};

        return work_of_fill(&fill, ret);
    }
    case CU_GRAPH_NODE_TYPE_HOST: {
        CUDA_HOST_NODE_PARAMS host = {any->host.fn, any->host.userData};

        return work_of_host(&host, ret);
    }
    case CU_GRAPH_NODE_TYPE_GRAPH: return work_of_child(any->graph.graph, ret);
    case CU_GRAPH_NODE_TYPE_EMPTY: return work_take(WORK_EMPTY, ret);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return work_of_event(any->eventWait.event, false, ret);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD: return work_of_event(any->eventRecord.event, true, ret);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
        const CUDA_MEM_ALLOC_NODE_PARAMS_v2 *v2 = &any->alloc;
        CUDA_MEM_ALLOC_NODE_PARAMS alloc = {v2->poolProps, v2->accessDescs, v2->accessDescCount,
                                            v2->bytesize, 0};
        CUresult result = work_of_alloc(&alloc, ret);

        any->alloc.dptr = alloc.dptr;
        return result;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE: return work_of_free(any->free.dptr, ret);
    default: return CUDA_ERROR_NOT_SUPPORTED;
    }
}

/* clang-format off */
/* One kind of node: its typed calls differ in the parameter's type and in the conversion to work. */
#define NODE_ADD(name, type, work_of)                                                              \
    CUresult CUDAAPI name(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count, \
                          type params)                                                             \
    {                                                                                              \
        struct work *work = NULL;                                                                  \
        CALL(name, add(work_of, &work, graph, deps, count, node));                                 \
    }
#define NODE_ADD_COPY(name, type, work_of)                                                         \
    CUresult CUDAAPI name(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count, \
                          type params, CUcontext ctx)                                              \
    {                                                                                              \
        struct work *work = NULL;                                                                  \
        CALL(name, add(work_of, &work, graph, deps, count, node));                                 \
    }
#define NODE_SET(name, type, work_of)                                                              \
    CUresult CUDAAPI name(CUgraphNode node, type params)                                           \
    {                                                                                              \
        struct work *work = NULL;                                                                  \
        CALL(name, set(work_of, &work, node));                                                     \
    }
#define EXEC_SET(name, type, work_of)                                                              \
    CUresult CUDAAPI name(CUgraphExec exec, CUgraphNode node, type params)                         \
    {                                                                                              \
        struct work *work = NULL;                                                                  \
        CALL(name, exec_set(work_of, &work, exec, node));                                          \
    }
#define EXEC_SET_COPY(name, type, work_of)                                                         \
    CUresult CUDAAPI name(CUgraphExec exec, CUgraphNode node, type params, CUcontext ctx)          \
    {                                                                                              \
        struct work *work = NULL;                                                                  \
        CALL(name, exec_set(work_of, &work, exec, node));                                          \
    }
#define NODE_GET(name, type, get)                                                                  \
    CUresult CUDAAPI name(CUgraphNode node, type ret)                                              \
    {                                                                                              \
        CALL(name, get);                                                                           \
    }

NODE_ADD(cuGraphAddKernelNode, const CUDA_KERNEL_NODE_PARAMS_v1 *, work_of_kernel_v1(params, &work))
NODE_ADD(cuGraphAddKernelNode_v2, const CUDA_KERNEL_NODE_PARAMS *, work_of_kernel(params, &work))
NODE_ADD(cuGraphAddHostNode, const CUDA_HOST_NODE_PARAMS *, work_of_host(params, &work))
NODE_ADD(cuGraphAddEventRecordNode, CUevent, work_of_event(params, true, &work))
NODE_ADD(cuGraphAddEventWaitNode, CUevent, work_of_event(params, false, &work))
NODE_ADD(cuGraphAddMemAllocNode, CUDA_MEM_ALLOC_NODE_PARAMS *, work_of_alloc(params, &work))
NODE_ADD(cuGraphAddMemFreeNode, CUdeviceptr, work_of_free(params, &work))
NODE_ADD(cuGraphAddChildGraphNode, CUgraph, work_of_child(params, &work))
NODE_ADD(cuGraphAddNode, CUgraphNodeParams *, work_of_any(params, &work))
NODE_ADD_COPY(cuGraphAddMemcpyNode, const CUDA_MEMCPY3D *, work_of_copy(params, &work))
NODE_ADD_COPY(cuGraphAddMemsetNode, const CUDA_MEMSET_NODE_PARAMS *, work_of_fill(params, &work))

NODE_SET(cuGraphKernelNodeSetParams, const CUDA_KERNEL_NODE_PARAMS_v1 *, work_of_kernel_v1(params, &work))
NODE_SET(cuGraphKernelNodeSetParams_v2, const CUDA_KERNEL_NODE_PARAMS *, work_of_kernel(params, &work))
NODE_SET(cuGraphMemcpyNodeSetParams, const CUDA_MEMCPY3D *, work_of_copy(params, &work))
NODE_SET(cuGraphMemsetNodeSetParams, const CUDA_MEMSET_NODE_PARAMS *, work_of_fill(params, &work))
NODE_SET(cuGraphHostNodeSetParams, const CUDA_HOST_NODE_PARAMS *, work_of_host(params, &work))
NODE_SET(cuGraphEventRecordNodeSetEvent, CUevent, work_of_event(params, true, &work))
NODE_SET(cuGraphEventWaitNodeSetEvent, CUevent, work_of_event(params, false, &work))
NODE_SET(cuGraphNodeSetParams, CUgraphNodeParams *, work_of_any(params, &work))

EXEC_SET(cuGraphExecKernelNodeSetParams, const CUDA_KERNEL_NODE_PARAMS_v1 *, work_of_kernel_v1(params, &work))
EXEC_SET(cuGraphExecKernelNodeSetParams_v2, const CUDA_KERNEL_NODE_PARAMS *, work_of_kernel(params, &work))
EXEC_SET(cuGraphExecHostNodeSetParams, const CUDA_HOST_NODE_PARAMS *, work_of_host(params, &work))
EXEC_SET(cuGraphExecEventRecordNodeSetEvent, CUevent, work_of_event(params, true, &work))
EXEC_SET(cuGraphExecEventWaitNodeSetEvent, CUevent, work_of_event(params, false, &work))
EXEC_SET(cuGraphExecChildGraphNodeSetParams, CUgraph, work_of_child(params, &work))
EXEC_SET(cuGraphExecNodeSetParams, CUgraphNodeParams *, work_of_any(params, &work))
EXEC_SET_COPY(cuGraphExecMemcpyNodeSetParams, const CUDA_MEMCPY3D *, work_of_copy(params, &work))
EXEC_SET_COPY(cuGraphExecMemsetNodeSetParams, const CUDA_MEMSET_NODE_PARAMS *, work_of_fill(params, &work))

NODE_GET(cuGraphKernelNodeGetParams, CUDA_KERNEL_NODE_PARAMS_v1 *, kernel_get_v1(node, ret))
NODE_GET(cuGraphKernelNodeGetParams_v2, CUDA_KERNEL_NODE_PARAMS *, kernel_get(node, ret))
NODE_GET(cuGraphMemcpyNodeGetParams, CUDA_MEMCPY3D *, copy_get(node, ret))
NODE_GET(cuGraphMemsetNodeGetParams, CUDA_MEMSET_NODE_PARAMS *, fill_get(node, ret))
NODE_GET(cuGraphHostNodeGetParams, CUDA_HOST_NODE_PARAMS *, host_get(node, ret))
NODE_GET(cuGraphEventRecordNodeGetEvent, CUevent *, event_get(node, WORK_RECORD, ret))
NODE_GET(cuGraphEventWaitNodeGetEvent, CUevent *, event_get(node, WORK_WAIT, ret))
NODE_GET(cuGraphMemAllocNodeGetParams, CUDA_MEM_ALLOC_NODE_PARAMS *, alloc_get(node, ret))
NODE_GET(cuGraphMemFreeNodeGetParams, CUdeviceptr *, free_get(node, ret))
NODE_GET(cuGraphChildGraphNodeGetGraph, CUgraph *, child_get(node, ret))
/* clang-format on */

CUresult CUDAAPI cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps,
                                     size_t count)
{
    struct work *work = NULL;

    CALL(cuGraphAddEmptyNode, add(work_take(WORK_EMPTY, &work), &work, graph, deps, count, node));
}

CUresult CUDAAPI cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps,
                                   const CUgraphEdgeData *edges, size_t count,
                                   CUgraphNodeParams *params)
{
    struct work *work = NULL;

    CALL(cuGraphAddNode_v2, add(work_of_any(params, &work), &work, graph, deps, count, node));
}
