/* SPDX-License-Identifier: MIT */
/*
 * Graph nodes that need translation: kernels, memsets, conditionals, and the generic form. Nodes
 * with parameters of the same layout in both APIs are plain forwards in calls.def.
 *
 * A kernel node is handed to the driver by kernel, not by function, and without a context: the
 * driver then takes the current one. Memcpy and memset nodes name the current context.
 */
#include "tests/simgpu/runtime/memory/copy.h"
#include "tests/simgpu/runtime/module/graph_node.h"
#include "tests/simgpu/runtime/module/image.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

cudaError_t graph_context(CUcontext *ret_context)
{
    return context_ready() ?: error_from(DRIVER(cuCtxGetCurrent)(ret_context));
}

static cudaError_t kernel_to_driver(const struct cudaKernelNodeParams *from,
                                    CUDA_KERNEL_NODE_PARAMS_v2 *ret_to)
{
    CUkernel kernel = NULL;
    cudaError_t status = from ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = image_kernel(from->func, &kernel);
    if (status != cudaSuccess)
        return status;
    *ret_to = (CUDA_KERNEL_NODE_PARAMS_v2){
        .gridDimX = from->gridDim.x,
        .gridDimY = from->gridDim.y,
        .gridDimZ = from->gridDim.z,
        .blockDimX = from->blockDim.x,
        .blockDimY = from->blockDim.y,
        .blockDimZ = from->blockDim.z,
        .sharedMemBytes = from->sharedMemBytes,
        .kernelParams = from->kernelParams,
        .extra = from->extra,
        .kern = kernel,
    };
    return cudaSuccess;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                                   const cudaGraphNode_t *pDependencies, size_t numDependencies,
                                   const struct cudaKernelNodeParams *pNodeParams)
{
    CUDA_KERNEL_NODE_PARAMS_v2 kernel;
    cudaError_t status = kernel_to_driver(pNodeParams, &kernel);

    return error_keep(status
                          ?: error_from(DRIVER(cuGraphAddKernelNode)(
                                 pGraphNode, graph, pDependencies, numDependencies, &kernel)));
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node,
                                         struct cudaKernelNodeParams *pNodeParams)
{
    CUDA_KERNEL_NODE_PARAMS_v2 kernel;
    cudaError_t status = pNodeParams ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuGraphKernelNodeGetParams)(node, &kernel));
    if (status != cudaSuccess)
        return error_keep(status);
    *pNodeParams = (struct cudaKernelNodeParams){
        .func = kernel.kern ? image_kernel_symbol(kernel.kern) : image_function_symbol(kernel.func),
        .gridDim = {kernel.gridDimX, kernel.gridDimY, kernel.gridDimZ},
        .blockDim = {kernel.blockDimX, kernel.blockDimY, kernel.blockDimZ},
        .sharedMemBytes = kernel.sharedMemBytes,
        .kernelParams = kernel.kernelParams,
        .extra = kernel.extra,
    };
    return cudaSuccess;
}

cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node,
                                         const struct cudaKernelNodeParams *pNodeParams)
{
    CUDA_KERNEL_NODE_PARAMS_v2 kernel;
    cudaError_t status = kernel_to_driver(pNodeParams, &kernel);

    return error_keep(status ?: error_from(DRIVER(cuGraphKernelNodeSetParams)(node, &kernel)));
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const struct cudaKernelNodeParams *pNodeParams)
{
    CUDA_KERNEL_NODE_PARAMS_v2 kernel;
    cudaError_t status = kernel_to_driver(pNodeParams, &kernel);

    return error_keep(
        status ?: error_from(DRIVER(cuGraphExecKernelNodeSetParams)(hGraphExec, node, &kernel)));
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                                   const cudaGraphNode_t *pDependencies, size_t numDependencies,
                                   const struct cudaMemsetParams *pMemsetParams)
{
    CUcontext context = NULL;
    cudaError_t status = graph_context(&context);

    return error_keep(status
                          ?: error_from(DRIVER(cuGraphAddMemsetNode)(
                                 pGraphNode, graph, pDependencies, numDependencies,
                                 (const CUDA_MEMSET_NODE_PARAMS *)pMemsetParams, context)));
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const struct cudaMemsetParams *pNodeParams)
{
    CUcontext context = NULL;
    cudaError_t status = graph_context(&context);

    return error_keep(
        status
            ?: error_from(DRIVER(cuGraphExecMemsetNodeSetParams)(
                   hGraphExec, node, (const CUDA_MEMSET_NODE_PARAMS *)pNodeParams, context)));
}

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *pHandle_out,
                                             cudaGraph_t graph, unsigned int defaultLaunchValue,
                                             unsigned int flags)
{
    CUcontext context = NULL;
    cudaError_t status = graph_context(&context);

    return error_keep(status
                          ?: error_from(DRIVER(cuGraphConditionalHandleCreate)(
                                 (CUgraphConditionalHandle *)pHandle_out, graph, context,
                                 defaultLaunchValue, flags)));
}

