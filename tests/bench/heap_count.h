/* SPDX-License-Identifier: MIT */
/*
 * Counts the heap calls of a program and of every library in it (heap_count.c).
 */
#ifndef TESTS_BENCH_HEAP_COUNT_H
#define TESTS_BENCH_HEAP_COUNT_H

#include <stdint.h>

/** Calls so far, of all threads. */
uint64_t heap_calls(void);

#endif
