/* SPDX-License-Identifier: MIT */
/*
 * Interprets a demangled name: the function's qualified name without its return type, its
 * parameters and the suffixes of a copy, and whether the name suggests that it makes memory for
 * others.
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
 * Returns the qualified name: "ns::Cache<float>::keep" of "void ns::Cache<float>::keep(unsigned
 * long) const". Any other text is returned as it is.
 */
struct name_part function_name_qualified(const char *name);

/** Returns the qualified name, cut to fit, without anonymous namespaces. */
void function_name_copy(const char *name, char *ret_text, size_t text_bytes);

/** How a name suggests that its function provides memory for others. */
enum function_role {
    FUNCTION_PLAIN,      /* it does not */
    FUNCTION_MAKES,      /* make_, create, get, resize …: perhaps */
    FUNCTION_CONSTRUCTS, /* a constructor */
    FUNCTION_ALLOCATES,  /* an allocator, operator new; make, create_tensor without a purpose
                          */
    FUNCTION_OF_LIBRARY  /* of the C++ library or a framework that is compiled into the program */
};

enum function_role function_role_of(const char *name);

#endif
