/* SPDX-License-Identifier: MIT */
/*
 * Writes a file whole or not at all: beside its place first, then renamed.
 *
 * Threading: none of its own.
 */
#ifndef TOOLS_BASE_OUTFILE_H
#define TOOLS_BASE_OUTFILE_H

#include <stddef.h>

/**
 * Replaces a file. A link is followed; what is no regular file (a pipe, a terminal) is written to
 * as it is. Errors: negative errno; then the earlier file is untouched.
 */
int outfile_write(const char *path, const char *text, size_t bytes);

#endif
