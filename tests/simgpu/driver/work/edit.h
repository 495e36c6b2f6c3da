/* SPDX-License-Identifier: MIT */
/*
 * Changes of mappings under work: a program that takes a mapping away, or its access, while work
 * that was submitted and is not done still uses it. On hardware such work reads what comes next
 * there, or faults, or does neither; here it is noticed.
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
