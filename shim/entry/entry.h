/* SPDX-License-Identifier: MIT */
/*
 * Entry points: the instructions that a program's call reaches before the hook.
 *
 * A hooked runtime function has one entry point for each version that a module can be linked with,
 * and one for each runtime library of the process. A library's entry point notes the library for
 * the hook and jumps to the hook; a pointer looked up in a library leads there, whoever calls it. A
 * version's entry point jumps to what the loader would have bound without us: the entry point of a
 * library, or the function of another module that stands in for the runtime. Its first call
 * resolves the target. A driver function has one entry point of each kind, because a process has
 * one driver.
 *
 * The instructions are assembled into .text; nothing is made executable at run time. Runtime
 * libraries beyond ENTRY_LIBRARIES have no entry points: look-ups return their own functions, and
 * their calls are hooked at the driver.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_ENTRY_ENTRY_H
#define SHIM_ENTRY_ENTRY_H

#include <stdint.h>

#include "shim/resolve/hooks.h"
#include "shim/resolve/real.h"
#include "shim/resolve/runtime_versions.h"

#define ENTRY_LIBRARIES REAL_LIBRARIES
#define ENTRY_BYTES     32
#define ENTRY_VERSIONS  RUNTIME_VERSION_COUNT

/** A hook and its first entry point; by hook id. */
struct entry_address {
    void *function;
    void *block;
};

extern const struct entry_address entry_addresses[HOOK_COUNT];

/** Returns the entry point of a hook for a runtime library; for driver functions, library 0. */
static inline void *entry_of(const struct hook *hook, unsigned library)
{
    unsigned before = hook->family == HOOK_FAMILY_RUNTIME ? ENTRY_VERSIONS : 1;

    return (char *)entry_addresses[hook - hooks].block + (size_t)(before + library) * ENTRY_BYTES;
}

/** Resolves the target of a call of an exported name. Called by the entry points. */
void *entry_route(uint32_t target, const void *return_address);

#endif
