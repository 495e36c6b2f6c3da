/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON as it is produced, so that a report of a million rows is never in memory as a whole.
 * The layout is that of jansson with an indentation of 1; the caller writes the keys of an object
 * in order.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_JSON_STREAM_H
#define TOOLS_BASE_JSON_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define JSON_STREAM_DEPTH 8

struct json_stream {
    FILE *out;
    unsigned depth;                /* of open objects and arrays */
    char close[JSON_STREAM_DEPTH]; /* the sign that ends it */
    bool begun[JSON_STREAM_DEPTH]; /* it has a member */
    bool failed;                   /* out of memory */
};

/** Opens an object ('{') or an array ('['): as a member with a key, or as an element with NULL. */
void json_stream_open(struct json_stream *stream, const char *key, char sign);
void json_stream_close(struct json_stream *stream);

/** Adds a member, or an element with NULL as the key; takes ownership of the value. NULL: no
 * memory. */
void json_stream_add(struct json_stream *stream, const char *key, json_t *value);

#endif
