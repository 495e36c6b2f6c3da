/* SPDX-License-Identifier: MIT */
/*
 * Each format is a row of the table: replacements for a tab and the two line ends, and characters
 * that need escaping. Every byte was decoded and checked before (cupti/base/safe_text.h).
 */
#include "tools/base/escape.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"

static const struct form {
    const char *tab, *feed, *end; /* what \t, \n and \r become */
    struct {
        const char *signs, *format; /* %c or a form of number */
    } rule[2];
    bool is_line; /* commands of CI services are broken up */
} forms[ESCAPE_FORMS] = {
    [ESCAPE_HTML] = {"\t", "\n", " ", {{"&<>\"'`", "&#%u;"}}, false},
    /* Entities where GitHub would still interpret the plain character: mentions, references,
     * rows. */
    [ESCAPE_MARKDOWN] = {" ", " ", " ", {{"&<>\"'|@#\\`", "&#%u;"}, {"*_[]~!$", "\\%c"}}, false},
    /* Nothing is interpreted in a code span, but the text must not end it. */
    [ESCAPE_MARKDOWN_CODE] = {" ", " ", " ", {{"`", "'"}}, false},
    [ESCAPE_JSON] =
        {"\\u0009", "\\u000a", "\\u000d", {{"\"\\", "\\%c"}, {"<>&", "\\u%04x"}}, false},
    [ESCAPE_CSV] = {"\t", "\n", "\r", {{"\"", "\"%c"}}, false},
    [ESCAPE_LABEL] = {" ", "\\n", " ", {{"\"\\", "\\%c"}}, false},
    [ESCAPE_FRAME] = {" ", " ", " ", {{";", ":"}}, true},
    [ESCAPE_LINE] = {" ", " ", " ", {{NULL, NULL}}, true},
    [ESCAPE_XML] = {"&#9;", "&#10;", "&#13;", {{"&<>\"'", "&#%u;"}}, false},
    [ESCAPE_GITHUB] = {" ", "%0A", "%0D", {{"%", "%%%02X"}}, false},
    [ESCAPE_GITHUB_PROPERTY] = {" ", "%0A", "%0D", {{"%:,", "%%%02X"}}, false},
};

size_t escape_next(const char *text, uint32_t *ret_character)
{
    return safe_text_next(text, ret_character);
}

static const char *break_text(const struct form *form, uint32_t c)
{
    return c == '\t' ? form->tab : c == '\n' ? form->feed : c == '\r' ? form->end : NULL;
}

static const char *sign_format(const struct form *form, uint32_t c)
{
    for (size_t i = 0; i < sizeof form->rule / sizeof *form->rule && form->rule[i].signs; i++)
        if (c && c < 0x80 && strchr(form->rule[i].signs, (int)c))
            return form->rule[i].format;
    return NULL;
}

static void character_print(FILE *out, const struct form *form, struct safe_text_line *line,
                            uint32_t c)
{
    const char *text = break_text(form, c), *format = sign_format(form, c);
    char bytes[5];

    if (text && !form->is_line) {
        fputs(text, out);
    } else if (format) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        fprintf(out, format, (unsigned)c); /* one of the table above */
#pragma GCC diagnostic pop
    } else if (form->is_line) {
        fwrite(bytes, 1, safe_text_line_next(line, c, bytes), out);
    } else {
        fwrite(bytes, 1, safe_text_encode(c, bytes), out);
    }
}

/** Characters that a spreadsheet takes for the beginning of a formula; their wide forms, too. */
static bool begins_formula(uint32_t c)
{
    static const uint32_t signs[] = {'=',  '+',    '-',    '@',    '\t',
                                     '\r', 0xff1d, 0xff0b, 0xff0d, 0xff20};

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (c == signs[i])
            return true;
    return false;
}

/** Whether the rest could be taken for the beginning of a cell, as some programs do inside one. */
static bool ends_cell(uint32_t c)
{
    return c == ';' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_blank(uint32_t c)
{
    return c == ' ' || c == 0xa0 || c == 0x3000;
}

static void text_print(FILE *out, const struct form *form, const char *text)
{
    struct safe_text_line line = {0};
    uint32_t character;

    while (*text) {
        text += safe_text_next(text, &character);
        character_print(out, form, &line, character);
    }
}

/** The leading apostrophe makes a formula plain text. */
static void cell_print(FILE *out, const char *text)
{
    const char *quote = strpbrk(text, "\",;\t\r\n") ? "\"" : "";
    bool begins = true;
    uint32_t c;

    fputs(quote, out);
    while (*text) {
        text += safe_text_next(text, &c);
        if (begins && begins_formula(c))
            fputc('\'', out);
        character_print(out, &forms[ESCAPE_CSV], NULL, c);
        begins = ends_cell(c) || (begins && is_blank(c));
    }
    fputs(quote, out);
}

void escape_print(FILE *out, enum escape_form form, const char *text)
{
    if (!text)
        return;
    if (form == ESCAPE_CSV)
        cell_print(out, text);
    else
        text_print(out, &forms[form], text);
}

void escape_line_list(FILE *out, const char *format, va_list arguments)
{
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);

    escape_print(out, ESCAPE_LINE, length < 0 ? "out of memory" : text);
    fputc('\n', out);
    if (length >= 0)
        free(text);
}

void escape_line(FILE *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    escape_line_list(out, format, arguments);
    va_end(arguments);
}

char *escape_copy(const char *text)
{
    char *copy = text ? malloc(3 * strlen(text) + 1) : NULL, *to = copy;
    uint32_t character;

    if (!copy)
        return NULL;
    while (*text) {
        text += safe_text_next(text, &character);
        to += safe_text_encode(character, to);
    }
    *to = '\0';
    return copy;
}
