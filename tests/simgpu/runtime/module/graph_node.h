/* SPDX-License-Identifier: MIT */
/* Shared by the files on graph nodes. Thread-safe. */
#ifndef SIMGPU_RUNTIME_GRAPH_NODE_H
#define SIMGPU_RUNTIME_GRAPH_NODE_H

#include "tests/simgpu/runtime/base/runtime.h"

/** The thread's current context, made if there is none, for nodes that name one. */
cudaError_t graph_context(CUcontext *ret_context);

#endif
