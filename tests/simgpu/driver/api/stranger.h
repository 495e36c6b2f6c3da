/* SPDX-License-Identifier: MIT */
/*
 * Detects NVIDIA's own runtime, CUPTI and libraries: they ask the driver for tables that only
 * NVIDIA's driver has, and fail with an unclear error. For each such module, one line on stderr
 * names it and the remedy.
 */
#ifndef SIMGPU_DRIVER_API_STRANGER_H
#define SIMGPU_DRIVER_API_STRANGER_H

/** `caller` is an address in the module that asked. No lock. */
void stranger_explain(void *caller);

#endif
