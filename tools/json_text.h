/* SPDX-License-Identifier: MIT */
/*
 * Text from a trace as a JSON string.
 *
 * Threading: no state.
 */
#ifndef TOOLS_JSON_TEXT_H
#define TOOLS_JSON_TEXT_H

#include <jansson.h>

/** What is not UTF-8, or must not be shown, becomes U+FFFD (escape.h). NULL: out of memory. */
json_t *json_text(const char *text);

#endif
