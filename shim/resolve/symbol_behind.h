/* SPDX-License-Identifier: MIT */
/*
 * A symbol of the modules behind this library, found without the loader's look-up functions: the
 * one way to the real dlvsym, which this library stands in front of.
 *
 * Threading: any thread; what was found stays true as long as its module is loaded.
 */
#ifndef SHIM_RESOLVE_SYMBOL_BEHIND_H
#define SHIM_RESOLVE_SYMBOL_BEHIND_H

/**
 * The first definition in the order of loading, any version of it, in a module loaded after this
 * library and at start. NULL: there is none. Calls nothing that a sanitizer replaces.
 */
void *symbol_behind(const char *name);

#endif
