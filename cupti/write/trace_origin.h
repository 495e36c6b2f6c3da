/* SPDX-License-Identifier: MIT */
/*
 * The scope in which a pid is unique. Processes of two PID namespaces or machines may have the same
 * pid and write their traces to the same directory.
 *
 * Threading: any.
 */
#ifndef CUPTI_WRITE_TRACE_ORIGIN_H
#define CUPTI_WRITE_TRACE_ORIGIN_H

#include <stdint.h>

/** Returns a number for the PID namespace and the boot of the machine; 0: unknown. */
uint64_t trace_origin(void);

#endif
