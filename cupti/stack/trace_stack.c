/* SPDX-License-Identifier: MIT */
/*
 * See trace_stack.h.
 */
#include "cupti/stack/trace_stack.h"

#include <string.h>

#include "cupti/base/mix.h"

static uint32_t text_bytes(const struct trace_text *text)
{
    uint32_t letters = text->letters < TRACE_TEXT_LETTERS ? text->letters : TRACE_TEXT_LETTERS;

    return letters * (text->width ? text->width : 1);
}

/** Each lane hashes different words; both are combined at the end. */
static void mix_add_text(struct mix *mix, const struct trace_text *text)
{
    const unsigned char *data = text->data;
    uint32_t bytes = text_bytes(text);
    uint64_t part[2];
    struct mix lanes = {bytes, text->width};

    for (; bytes >= sizeof part; data += sizeof part, bytes -= (uint32_t)sizeof part) {
        memcpy(part, data, sizeof part);
        mix_add_both(&lanes, part[0], part[1]);
    }
    memset(part, 0, sizeof part);
    memcpy(part, data, bytes);
    mix_add(mix, lanes.a ^ part[0]);
    mix_add(mix, lanes.b + part[1]);
}

void trace_python_frame_mix(struct trace_python_frame *frame)
{
    struct mix mix = {0};

    mix_add_text(&mix, &frame->file);
    frame->file_mixed = mix.a;
    mix_add(&mix, frame->line);
    mix_add_text(&mix, &frame->function);
    frame->mixed[0] = mix.a;
    frame->mixed[1] = mix.b;
}
