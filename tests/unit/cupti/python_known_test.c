/* SPDX-License-Identifier: MIT */
/*
 * Strings as the interpreter lays them out, and remembered frames when a string of another shape
 * lies where the remembered one was.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/stack/python_frames.h"
#include "cupti/stack/python_known.h"

#define ASCII   UINT32_C(0x64) /* letters of 1 byte, behind the object, ASCII */
#define OUTSIDE UINT32_C(0x44) /* the same of a subclass: elsewhere */
#define HASH    UINT64_C(0x1234567)
#define LETTERS "take"

enum { AT_FILE = 16, AT_NAME = 24, AT_FIRST_LINE = 32, AT_LINES = 40, AT_TEXT = 40, AT_WIDE = 56 };

static const struct python_layout layout = {.file = AT_FILE,
                                            .name = AT_NAME,
                                            .text = AT_TEXT,
                                            .text_wide = AT_WIDE,
                                            .first_line = AT_FIRST_LINE,
                                            .lines = AT_LINES};
static const int bytes_type;
static const struct python python = {.layout = &layout, .bytes_type = &bytes_type};
static const struct trace_python_frame nothing;

static void put(void *object, int offset, const void *value, size_t bytes)
{
    memcpy((char *)object + offset, value, bytes);
}

static void put_pointer(void *object, int offset, const void *pointer)
{
    put(object, offset, &pointer, sizeof pointer);
}

/** Makes a string whose letters are where its state says. */
static void text_make(void *text, uint32_t state, uint64_t hash)
{
    memset(text, 0, 64);
    put(text, PYTHON_LENGTH, &(uint64_t){strlen(LETTERS)}, 8);
    put(text, PYTHON_TEXT_HASH, &hash, 8);
    put(text, PYTHON_TEXT_STATE, &state, 4);
    if (state & PYTHON_TEXT_COMPACT)
        put(text, AT_TEXT, LETTERS, strlen(LETTERS));
    else
        put_pointer(text, AT_WIDE, LETTERS);
}

static void code_make(void *code, const void *file, const void *name, void *lines)
{
    memset(code, 0, 64);
    memset(lines, 0, 64);
    put_pointer(lines, PYTHON_TYPE, &bytes_type);
    put_pointer(code, AT_FILE, file);
    put_pointer(code, AT_NAME, name);
    put_pointer(code, AT_LINES, lines);
}

static struct trace_python_frame frame_of(const void *file, const void *name)
{
    struct trace_python_frame frame = {.line = 1};

    cr_assert(text_read(&layout, file, &frame.file));
    cr_assert(text_read(&layout, name, &frame.function));
    trace_python_frame_mix(&frame);
    return frame;
}

Test(python_known, texts_outside_are_read)
{
    char text[64];
    struct trace_text found;

    text_make(text, OUTSIDE, HASH);
    cr_assert(text_read(&layout, text, &found));
    cr_assert(found.letters == strlen(LETTERS) && found.width == 1);
    cr_assert(memcmp(found.data, LETTERS, found.letters) == 0);
    put_pointer(text, AT_WIDE, NULL);
    cr_assert_not(text_read(&layout, text, &found));
}

/** The same letters, and so the same hash, at the same address: but the letters are elsewhere. */
Test(python_known, another_shape_is_another_text)
{
    static struct python_known known;
    char file[64], name[64], code[64], lines[64];
    const uint64_t hashes[] = {HASH, PYTHON_NO_HASH};

    for (unsigned i = 0; i < 2; i++) {
        memset(&known, 0, sizeof known);
        for (char *other = file; other; other = other == file ? name : NULL) {
            struct trace_python_frame frame;

            text_make(file, ASCII, hashes[i]);
            text_make(name, ASCII, hashes[i]);
            code_make(code, file, name, lines);
            frame = frame_of(file, name);
            python_known_begin(&known);
            cr_assert(python_known_add(&known, &python, code, 1, &frame));
            cr_assert(python_known_find(&known, &layout, code, 1, &nothing));
            text_make(other, OUTSIDE, hashes[i]);
            cr_assert_not(python_known_find(&known, &layout, code, 1, &nothing));
            python_known_begin(&known);
            frame = frame_of(file, name);
            cr_assert_not(python_known_add(&known, &python, code, 1, &frame));
        }
    }
}
