/* SPDX-License-Identifier: MIT */
/*
 * See escape.h. Every form is one function that prints one character, so none of them ever sees a
 * byte that was not decoded and checked first.
 */
#include "tools/base/escape.h"

#include <stdbool.h>
#include <string.h>

#define REPLACEMENT 0xfffdU

static bool is_harmless(uint32_t c)
{
    if (c < 0x20)
        return c == '\t' || c == '\n' || c == '\r';
    return !(c >= 0x7f && c < 0xa0) && !(c >= 0x200e && c <= 0x200f) &&
           !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) &&
           !(c >= 0xd800 && c < 0xe000) && c != 0xfeff && (c & 0xfffe) != 0xfffe && c < 0x110000;
}

size_t escape_next(const char *text, uint32_t *ret_character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t length = *byte < 0x80   ? 1
                    : *byte < 0xc2 ? 0
                    : *byte < 0xe0 ? 2
                    : *byte < 0xf0 ? 3
                    : *byte < 0xf5 ? 4
                                   : 0;
    uint32_t character = length == 1 ? *byte : *byte & (0x7fU >> length);

    *ret_character = REPLACEMENT;
    if (!length)
        return 1;
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 1;
        character = character << 6 | (byte[i] & 0x3f);
    }
    if (character >= least[length] && is_harmless(character))
        *ret_character = character;
    return length;
}

static void utf8_print(FILE *out, uint32_t c)
{
    if (c < 0x80) {
        fputc((int)c, out);
        return;
    }
    if (c < 0x800) {
        fputc((int)(0xc0 | c >> 6), out);
    } else {
        if (c < 0x10000) {
            fputc((int)(0xe0 | c >> 12), out);
        } else {
            fputc((int)(0xf0 | c >> 18), out);
            fputc((int)(0x80 | (c >> 12 & 0x3f)), out);
        }
        fputc((int)(0x80 | (c >> 6 & 0x3f)), out);
    }
    fputc((int)(0x80 | (c & 0x3f)), out);
}

static bool is_one_of(uint32_t c, const char *set)
{
    return c && c < 0x80 && strchr(set, (int)c);
}

static void html_print(FILE *out, uint32_t c)
{
    if (is_one_of(c, "&<>\"'`"))
        fprintf(out, "&#%u;", c);
    else
        utf8_print(out, c == '\r' ? ' ' : c);
}

/** Entities where GitHub would still act on the bare character: mentions, references, rows. */
static void markdown_print(FILE *out, uint32_t c)
{
    if (is_one_of(c, "&<>\"'|@#\\`"))
        fprintf(out, "&#%u;", c);
    else if (is_one_of(c, "*_[]~!$"))
        fprintf(out, "\\%c", (char)c);
    else
        utf8_print(out, is_one_of(c, "\t\r\n") ? ' ' : c);
}

static void json_print(FILE *out, uint32_t c)
{
    if (is_one_of(c, "\"\\"))
        fprintf(out, "\\%c", (char)c);
    else if (c < 0x20 || is_one_of(c, "<>&"))
        fprintf(out, "\\u%04x", c);
    else
        utf8_print(out, c);
}

static void csv_print(FILE *out, uint32_t c)
{
    if (c == '"')
        fputc('"', out);
    utf8_print(out, c);
}

static void label_print(FILE *out, uint32_t c)
{
    if (c == '\n')
        fputs("\\n", out);
    else if (is_one_of(c, "\"\\"))
        fprintf(out, "\\%c", (char)c);
    else
        utf8_print(out, is_one_of(c, "\t\r") ? ' ' : c);
}

static void line_print(FILE *out, uint32_t c)
{
    utf8_print(out, is_one_of(c, "\t\r\n") ? ' ' : c);
}

static void frame_print(FILE *out, uint32_t c)
{
    line_print(out, c == ';' ? ':' : c);
}

static void (*const printers[ESCAPE_FORMS])(FILE *out, uint32_t c) = {
    [ESCAPE_HTML] = html_print, [ESCAPE_MARKDOWN] = markdown_print, [ESCAPE_JSON] = json_print,
    [ESCAPE_CSV] = csv_print,   [ESCAPE_LABEL] = label_print,       [ESCAPE_FRAME] = frame_print,
    [ESCAPE_LINE] = line_print,
};

void escape_print(FILE *out, enum escape_form form, const char *text)
{
    const char *quote = "";
    uint32_t character;

    if (!text)
        return;
    if (form == ESCAPE_CSV && strpbrk(text, "\",\r\n"))
        quote = "\"";
    fputs(quote, out);
    /* A spreadsheet runs a cell that begins like a formula; the apostrophe makes it a text. */
    if (form == ESCAPE_CSV && is_one_of((unsigned char)*text, "=+-@\t\r"))
        fputc('\'', out);
    while (*text) {
        text += escape_next(text, &character);
        printers[form](out, character);
    }
    fputs(quote, out);
}
