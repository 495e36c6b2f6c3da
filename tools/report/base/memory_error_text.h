/* SPDX-License-Identifier: MIT */
/*
 * A memory error in words.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_REPORT_BASE_MEMORY_ERROR_TEXT_H
#define TOOLS_REPORT_BASE_MEMORY_ERROR_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/analysis/memory_errors.h"

/** "offset 100, 0 B past its end", "offset -8, 8 B before its start", "offset 77". */
void memory_error_place_text(const struct memory_errors_row *row, char *ret_text,
                             size_t text_bytes);

/** Whether a byte was found and another expected. */
bool memory_error_has_bytes(const struct memory_errors_row *row);

#endif
