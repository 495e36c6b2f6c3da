/* SPDX-License-Identifier: MIT */
/*
 * Texts in so many columns: cut with an ellipsis, or wrapped at blanks. Codes of a terminal take no
 * column.
 *
 * Threading: as the functions of locales; a thread's locale is set and set back.
 */
#ifndef TOOLS_BASE_TEXT_FIT_H
#define TOOLS_BASE_TEXT_FIT_H

#include <locale.h>
#include <stddef.h>
#include <stdio.h>

/** Where the lines that follow begin when a line is wrapped; it is not printed. */
#define TEXT_FIT_HERE '\001'

/** A locale of UTF-8, in which characters and their widths are known. */
struct text_utf8 {
    locale_t own, before;
};

struct text_utf8 text_utf8_enter(void);
void text_utf8_leave(struct text_utf8 utf8);

/** Columns that a part of a text takes; in the locale. */
size_t text_columns(const char *text, size_t bytes);

/**
 * A text cut to so many columns, with an ellipsis. Of "file.cc:41 function (module)" the module
 * goes first, then the end of the function; the line stays as long as there is room for it.
 * free() it. NULL: out of memory.
 */
char *text_cut(const char *text, size_t columns);

/** A text on lines of so many columns, the later ones behind an indent, a line end behind each. */
void text_wrap(FILE *out, const char *text, size_t columns, unsigned indent);

/** Prints lines, those that are too long on several. The text is used up. */
void text_fit_wrap(FILE *out, char *text, size_t columns);

/** Prints at most so many lines, those that are too long cut. The text is used up. */
void text_fit_cut(FILE *out, char *text, size_t columns, size_t lines);

#endif
