/* SPDX-License-Identifier: MIT */
/*
 * What comes next in the order of the loader: the function that a module would have been given if
 * this library were not there. It may be that of a runtime, of the driver, or of another module
 * that stands in for them (a tracer, a limiter, a memory saver).
 *
 * Threading: every function from any thread. May take the loader's lock; holds none of ours.
 */
#ifndef SHIM_RESOLVE_NEXT_H
#define SHIM_RESOLVE_NEXT_H

#include "shim/resolve/hooks.h"

/** Behind us in the global scope. The version is one of runtime_versions.h. NULL: none. */
void *next_in_global_scope(const struct hook *hook, unsigned version);

/** The scope of the module at a code address beside the global one. NULL: none. */
void *next_for_module(const struct hook *hook, unsigned version, const void *code);

/** In the modules between that of a code address and us; only of one before us. NULL: none. */
void *next_before_us(const char *name, const void *code);

/** The first in a module behind that of a code address in the order of loading. NULL: none. */
void *next_loaded(const char *name, const void *code);

/** Keeps the module of a function loaded for good, as a bound reference would. */
void next_keep(void *function);

#endif
