/* SPDX-License-Identifier: MIT */
/*
 * A stack as a walk leaves it: native frames, and above them those of Python.
 *
 * Threading: plain data.
 */
#ifndef CUPTI_STACK_TRACE_STACK_H
#define CUPTI_STACK_TRACE_STACK_H

#include <stdint.h>

/** A text in the interpreter's own form: `letters` of `width` bytes each. */
struct trace_text {
    const void *data;
    uint32_t letters;
    uint32_t width; /* 1: Latin-1, 2: UCS-2, 4: UCS-4; 0: `letters` bytes of UTF-8 */
};

/** A frame of Python code. */
struct trace_python_frame {
    struct trace_text file, function;
    uint32_t line;
};

/** Call stack: native frames, then Python frames; innermost first. */
struct trace_stack {
    const uintptr_t *code; /* addresses within the calls */
    unsigned codes;        /* at least 1 */
    const struct trace_python_frame *python;
    unsigned pythons;
};

#define TRACE_STACK_FRAMES 64 /* native and Python together, at most */

#endif
