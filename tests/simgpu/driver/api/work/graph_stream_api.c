/* SPDX-License-Identifier: MIT */
/*
 * Entry points of graphs that take a stream. Compiled twice (api.h).
 */
#include "tests/simgpu/driver/base/api.h"

#include "tests/simgpu/driver/work/graph.h"

CUresult CUDAAPI cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream)
{
    CALL(cuGraphLaunch, exec_launch(hGraphExec, hStream, PER_THREAD), "stream=0x%llx",
         HEX(hStream));
}

/* Everything is where it will be executed already. */
static CUresult upload(CUgraphExec exec, CUstream given)
{
    CUstream stream;
    CUresult result = stream_resolve(given, PER_THREAD, &stream);

    return result == CUDA_SUCCESS && !handle_is(exec, HANDLE_EXEC) ? CUDA_ERROR_INVALID_VALUE
                                                                   : result;
}

CUresult CUDAAPI cuGraphUpload(CUgraphExec hGraphExec, CUstream hStream)
{
    CALL(cuGraphUpload, upload(hGraphExec, hStream), "stream=0x%llx", HEX(hStream));
}

static CUresult instantiate(CUgraphExec *ret, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    if (!ret || !params || !handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = exec_create(graph, params->flags, ret);
    params->hErrNode_out = NULL;
    params->result_out = result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS
                                                : CUDA_GRAPH_INSTANTIATE_ERROR;
    return result;
}

CUresult CUDAAPI cuGraphInstantiateWithParams(CUgraphExec *phGraphExec, CUgraph hGraph,
                                              CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams)
{
    CALL(cuGraphInstantiateWithParams, instantiate(phGraphExec, hGraph, instantiateParams));
}
