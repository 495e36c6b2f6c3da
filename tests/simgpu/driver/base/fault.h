/* SPDX-License-Identifier: MIT */
/*
 * SIMGPU_FAULT: calls that fail although nothing is wrong. "cuMemCreate:7:OUT_OF_MEMORY" fails the
 * seventh cuMemCreate; several, separated by commas. "seed:42,p:0.01" fails every fallible call
 * with that probability, the same ones for the same seed and order of calls.
 */
#ifndef SIMGPU_DRIVER_BASE_FAULT_H
#define SIMGPU_DRIVER_BASE_FAULT_H

#include "tests/simgpu/driver/base/driver.h"

extern bool fault_armed; /* immutable after load */

void fault_load(void);

/** The error to return instead of running the call, or CUDA_SUCCESS. No lock. */
CUresult fault_check(enum call_id id);

/** Name and description of a result without and with CUDA_ERROR_; NULL if there is no such. */
const char *result_name(CUresult result);
const char *result_description(CUresult result);
/** The result called "OUT_OF_MEMORY" or "CUDA_ERROR_OUT_OF_MEMORY"; false if there is none. */
bool result_by_name(const char *name, CUresult *ret);

const char *call_name(enum call_id id);
/** CALL_COUNT if there is none. */
enum call_id call_by_name(const char *name, size_t length);

#endif
