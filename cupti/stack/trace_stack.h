/* SPDX-License-Identifier: MIT */
/*
 * The result of a stack walk: native frames, and above them Python frames.
 *
 * Threading: plain data.
 */
#ifndef CUPTI_STACK_TRACE_STACK_H
#define CUPTI_STACK_TRACE_STACK_H

#include <stdint.h>

/** A string in the interpreter's own format: `letters` of `width` bytes each. */
struct trace_text {
    const void *data;
    uint32_t letters;
    uint32_t width; /* 1: Latin-1, 2: UCS-2, 4: UCS-4; 0: `letters` bytes of UTF-8 */
};

#define TRACE_TEXT_LETTERS 1000 /* that are kept of a text */

/** A frame of Python code. */
struct trace_python_frame {
    struct trace_text file, function;
    uint32_t line;
    uint64_t mixed[2];   /* hashes of the whole frame, by trace_python_frame_mix */
    uint64_t file_mixed; /* and of its file */
};

/** Hashes file, function and line. */
void trace_python_frame_mix(struct trace_python_frame *frame);

/** Call stack: native frames, then Python frames; innermost first. */
struct trace_stack {
    const uintptr_t *code; /* addresses within the calls */
    unsigned codes;        /* at least 1 */
    const struct trace_python_frame *const *python;
    unsigned pythons;
};

#define TRACE_STACK_FRAMES 64 /* native and Python together, at most */

#endif
