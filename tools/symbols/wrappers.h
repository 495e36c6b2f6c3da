/* SPDX-License-Identifier: MIT */
/*
 * Functions that hand out memory for others: a location (frames.h) lies behind them, at the caller
 * that tells their allocations apart.
 *
 * The set is one for all traces that a command reads, so that a function counts alike in each of
 * them. It comes from names here, from what the traces show (tools/analysis/wrapper_rules.h) and
 * from the globs of the user.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_SYMBOLS_WRAPPERS_H
#define TOOLS_SYMBOLS_WRAPPERS_H

#include <stdbool.h>
#include <stddef.h>

/** A glob of functions or modules, as reports print them. Errors: -ENOMEM. */
int wrappers_glob_add(const char *glob);

/** A function by its module's path and its name. Errors: -ENOMEM; 1: it was not there before. */
int wrappers_add(const char *module, const char *function);

/** Whether a function is one. `function` NULL: it has no name. */
bool wrappers_has(const char *module, const char *function);

/** Functions that were added, by number from 0. False: no more. */
bool wrappers_get(size_t number, const char **ret_module, const char **ret_function);

/** Changes whenever the set does. */
unsigned wrappers_version(void);

void wrappers_done(void);

#endif
