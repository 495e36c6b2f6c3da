/* SPDX-License-Identifier: MIT */
/*
 * Text from a trace on its way into a file that another program will parse.
 *
 * Traces are not trusted: their strings may hold markup, quotes, line ends, control characters or
 * bytes that are no UTF-8. Whatever goes in, what comes out is UTF-8 and stays inside the place it
 * was written to: an element or a quoted attribute, a quoted string, a table cell, a frame,
 * a line.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_BASE_ESCAPE_H
#define TOOLS_BASE_ESCAPE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum escape_form {
    ESCAPE_HTML,     /* text, or the value of a quoted attribute */
    ESCAPE_MARKDOWN, /* a cell of a GitHub table */
    ESCAPE_JSON,     /* inside the quotes; safe inside <script> too */
    ESCAPE_CSV,      /* a whole cell, with its quotes where it needs them */
    ESCAPE_LABEL,    /* inside the quotes of an OpenMetrics label */
    ESCAPE_FRAME,    /* a frame of folded stacks */
    ESCAPE_LINE,     /* part of a line for people */
    ESCAPE_FORMS
};

/** Prints a text; NULL is printed as an empty one. */
void escape_print(FILE *out, enum escape_form form, const char *text);

/**
 * Takes one character off a text: its length in bytes. What is no UTF-8, and what could disturb a
 * terminal or the order of reading (controls, bidirectional marks), gives U+FFFD; line ends and
 * tabs stay.
 */
size_t escape_next(const char *text, uint32_t *ret_character);

#endif
