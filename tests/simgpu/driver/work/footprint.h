/* SPDX-License-Identifier: MIT */
/*
 * The memory that a unit of work touches. For copies, fills and values it is exact. For a kernel,
 * only the targets of the pointers among its arguments are known, not their extent: a span of one
 * byte each.
 */
#ifndef SIMGPU_DRIVER_WORK_FOOTPRINT_H
#define SIMGPU_DRIVER_WORK_FOOTPRINT_H

#include "tests/simgpu/driver/work/work.h"

struct span {
    uintptr_t from;
    size_t bytes;
    bool written;
};

/** Called for each span; true ends the walk. */
typedef bool span_test(void *state, const struct work *work, const struct span *span);

/** Walks the spans of a unit, and of every unit of a graph. True when a test said so. */
bool work_spans(const struct work *work, span_test *test, void *state);

#endif
