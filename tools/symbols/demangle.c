/* SPDX-License-Identifier: MIT */
/*
 * libiberty demangles C++ and both schemes of Rust. Mangled names refer back to parts of
 * themselves, so a hostile name of 200 bytes can expand to gigabytes: demangling stops by a long
 * jump as soon as the result is too long. The jump leaks at most one small buffer, for Rust names
 * with non-ASCII letters.
 */
#include "tools/symbols/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>

#define NAME_MOST_BYTES 65536

static struct {
    jmp_buf too_long;
    size_t length;
    char text[NAME_MOST_BYTES];
} plain;

static void part_add(const char *text, size_t length, void *state)
{
    if (length >= sizeof plain.text - plain.length)
        longjmp(plain.too_long, 1);
    if (length) /* else the text may be NULL */
        memcpy(plain.text + plain.length, text, length);
    plain.length += length;
}

bool demangle_is_mangled(const char *name)
{
    return !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2);
}

const char *demangle(const char *name)
{
    if (!demangle_is_mangled(name) || setjmp(plain.too_long))
        return NULL;
    /* Rust's older scheme looks like C++; its hash, which changes with every build, is removed. */
    plain.length = 0;
    if (!rust_demangle_callback(name, 0, part_add, NULL)) {
        plain.length = 0;
        if (!cplus_demangle_v3_callback(name, DMGL_PARAMS | DMGL_TYPES, part_add, NULL))
            return NULL;
    }
    plain.text[plain.length] = '\0';
    return plain.length ? plain.text : NULL;
}
