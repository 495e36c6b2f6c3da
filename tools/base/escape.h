/* SPDX-License-Identifier: MIT */
/*
 * Escapes external text for a destination that will parse it: a file of some format, a terminal,
 * the log of a CI service.
 *
 * Traces, file names and output of other programs are not trusted: they may contain markup, quotes,
 * line ends, control characters or invalid UTF-8. The result is always UTF-8 and stays inside its
 * place: an element or a quoted attribute, a quoted string, a table cell, a frame, a line.
 * docs/cli.md has the table of replacements.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_BASE_ESCAPE_H
#define TOOLS_BASE_ESCAPE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum escape_form {
    ESCAPE_HTML,            /* text, or the value of a quoted attribute */
    ESCAPE_MARKDOWN,        /* a cell of a GitHub table */
    ESCAPE_MARKDOWN_CODE,   /* inside a code span that is in no table */
    ESCAPE_JSON,            /* inside the quotes; safe inside <script> too */
    ESCAPE_CSV,             /* a whole cell, with its quotes where it needs them */
    ESCAPE_LABEL,           /* inside the quotes of an OpenMetrics label */
    ESCAPE_FRAME,           /* a frame of folded stacks */
    ESCAPE_LINE,            /* part of a line for people */
    ESCAPE_XML,             /* text, or the value of a quoted attribute */
    ESCAPE_GITHUB,          /* the text of a workflow command */
    ESCAPE_GITHUB_PROPERTY, /* the value of one of its properties */
    ESCAPE_FORMS
};

/** Prints a text; NULL is printed as an empty one. */
void escape_print(FILE *out, enum escape_form form, const char *text);

/** printf with the whole line escaped as ESCAPE_LINE; a line end follows. */
__attribute__((format(printf, 2, 3))) void escape_line(FILE *out, const char *format, ...);
__attribute__((format(printf, 2, 0))) void escape_line_list(FILE *out, const char *format,
                                                            va_list arguments);

/**
 * Copies a text for a library that adds the quotes itself: UTF-8 without harmful characters, with
 * line ends and tabs unchanged. free() it. NULL: no memory, or no text.
 */
char *escape_copy(const char *text);

/** Takes one character off a text: safe_text_next. */
size_t escape_next(const char *text, uint32_t *ret_character);

#endif