static cudaError_t generic_kernel(const struct cudaKernelNodeParamsV2 *from,
                                  CUDA_KERNEL_NODE_PARAMS_v3 *ret_to)
{
    const struct cudaKernelNodeParams parameters = {
        .func = from->func,
        .gridDim = from->gridDim,
        .blockDim = from->blockDim,
        .sharedMemBytes = from->sharedMemBytes,
        .kernelParams = from->kernelParams,
        .extra = from->extra,
    };
    CUDA_KERNEL_NODE_PARAMS_v2 kernel;
    cudaError_t status = kernel_to_driver(&parameters, &kernel);

    static_assert(sizeof(kernel) == sizeof(*ret_to), "the driver's two forms are one layout");
    if (status == cudaSuccess)
        memcpy(ret_to, &kernel, sizeof(kernel));
    return status;
}

static CUDA_MEMSET_NODE_PARAMS_v2 generic_memset(const struct cudaMemsetParamsV2 *from,
                                                 CUcontext context)
{
    return (CUDA_MEMSET_NODE_PARAMS_v2){
        .dst = DEVICE_ADDRESS(from->dst),
        .pitch = from->pitch,
        .value = from->value,
        .elementSize = from->elementSize,
        .width = from->width,
        .height = from->height,
        .ctx = context,
    };
}

/* Other kinds of node have one layout in both APIs, up to a context at their end. */
static cudaError_t generic_to_driver(const struct cudaGraphNodeParams *from,
                                     CUgraphNodeParams *ret_to)
{
    CUcontext context = NULL;
    cudaError_t status = from ? graph_context(&context) : cudaErrorInvalidValue;

    if (status != cudaSuccess)
        return status;
    static_assert(sizeof(*from) == sizeof(*ret_to), "one size of node parameters");
    memcpy(ret_to, from, sizeof(*ret_to));
    switch (from->type) {
    case cudaGraphNodeTypeKernel: return generic_kernel(&from->kernel, &ret_to->kernel);
    case cudaGraphNodeTypeMemset:
        ret_to->memset = generic_memset(&from->memset, context);
        return cudaSuccess;
    case cudaGraphNodeTypeMemcpy:
        ret_to->memcpy = (CUDA_MEMCPY_NODE_PARAMS){.flags = from->memcpy.flags, .copyCtx = context};
        return copy_describe_3d(&from->memcpy.copyParams, &ret_to->memcpy.copyParams);
    case cudaGraphNodeTypeConditional: ret_to->conditional.ctx = context; return cudaSuccess;
    default: return cudaSuccess;
    }
}

/* Fields that the driver sets in the parameters of a node that it made. */
static void generic_outputs(const CUgraphNodeParams *from, struct cudaGraphNodeParams *to)
{
    if (to->type == cudaGraphNodeTypeMemAlloc)
        to->alloc.dptr = (void *)(uintptr_t)from->alloc.dptr;
    if (to->type == cudaGraphNodeTypeConditional)
        to->conditional.phGraph_out = from->conditional.phGraph_out;
}

static cudaError_t generic_add(cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                               const cudaGraphEdgeData *edges, size_t count,
                               struct cudaGraphNodeParams *node, cudaGraphNode_t *ret_node)
{
    CUgraphNodeParams parameters;
    cudaError_t status = generic_to_driver(node, &parameters);

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuGraphAddNode)(
            ret_node, graph, dependencies, (const CUgraphEdgeData *)edges, count, &parameters));
    if (status == cudaSuccess)
        generic_outputs(&parameters, node);
    return error_keep(status);
}

cudaError_t cudaGraphAddNode(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                             const cudaGraphNode_t *pDependencies,
                             const cudaGraphEdgeData *dependencyData, size_t numDependencies,
                             struct cudaGraphNodeParams *nodeParams)
{
    return generic_add(graph, pDependencies, dependencyData, numDependencies, nodeParams,
                       pGraphNode);
}

#if RUNTIME_MAJOR <= 12
RUNTIME_PUBLIC cudaError_t abi12_graph_add_node(
    cudaGraphNode_t *ret_node, cudaGraph_t graph, const cudaGraphNode_t *dependencies, size_t count,
    struct cudaGraphNodeParams *node) __asm__("cudaGraphAddNode");

cudaError_t abi12_graph_add_node(cudaGraphNode_t *ret_node, cudaGraph_t graph,
                                 const cudaGraphNode_t *dependencies, size_t count,
                                 struct cudaGraphNodeParams *node)
{
    return generic_add(graph, dependencies, NULL, count, node, ret_node);
}
#endif

cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, struct cudaGraphNodeParams *nodeParams)
{
    CUgraphNodeParams parameters;
    cudaError_t status = generic_to_driver(nodeParams, &parameters);

    return error_keep(status ?: error_from(DRIVER(cuGraphNodeSetParams)(node, &parameters)));
}

cudaError_t cudaGraphExecNodeSetParams(cudaGraphExec_t graphExec, cudaGraphNode_t node,
                                       struct cudaGraphNodeParams *nodeParams)
{
    CUgraphNodeParams parameters;
    cudaError_t status = generic_to_driver(nodeParams, &parameters);

    return error_keep(
        status ?: error_from(DRIVER(cuGraphExecNodeSetParams)(graphExec, node, &parameters)));
}
