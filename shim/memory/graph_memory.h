/* SPDX-License-Identifier: MIT */
/*
 * Memory inside graphs. A node that allocates has an address but takes no memory. Each launch of an
 * executable graph takes the memory of its nodes, until a node, or a free behind the launch, frees
 * it. Memory left by a launch remains after the graph is destroyed.
 *
 * When an executable graph is made, the driver is asked what it allocates and frees; this happens
 * only once the program was seen to put memory into a graph. Other programs pay for one test of a
 * flag.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_MEMORY_GRAPH_MEMORY_H
#define SHIM_MEMORY_GRAPH_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/likely.h"
#include "shim/resolve/real.h"

/** A node that allocates, or (bytes 0) frees. */
struct graph_memory_node {
    uint64_t address;
    size_t bytes;
    int place;
};

/** Memory effects of a launch. Immutable; freed by the last reference. */
struct graph_memory {
    unsigned references; /* guarded by a lock of graph_memory.c */
    size_t count, room;
    struct graph_memory_node *node;
};

extern atomic_bool graph_memory_seen;

/** Memory was put into a graph. */
void graph_memory_noticed(void);

/** True once it was. */
static inline bool graph_memory_is_noticed(void)
{
    return unlikely(atomic_load_explicit(&graph_memory_seen, memory_order_acquire));
}

/** An executable graph was made from a graph, or is about to be destroyed. */
void graph_memory_exec_made(const struct driver_functions *driver, CUgraphExec handle,
                            CUgraph graph);
void graph_memory_exec_forget(CUgraphExec handle);

/** Memory effects of a graph launched now; NULL: none. Released by graph_memory_leave. */
struct graph_memory *graph_memory_enter(CUgraphExec handle);
void graph_memory_leave(struct graph_memory *body);

/** True when a launch has no room under the limit. */
bool graph_memory_is_refused(const struct driver_functions *driver,
                             const struct graph_memory *body);

/** In the child after fork: the parent's graphs are not the child's. */
void graph_memory_fork_child(void);

#endif
