/* SPDX-License-Identifier: MIT */
/*
 * Widths are those of the C library's UTF-8 locale, whatever the user's locale.
 */
#include "tools/base/text_fit.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cupti/base/safe_text.h"
#include "tools/base/escape.h"

#define WRAP_LEAST 12 /* columns beside an indent */
#define ELLIPSIS   "\u2026"
#define PLAIN_CODE "\033[0m"

struct text_utf8 text_utf8_enter(void)
{
    struct text_utf8 utf8 = {.own = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)};

    if (utf8.own)
        utf8.before = uselocale(utf8.own);
    return utf8;
}

void text_utf8_leave(struct text_utf8 utf8)
{
    if (!utf8.own)
        return;
    uselocale(utf8.before);
    freelocale(utf8.own);
}

/** Returns the bytes of a terminal code at the beginning of a text, 0 if there is none. */
static size_t code_bytes(const char *text)
{
    size_t bytes;

    if (text[0] != '\033' || text[1] != '[')
        return 0;
    bytes = 2 + strspn(text + 2, "0123456789;");
    return text[bytes] == 'm' ? bytes + 1 : 0;
}

/** Removes the first character of a text: returns its bytes and columns. */
static size_t character(const char *text, size_t *ret_columns)
{
    mbstate_t state = {0};
    size_t code = code_bytes(text);
    wchar_t wide;

    if (code || *text == TEXT_FIT_HERE) {
        *ret_columns = 0;
        return code ? code : 1;
    }

    size_t bytes = mbrtowc(&wide, text, strnlen(text, MB_LEN_MAX), &state);
    int columns = bytes && bytes < (size_t)-2 ? wcwidth(wide) : 1;

    *ret_columns = columns > 0 ? (size_t)columns : columns == 0 ? 0 : 1;
    return bytes && bytes < (size_t)-2 ? bytes : 1;
}

size_t text_columns(const char *text, size_t bytes)
{
    size_t sum = 0, columns;

    for (size_t i = 0; i < bytes;) {
        i += character(text + i, &columns);
        sum += columns;
    }
    return sum;
}

/** Returns the bytes of the longest prefix that fits the columns. */
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

/** Returns the length of "file.cc:41" at the beginning of a text; 0: it does not begin so. */
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

    if (text_columns(text, bytes) <= columns)
        return strdup(text);
    if (module && module > text + 1 && module[-1] == ' ' &&
        text_columns(text, (size_t)(module - 1 - text)) <= columns)
        return strndup(text, (size_t)(module - 1 - text));
    if (place && text_columns(text, place) > columns) {
        while (place && text_columns(text, place) > columns - 1) {
            size_t ignored, step = character(text, &ignored);

            text += step;
            place -= step;
        }
        return asprintf(&result, ELLIPSIS "%.*s", (int)place, text) < 0 ? NULL : result;
    }
    kept = prefix_bytes(text, columns ? columns - 1 : 0);
    return asprintf(&result, "%.*s" ELLIPSIS, (int)kept, text) < 0 ? NULL : result;
}

char *text_cut(const char *text, size_t columns)
{
    struct text_utf8 utf8 = text_utf8_enter();
    char *result = cut_in_utf8(text, columns);

    text_utf8_leave(utf8);
    return result;
}

/** Whether a blank separates a figure from its unit. */
static bool is_glue(const char *text, size_t blank)
{
    static const char *const units[] = {"%",   "B",  "KiB", "MiB", "GiB", "TiB", "PiB",
                                        "EiB", "ns", "us",  "ms",  "s",   "min"};
    size_t length = strcspn(text + blank + 1, " ,;.:)");

    if (!blank || text[blank - 1] < '0' || text[blank - 1] > '9')
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i]) == length && !strncmp(text + blank + 1, units[i], length))
            return true;
    return false;
}

