/* SPDX-License-Identifier: MIT */
/*
 * SIMGPU_LOG: one line per call of the program, written with one write(), so that it
 * survives any end of the process. Fields, separated by tabs: sequence, thread, virtual ns, name,
 * result, key=value ...
 */
#ifndef SIMGPU_DRIVER_BASE_LOG_H
#define SIMGPU_DRIVER_BASE_LOG_H

#include "tests/simgpu/driver/base/driver.h"

extern bool log_enabled; /* immutable after load */
extern bool log_resolver;

void log_open(void);

/** No lock. */
void log_call(enum call_id id, CUresult result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Counts a launch without a twin, for the last lines of the log. No lock. */
void log_kernel_skip(void);
uint64_t log_kernels_skipped(void);

/** Counts a call of a math library that computed nothing. No lock. */
void log_library_call(void);
uint64_t log_library_calls(void);

/** A line of the device's own ("simgpu: ..."). No lock. */
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
