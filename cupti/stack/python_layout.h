/* SPDX-License-Identifier: MIT */
/*
 * Offsets in the interpreter's structures, and how to read them.
 *
 * Threading: plain data; the structures of a frame do not change during its call.
 */
#ifndef CUPTI_STACK_PYTHON_LAYOUT_H
#define CUPTI_STACK_PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cupti/stack/trace_stack.h"

#define PYTHON_NONE (-1)

struct python_layout {
    int minor;
    int current;                            /* in the thread state: the frame, or what holds it */
    int held;                               /* in what holds it; NONE: it is the frame itself */
    int previous, code, instruction, owner; /* in a frame; owner NONE: there is none */
    int instruction_unit;                   /* bytes of a unit of an index; 0: it is a pointer */
    int file, name;                         /* in a code object */
    int first;                              /* its first instruction; NONE: an index needs none */
    int text, text_wide;                    /* where the letters of a text begin: ASCII, others */
    int first_line, lines;                  /* in a code object; lines NONE: not remembered */
};

/* The same in all versions. */
#define PYTHON_TYPE       8  /* in an object */
#define PYTHON_LENGTH     16 /* in a text or a bytes object */
#define PYTHON_TEXT_HASH  24 /* in a text; -1: not computed yet */
#define PYTHON_TEXT_STATE 32 /* in a text */
#define PYTHON_BYTES      32 /* the contents of a bytes object */

/* State of a string object: characters of 1, 2 or 4 bytes, behind the object, ASCII. */
#define PYTHON_TEXT_SHAPE   UINT32_C(0x7c)
#define PYTHON_TEXT_COMPACT UINT32_C(0x20)

static inline void *pointer_at(const void *object, int offset)
{
    void *value;

    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static inline uint64_t word_at(const void *object, int offset)
{
    uint64_t value;

    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static inline uint32_t number_at(const void *object, int offset)
{
    uint32_t value;

    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

/** Whether the characters of a string object lie behind it; not so in subclasses of str. */
static inline bool text_is_compact(const void *object)
{
    return number_at(object, PYTHON_TEXT_STATE) & PYTHON_TEXT_COMPACT;
}

/** Returns the characters of a string object; accepts 1, 2 or 4 bytes per character. */
static inline bool text_read(const struct python_layout *layout, const void *object,
                             struct trace_text *ret_text)
{
    uint32_t state = object ? number_at(object, PYTHON_TEXT_STATE) : 0;
    unsigned kind = state >> 2 & 7;
    bool ascii = state >> 6 & 1;
    const char *data;

    if (kind != 1 && kind != 2 && kind != 4)
        return false;
    if (text_is_compact(object))
        data = (const char *)object + (ascii ? layout->text : layout->text_wide);
    else
        data = pointer_at(object, layout->text_wide);
    if (!data)
        return false;
    *ret_text = (struct trace_text){
        .data = data, .letters = number_at(object, PYTHON_LENGTH), .width = kind};
    return true;
}

#endif
