/* SPDX-License-Identifier: MIT */
/*
 * The offsets are from the headers of each version on 64-bit machines.
 */
#include "cupti/stack/python_frames.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/likely.h"
#include "cupti/stack/module_symbol.h"
#include "cupti/stack/python_layout.h"
#include "cupti/stack/unwind_rules.h"

#define OWNER_C_STACK 3 /* a frame that stands for C code, from 3.12 on */
#define FRAMES_MOST   4096

static const struct python_layout layouts[] = {
    {9, 24, PYTHON_NONE, 24, 32, 104, PYTHON_NONE, 1, 104, 112, PYTHON_NONE, 48, 72, PYTHON_NONE,
     PYTHON_NONE},
    {10, 24, PYTHON_NONE, 24, 32, 96, PYTHON_NONE, 2, 104, 112, PYTHON_NONE, 48, 72, PYTHON_NONE,
     PYTHON_NONE},
    {11, 56, 8, 48, 32, 56, PYTHON_NONE, 0, 112, 128, 184, 48, 72, 72, 136},
    {12, 56, 0, 8, 0, 56, 70, 0, 112, 128, 192, 40, 56, 68, 136},
    {13, 72, PYTHON_NONE, 8, 0, 56, 70, 0, 112, 128, 200, 40, 56, 68, 136},
};

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
    python.bytes_type = module_symbol_find("PyBytes_Type");
    if (!python.layout || !python.thread_state || !python.is_finalizing || !python.line ||
        !python.code_type || !python.bytes_type ||
        !unwind_module_find((uintptr_t)python.thread_state, &python.begin, &python.end))
        return false;
    *ret_python = python;
    return true;
}

static int byte_of(const struct python_layout *layout, const void *code, uintptr_t instruction)
{
    if (layout->instruction_unit)
        return (int)(uint32_t)instruction * layout->instruction_unit;
    return (int)((const char *)instruction - ((const char *)code + layout->first));
}

/** Reads a frame that is not cached. */
static bool frame_read(const struct python *python, void *code, uintptr_t instruction,
                       struct trace_python_frame *ret_frame)
{
    const struct python_layout *layout = python->layout;
    int line;

    if (!text_read(layout, pointer_at(code, layout->file), &ret_frame->file) ||
        !text_read(layout, pointer_at(code, layout->name), &ret_frame->function))
        return false;
    line = python->line(code, byte_of(layout, code, instruction));
    ret_frame->line = line > 0 ? (uint32_t)line : 0;
    trace_python_frame_mix(ret_frame);
    return true;
}

/** Returns a frame, and remembers it where possible; NULL: none. */
__attribute__((noinline)) static const struct trace_python_frame *frame_add(
    const struct python *python, struct python_frames *frames, unsigned *own, void *code,
    uintptr_t instruction)
{
    struct trace_python_frame *frame = &frames->own[*own];
    const struct trace_python_frame *known;

    if (!frame_read(python, code, instruction, frame))
        return NULL;
    known = python_known_add(&frames->known, python, code, instruction, frame);
    if (known)
        return known;
    ++*own;
    return frame;
}

/** Returns the code of a frame; NULL: not Python code. */
static inline void *frame_code(const struct python_layout *layout, const void *code_type,
                               const void *frame)
{
    void *code = pointer_at(frame, layout->code);

    if (layout->owner != PYTHON_NONE && ((const char *)frame)[layout->owner] == OWNER_C_STACK)
        return NULL;
    return code && pointer_at(code, PYTHON_TYPE) == code_type ? code : NULL;
}

static inline uintptr_t frame_instruction(const struct python_layout *layout, const void *frame)
{
    return layout->instruction_unit ? number_at(frame, layout->instruction)
                                    : (uintptr_t)pointer_at(frame, layout->instruction);
}

unsigned python_frames(const struct python *python, struct python_frames *frames, unsigned most)
{
    const struct python_layout layout = *python->layout;
    const void *state = python->is_finalizing() ? NULL : python->thread_state();
    const void *frame = state ? pointer_at(state, layout.current) : NULL;
    const void *code_type = python->code_type;
    const struct trace_python_frame nothing = {0}, *callee = &nothing;
    unsigned count = 0, own = 0;

    if (frame && layout.held != PYTHON_NONE)
        frame = pointer_at(frame, layout.held);
    python_known_begin(&frames->known);
    for (unsigned i = 0; frame && count < most && i < FRAMES_MOST; i++) {
        void *code = frame_code(&layout, code_type, frame);

        if (code) {
            uintptr_t instruction = frame_instruction(&layout, frame);
            const struct trace_python_frame *known = python_known_find(&frames->known, &layout,
                                                                       code, instruction, callee);

            if (unlikely(!known))
                known = frame_add(python, frames, &own, code, instruction);
            if (known)
                frames->frame[count++] = callee = known;
        }
        frame = pointer_at(frame, layout.previous);
    }
    return count;
}
