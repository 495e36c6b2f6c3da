/* SPDX-License-Identifier: MIT */
/*
 * Records CUPTI's view of the driver's memory in the trace's own time: every allocation and free,
 * stream-ordered pools, and contexts.
 *
 * Starts at the first recorded call of the program, never in a constructor and never in a child
 * after fork. Any failure ends as one CUPTI_STATE record, and the program continues. CUPTI gets its
 * buffers from a fixed set. When all are in use it gets none and drops records; their number is
 * recorded. The caller's clock (activity_tick) flushes the buffers, and so does an exit handler.
 *
 * Threading: every function from any thread. CUPTI calls back on threads of the program and on its
 * own; nothing there takes a lock or calls CUDA.
 */
#ifndef CUPTI_ACTIVITY_ACTIVITY_H
#define CUPTI_ACTIVITY_ACTIVITY_H

#include <stdbool.h>

#include "cupti/activity/activity_library.h"
#include "cupti/write/trace_writer.h"

/**
 * Subscribes and records the outcome. Once in a process; later calls do nothing. Call it without a
 * lock of ours, because it takes the loader's.
 */
void activity_start(struct trace_writer *writer, activity_look_up *look_up);

bool activity_is_on(void);

/**
 * Call it when the driver is initialised: the exit handler registered here runs before the
 * driver's own, and flushes CUPTI.
 */
void activity_arm(void);

/** Takes the records that CUPTI has so far, unless another thread is doing so. */
void activity_tick(void);

/** Makes way for another client: flushes everything and unsubscribes. */
void activity_give_way(void);

/** The trace is about to be closed: records whether anything was left. Makes no call of CUPTI. */
void activity_close(void);

void activity_fork_child(void);

#endif
