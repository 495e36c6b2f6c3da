/* SPDX-License-Identifier: MIT */
/*
 * Reads an input file: only regular ones, and never more than a bound, so that nothing blocks on a
 * pipe or a device, and no file is too long.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_INFILE_H
#define TOOLS_BASE_INFILE_H

#include <stddef.h>
#include <stdio.h>

/**
 * Reads the whole file and appends a zero byte; free() it. Errors: -EINVAL it is not a regular
 * file; -EFBIG it is longer than `most_bytes`; -ENOMEM; others from the system. infile_reason()
 * has messages for them.
 */
int infile_read(const char *path, size_t most_bytes, char **ret_text, size_t *ret_bytes);

/** Opens the file as a stream, for formats that have no bound. Errors: -EINVAL; from the system. */
int infile_open(const char *path, FILE **ret_file, size_t *ret_bytes);

/**
 * Reads the next line with its newline, as fgets() does; no text is lost after a zero byte. 1:
 * there is a line; 0: the end, or an error of the stream. Errors: -EMSGSIZE it is longer than
 * `bytes` - 2; -EBADMSG it holds a zero byte, as a hole of a file does.
 */
int infile_line(FILE *file, char *ret_line, size_t bytes, size_t *ret_length);

/** Reads the first bytes of a file, as many as there are: their number. Errors: as above. */
int infile_peek(const char *path, char *ret_bytes, size_t bytes);

const char *infile_reason(int error);

#endif
