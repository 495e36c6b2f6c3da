/* SPDX-License-Identifier: MIT */
/*
 * Detects changes of mappings under work: a program removes a mapping, or its access, while
 * submitted and unfinished work still uses it. On hardware such work may read the memory mapped
 * there next, or fault, or neither; here it is detected.
 */
#ifndef SIMGPU_DRIVER_WORK_EDIT_H
#define SIMGPU_DRIVER_WORK_EDIT_H

#include "tests/simgpu/driver/base/driver.h"

/**
 * A call is about to change [address, +bytes): counts each unit of work that would notice, with a
 * line in the log, and on stderr if SIMGPU_VERBOSE. Profile key edit_breaks: its context is broken.
 */
void edit_check(enum call_id id, uintptr_t address, size_t bytes);

/** How many units of work so far. No lock. */
uint64_t edit_count(void);

#endif
