/* SPDX-License-Identifier: MIT */
/*
 * Finds a symbol that a loaded module exports, without dlsym: dlsym waits while a library is being
 * loaded, and a constructor of that library may be waiting for the thread that asks.
 *
 * Threading: any thread; takes the dynamic loader's lock of its list, which no constructor holds.
 */
#ifndef CUPTI_STACK_MODULE_SYMBOL_H
#define CUPTI_STACK_MODULE_SYMBOL_H

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

/** Address of the first module's symbol of that name; NULL: none exports one. */
void *module_symbol_find(const char *name);

/**
 * The definition in one module, by its load address and dynamic section, any version of it. Calls
 * nothing, neither the loader nor what a sanitizer replaces.
 */
struct symbol_place module_symbol_in(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);

/** The function at a place, as the loader would bind it. Calls a resolver, if there is one. */
void *module_symbol_function(struct symbol_place place);

#endif
