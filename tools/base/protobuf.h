/* SPDX-License-Identifier: MIT */
/*
 * Writes messages of the protocol-buffer wire format, as far as a profile needs them: varints and
 * length-delimited fields, in a growing buffer.
 *
 * Threading: a buffer belongs to one thread.
 */
#ifndef TOOLS_BASE_PROTOBUF_H
#define TOOLS_BASE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct protobuf {
    unsigned char *data;
    size_t bytes, room;
    bool failed; /* out of memory; nothing is added any more */
};

void protobuf_done(struct protobuf *buffer);

/** A number field; 0 is left out, as proto3 has it. */
void protobuf_add_number(struct protobuf *buffer, unsigned field, uint64_t value);

/** A text or a message. */
void protobuf_add_bytes(struct protobuf *buffer, unsigned field, const void *data, size_t bytes);

/** A packed list of numbers. */
void protobuf_add_numbers(struct protobuf *buffer, unsigned field, const uint64_t *values,
                          size_t count);

/** Adds a message and empties it. */
void protobuf_add_message(struct protobuf *buffer, unsigned field, struct protobuf *message);

#endif
