/* SPDX-License-Identifier: MIT */
/*
 * libsmartcols aligns; what must give way is cut before, so that it says that it
 * was cut. Characters and their widths are known by the locale, so the work is done in one of
 * UTF-8, whatever that of the user.
 */
#include "tools/base/text_table.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cupti/base/safe_text.h"
#include "tools/base/escape.h"

#define COLUMNS_MOST 16
#define CUT_LEAST    12 /* columns that a cut cell keeps */
#define GAP          2  /* between columns */
#define NOTE_INDENT  2
#define ELLIPSIS     "\u2026"

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

/** Enters a locale of UTF-8. */
struct utf8 {
    locale_t own, before;
};

static struct utf8 utf8_enter(void)
{
    struct utf8 utf8 = {.own = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)};

    if (utf8.own)
        utf8.before = uselocale(utf8.own);
    return utf8;
}

static void utf8_leave(struct utf8 utf8)
{
    if (!utf8.own)
        return;
    uselocale(utf8.before);
    freelocale(utf8.own);
}

/** Takes a character off a text: its bytes, and the columns it needs. */
static size_t character(const char *text, size_t *ret_columns)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t bytes = mbrtowc(&wide, text, strlen(text), &state);
    int columns = bytes && bytes < (size_t)-2 ? wcwidth(wide) : 1;

    *ret_columns = columns > 0 ? (size_t)columns : columns == 0 ? 0 : 1;
    return bytes && bytes < (size_t)-2 ? bytes : 1;
}

static size_t columns_of(const char *text, size_t bytes)
{
    size_t sum = 0, columns;

    for (size_t i = 0; i < bytes;) {
        i += character(text + i, &columns);
        sum += columns;
    }
    return sum;
}

/** Bytes of the longest beginning of a text that needs no more columns. */
static size_t prefix_bytes(const char *text, size_t most)
{
    size_t bytes = 0, columns;

    while (text[bytes]) {
        size_t next = character(text + bytes, &columns);

        if (columns > most)
            break;
        most -= columns;
        bytes += next;
    }
    return bytes;
}

/** Length of "file.cc:41" at the beginning of a text; 0: it does not begin so. */
static size_t place_length(const char *text)
{
    size_t length = strcspn(text, " "), digits = 0;

    while (digits < length && strchr("0123456789", text[length - 1 - digits]))
        digits++;
    return digits && digits < length && text[length - 1 - digits] == ':' ? length : 0;
}

static char *cut_in_utf8(const char *text, size_t columns)
{
    size_t bytes = strlen(text), place = place_length(text), kept;
    const char *module = bytes && text[bytes - 1] == ')' ? strrchr(text, '(') : NULL;
    char *result = NULL;

    if (columns_of(text, bytes) <= columns)
        return strdup(text);
    if (module && module > text + 1 && module[-1] == ' ' &&
        columns_of(text, (size_t)(module - 1 - text)) <= columns)
        return strndup(text, (size_t)(module - 1 - text));
    if (place && columns_of(text, place) > columns) {
        while (place && columns_of(text, place) > columns - 1) {
            size_t ignored, step = character(text, &ignored);

            text += step;
            place -= step;
        }
        return asprintf(&result, ELLIPSIS "%.*s", (int)place, text) < 0 ? NULL : result;
    }
    kept = prefix_bytes(text, columns ? columns - 1 : 0);
    return asprintf(&result, "%.*s" ELLIPSIS, (int)kept, text) < 0 ? NULL : result;
}

char *text_table_cut(const char *text, size_t columns)
{
    struct utf8 utf8 = utf8_enter();
    char *result = cut_in_utf8(text, columns);

    utf8_leave(utf8);
    return result;
}

/** Bytes of a line that begins a text: up to a blank where there is one. */
static size_t line_bytes(const char *text, size_t columns)
{
    size_t most = prefix_bytes(text, columns), bytes = most;

    if (!text[most])
        return most;
    while (bytes && text[bytes] != ' ')
        bytes--;
    return bytes ? bytes : most ? most : 1;
}

