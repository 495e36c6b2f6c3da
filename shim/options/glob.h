/* SPDX-License-Identifier: MIT */
/*
 * Matches file names against patterns: `*`, `?`, `[set]` with ranges and `[!set]`, and a backslash
 * before a literal character. As fnmatch without flags in the C locale, with a hundredth of its
 * stack.
 *
 * Threading: no state.
 */
#ifndef SHIM_OPTIONS_GLOB_H
#define SHIM_OPTIONS_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/** Whether a pattern of `pattern_bytes` matches the whole name. */
bool glob_match(const char *pattern, size_t pattern_bytes, const char *name);

#endif
