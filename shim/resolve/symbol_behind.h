/* SPDX-License-Identifier: MIT */
/*
 * Finds a symbol in the modules behind this library without the loader's look-up functions. Nothing
 * else leads to the real dlvsym, because this library's own comes first.
 *
 * Threading: any thread; a result is valid as long as its module is loaded.
 */
#ifndef SHIM_RESOLVE_SYMBOL_BEHIND_H
#define SHIM_RESOLVE_SYMBOL_BEHIND_H

/**
 * Returns the first definition in load order, of any version, in a module loaded after this
 * library and at start. NULL: none. Calls nothing that a sanitizer replaces.
 */
void *symbol_behind(const char *name);

#endif
