/* SPDX-License-Identifier: MIT */
/*
 * Memory inside graphs. A node that allocates has an address and takes nothing; each launch of an
 * executable graph takes the memory of its nodes, until a node, or a free behind the launch, frees
 * it. Memory that a launch left stays when the graph is destroyed.
 *
 * What an executable graph allocates and frees is asked of the driver when it is made, for the
 * graphs of programs that were seen to put memory into one; others cost a look at a flag.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_MEMORY_GRAPH_MEMORY_H
#define SHIM_MEMORY_GRAPH_MEMORY_H

/** Memory was put into a graph. */
void graph_memory_noticed(void);

#endif
