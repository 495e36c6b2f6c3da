/* SPDX-License-Identifier: MIT */
/*
 * Finds a symbol that a loaded module exports, without dlsym: dlsym waits while a library is being
 * loaded, and a constructor of that library may be waiting for the calling thread.
 *
 * Threading: any thread; takes the dynamic loader's list lock, which no constructor holds.
 */
#ifndef CUPTI_STACK_MODULE_SYMBOL_H
#define CUPTI_STACK_MODULE_SYMBOL_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where a module defines a symbol. Address 0: it does not. */
struct symbol_place {
    uintptr_t address;
    size_t index;     /* in its table of symbols */
    bool is_resolver; /* the address is a function that chooses one (STT_GNU_IFUNC) */
};

/** Returns the address of the symbol in the first module that exports it; NULL: none does. */
void *module_symbol_find(const char *name);

/**
 * Finds a definition in one module, by its load address and dynamic section, any version. Calls
 * nothing, neither the loader nor functions that a sanitizer replaces.
 */
struct symbol_place module_symbol_in(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);

/** Finds a further definition, behind the symbol at an index: there may be one for each version. */
struct symbol_place module_symbol_behind(uintptr_t base, const ElfW(Dyn) * dynamic,
                                         const char *name, size_t behind);

/** Whether a module refers to a symbol that others define. */
bool module_symbol_is_wanted(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);

/** Returns the version of a definition by its index; NULL: it has none. */
const char *module_symbol_version(uintptr_t base, const ElfW(Dyn) * dynamic, size_t index);

/** Returns the function at a place, as the loader would bind it. Calls an ifunc resolver, if
 * there is one. */
void *module_symbol_function(struct symbol_place place);

#endif
