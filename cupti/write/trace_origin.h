/* SPDX-License-Identifier: MIT */
/*
 * Where a pid is unique: processes of two PID namespaces, or of two machines, may have one pid and
 * write their traces to one directory.
 *
 * Threading: any.
 */
#ifndef CUPTI_WRITE_TRACE_ORIGIN_H
#define CUPTI_WRITE_TRACE_ORIGIN_H

#include <stdint.h>

/** A number for this process's PID namespace and boot of the machine; 0: unknown. */
uint64_t trace_origin(void);

#endif
