/* SPDX-License-Identifier: MIT */
/*
 * Records what CUPTI tells of the driver's memory: every allocation and free, stream-ordered pools,
 * and contexts, in the trace's own time.
 *
 * It begins at the first call of the program that is recorded, never in a constructor and never in
 * a child after fork. Whatever goes wrong ends as one CUPTI_STATE record, and the program runs on.
 * CUPTI gets its buffers from a fixed set; when all of them are out it gets none, drops records,
 * and their number is recorded. A clock of the caller's flushes (activity_tick), and an exit
 * handler.
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
 * Subscribes. What came of it is recorded. Once in a process; later calls do nothing. No lock of
 * ours is held, for the loader's is taken.
 */
void activity_start(struct trace_writer *writer, activity_look_up *look_up);

bool activity_is_on(void);

/**
 * To be called when the driver is up: from here an exit handler runs before the driver's own end,
 * and flushes CUPTI.
 */
void activity_arm(void);

/** Takes over what CUPTI has so far, unless somebody is at that already. */
void activity_tick(void);

/** Another client comes: everything is flushed and given back. */
void activity_give_way(void);

/** The trace is about to be closed: says whether something was left. No call of CUPTI. */
void activity_close(void);

void activity_fork_child(void);

#endif
