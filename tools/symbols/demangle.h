/* SPDX-License-Identifier: MIT */
/*
 * Names of functions as their source has them, from those that C++ and Rust give the linker.
 *
 * Threading: single-threaded; the text is valid until the next call.
 */
#ifndef TOOLS_SYMBOLS_DEMANGLE_H
#define TOOLS_SYMBOLS_DEMANGLE_H

#include <stdbool.h>

/** Whether a compiler made the name of one in the source. */
bool demangle_is_mangled(const char *name);

/** The name in the source; NULL: not mangled, not understood, or longer than a name can be. */
const char *demangle(const char *name);

#endif
