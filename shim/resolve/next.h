/* SPDX-License-Identifier: MIT */
/*
 * Finds the next definition in the loader's order: the function that a module would get if this
 * library were not there. It may belong to a runtime, to the driver, or to another module that
 * stands in for them (a tracer, a limiter, a memory saver).
 *
 * Threading: every function from any thread. May take the loader's lock; holds none of ours.
 */
#ifndef SHIM_RESOLVE_NEXT_H
#define SHIM_RESOLVE_NEXT_H

#include "shim/resolve/hooks.h"

/** Returns the function that every search finds, without waiting for the loader; NULL: the searches
 * below have to choose. */
void *next_only(const struct hook *hook, unsigned version);

/** Searches behind us in the global scope. The version is one of runtime_versions.h. NULL: none. */
void *next_in_global_scope(const struct hook *hook, unsigned version);

/** Searches the local scope of the module at a code address, apart from the global one. NULL:
 * none. */
void *next_for_module(const struct hook *hook, unsigned version, const void *code);

/** The same for a caller that is in no module that refers to the function: one that does has ended
 * with a jump to it. */
void *next_for_importers(const struct hook *hook, unsigned version);

/** Searches any loaded runtime library. NULL: none. */
void *next_anywhere(const struct hook *hook, unsigned version);

/** Searches the modules between the one at a code address and us, if that one is before us.
 * NULL: none. */
void *next_before_us(const char *name, const void *code);

/** Finds the first in a module after the one at a code address in load order. NULL: none. */
void *next_loaded(const char *name, const void *code);

/** Keeps the module of a function loaded for good, as a bound reference would. */
void next_keep(void *function);

#endif
