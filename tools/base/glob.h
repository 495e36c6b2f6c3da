/* SPDX-License-Identifier: MIT */
/*
 * Globs, made of texts, and compared as fnmatch() does without flags, for globs and texts that both
 * may come from strangers: their number and length multiply, so the work of a command has a limit.
 *
 * Threading: pure, but for the work.
 */
#ifndef TOOLS_BASE_GLOB_H
#define TOOLS_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** About one to three seconds; a hundred globs for a hundred thousand names take a tenth. */
#define GLOB_WORK_MOST (UINT64_C(1) << 27)

/** What is left to a command. */
struct glob_work {
    uint64_t left;
    bool spent; /* nothing fits any more: what was found is not valid */
};

/** Takes work. False: it is spent. NULL: without a limit. */
bool glob_work_take(struct glob_work *work, uint64_t units);

/** Whether a glob fits a text. */
bool glob_fits(const char *glob, const char *text, struct glob_work *work);

/** Writes the glob that fits these bytes alone, also where braces mean alternatives: at most twice
 * as long, without a NUL. Returns its end. */
char *glob_literal(char *ret_glob, const char *text, size_t bytes);

#endif
