/* SPDX-License-Identifier: MIT */
/*
 * User objects: reference-counted things of the program that graphs keep alive.
 */
#ifndef SIMGPU_DRIVER_WORK_USER_OBJECT_H
#define SIMGPU_DRIVER_WORK_USER_OBJECT_H

#include "tests/simgpu/driver/work/graph.h"

/** Releases the graph's references. */
void graph_drop_objects(CUgraph graph);
/** A clone keeps alive what its original does; false without memory. */
bool graph_share_objects(CUgraph into, CUgraph from);

#endif
