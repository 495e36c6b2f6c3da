/* SPDX-License-Identifier: MIT */
/*
 * libsmartcols aligns the columns. Cells that give way are cut before, so that the cut shows.
 * Characters and their widths depend on the locale, so this uses a UTF-8 one, whatever the user's.
 */
#include "tools/base/text_table.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/grow.h"
#include "tools/base/shortage.h"
#include "tools/base/text_fit.h"

#define COLUMNS_MOST 16
#define CUT_LEAST    12 /* columns that a cut cell keeps */
#define CUT_GOOD     24 /* before a column is dropped for it */
#define GAP          2  /* between columns */
#define NOTE_INDENT  2

struct row {
    char *cell[COLUMNS_MOST];
    char *note; /* lines, each ended; NULL: none */
};

struct text_table {
    const struct text_column *column;
    struct text_column columns_copy[COLUMNS_MOST];
    size_t columns, rows, room;
    struct row *row;
    unsigned width;
};

static void row_free(struct row *row)
{
    for (size_t k = 0; k < COLUMNS_MOST; k++)
        free(row->cell[k]);
    free(row->note);
}

static void table_destroy(struct text_table *table)
{
    for (size_t i = 0; i < table->rows; i++)
        row_free(&table->row[i]);
    free(table->row);
    free(table);
}

struct text_table *text_table_create(const struct text_column *columns, size_t count,
                                     unsigned width)
{
    struct text_table *table = count <= COLUMNS_MOST ? calloc(1, sizeof *table) : NULL;

    if (!table)
        return NULL;
    memcpy(table->columns_copy, columns, count * sizeof *columns);
    table->column = table->columns_copy;
    table->columns = count;
    table->width = width ? width : 4096;
    return table;
}

/** A copy that is UTF-8 on one line. */
static char *safe_copy(const char *text)
{
    size_t bytes = 3 * strlen(text) + 1; /* a byte that is not UTF-8 becomes three */
    char *copy = malloc(bytes);

    if (copy)
        safe_text_copy(copy, bytes, text);
    return copy;
}

int text_table_add(struct text_table *table, const char *const *cells)
{
    struct row row = {0};

    if (ARRAY_GROW(table->row, table->rows, table->room, 16) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < table->columns; i++) {
        row.cell[i] = safe_copy(cells[i]);
        if (!row.cell[i]) {
            row_free(&row);
            return -ENOMEM;
        }
    }
    table->row[table->rows++] = row;
    return 0;
}

int text_table_note(struct text_table *table, const char *text)
{
    struct row *row = &table->row[table->rows - 1];
    char *safe = safe_copy(text), *cut = safe ? text_cut(safe, table->width - NOTE_INDENT) : NULL;
    char *whole = NULL;
    int length =
        cut ? asprintf(&whole, "%s%*s%s\n", row->note ? row->note : "", NOTE_INDENT, "", cut) : -1;

    free(safe);
    free(cut);
    if (length < 0)
        return -ENOMEM;
    free(row->note);
    row->note = whole;
    return 0;
}

/** Columns of the widest cell. */
static size_t widest_cell(const struct text_table *table, size_t k)
{
    size_t widest = strlen(table->column[k].name);

    for (size_t i = 0; i < table->rows; i++) {
        size_t columns = text_columns(table->row[i].cell[k], strlen(table->row[i].cell[k]));

        widest = columns > widest ? columns : widest;
    }
    return widest;
}

/** Width of the fixed cells including gaps, and the number of columns that give way. */
static size_t others_width(const struct text_table *table, size_t *ret_cuts)
{
    size_t others = 0;

    *ret_cuts = 0;
    for (size_t k = 0; k < table->columns; k++) {
        others += (k ? GAP : 0) + (table->column[k].cut ? 0 : widest_cell(table, k));
        *ret_cuts += table->column[k].cut;
    }
    return others;
}

