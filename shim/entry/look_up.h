/* SPDX-License-Identifier: MIT */
/*
 * Replaces looked-up function pointers. The real resolver decides what is found; a pointer to a
 * hooked function becomes its hook, every other pointer is returned unchanged.
 *
 * Threading: every function from any thread, and before main.
 */
#ifndef SHIM_ENTRY_LOOK_UP_H
#define SHIM_ENTRY_LOOK_UP_H

#include <stdint.h>

/**
 * Result of the exported dlsym and dlvsym: return `value`; or, when `forward_to` is not 0, jump
 * there with the original arguments and return address, so that the real function sees the
 * program's module as its caller.
 */
struct dlsym_answer {
    void *value;
    uintptr_t forward_to;
};

struct dlsym_answer look_up_dlsym(void *handle, const char *name, const void *caller);
struct dlsym_answer look_up_dlvsym(void *handle, const char *name, const char *version,
                                   const void *caller);

/** Returns the hook of a driver function found by the driver's own resolver, or the pointer
 * itself. */
void *look_up_driver_pointer(void *function);

#endif
