/* SPDX-License-Identifier: MIT */
#include "tools/base/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static void bytes_add(struct protobuf *buffer, const void *data, size_t bytes)
{
    if (buffer->failed)
        return;
    if (buffer->bytes + bytes > buffer->room) {
        size_t room = 2 * (buffer->bytes + bytes) + 64;
        unsigned char *grown = realloc(buffer->data, room);

        buffer->failed = !grown;
        if (!grown)
            return;
        buffer->data = grown;
        buffer->room = room;
    }
    if (bytes)
        memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
}

static void varint_add(struct protobuf *buffer, uint64_t value)
{
    unsigned char text[10];
    size_t bytes = 0;

    do {
        text[bytes++] = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value);
    bytes_add(buffer, text, bytes);
}

static void tag_add(struct protobuf *buffer, unsigned field, unsigned wire)
{
    varint_add(buffer, (uint64_t)field << 3 | wire);
}

void protobuf_done(struct protobuf *buffer)
{
    free(buffer->data);
    *buffer = (struct protobuf){0};
}

void protobuf_add_number(struct protobuf *buffer, unsigned field, uint64_t value)
{
    if (!value)
        return;
    tag_add(buffer, field, WIRE_VARINT);
    varint_add(buffer, value);
}

void protobuf_add_bytes(struct protobuf *buffer, unsigned field, const void *data, size_t bytes)
{
    tag_add(buffer, field, WIRE_BYTES);
    varint_add(buffer, bytes);
    bytes_add(buffer, data, bytes);
}

void protobuf_add_numbers(struct protobuf *buffer, unsigned field, const uint64_t *values,
                          size_t count)
{
    struct protobuf packed = {0};

    for (size_t i = 0; i < count; i++)
        varint_add(&packed, values[i]);
    protobuf_add_message(buffer, field, &packed);
    protobuf_done(&packed);
}

void protobuf_add_message(struct protobuf *buffer, unsigned field, struct protobuf *message)
{
    buffer->failed |= message->failed;
    protobuf_add_bytes(buffer, field, message->data, message->bytes);
    message->bytes = 0;
}
