/* SPDX-License-Identifier: MIT */
/*
 * Maps whole stacks to ids. A stack is a path in the tree of frames, written from its root, so a
 * frame's id is higher than that of the frame that calls it. A known stack is found by a hash of 96
 * bits over all of it, without comparing it: two of a million stacks share a hash with a
 * probability below 1e-16.
 *
 * Threading: as trace_intern.h says.
 */
#include "cupti/write/trace_intern.h"

#include <string.h>

#include "cupti/base/mix.h"
#include "cupti/base/pages.h"
#include "cupti/base/safe_text.h"

/* Room reserved for single frames: a stack is truncated before it is lost. */
#define LEAVES_ROOM (SITE_TABLE_MOST / 8)

struct site_key trace_intern_stack_key(const struct trace_stack *stack)
{
    struct mix mix = {stack->codes, stack->pythons};

    for (unsigned i = 0; i < stack->codes; i++)
        mix_add(&mix, stack->code[i]);
    for (unsigned i = 0; i < stack->pythons; i++)
        mix_add_both(&mix, stack->python[i]->mixed[0], stack->python[i]->mixed[1]);
    return (struct site_key){mix.a ? mix.a : 1, (uint32_t)(mix.b >> 32)};
}

static uint32_t letter_get(const struct trace_text *text, uint32_t i)
{
    switch (text->width) {
    case 2: return ((const uint16_t *)text->data)[i];
    case 4: return ((const uint32_t *)text->data)[i];
    default: return ((const unsigned char *)text->data)[i];
    }
}

/** Encodes a character as UTF-8; returns the number of bytes, at most 4. */
static size_t letter_put(uint32_t letter, char *ret_bytes)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t bytes = letter < 0x80 ? 1 : letter < 0x800 ? 2 : letter < 0x10000 ? 3 : 4;

    if (bytes == 1) {
        *ret_bytes = (char)letter;
        return 1;
    }
    for (size_t i = bytes; i-- > 1; letter >>= 6)
        ret_bytes[i] = (char)(0x80 | (letter & 0x3f));
    ret_bytes[0] = (char)(lead[bytes] | letter);
    return bytes;
}

/** `ret_text` has room for TRACE_TEXT_LETTERS of 4 bytes and a terminator. A NUL does not end it
 * earlier. */
static void text_convert(const struct trace_text *text, char *ret_text)
{
    uint32_t letters = text->letters < TRACE_TEXT_LETTERS ? text->letters : TRACE_TEXT_LETTERS;
    size_t used = 0;

    if (!text->width) {
        memcpy(ret_text, text->data, letters);
        ret_text[letters] = '\0';
        return;
    }
    for (uint32_t i = 0; i < letters; i++) {
        uint32_t letter = letter_get(text, i);

        used += letter_put(letter ? letter : SAFE_TEXT_REPLACEMENT, ret_text + used);
    }
    ret_text[used] = '\0';
}

struct python_texts {
    char file[4 * TRACE_TEXT_LETTERS + 1], function[4 * TRACE_TEXT_LETTERS + 1];
};

static uint32_t python_intern(struct trace_intern *intern, const struct trace_python_frame *frame,
                              struct python_texts *texts, uint32_t caller, uint64_t time_ns)
{
    text_convert(&frame->file, texts->file);
    text_convert(&frame->function, texts->function);
    return trace_intern_python(intern, texts->file, texts->function, frame->line, caller, time_ns);
}

static bool has_room(struct trace_intern *intern)
{
    bool room;

    pthread_mutex_lock(&intern->lock);
    room = intern->table.used < SITE_TABLE_MOST - LEAVES_ROOM;
    pthread_mutex_unlock(&intern->lock);
    return room;
}

/** Writes the frames of Python; 0 when some cannot be written. */
static uint32_t pythons_intern(struct trace_intern *intern, const struct trace_stack *stack,
                               uint64_t time_ns)
{
    struct python_texts *texts = pages_map(sizeof *texts);
    uint32_t id = 0;

    for (unsigned i = stack->pythons; texts && i-- > 0;) {
        id = python_intern(intern, stack->python[i], texts, id, time_ns);
        if (!id)
            break;
    }
    pages_unmap(texts, sizeof *texts);
    return id;
}

/** Writes the whole path; 0 when a frame of it cannot be written. */
static uint32_t path_intern(struct trace_intern *intern, const struct trace_stack *stack,
                            uint64_t time_ns)
{
    uint32_t id = stack->pythons ? pythons_intern(intern, stack, time_ns) : 0;
    bool whole = id || !stack->pythons;

    for (unsigned i = stack->codes; i-- > 0 && whole;) {
        id = trace_intern_site(intern, stack->code[i], id, time_ns);
        whole = id != 0;
    }
    return whole ? id : 0;
}

uint32_t trace_intern_stack(struct trace_intern *intern, const struct trace_stack *stack,
                            uint64_t time_ns, bool *ret_cut)
{
    struct site_key key = trace_intern_stack_key(stack);
    uint32_t id = site_table_find(&intern->stacks, key);

    if (id)
        return id;
    if (stack->codes + stack->pythons == 1 || has_room(intern))
        id = path_intern(intern, stack, time_ns);
    if (!id) {
        *ret_cut = true;
        id = trace_intern_site(intern, stack->code[0], 0, time_ns);
    }
    if (!id)
        return 0;
    pthread_mutex_lock(&intern->lock);
    if (!site_table_find(&intern->stacks, key))
        site_table_insert(&intern->stacks, key, id);
    pthread_mutex_unlock(&intern->lock);
    return id;
}
