/* SPDX-License-Identifier: MIT */
/*
 * Demangles the names of C++ and Rust functions.
 *
 * Threading: single-threaded; the text is valid until the next call.
 */
#ifndef TOOLS_SYMBOLS_DEMANGLE_H
#define TOOLS_SYMBOLS_DEMANGLE_H

#include <stdbool.h>

/** Whether a name looks mangled. */
bool demangle_is_mangled(const char *name);

/** Returns the name in the source; NULL: not mangled, invalid, or too long. */
const char *demangle(const char *name);

#endif
