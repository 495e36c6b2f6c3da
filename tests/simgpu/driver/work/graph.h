/* SPDX-License-Identifier: MIT */
/*
 * Graphs: nodes that own a unit of work, edges between them, and executable copies. A launch is one
 * unit of work on a stream, which executes the nodes one after another in an order that respects
 * the edges.
 */
#ifndef SIMGPU_DRIVER_WORK_GRAPH_H
#define SIMGPU_DRIVER_WORK_GRAPH_H

#include "tests/simgpu/driver/memory/memory.h"
#include "tests/simgpu/driver/work/work.h"

struct user_reference;

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
    CUgraphNode copy;     /* while its graph is cloned */
    bool disabled;
    unsigned mark; /* for walks */
};

struct CUgraph_st {
    struct handle handle;
    TAILQ_HEAD(, CUgraphNode_st) nodes;
    size_t node_count;
    CUgraph original;
    struct user_reference *objects; /* cuGraphRetainUserObject */
};

/** The body of a launch; immutable while anything but one executable graph refers to it. */
struct graph_body {
    unsigned refs;
    CUgraph graph;
    CUgraphNode *order; /* nodes of child graphs in the place of their parents */
    size_t order_count;
};

struct CUgraphExec_st {
    struct handle handle;
    struct graph_body *body;
    uint64_t flags;
    struct point last; /* launches of one executable graph follow each other */
    CUcontext ctx;
};

/** Memory of an allocation node: its address is fixed; it is backed from the first launch on, until
 *  it is trimmed. */
struct graph_memory {
    LIST_ENTRY(graph_memory) link;
    unsigned refs;
    struct allocation allocation; /* its physical memory is NULL while it is not backed */
    bool live;                    /* between allocation and free, as executed */
    bool handed;                  /* the same as submitted: what the program may free */
};

CUresult graph_create(CUgraph *ret);
void graph_destroy(CUgraph graph);
/** NULL without memory. */
CUgraph graph_clone(CUgraph graph);
CUgraphNode graph_find(CUgraph graph, uint64_t id);

/** Takes the work, also when it fails. */
CUresult graph_add(CUgraph graph, const CUgraphNode *deps, size_t dep_count, struct work *work,
                   CUgraphNodeType type, CUgraphNode *ret);
void node_destroy(CUgraphNode node);
CUresult node_add_dep(CUgraphNode node, CUgraphNode dep);
CUgraphNodeType node_type_of(const struct work *work);

/** Accepts NULL. */
void body_unref(struct graph_body *body);
/** No lock. */
void body_run(struct graph_body *body, CUcontext ctx);
uint64_t body_virtual_ns(const struct graph_body *body);

CUresult exec_create(CUgraph graph, uint64_t flags, CUgraphExec *ret);
CUresult exec_launch(CUgraphExec exec, CUstream given, bool per_thread);
/** The node of the executable graph that stands for a node of the graph it was made from, in a body
 *  that no launch in flight refers to. */
CUresult exec_node(CUgraphExec exec, CUgraphNode node, CUgraphNode *ret);

CUresult graph_memory_create(struct device *device, size_t bytes, struct graph_memory **ret);
/** These accept NULL. */
void graph_memory_ref(struct graph_memory *memory);
void graph_memory_unref(struct graph_memory *memory);
/** An allocation node was executed. */
void graph_memory_use(struct graph_memory *memory);
/** The end of its life; live memory that no graph refers to any more goes. */
void graph_memory_free(struct graph_memory *memory);
/** A free that is not ordered by a stream. */
void graph_memory_end(struct graph_memory *memory);
/** Physical memory for it, before a launch. */
CUresult graph_memory_back(struct graph_memory *memory);
/** The graph with this address, or NULL. */
struct graph_memory *graph_memory_find(uintptr_t base);
/** Drops the backing of all that are not live. */
void graph_memory_trim(struct device *device);

#endif
