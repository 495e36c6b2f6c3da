/* SPDX-License-Identifier: MIT */
/*
 * Memcpy nodes. The runtime has four ways to describe a copy (a box, a run of bytes, to and from
 * a symbol) and three places to say it (a new node, a node, an instantiated graph); each way
 * becomes one description, each place one function.
 */
#include "tests/simgpu/runtime/memory/copy.h"
#include "tests/simgpu/runtime/module/graph_node.h"
#include "tests/simgpu/runtime/module/image.h"

#include <stddef.h>

/* Where a new node goes. */
struct place {
    cudaGraph_t graph;
    const cudaGraphNode_t *dependencies;
    size_t count;
};

static cudaError_t to_symbol(const void *symbol, const void *src, size_t count, size_t offset,
                             enum cudaMemcpyKind kind, CUDA_MEMCPY3D *ret_copy)
{
    CUdeviceptr dst = 0;

    return context_ready() ?: image_variable_range(symbol, offset, count, &dst)
                           ?: copy_describe_1d((void *)(uintptr_t)dst, src, count, kind, ret_copy);
}

static cudaError_t from_symbol(void *dst, const void *symbol, size_t count, size_t offset,
                               enum cudaMemcpyKind kind, CUDA_MEMCPY3D *ret_copy)
{
    CUdeviceptr src = 0;

    return context_ready() ?: image_variable_range(symbol, offset, count, &src)
                           ?: copy_describe_1d(dst, (void *)(uintptr_t)src, count, kind, ret_copy);
}

static cudaError_t straight(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                            CUDA_MEMCPY3D *ret_copy)
{
    return context_ready() ?: copy_describe_1d(dst, src, count, kind, ret_copy);
}

static cudaError_t box(const struct cudaMemcpy3DParms *parameters, CUDA_MEMCPY3D *ret_copy)
{
    return context_ready() ?: copy_describe_3d(parameters, ret_copy);
}

/* The three places take the status of the description, and keep the error of either. */
static cudaError_t add(cudaError_t described, const CUDA_MEMCPY3D *copy, struct place place,
                       cudaGraphNode_t *ret_node)
{
    CUcontext context = NULL;
    cudaError_t status = described ?: graph_context(&context);

    return error_keep(
        status
            ?: error_from(DRIVER(cuGraphAddMemcpyNode)(ret_node, place.graph, place.dependencies,
                                                       place.count, copy, context)));
}

static cudaError_t set(cudaError_t described, const CUDA_MEMCPY3D *copy, cudaGraphNode_t node)
{
    return error_keep(described ?: error_from(DRIVER(cuGraphMemcpyNodeSetParams)(node, copy)));
}

static cudaError_t set_exec(cudaError_t described, const CUDA_MEMCPY3D *copy, cudaGraphExec_t exec,
                            cudaGraphNode_t node)
{
    CUcontext context = NULL;
    cudaError_t status = described ?: graph_context(&context);

    return error_keep(
        status ?: error_from(DRIVER(cuGraphExecMemcpyNodeSetParams)(exec, node, copy, context)));
}

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                                   const cudaGraphNode_t *pDependencies, size_t numDependencies,
                                   const struct cudaMemcpy3DParms *pCopyParams)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = box(pCopyParams, &copy);

    return add(described, &copy, (struct place){graph, pDependencies, numDependencies}, pGraphNode);
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                                     const cudaGraphNode_t *pDependencies, size_t numDependencies,
                                     void *dst, const void *src, size_t count,
                                     enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = straight(dst, src, count, kind, &copy);

    return add(described, &copy, (struct place){graph, pDependencies, numDependencies}, pGraphNode);
}

cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                                           const cudaGraphNode_t *pDependencies,
                                           size_t numDependencies, const void *symbol,
                                           const void *src, size_t count, size_t offset,
                                           enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = to_symbol(symbol, src, count, offset, kind, &copy);

    return add(described, &copy, (struct place){graph, pDependencies, numDependencies}, pGraphNode);
}

cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t *pGraphNode, cudaGraph_t graph,
                                             const cudaGraphNode_t *pDependencies,
                                             size_t numDependencies, void *dst, const void *symbol,
                                             size_t count, size_t offset, enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = from_symbol(dst, symbol, count, offset, kind, &copy);

    return add(described, &copy, (struct place){graph, pDependencies, numDependencies}, pGraphNode);
}

cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node,
                                         struct cudaMemcpy3DParms *pNodeParams)
{
    CUDA_MEMCPY3D copy;
    cudaError_t status = pNodeParams ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuGraphMemcpyNodeGetParams)(node, &copy));
    return error_keep(status ?: copy_recall_3d(&copy, pNodeParams));
}

cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node,
                                         const struct cudaMemcpy3DParms *pNodeParams)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = box(pNodeParams, &copy);

    return set(described, &copy, node);
}

cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void *dst, const void *src,
                                           size_t count, enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = straight(dst, src, count, kind, &copy);

    return set(described, &copy, node);
}

cudaError_t cudaGraphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void *symbol,
                                                 const void *src, size_t count, size_t offset,
                                                 enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = to_symbol(symbol, src, count, offset, kind, &copy);

    return set(described, &copy, node);
}

cudaError_t cudaGraphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void *dst,
                                                   const void *symbol, size_t count, size_t offset,
                                                   enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = from_symbol(dst, symbol, count, offset, kind, &copy);

    return set(described, &copy, node);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const struct cudaMemcpy3DParms *pNodeParams)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = box(pNodeParams, &copy);

    return set_exec(described, &copy, hGraphExec, node);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                               void *dst, const void *src, size_t count,
                                               enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = straight(dst, src, count, kind, &copy);

    return set_exec(described, &copy, hGraphExec, node);
}

cudaError_t cudaGraphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t hGraphExec,
                                                     cudaGraphNode_t node, const void *symbol,
                                                     const void *src, size_t count, size_t offset,
                                                     enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = to_symbol(symbol, src, count, offset, kind, &copy);

    return set_exec(described, &copy, hGraphExec, node);
}

cudaError_t cudaGraphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t hGraphExec,
                                                       cudaGraphNode_t node, void *dst,
                                                       const void *symbol, size_t count,
                                                       size_t offset, enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY3D copy;
    cudaError_t described = from_symbol(dst, symbol, count, offset, kind, &copy);

    return set_exec(described, &copy, hGraphExec, node);
}
