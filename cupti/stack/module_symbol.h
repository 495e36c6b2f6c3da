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
#include <stdint.h>

/** Address of the first module's symbol of that name; NULL: none exports one. */
void *module_symbol_find(const char *name);

/**
 * Address of the symbol in one module, by its load address and dynamic section, any version; NULL:
 * it defines none of that name. Calls nothing, neither the loader nor what a sanitizer replaces.
 */
void *module_symbol_in(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);

#endif