/** Returns the bytes of the first line of a text, up to a blank if possible. */
static size_t line_bytes(const char *text, size_t columns)
{
    size_t most = prefix_bytes(text, columns), bytes = most;

    if (!text[most])
        return most;
    while (bytes && (text[bytes] != ' ' || is_glue(text, bytes)))
        bytes--;
    return bytes ? bytes : most ? most : 1;
}

void text_wrap(FILE *out, const char *text, size_t columns, unsigned indent)
{
    struct text_utf8 utf8 = text_utf8_enter();
    size_t room = columns > indent + WRAP_LEAST ? columns - indent : WRAP_LEAST;
    char *copy = malloc(3 * strlen(text) + 1);
    const char *at = copy;

    if (copy)
        safe_text_copy(copy, 3 * strlen(text) + 1, text);
    for (bool first = true; at && (*at || first); first = false) {
        size_t bytes = line_bytes(at, room);
        char *line = strndup(at, bytes);

        /* Handles each line separately: none may begin with a command of a CI service. */
        fprintf(out, "%*s", first ? 0 : (int)indent, "");
        escape_print(out, ESCAPE_LINE, line);
        fputc('\n', out);
        free(line);
        at += bytes + strspn(at + bytes, " ");
    }
    free(copy);
    text_utf8_leave(utf8);
}

/** Removes the wrap mark from a line; returns the columns before it, 0: there is none. */
static size_t mark_take(char *line)
{
    char *mark = strchr(line, TEXT_FIT_HERE);
    size_t columns;

    if (!mark)
        return 0;
    columns = text_columns(line, (size_t)(mark - line));
    memmove(mark, mark + 1, strlen(mark));
    return columns;
}

/** Writes a later part of a line: it must not begin with a command of a CI service. */
static void part_print(FILE *out, char *part)
{
    while (*part) {
        size_t code = code_bytes(part), text = strcspn(part + code, "\033");
        char end;

        if (!code && !text)
            text = 1; /* no code of ours */
        end = part[code + text];
        fwrite(part, 1, code, out);
        part[code + text] = '\0';
        escape_print(out, ESCAPE_LINE, part + code);
        part += code + text;
        *part = end;
    }
}

static void line_wrap(FILE *out, char *line, size_t columns)
{
    size_t mark = mark_take(line), blanks = strspn(line, " ");
    size_t indent = mark ? mark : blanks + 2 < 6 ? blanks + 2 : blanks, first;

    if (text_columns(line, strlen(line)) <= columns) {
        fprintf(out, "%s\n", line);
        return;
    }
    if (indent + WRAP_LEAST > columns)
        indent = 2;
    first = blanks + line_bytes(line + blanks, columns > blanks ? columns - blanks : 1);
    if (mark && first <= mark)
        first = prefix_bytes(line, columns);
    for (bool begun = false; *line; begun = true) {
        size_t bytes = begun ? line_bytes(line, columns - indent) : first;
        char *part = strndup(line, bytes);

        if (begun)
            fprintf(out, "%*s", (int)indent, "");
        if (begun && part)
            part_print(out, part);
        else if (part)
            fputs(part, out);
        fputc('\n', out);
        free(part);
        line += bytes + strspn(line + bytes, " ");
    }
}

void text_fit_wrap(FILE *out, char *text, size_t columns)
{
    struct text_utf8 utf8 = text_utf8_enter();

    for (char *end; *text; text = end) {
        end = strchrnul(text, '\n');
        if (*end)
            *end++ = '\0';
        line_wrap(out, text, columns);
    }
    text_utf8_leave(utf8);
}

void text_fit_cut(FILE *out, char *text, size_t columns, size_t lines)
{
    struct text_utf8 utf8 = text_utf8_enter();

    for (char *end; *text && lines; text = end, lines--) {
        char *cut;

        end = strchrnul(text, '\n');
        if (*end)
            *end++ = '\0';
        mark_take(text);
        cut = cut_in_utf8(text, columns);
        fprintf(out, "%s%s\n", cut ? cut : "", cut && strchr(cut, '\033') ? PLAIN_CODE : "");
        free(cut);
    }
    text_utf8_leave(utf8);
}
