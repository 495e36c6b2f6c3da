/* SPDX-License-Identifier: MIT */
/*
 * A cache of Python frames per thread: a stack seen again costs one comparison per frame.
 *
 * A frame is keyed by its code object and its instruction. Both addresses may be reused, so a hit
 * is verified: the table of lines, the first line and both strings are compared by content, or by
 * hash where the interpreter has hashed the string. Entries need not be removed when code is freed.
 *
 * Copies of the contents lie in a ring buffer; entries that it has overwritten are lost. An entry
 * returned in the current walk is not replaced until the next walk begins.
 *
 * Threading: one thread. All-zero memory is an empty cache.
 */
#ifndef CUPTI_STACK_PYTHON_KNOWN_H
#define CUPTI_STACK_PYTHON_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti/stack/python_layout.h"
#include "cupti/stack/trace_stack.h"

#define PYTHON_KNOWN_SETS  64 /* power of two */
#define PYTHON_KNOWN_WAYS  4
#define PYTHON_KNOWN_BYTES 65536 /* of copies; a frame has a quarter at most */

struct python;

struct python_known_text {
    const void *object;
    uint64_t hash; /* the interpreter's; -1: it had none, there is a copy */
    uint64_t letters;
    uint32_t state, bytes;
    uint32_t letters_at; /* in the object */
    uint32_t copy;       /* where its copy is among the frame's */
};

struct python_known_frame {
    const void *code; /* NULL: free */
    uintptr_t instruction;
    const char *table;
    uint64_t table_bytes, copies; /* where the copies begin, of all bytes ever copied */
    struct python_known_text file, function;
    struct trace_python_frame frame;
    uint32_t first_line, walk;
};

struct python_known {
    uint64_t copied; /* bytes, ever */
    uint32_t walk, next_way;
    struct python_known_frame frame[PYTHON_KNOWN_SETS][PYTHON_KNOWN_WAYS];
    char copies[PYTHON_KNOWN_BYTES];
};

/** Begins a walk. */
static inline void python_known_begin(struct python_known *known)
{
    known->walk++;
}

#define PYTHON_NO_HASH UINT64_MAX

/** The entries that a frame may be in. */
static inline struct python_known_frame *python_known_ways(struct python_known *known,
                                                           const void *code, uintptr_t instruction)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)code << 16 ^ (uint64_t)instruction) *
                     UINT64_C(0x9e3779b97f4a7c15);

    return known->frame[mixed / (UINT64_MAX / PYTHON_KNOWN_SETS + 1)];
}

/** Compares a string by its hash, else by its characters with its copy. Its characters must be
 * where those of the copy were: a string of a subclass has the same hash, and them elsewhere. */
static inline bool python_known_text_is_same(const struct python_known_text *text,
                                             const void *object, const char *copies)
{
    if (object != text->object ||
        (number_at(object, PYTHON_TEXT_STATE) ^ text->state) & PYTHON_TEXT_SHAPE)
        return false;
    if (text->hash != PYTHON_NO_HASH)
        return word_at(object, PYTHON_TEXT_HASH) == text->hash;
    return word_at(object, PYTHON_LENGTH) == text->letters &&
           memcmp((const char *)object + text->letters_at, copies + text->copy, text->bytes) == 0;
}

/** Whether an entry is still correct for the code that is there now. */
static inline bool python_known_is_right(const struct python_known *known,
                                         const struct python_known_frame *entry,
                                         const struct trace_python_frame *callee,
                                         const struct python_layout *layout, const void *code)
{
    const char *copies = known->copies + entry->copies % PYTHON_KNOWN_BYTES;

    if (known->copied - entry->copies > PYTHON_KNOWN_BYTES ||
        pointer_at(code, layout->lines) != entry->table ||
        number_at(code, layout->first_line) != entry->first_line ||
        word_at(entry->table, PYTHON_LENGTH) != entry->table_bytes ||
        memcmp(entry->table + PYTHON_BYTES, copies, entry->table_bytes) != 0 ||
        !python_known_text_is_same(&entry->function, pointer_at(code, layout->name), copies))
        return false;
    /* Often the file is that of the frame before, which was compared in this walk. */
    return (entry->frame.file.data == callee->file.data &&
            entry->frame.file_mixed == callee->file_mixed &&
            pointer_at(code, layout->file) == entry->file.object) ||
           python_known_text_is_same(&entry->file, pointer_at(code, layout->file), copies);
}

/**
 * Returns a known frame, valid until the next walk begins; NULL: unknown. `callee` is a frame of
 * this walk, or an empty one.
 */
static inline const struct trace_python_frame *python_known_find(
    struct python_known *known, const struct python_layout *layout, const void *code,
    uintptr_t instruction, const struct trace_python_frame *callee)
{
    struct python_known_frame *entry = python_known_ways(known, code, instruction);

    for (unsigned i = 0; i < PYTHON_KNOWN_WAYS; i++, entry++)
        if (entry->code == code && entry->instruction == instruction) {
            if (!python_known_is_right(known, entry, callee, layout, code))
                return NULL;
            entry->walk = known->walk;
            return &entry->frame;
        }
    return NULL;
}

/** Remembers a frame as it was read; NULL: it cannot be remembered. */
const struct trace_python_frame *python_known_add(struct python_known *known,
                                                  const struct python *python, const void *code,
                                                  uintptr_t instruction,
                                                  const struct trace_python_frame *frame);

#endif
