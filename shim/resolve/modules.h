/* SPDX-License-Identifier: MIT */
/*
 * What is known of loaded modules without the loader's lock: dladdr, dlsym and dlopen wait while a
 * library is being loaded, and a constructor of that library may be waiting for the calling thread.
 *
 * Threading: any thread. Takes the loader's list lock, which no constructor holds. Leaves the
 * program's dlerror alone.
 */
#ifndef SHIM_RESOLVE_MODULES_H
#define SHIM_RESOLVE_MODULES_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

/** Returns where the module with this code begins; NULL: there is none. */
const void *module_base(const void *code);

/** Tests the name of the module at an address; of the program, its first argument. False for
 * none. */
bool module_name_is(const void *code, bool (*is)(const char *name));

/** Whether the SONAME of the module at an address passes a test. */
bool module_soname_is(const void *code, bool (*is)(const char *name));

/**
 * Returns the only function behind this library that a reference can mean: with this version or
 * none; a NULL version means any. Every scope that has one leads there. NULL: none, or several.
 */
void *module_only_function(const char *name, const char *version);

/** Returns a number that another state of the list of loaded modules never has again. */
uint64_t module_list_state(void);

/** Finds the modules that refer to a name and do not define it: an address in each, in load order.
 * Returns their number. */
unsigned module_importers(const char *name, const void **ret_modules, unsigned most);

/** Whether the module at an address is one of these. */
bool module_imports(const void *code, const char *name);

/** Whether the program depends on the module at an address, so that all modules see it. */
bool module_is_linked(const void *code);

/** A library that the program depends on, so that it is never unloaded. */
struct module_place {
    uintptr_t base;
    const ElfW(Dyn) * dynamic;
};

/** Finds such a library by an address in it, or the first of a name. False: there is none. */
bool module_linked_at(const void *code, struct module_place *ret_place);
bool module_linked_named(const char *name, struct module_place *ret_place);

#endif
