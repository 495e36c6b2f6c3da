/* SPDX-License-Identifier: MIT */
/*
 * Nodes by kind: work from parameters, parameters from work.
 */
#ifndef SIMGPU_DRIVER_WORK_GRAPH_NODES_H
#define SIMGPU_DRIVER_WORK_GRAPH_NODES_H

#include "tests/simgpu/driver/work/graph.h"

CUresult work_of_kernel(const CUDA_KERNEL_NODE_PARAMS *params, struct work **ret);
CUresult work_of_copy(const CUDA_MEMCPY3D *params, struct work **ret);
CUresult work_of_fill(const CUDA_MEMSET_NODE_PARAMS *params, struct work **ret);
CUresult work_of_host(const CUDA_HOST_NODE_PARAMS *params, struct work **ret);
CUresult work_of_event(CUevent event, bool record, struct work **ret);
CUresult work_of_alloc(CUDA_MEM_ALLOC_NODE_PARAMS *params, struct work **ret);
CUresult work_of_free(CUdeviceptr address, struct work **ret);
CUresult work_of_child(CUgraph child, struct work **ret);

#endif
