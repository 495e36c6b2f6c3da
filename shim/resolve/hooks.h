/* SPDX-License-Identifier: MIT */
/*
 * Generated from hooks.def: hook ids, one structure of real functions per family, and the table
 * that connects a name, its id and the location of its real pointer. Higher layers know where hooks
 * and their entry points lie (shim/entry/entry.h).
 *
 * Everything here is constant. A hook is identified by its id; ids of one family are not
 * contiguous.
 */
#ifndef SHIM_RESOLVE_HOOKS_H
#define SHIM_RESOLVE_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#include "shim/resolve/cuda_abi.h"

enum hook_id {
#define HOOK(action, family, name, since, params, args) HOOK_##name,
#include "shim/resolve/hooks.def"
    HOOK_COUNT
};

/* In assembly, the hook of an exported name is a function named `hook_` and this name; the
 * exported name belongs to its entry points (shim/entry/entry.h). */
#define HOOK(action, family, name, since, params, args)                                            \
    __typeof__(name) name __asm__("hook_" #name);
#include "shim/resolve/hooks.def"

/* Return type of a family's functions, and their result when the real function does not exist. */
#define RESULT_RUNTIME  cudaError_t
#define RESULT_DRIVER   CUresult
#define MISSING_RUNTIME cudaErrorNotSupported
#define MISSING_DRIVER  CUDA_ERROR_NOT_FOUND

/* One member per row of the named family, nothing for the other. */
#define REAL_MEMBER_OF_RUNTIME_RUNTIME(name) __typeof__(name) *name;
#define REAL_MEMBER_OF_RUNTIME_DRIVER(name)
#define REAL_MEMBER_OF_DRIVER_DRIVER(name) __typeof__(name) *name;
#define REAL_MEMBER_OF_DRIVER_RUNTIME(name)

/** The functions of one CUDA runtime library; NULL for missing ones. */
struct runtime_functions {
#define HOOK(action, family, name, since, params, args) REAL_MEMBER_OF_RUNTIME_##family(name)
#include "shim/resolve/hooks.def"
};

/** The driver's functions; NULL where it has none. */
struct driver_functions {
#define HOOK(action, family, name, since, params, args) REAL_MEMBER_OF_DRIVER_##family(name)
#include "shim/resolve/hooks.def"
#define DRIVER_CALL(name) __typeof__(name) *name;
#include "shim/resolve/driver_calls.def"
};

enum hook_family { HOOK_FAMILY_RUNTIME, HOOK_FAMILY_DRIVER };

struct hook {
    const char *name;
    size_t real; /* offset of the real pointer in the family's structure */
    int since;   /* CUDA release that first exported it */
    enum hook_family family;
};

extern const struct hook hooks[HOOK_COUNT];

/** Returns the hook of an exported name, NULL when it is not hooked. */
const struct hook *hook_find(const char *name);

#endif
