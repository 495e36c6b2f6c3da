/* SPDX-License-Identifier: MIT */
/*
 * The one way by which text from outside becomes a string of JSON: escaped as in every other
 * format. jansson itself would write control characters of C1 and marks of the reading order as
 * they are.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_BASE_JSON_TEXT_H
#define TOOLS_BASE_JSON_TEXT_H

#include <jansson.h>

/** Makes a string of a text (escape_copy). NULL: no memory, or no text. */
json_t *json_text(const char *text);

/** Does the same; null where there is no text. */
json_t *json_text_or_null(const char *text);

#endif
