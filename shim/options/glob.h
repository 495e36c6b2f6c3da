/* SPDX-License-Identifier: MIT */
/*
 * Patterns of file names: `*`, `?`, `[set]` with ranges and `[!set]`, and a backslash before what
 * is meant as it is. As fnmatch without flags in the C locale, with a hundredth of its stack.
 *
 * Threading: no state.
 */
#ifndef SHIM_OPTIONS_GLOB_H
#define SHIM_OPTIONS_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/** Whether a pattern of `pattern_bytes` describes the whole name. */
bool glob_match(const char *pattern, size_t pattern_bytes, const char *name);

#endif
