/* SPDX-License-Identifier: MIT */
/*
 * What a demangled name says: the function's qualified name without its return type, its parameters
 * and what the compiler appends to a copy, and whether it is the name of something that makes
 * memory for others.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_SYMBOLS_FUNCTION_NAME_H
#define TOOLS_SYMBOLS_FUNCTION_NAME_H

#include <stdbool.h>
#include <stddef.h>

/** A part of a text. */
struct name_part {
    const char *text;
    size_t length;
};

/**
 * The qualified name: "ns::Cache<float>::keep" of "void ns::Cache<float>::keep(unsigned long)
 * const". Of anything else the text as it is.
 */
struct name_part function_name_qualified(const char *name);

/** The same as a text that is cut to fit, without namespaces that have no name. */
void function_name_copy(const char *name, char *ret_text, size_t text_bytes);

/** How a name says that its function hands out memory that others want. */
enum function_role {
    FUNCTION_PLAIN,      /* it does not */
    FUNCTION_MAKES,      /* make_, create, get, resize …: perhaps */
    FUNCTION_CONSTRUCTS, /* a constructor */
    FUNCTION_ALLOCATES,  /* an allocator, operator new; make, create_tensor and no word of what for
                          */
    FUNCTION_OF_LIBRARY  /* of the C++ library or a framework that is compiled into the program */
};

enum function_role function_role_of(const char *name);

#endif
