/* SPDX-License-Identifier: MIT */
/*
 * One step of fuzzing budgets and baselines.
 */
#ifndef TESTS_FUZZ_BUDGET_FUZZ_H
#define TESTS_FUZZ_BUDGET_FUZZ_H

#include <stdbool.h>
#include <stddef.h>

/** Reads bytes as a budget or a baseline; true when they are sound. Aborts when the error is no
 * line of text. */
bool budget_inputs_fuzz(const void *data, size_t bytes);

#endif
