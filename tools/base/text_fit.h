/* SPDX-License-Identifier: MIT */
/*
 * Fits text into a number of columns: cut with an ellipsis, or wrapped at blanks. Terminal codes
 * take no column.
 *
 * Threading: as the functions of locales; a thread's locale is set and restored.
 */
#ifndef TOOLS_BASE_TEXT_FIT_H
#define TOOLS_BASE_TEXT_FIT_H

#include <locale.h>
#include <stddef.h>
#include <stdio.h>

/** Mark in a line: its wrapped continuation lines begin at this column; it is not printed. */
#define TEXT_FIT_HERE '\001'

/** Returns a UTF-8 locale, in which characters and their widths are known. */
struct text_utf8 {
    locale_t own, before;
};

struct text_utf8 text_utf8_enter(void);
void text_utf8_leave(struct text_utf8 utf8);

/** Columns of a part of a text, in this locale. */
size_t text_columns(const char *text, size_t bytes);

/**
 * Cuts a text to a number of columns, with an ellipsis. Of "file.cc:41 function (module)" the
 * module goes first, then the end of the function; the line number stays as long as it fits.
 * free() it. NULL: out of memory.
 */
char *text_cut(const char *text, size_t columns);

/** Wraps a text to lines of this many columns, continuation lines indented, each with a line
 * end. */
void text_wrap(FILE *out, const char *text, size_t columns, unsigned indent);

/** Prints lines, wrapping long ones. Consumes the text. */
void text_fit_wrap(FILE *out, char *text, size_t columns);

/** Prints at most this many lines, cutting long ones. Consumes the text. */
void text_fit_cut(FILE *out, char *text, size_t columns, size_t lines);

#endif
