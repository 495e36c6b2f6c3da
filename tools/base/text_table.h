/* SPDX-License-Identifier: MIT */
/*
 * A text table for people, with aligned columns cut to a width.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_TEXT_TABLE_H
#define TOOLS_BASE_TEXT_TABLE_H

#include <stdbool.h>
#include <stdio.h>

struct text_column {
    const char *name;
    bool right;    /* figures */
    bool cut;      /* gives way when the table is too wide: ends in an ellipsis then */
    unsigned drop; /* leaves the table when it is too wide all the same, the highest first; 0: never
                    */
};

struct text_table;

/** `width` 0: as wide as it needs. NULL: out of memory. */
struct text_table *text_table_create(const struct text_column *columns, size_t count,
                                     unsigned width);

/** Adds a row of as many cells as there are columns; the texts are copied. Errors: -ENOMEM. */
int text_table_add(struct text_table *table, const char *const *cells);

/** Adds a line under the last row: indented, cut to the width. Errors: -ENOMEM. */
int text_table_note(struct text_table *table, const char *text);

/** Prints the table and frees it. NULL is accepted. Errors: -ENOMEM, -EIO. */
int text_table_finish(struct text_table *table, FILE *out);

#endif
