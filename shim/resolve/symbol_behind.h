/* SPDX-License-Identifier: MIT */
/*
 * A symbol of the modules behind this library, found without the loader's look-up functions: the
 * one way to the real dlvsym, which this library stands in front of.
 *
 * Threading: any thread; what was found stays true as long as its module is loaded.
 */
#ifndef SHIM_RESOLVE_SYMBOL_BEHIND_H
#define SHIM_RESOLVE_SYMBOL_BEHIND_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where a module defines a symbol. An address of 0: it does not. */
struct symbol_place {
    uintptr_t address;
    size_t index;     /* in its table of symbols */
    bool is_resolver; /* the address is a function that chooses one (STT_GNU_IFUNC) */
};

/**
 * The first definition in the order of loading, any version of it, in a module loaded after this
 * library and at start. NULL: there is none. Calls nothing that a sanitizer replaces.
 */
void *symbol_behind(const char *name);

/** The definition in the module that is loaded at this base, without a call of the loader. */
struct symbol_place symbol_in(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);

/** The function at a place, as the loader would bind it. Calls a resolver, if there is one. */
void *symbol_function(struct symbol_place place);

#endif
