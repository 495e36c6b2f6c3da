/* SPDX-License-Identifier: MIT */
/*
 * Mangled names: examples of Rust's specification (RFC 2603), its older scheme, C++, and hostile
 * names that expand to gigabytes.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tools/symbols/demangle.h"

Test(demangle, names_of_compilers)
{
    static const struct {
        const char *name, *plain; /* NULL: stays as it is */
    } cases[] = {
        {"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
        {"_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"},
        {"_RNCNvCsgStHSCytQ6I_7mycrate4main0B3_", "mycrate::main::{closure#0}"},
        {"_RNCNvCsgStHSCytQ6I_7mycrate4mains_0B3_", "mycrate::main::{closure#1}"},
        {"_RNvMCsgStHSCytQ6I_7mycrateNtB2_3Foo3bar", "<mycrate::Foo>::bar"},
        {"_RNvXCsgStHSCytQ6I_7mycrateNtB2_3FooNtB2_3Bar3baz",
         "<mycrate::Foo as mycrate::Bar>::baz"},
        {"_RINvCsgStHSCytQ6I_7mycrate3foolmE", "mycrate::foo::<i32, u32>"},
        {"_RINvCsgStHSCytQ6I_7mycrate3fooINtB2_3VecNtB2_3BarEE",
         "mycrate::foo::<mycrate::Vec<mycrate::Bar>>"},
        {"_RINvCsgStHSCytQ6I_7mycrate7exampleKj2_E", "mycrate::example::<2>"},
        {"_RNvNtNtCsgStHSCytQ6I_7mycrate3foo3bars_3baz", "mycrate::foo::bar::baz"},
        {"_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
         "utf8_idents::\u10e1\u10d0\u10ed\u10db\u10d4\u10da\u10d0\u10d3_\u10d2\u10d4\u10db\u10e0"
         "\u10d8\u10d4\u10da\u10d8_\u10e1\u10d0\u10d3\u10d8\u10da\u10d8"},
        {"_RNvCs1234_7mycrate3foo.llvm.9D1C9369", "mycrate::foo"},
        {"_ZN4rust4keep17h0123456789abcdefE", "rust::keep"},
        {"_ZN63_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..clone..Clone$GT$5clone"
         "17h0123456789abcdefE",
         "<alloc::vec::Vec<T> as core::clone::Clone>::clone"},
        {"_ZN6engine5CacheIfE4growEj", "engine::Cache<float>::grow(unsigned int)"},
        {"_ZL7weightsj.constprop.0", "weights(unsigned int) [clone .constprop.0]"},
        {"main", NULL},
        {"", NULL},
        {"_R", NULL},
        {"_RNvC", NULL},
        {"_RNvC99999999999999999999a", NULL},
        {"_RB_", NULL},
        {"_RC0", NULL},
        {"_Z", NULL},
        {"_Zzzz", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *plain = demangle(cases[i].name);

        if (cases[i].plain)
            cr_expect_str_eq(plain ? plain : "(none)", cases[i].plain);
        else
            cr_expect_null(plain, "%s: %s", cases[i].name, plain);
    }
}

/** Appends a back reference: base 62 in Rust, base 36 in C++. */
static void reference_add(char *text, unsigned base, unsigned place)
{
    static const char upper[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char both[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *digits = base == 36 ? upper : both;
    size_t length = strlen(text);

    if (place > base)
        text[length++] = digits[(place - 1) / base];
    if (place)
        text[length++] = digits[(place - 1) % base];
    strcpy(text + length, "_");
}

/** Each level refers to the previous one twice: 2^levels parts. */
static void rust_nested(unsigned levels, char ret_name[2048])
{
    unsigned place;

    strcpy(ret_name, "_RIC1a");
    place = (unsigned)strlen(ret_name) - 2;
    strcat(ret_name, "TddE");
    for (unsigned i = 0; i < levels; i++) {
        unsigned next = (unsigned)strlen(ret_name) - 2;

        strcat(ret_name, "TB");
        reference_add(ret_name, 62, place);
        strcat(ret_name, "B");
        reference_add(ret_name, 62, place);
        strcat(ret_name, "E");
        place = next;
    }
    strcat(ret_name, "E");
}

static void cxx_nested(unsigned levels, char ret_name[2048])
{
    strcpy(ret_name, "_Z1f1aIiiE");
    for (unsigned i = 0; i < levels; i++) {
        strcat(ret_name, "S_IS");
        reference_add(ret_name, 36, i + 1);
        strcat(ret_name, "S");
        reference_add(ret_name, 36, i + 1);
        strcat(ret_name, "E");
    }
}

Test(demangle, names_that_grow_without_end_are_left)
{
    static void (*const nested[])(unsigned, char *) = {rust_nested, cxx_nested};
    char name[2048];

    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        nested[i](2, name);
        cr_expect_not_null(demangle(name), "%s", name);
        /* 2^60 parts would take for ever. */
        nested[i](60, name);
        cr_expect_null(demangle(name));
        cr_expect_str_eq(demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
    }
}
