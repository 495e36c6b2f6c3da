/* SPDX-License-Identifier: MIT */
/* Prints ptxas's output for the codecs' kernels from the build (kernels/compile.py). */
#ifndef TESTS_BENCH_KERNEL_REPORT_H
#define TESTS_BENCH_KERNEL_REPORT_H

#include <stdbool.h>

/** Prints a line, or an object of JSON, for each kernel: registers by architecture, the maximum of
 * shared memory and of spills. Prints nothing without a report. */
void kernel_report_print(const char *path, bool json);

#endif
