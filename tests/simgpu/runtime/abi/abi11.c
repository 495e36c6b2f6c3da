/* SPDX-License-Identifier: MIT */
/*
 * The two functions of graphs that 12.0 gave another signature, as 11 has them. The rest of 11 is
 * what 12 has. Only in the 11 build.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <string.h>

RUNTIME_PUBLIC cudaError_t
abi11_graph_exec_update(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphNode_t *ret_node,
                        enum cudaGraphExecUpdateResult *ret_result) __asm__("cudaGraphExecUpdate");

cudaError_t abi11_graph_exec_update(cudaGraphExec_t exec, cudaGraph_t graph,
                                    cudaGraphNode_t *ret_node,
                                    enum cudaGraphExecUpdateResult *ret_result)
{
    CUgraphExecUpdateResultInfo info = {0};
    cudaError_t status = context_ready();

    if (status == cudaSuccess)
        status = error_from(driver_table.cuGraphExecUpdate_slot(exec, graph, &info));
    if (ret_node)
        *ret_node = (cudaGraphNode_t)info.errorNode;
    if (ret_result)
        *ret_result = (enum cudaGraphExecUpdateResult)info.result;
    return error_keep(status);
}

RUNTIME_PUBLIC cudaError_t
abi11_graph_instantiate(cudaGraphExec_t *ret_exec, cudaGraph_t graph, cudaGraphNode_t *ret_node,
                        char *log, size_t log_bytes) __asm__("cudaGraphInstantiate");

cudaError_t abi11_graph_instantiate(cudaGraphExec_t *ret_exec, cudaGraph_t graph,
                                    cudaGraphNode_t *ret_node, char *log, size_t log_bytes)
{
    cudaError_t status = context_ready();

    if (ret_node)
        *ret_node = NULL;
    if (log && log_bytes)
        *log = '\0';
    return error_keep(
        status ?: error_from(driver_table.cuGraphInstantiateWithFlags_slot(ret_exec, graph, 0)));
}
