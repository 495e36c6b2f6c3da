/* SPDX-License-Identifier: MIT */
/*
 * Graphs: nodes that own a unit of work, edges between them, and executable copies. A launch is one
 * unit of work on a stream, which executes the nodes one after another in an order that respects
 * the edges.
 */
#ifndef SIMGPU_GRAPH_H
#define SIMGPU_GRAPH_H

#include "tests/simgpu/driver/work.h"

struct CUgraphNode_st {
    struct handle handle;
    TAILQ_ENTRY(CUgraphNode_st) link;
    CUgraph graph;
    struct work *work;
    CUgraphNodeType type;
    CUgraphNode *deps; /* those it waits for */
    size_t dep_count;
    uint64_t id;          /* the same in a clone */
    CUgraphNode original; /* in a clone */
    bool disabled;
    unsigned mark; /* for walks */
};

struct CUgraph_st {
    struct handle handle;
    TAILQ_HEAD(, CUgraphNode_st) nodes;
    size_t node_count;
    CUgraph original;
};

struct CUgraphExec_st {
    struct handle handle;
    CUgraph graph; /* a private copy */
    CUgraphNode *order;
    size_t order_count;
    unsigned refs;
    uint64_t flags;
    CUcontext ctx;
};

/** Memory of an allocation node: its address is fixed, its backing comes and goes. */
struct graph_memory {
    unsigned refs;
    struct device *device;
    uintptr_t base;
    size_t bytes;
    struct allocation *allocation; /* while it is allocated */
};

CUresult graph_create(CUgraph *ret);
void graph_destroy(CUgraph graph);
/** NULL without memory. */
CUgraph graph_clone(CUgraph graph);

/** Takes the work, also when it fails. */
CUresult graph_add(CUgraph graph, const CUgraphNode *deps, size_t dep_count, struct work *work,
                   CUgraphNodeType type, CUgraphNode *ret);
CUresult node_add_dep(CUgraphNode node, CUgraphNode dep);
CUgraphNodeType node_type_of(const struct work *work);

CUresult exec_create(CUgraph graph, CUcontext ctx, uint64_t flags, CUgraphExec *ret);
void exec_ref(CUgraphExec exec);
/** Accepts NULL. */
void exec_unref(CUgraphExec exec);
/** No lock. */
void exec_run(CUgraphExec exec, CUcontext ctx);
uint64_t exec_virtual_ns(CUgraphExec exec);
CUresult exec_launch(CUgraphExec exec, CUstream given, bool per_thread);

/** `memory` NULL: nothing. */
CUresult graph_memory_create(struct device *device, size_t bytes, struct graph_memory **ret);
void graph_memory_ref(struct graph_memory *memory);
void graph_memory_unref(struct graph_memory *memory);
void graph_memory_map(struct graph_memory *memory);
void graph_memory_unmap(struct graph_memory *memory);

#endif
