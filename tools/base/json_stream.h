/* SPDX-License-Identifier: MIT */
/*
 * JSON that is written as it is made, so that a report of a million rows is never in memory as a
 * whole. It looks as jansson writes it with an indentation of 1; the caller gives the keys of an
 * object in their order.
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
    unsigned depth;                /* of what is open */
    char close[JSON_STREAM_DEPTH]; /* the sign that ends it */
    bool begun[JSON_STREAM_DEPTH]; /* it has a member */
    bool failed;                   /* out of memory */
};

/** Opens an object ('{') or an array ('['), as the member of a key or, with NULL, as an element. */
void json_stream_open(struct json_stream *stream, const char *key, char sign);
void json_stream_close(struct json_stream *stream);

/** Adds a member or, with NULL as the key, an element; takes the value over. NULL: no memory. */
void json_stream_add(struct json_stream *stream, const char *key, json_t *value);

#endif
