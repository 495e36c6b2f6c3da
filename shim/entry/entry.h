/* SPDX-License-Identifier: MIT */
/*
 * Entry points: what a program's call reaches before the hook.
 *
 * A hooked runtime function has one entry point for each version a module can be linked with, and
 * one for each runtime library of the process. That of a library notes the library for the hook and
 * jumps there, so a pointer that was looked up in a library leads to it, whoever calls. That of a
 * version jumps to what the loader would have bound without us: the entry point of a library, or
 * the function of another module that stands in for the runtime. The first call finds it out. A
 * driver function has one of each kind, because a process has one driver.
 *
 * The instructions are assembled into .text; nothing is made executable at run time. A library
 * beyond ENTRY_LIBRARIES has no entry points: its functions are handed out as they are, and their
 * calls are met at the driver.
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

/** The entry point of a hook for a runtime library; for the driver's functions, library 0. */
static inline void *entry_of(const struct hook *hook, unsigned library)
{
    unsigned before = hook->family == HOOK_FAMILY_RUNTIME ? ENTRY_VERSIONS : 1;
    return (char *)entry_addresses[hook - hooks].block + (size_t)(before + library) * ENTRY_BYTES;
}

/** The target of a call of an exported name. Called by the entry points. */
void *entry_route(uint32_t target, const void *return_address);

#endif
