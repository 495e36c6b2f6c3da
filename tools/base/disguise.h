/* SPDX-License-Identifier: MIT */
/*
 * Anonymizes names for sharing. A path is cut to its file name. A string chosen by the user or the
 * program becomes "anon-" and 16 digits, the same as `cupool pack --anonymize` writes. The digits
 * are a plain hash, so a guess can be verified.
 *
 * Modules' paths are needed to find functions and lines, and these to join stacks, so anonymizing
 * begins when all traces are read. After disguise_begin(), frames (frames.h) are anonymized, and
 * analysis_disguise() replaces the strings of an analysis.
 *
 * Threading: single-threaded; texts are valid until disguise_done.
 */
#ifndef TOOLS_BASE_DISGUISE_H
#define TOOLS_BASE_DISGUISE_H

#include <stdbool.h>
#include <stddef.h>

#define DISGUISE_TEXT_BYTES 32

/** "anon-0123456789abcdef" for any bytes. */
void disguise_hash(const char *text, size_t bytes, char ret_text[DISGUISE_TEXT_BYTES]);

/** Puts the disguise on. */
void disguise_begin(void);

bool disguise_is_on(void);

/* These return their argument unchanged until disguise_begin(), and NULL for NULL. */

/** The file's name of a path. */
const char *disguise_path(const char *path);

/** The hash of a text. Out of memory gives "anon". */
const char *disguise_text(const char *text);

/** "trace 3" for the path of the third trace of the command line. */
const char *disguise_trace(const char *path, size_t number);

void disguise_done(void);

#endif
