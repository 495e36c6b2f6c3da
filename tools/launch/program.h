/* SPDX-License-Identifier: MIT */
/*
 * Inspects a program without running it: how it is linked, and so whether a preload library reaches
 * it.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_LAUNCH_PROGRAM_H
#define TOOLS_LAUNCH_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PROGRAM_LIBRARIES 16
#define PROGRAM_IMPORTS   64

struct program {
    char path[PATH_MAX];
    char interpreter[PATH_MAX]; /* of a script; empty: none */
    bool is_elf;
    bool is_dynamic;    /* the dynamic loader starts it */
    bool is_privileged; /* setuid, setgid or with file capabilities */
    bool has_static_cudart;
    bool needs_driver; /* libcuda.so.1 */
    size_t libraries;  /* CUDA libraries it is linked with */
    char library[PROGRAM_LIBRARIES][64];
    bool defines_dlsym; /* look-ups of the whole process go through its own */
    bool uses_dlmopen;
    size_t imports; /* memory functions of CUDA that it is linked to call */
    const char *import[PROGRAM_IMPORTS];
};

/**
 * Looks a program up as execvp does and inspects it. Errors: -ENOENT, -EACCES, -ENOEXEC, -EFBIG it
 * is mostly a hole, -errno.
 */
int program_inspect(const char *name, struct program *ret_program);

/** Returns a hooked function that takes or gives memory, by its exported name; NULL: no such. */
const char *program_memory_function(const char *name);

/** Returns why a preload library would not reach the program, or NULL when it would. */
const char *program_escape(const struct program *program);

#endif
