/* SPDX-License-Identifier: MIT */
/*
 * Reads an input file: only regular ones, never more than a bound, so that nothing waits for what a
 * pipe or a device may have to say, and no file is too long.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_INFILE_H
#define TOOLS_BASE_INFILE_H

#include <stddef.h>

/**
 * The whole of a file, with a zero byte behind it; free() it. Errors: -EINVAL it is not a regular
 * file; -EFBIG it is longer than `most_bytes`; -ENOMEM; others as the system said. infile_reason
 * has words for them.
 */
int infile_read(const char *path, size_t most_bytes, char **ret_text, size_t *ret_bytes);

/** The first bytes of a file, as far as there are so many: their number. Errors: as above. */
int infile_peek(const char *path, char *ret_bytes, size_t bytes);

const char *infile_reason(int error);

#endif