static void column_remove(struct text_table *table, size_t k)
{
    for (size_t i = 0; i < table->rows; i++) {
        char **cell = table->row[i].cell;

        free(cell[k]);
        memmove(&cell[k], &cell[k + 1], (table->columns - k - 1) * sizeof *cell);
        cell[table->columns - 1] = NULL;
    }
    memmove(&table->columns_copy[k], &table->columns_copy[k + 1],
            (table->columns - k - 1) * sizeof *table->columns_copy);
    table->columns--;
}

/** Drops columns until the table fits. */
static void columns_drop(struct text_table *table)
{
    for (;;) {
        size_t cuts, width = others_width(table, &cuts), most = 0;

        for (size_t k = 0; k < table->columns; k++) {
            size_t widest = table->column[k].cut ? widest_cell(table, k) : 0;

            width += widest < CUT_GOOD ? widest : CUT_GOOD;
            if (table->column[k].drop > table->column[most].drop)
                most = k;
        }
        if (width <= table->width || !table->column[most].drop)
            return;
        column_remove(table, most);
    }
}

/** Width left for the cells that give way, if there are any. */
static size_t room_for_cut(const struct text_table *table)
{
    size_t cuts, others = others_width(table, &cuts);

    if (!cuts)
        return 0;
    return table->width > others + cuts * CUT_LEAST ? (table->width - others) / cuts : CUT_LEAST;
}

static int lines_fill(const struct text_table *table, struct libscols_table *lines)
{
    size_t room = room_for_cut(table);

    for (size_t k = 0; k < table->columns; k++)
        if (!scols_table_new_column(lines, table->column[k].name, 0,
                                    table->column[k].right ? SCOLS_FL_RIGHT : 0))
            return -ENOMEM;
    for (size_t i = 0; i < table->rows; i++) {
        struct libscols_line *line = scols_table_new_line(lines, NULL);

        for (size_t k = 0; line && k < table->columns; k++) {
            char *text = table->column[k].cut ? text_cut(table->row[i].cell[k], room)
                                              : strdup(table->row[i].cell[k]);

            if (!text || scols_line_refer_data(line, k, text) < 0) {
                free(text);
                return -ENOMEM;
            }
        }
        if (!line)
            return -ENOMEM;
    }
    return 0;
}

/** Prints lines without the blanks that only fill the last column, each row's notes under it. */
static int lines_print(const struct text_table *table, char *text, FILE *out)
{
    size_t row = 0; /* 0: the header */

    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), row++) {
        size_t length = strlen(line);

        while (length && line[length - 1] == ' ')
            length--;
        errno = 0;
        if (fprintf(out, "%.*s\n", (int)length, line) < 0)
            return errno ? -errno : -EIO;
        if (row && row <= table->rows && table->row[row - 1].note)
            fputs(table->row[row - 1].note, out);
    }
    return 0;
}

int text_table_finish(struct text_table *table, FILE *out)
{
    struct libscols_table *lines = table ? scols_new_table() : NULL;
    struct text_utf8 utf8;
    char *text = NULL;
    int error = lines ? 0 : -ENOMEM;

    if (!table)
        return -ENOMEM;
    utf8 = text_utf8_enter();
    if (error == 0) {
        columns_drop(table);
        scols_table_enable_colors(lines, 0);
        scols_table_set_termforce(lines, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(lines, 4096);
        scols_table_set_column_separator(lines, "  ");
        error = lines_fill(table, lines);
    }
    /* It may print nothing where it has no memory, and return 0. */
    if (error == 0 &&
        (scols_print_table_to_string(lines, &text) < 0 || (table->rows && (!text || !*text))))
        error = -ENOMEM;
    text_utf8_leave(utf8);
    if (error == 0 && text)
        error = lines_print(table, text, out);
    shortage_note(error);
    free(text);
    scols_unref_table(lines);
    table_destroy(table);
    return error;
}
