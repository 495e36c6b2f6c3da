/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's Python frames, read from the interpreter's own structures.
 *
 * Libraries release the interpreter's lock around CUDA calls, so nothing here requires it: nothing
 * is called that counts references, allocates, collects or raises. A thread's frames and their code
 * do not change during the call. The structures of CPython 3.9 to 3.13 are known, each by its
 * version; any other version, and builds without the lock, give no frames. Code objects are checked
 * by their type before use.
 *
 * Threading: any thread.
 */
#ifndef CUPTI_STACK_PYTHON_FRAMES_H
#define CUPTI_STACK_PYTHON_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti/stack/python_known.h"
#include "cupti/stack/trace_stack.h"

struct python_layout;

struct python {
    const struct python_layout *layout;
    void *(*thread_state)(void);
    int (*is_finalizing)(void);
    int (*line)(void *code, int byte);
    const void *code_type, *bytes_type;
    uintptr_t begin, end; /* code of the interpreter */
};

/** Finds the interpreter of the process. False: none of a known version. */
bool python_find(struct python *ret_python);

/** Frames of a thread, and its cache of frames seen before. */
struct python_frames {
    const struct trace_python_frame *frame[TRACE_STACK_FRAMES]; /* innermost first */
    struct trace_python_frame own[TRACE_STACK_FRAMES];          /* those that are not remembered */
    struct python_known known;
};

/**
 * Takes the frames of the calling thread, `most` at most; their strings are valid while the thread
 * does not return to Python.
 */
unsigned python_frames(const struct python *python, struct python_frames *frames, unsigned most);

#endif
