/* SPDX-License-Identifier: MIT */
/*
 * Functions that provide memory for others: the location (frames.h) is behind them, at the caller
 * that distinguishes their allocations.
 *
 * There is one set for all traces of a command, so that a function counts alike in each. It comes
 * from names here, from the behaviour in the traces (tools/analysis/wrapper_rules.h) and from the
 * user's globs.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_SYMBOLS_WRAPPERS_H
#define TOOLS_SYMBOLS_WRAPPERS_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/base/glob.h"

/** A glob of functions or modules, as reports print them. Errors: -ENOMEM. */
int wrappers_glob_add(const char *glob);

/** Bounds the work of comparing globs, until wrappers_done(). */
void wrappers_bound(struct glob_work *work);

/** A function by its module's path and its name. Errors: -ENOMEM; 1: it was not there before. */
int wrappers_add(const char *module, const char *function);

/** Whether a function is one. `function` NULL: it has no name. */
bool wrappers_has(const char *module, const char *function);

/** Returns added functions, by number from 0. False: no more. */
bool wrappers_get(size_t number, const char **ret_module, const char **ret_function);

/** Changes whenever the set does. */
unsigned wrappers_version(void);

void wrappers_done(void);

#endif