void text_wrap(FILE *out, const char *text, size_t columns, unsigned indent)
{
    struct utf8 utf8 = utf8_enter();
    size_t room = columns > indent + CUT_LEAST ? columns - indent : CUT_LEAST;
    char *copy = malloc(3 * strlen(text) + 1);
    const char *at = copy;

    if (copy)
        safe_text_copy(copy, 3 * strlen(text) + 1, text);
    for (bool first = true; at && (*at || first); first = false) {
        size_t bytes = line_bytes(at, room);
        char *line = strndup(at, bytes);

        /* Each line for itself: a command of a CI service must not begin one. */
        fprintf(out, "%*s", first ? 0 : (int)indent, "");
        escape_print(out, ESCAPE_LINE, line);
        fputc('\n', out);
        free(line);
        at += bytes + strspn(at + bytes, " ");
    }
    free(copy);
    utf8_leave(utf8);
}

static void table_destroy(struct text_table *table)
{
    for (size_t i = 0; i < table->rows; i++) {
        for (size_t k = 0; k < table->columns; k++)
            free(table->row[i].cell[k]);
        free(table->row[i].note);
    }
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
    struct row *row;

    if (table->rows == table->room) {
        size_t room = table->room ? 2 * table->room : 16;
        struct row *grown = realloc(table->row, room * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        table->row = grown;
        table->room = room;
    }
    row = &table->row[table->rows++];
    *row = (struct row){0};
    for (size_t i = 0; i < table->columns; i++) {
        row->cell[i] = safe_copy(cells[i]);
        if (!row->cell[i])
            return -ENOMEM;
    }
    return 0;
}

int text_table_note(struct text_table *table, const char *text)
{
    struct row *row = &table->row[table->rows - 1];
    char *safe = safe_copy(text),
         *cut = safe ? text_table_cut(safe, table->width - NOTE_INDENT) : NULL;
    char *whole = NULL;
    int r = cut ? asprintf(&whole, "%s%*s%s\n", row->note ? row->note : "", NOTE_INDENT, "", cut)
                : -1;

    free(safe);
    free(cut);
    if (r < 0)
        return -ENOMEM;
    free(row->note);
    row->note = whole;
    return 0;
}

/** What is left for the cells that give way, if there are any. */
static size_t room_for_cut(const struct text_table *table)
{
    size_t others = 0, cuts = 0;

    for (size_t k = 0; k < table->columns; k++) {
        size_t widest = strlen(table->column[k].name);

        for (size_t i = 0; i < table->rows && !table->column[k].cut; i++) {
            size_t columns = columns_of(table->row[i].cell[k], strlen(table->row[i].cell[k]));

            widest = columns > widest ? columns : widest;
        }
        others += (k ? GAP : 0) + (table->column[k].cut ? 0 : widest);
        cuts += table->column[k].cut;
    }
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
            char *text = table->column[k].cut ? cut_in_utf8(table->row[i].cell[k], room)
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

/** Lines without the blanks that only fill the last column, each row's notes under it. */
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
    struct utf8 utf8;
    char *text = NULL;
    int r = lines ? 0 : -ENOMEM;

    if (!table)
        return -ENOMEM;
    utf8 = utf8_enter();
    if (r == 0) {
        scols_table_enable_colors(lines, 0);
        scols_table_set_termforce(lines, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(lines, 4096);
        scols_table_set_column_separator(lines, "  ");
        r = lines_fill(table, lines);
    }
    if (r == 0)
        r = scols_print_table_to_string(lines, &text) < 0 ? -ENOMEM : 0;
    utf8_leave(utf8);
    if (r == 0 && text)
        r = lines_print(table, text, out);
    free(text);
    scols_unref_table(lines);
    table_destroy(table);
    return r;
}
