/* SPDX-License-Identifier: MIT */
/*
 * Substitution of looked-up function pointers: what the real resolver found decides, a pointer to a
 * hooked function is exchanged for the hook, every other pointer passes.
 *
 * Threading: every function from any thread, and before main.
 */
#ifndef SHIM_ENTRY_LOOK_UP_H
#define SHIM_ENTRY_LOOK_UP_H

#include <stdint.h>

/**
 * What the exported dlsym and dlvsym do: return `value`, or, when `forward_to` is not 0, jump there
 * with the arguments and the return address they were called with, so that the real one sees the
 * program's module as its caller.
 */
struct dlsym_answer {
    void *value;
    uintptr_t forward_to;
};

struct dlsym_answer look_up_dlsym(void *handle, const char *name, const void *caller);
struct dlsym_answer look_up_dlvsym(void *handle, const char *name, const char *version,
                                   const void *caller);

/** The hook of a driver function found by the driver's own resolver, or the pointer itself. */
void *look_up_driver_pointer(void *function);

#endif
