/* SPDX-License-Identifier: MIT */
#include "tools/base/json_stream.h"

static void line_begin(struct json_stream *stream)
{
    fputc('\n', stream->out);
    for (unsigned i = 0; i < stream->depth; i++)
        fputc(' ', stream->out);
}

static void member_begin(struct json_stream *stream, const char *key)
{
    bool *begun = stream->depth ? &stream->begun[stream->depth - 1] : NULL;

    if (begun && *begun)
        fputc(',', stream->out);
    if (begun) {
        *begun = true;
        line_begin(stream);
    }
    if (key)
        fprintf(stream->out, "\"%s\": ", key);
}

void json_stream_open(struct json_stream *stream, const char *key, char sign)
{
    member_begin(stream, key);
    fputc(sign, stream->out);
    stream->close[stream->depth] = sign == '{' ? '}' : ']';
    stream->begun[stream->depth] = false;
    stream->depth++;
}

void json_stream_close(struct json_stream *stream)
{
    stream->depth--;
    if (stream->begun[stream->depth])
        line_begin(stream);
    fputc(stream->close[stream->depth], stream->out);
}

/** Line ends inside strings are escaped, so every line end seen here belongs to the layout. */
static int part_write(const char *part, size_t bytes, void *context)
{
    struct json_stream *stream = context;

    for (size_t i = 0; i < bytes; i++)
        if (part[i] == '\n')
            line_begin(stream);
        else
            fputc(part[i], stream->out);
    return 0;
}

void json_stream_add(struct json_stream *stream, const char *key, json_t *value)
{
    /* A mean of bytes needs as many digits as a double has. */
    const size_t flags = JSON_SORT_KEYS | JSON_INDENT(1) | JSON_REAL_PRECISION(15) |
                         JSON_ENCODE_ANY;

    member_begin(stream, key);
    if (!value || json_dump_callback(value, part_write, stream, flags) < 0)
        stream->failed = true;
    json_decref(value);
}
