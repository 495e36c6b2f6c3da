/* SPDX-License-Identifier: MIT */
/*
 * Offsets are those of the headers of each version on 64-bit machines.
 */
#include "cupti/stack/python_frames.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/stack/module_symbol.h"
#include "cupti/stack/unwind_rules.h"

#define NONE          (-1)
#define OWNER_C_STACK 3 /* a frame that stands for C code, from 3.12 on */
#define FRAMES_MOST   4096

struct python_layout {
    int minor;
    int current;                            /* in the thread state: the frame, or what holds it */
    int held;                               /* in what holds it; NONE: it is the frame itself */
    int previous, code, instruction, owner; /* in a frame; owner NONE: there is none */
    int instruction_unit;                   /* bytes of a unit of an index; 0: it is a pointer */
    int file, name;                         /* in a code object */
    int first;                              /* its first instruction; NONE: an index needs none */
    int text, text_wide;                    /* where the letters of a text begin: ASCII, others */
};

static const struct python_layout layouts[] = {
    {9, 24, NONE, 24, 32, 104, NONE, 1, 104, 112, NONE, 48, 72},
    {10, 24, NONE, 24, 32, 96, NONE, 2, 104, 112, NONE, 48, 72},
    {11, 56, 8, 48, 32, 56, NONE, 0, 112, 128, 184, 48, 72},
    {12, 56, 0, 8, 0, 56, 70, 0, 112, 128, 192, 40, 56},
    {13, 72, NONE, 8, 0, 56, 70, 0, 112, 128, 200, 40, 56},
};

#define TYPE_OFFSET   8
#define LENGTH_OFFSET 16
#define STATE_OFFSET  32

static inline void *pointer_at(const void *object, int offset)
{
    void *value;

    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static inline uint32_t number_at(const void *object, int offset)
{
    uint32_t value;

    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static const struct python_layout *layout_of(const char *version)
{
    char *end;
    long minor;

    if (strncmp(version, "3.", 2) != 0 || strstr(version, "free-threading"))
        return NULL;
    minor = strtol(version + 2, &end, 10);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].minor == minor && sizeof(void *) == 8)
            return &layouts[i];
    return NULL;
}

bool python_find(struct python *ret_python)
{
    struct python python = {0};
    const char *(*version)(void) = (__typeof__(version))module_symbol_find("Py_GetVersion");

    if (!version)
        return false;
    python.layout = layout_of(version());
    python.thread_state = (__typeof__(python.thread_state))module_symbol_find(
        "PyGILState_GetThisThreadState");
    python.is_finalizing = (__typeof__(python.is_finalizing))module_symbol_find("_Py_IsFinalizing");
    if (!python.is_finalizing)
        python.is_finalizing = (__typeof__(python.is_finalizing))module_symbol_find(
            "Py_IsFinalizing");
    python.line = (__typeof__(python.line))module_symbol_find("PyCode_Addr2Line");
    python.code_type = module_symbol_find("PyCode_Type");
    if (!python.layout || !python.thread_state || !python.is_finalizing || !python.line ||
        !python.code_type ||
        !unwind_module_find((uintptr_t)python.thread_state, &python.begin, &python.end))
        return false;
    *ret_python = python;
    return true;
}

/** Letters of a text object; it has 1, 2 or 4 bytes a letter, and lies in one piece. */
static bool text_read(const struct python_layout *layout, const void *object,
                      struct trace_text *ret_text)
{
    uint32_t state = object ? number_at(object, STATE_OFFSET) : 0;
    unsigned kind = state >> 2 & 7;
    bool compact = state >> 5 & 1, ascii = state >> 6 & 1;

    if (!compact || (kind != 1 && kind != 2 && kind != 4))
        return false;
    *ret_text = (struct trace_text){.data = (const char *)object +
                                            (ascii ? layout->text : layout->text_wide),
                                    .letters = number_at(object, LENGTH_OFFSET),
                                    .width = kind};
    return true;
}

static int byte_of(const struct python_layout *layout, const void *frame, const void *code)
{
    if (layout->instruction_unit)
        return (int)number_at(frame, layout->instruction) * layout->instruction_unit;
    return (int)((const char *)pointer_at(frame, layout->instruction) -
                 ((const char *)code + layout->first));
}

static bool frame_read(const struct python *python, const void *frame,
                       struct trace_python_frame *ret_frame)
{
    const struct python_layout *layout = python->layout;
    void *code = pointer_at(frame, layout->code);
    int line;

    if (layout->owner != NONE && ((const char *)frame)[layout->owner] == OWNER_C_STACK)
        return false;
    if (!code || pointer_at(code, TYPE_OFFSET) != python->code_type ||
        !text_read(layout, pointer_at(code, layout->file), &ret_frame->file) ||
        !text_read(layout, pointer_at(code, layout->name), &ret_frame->function))
        return false;
    line = python->line(code, byte_of(layout, frame, code));
    ret_frame->line = line > 0 ? (uint32_t)line : 0;
    return true;
}

unsigned python_frames(const struct python *python, struct trace_python_frame *ret_frames,
                       unsigned most)
{
    const struct python_layout *layout = python->layout;
    const void *state = python->is_finalizing() ? NULL : python->thread_state();
    const void *frame = state ? pointer_at(state, layout->current) : NULL;
    unsigned count = 0;

    if (frame && layout->held != NONE)
        frame = pointer_at(frame, layout->held);
    for (unsigned i = 0; frame && count < most && i < FRAMES_MOST; i++) {
        count += frame_read(python, frame, &ret_frames[count]);
        frame = pointer_at(frame, layout->previous);
    }
    return count;
}
