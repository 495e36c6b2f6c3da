/* SPDX-License-Identifier: MIT */
/*
 * NVIDIA's own runtime, CUPTI and libraries ask the driver for tables that only NVIDIA's driver
 * has, and give up with an error that says nothing. What asked, and what to do, is said once for
 * each module on stderr.
 */
#ifndef SIMGPU_DRIVER_API_STRANGER_H
#define SIMGPU_DRIVER_API_STRANGER_H

/** `caller` is an address in the module that asked. No lock. */
void stranger_explain(void *caller);

#endif
