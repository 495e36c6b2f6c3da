/* SPDX-License-Identifier: MIT */
/*
 * See python_known.h. Copies for a frame: its table of lines, then the strings without a hash.
 */
#include "cupti/stack/python_known.h"

#include <string.h>

#include "cupti/stack/python_frames.h"
#include "cupti/stack/python_layout.h"

#define COPIES_MOST (PYTHON_KNOWN_BYTES / 4)

static struct python_known_text text_of(const void *object, const struct trace_text *text)
{
    return (struct python_known_text){
        .object = object,
        .hash = word_at(object, PYTHON_TEXT_HASH),
        .letters = word_at(object, PYTHON_LENGTH),
        .state = number_at(object, PYTHON_TEXT_STATE),
        .bytes = text->letters * text->width,
        .letters_at = (uint32_t)((const char *)text->data - (const char *)object)};
}

/** Room in the ring for copies in one piece. */
static char *copies_reserve(struct python_known *known, uint64_t bytes)
{
    uint64_t at = known->copied % PYTHON_KNOWN_BYTES;

    if (at + bytes > PYTHON_KNOWN_BYTES) {
        known->copied += PYTHON_KNOWN_BYTES - at;
        at = 0;
    }
    known->copied += bytes;
    return known->copies + at;
}

/** Chooses the entry to replace: of the same code, or any that this walk has not returned. */
static struct python_known_frame *entry_choose(struct python_known *known, const void *code,
                                               uintptr_t instruction)
{
    struct python_known_frame *ways = python_known_ways(known, code, instruction);

    for (unsigned i = 0; i < PYTHON_KNOWN_WAYS; i++)
        if (ways[i].code == code && ways[i].instruction == instruction)
            return ways[i].walk != known->walk ? &ways[i] : NULL;
    for (unsigned i = 0; i < PYTHON_KNOWN_WAYS; i++)
        if (!ways[i].code)
            return &ways[i];
    for (unsigned i = 0; i < PYTHON_KNOWN_WAYS; i++) {
        struct python_known_frame *entry = &ways[known->next_way++ % PYTHON_KNOWN_WAYS];

        if (entry->walk != known->walk)
            return entry;
    }
    return NULL;
}

const struct trace_python_frame *python_known_add(struct python_known *known,
                                                  const struct python *python, const void *code,
                                                  uintptr_t instruction,
                                                  const struct trace_python_frame *frame)
{
    const struct python_layout *layout = python->layout;
    const char *table = layout->lines == PYTHON_NONE ? NULL : pointer_at(code, layout->lines);
    struct python_known_text file = text_of(pointer_at(code, layout->file), &frame->file);
    struct python_known_text function = text_of(pointer_at(code, layout->name), &frame->function);
    uint64_t table_bytes, file_bytes = file.hash == PYTHON_NO_HASH ? file.bytes : 0;
    uint64_t function_bytes = function.hash == PYTHON_NO_HASH ? function.bytes : 0;
    struct python_known_frame *entry;
    char *copy;

    if (!table || pointer_at(table, PYTHON_TYPE) != python->bytes_type ||
        !text_is_compact(file.object) || !text_is_compact(function.object))
        return NULL;
    table_bytes = word_at(table, PYTHON_LENGTH);
    if (table_bytes > COPIES_MOST || file.letters > COPIES_MOST / 4 ||
        function.letters > COPIES_MOST / 4 ||
        table_bytes + file_bytes + function_bytes > COPIES_MOST)
        return NULL;
    file.copy = (uint32_t)table_bytes;
    function.copy = (uint32_t)(table_bytes + file_bytes);
    entry = entry_choose(known, code, instruction);
    if (!entry)
        return NULL;
    copy = copies_reserve(known, table_bytes + file_bytes + function_bytes);
    *entry = (struct python_known_frame){
        .code = code,
        .instruction = instruction,
        .table = table,
        .table_bytes = table_bytes,
        .copies = known->copied - (table_bytes + file_bytes + function_bytes),
        .file = file,
        .function = function,
        .frame = *frame,
        .first_line = number_at(code, layout->first_line),
        .walk = known->walk,
    };
    memcpy(copy, table + PYTHON_BYTES, table_bytes);
    memcpy(copy + table_bytes, frame->file.data, file_bytes);
    memcpy(copy + table_bytes + file_bytes, frame->function.data, function_bytes);
    return &entry->frame;
}
