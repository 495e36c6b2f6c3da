/* SPDX-License-Identifier: MIT */
/*
 * libsmartcols does the work; it prints to a string so that the width does not
 * depend on the terminal the tests run on. It knows characters and their widths by the locale, so
 * it works in one of UTF-8, whatever that of the user.
 */
#include "tools/base/text_table.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"

struct text_table {
    struct libscols_table *table;
    size_t columns;
};

static void text_table_destroy(struct text_table *table)
{
    scols_unref_table(table->table);
    free(table);
}

struct text_table *text_table_create(const struct text_column *columns, size_t count,
                                     unsigned width)
{
    struct text_table *table = calloc(1, sizeof *table);

    if (!table)
        return NULL;
    table->columns = count;
    table->table = scols_new_table();
    if (!table->table)
        goto destroy;
    scols_table_enable_colors(table->table, 0);
    scols_table_set_termforce(table->table, SCOLS_TERMFORCE_ALWAYS);
    scols_table_set_termwidth(table->table, width ? width : 4096);
    scols_table_set_column_separator(table->table, "  ");
    for (size_t i = 0; i < count; i++) {
        int flags = (columns[i].right ? SCOLS_FL_RIGHT : 0) | (columns[i].cut ? SCOLS_FL_TRUNC : 0);

        if (!scols_table_new_column(table->table, columns[i].name, columns[i].cut ? 0.4 : 0, flags))
            goto destroy;
    }
    return table;
destroy:
    text_table_destroy(table);
    return NULL;
}

int text_table_add(struct text_table *table, const char *const *cells)
{
    struct libscols_line *line = scols_table_new_line(table->table, NULL);

    for (size_t i = 0; line && i < table->columns; i++) {
        size_t bytes = 3 * strlen(cells[i]) + 1; /* a byte that is not UTF-8 becomes three */
        char *text = malloc(bytes);

        if (!text)
            return -ENOMEM;
        safe_text_copy(text, bytes, cells[i]);
        if (scols_line_refer_data(line, i, text) < 0) {
            free(text);
            return -ENOMEM;
        }
    }
    return line ? 0 : -ENOMEM;
}

/** The table as text, cut between characters. */
static int table_format(struct libscols_table *table, char **ret_text)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before;
    int r;

    if (!utf8)
        return scols_print_table_to_string(table, ret_text);
    before = uselocale(utf8);
    r = scols_print_table_to_string(table, ret_text);
    uselocale(before);
    freelocale(utf8);
    return r;
}

/** Lines without the blanks that only fill the last column. */
static int lines_print(char *text, FILE *out)
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        size_t length = strlen(line);

        while (length && line[length - 1] == ' ')
            length--;
        if (fprintf(out, "%.*s\n", (int)length, line) < 0)
            return -EIO;
    }
    return 0;
}

int text_table_finish(struct text_table *table, FILE *out)
{
    char *text = NULL;
    int r = 0;

    if (!table)
        return -ENOMEM;
    if (table_format(table->table, &text) < 0)
        r = -ENOMEM;
    else
        r = text ? lines_print(text, out) : 0;
    free(text);
    text_table_destroy(table);
    return r;
}
