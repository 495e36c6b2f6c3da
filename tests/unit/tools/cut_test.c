/* SPDX-License-Identifier: MIT */
/*
 * Texts that do not fit are cut between characters, at every place where they may be cut.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/text_fit.h"
#include "tools/base/text_table.h"
#include "tools/symbols/frames.h"
#include "tools/symbols/symbols.h"

/* One, two, three and four bytes; a mark that belongs to the letter before. */
#define NAME "gr\u00f6\u00dfe_\u65e5\u672c\u8a9e_\U0001f9e0_e\u0301a\u0308_\u0444\u0443"
static const char name[] = NAME "::" NAME;

/** Whether a text is UTF-8 without a replacement; none of these texts has one. */
static bool is_whole(const char *text)
{
    uint32_t character;

    for (; *text; text += safe_text_next(text, &character)) {
        safe_text_next(text, &character);
        if (character == SAFE_TEXT_REPLACEMENT)
            return false;
    }
    return true;
}

Test(cut, at_every_byte)
{
    char text[sizeof name + 4];

    for (size_t most = 0; most < sizeof name + 3; most++) {
        size_t length = safe_text_cut(name, most);

        cr_expect(length <= most && length + 4 > (most < sizeof name ? most : sizeof name - 1));
        snprintf(text, sizeof text, "%.*s", (int)length, name);
        cr_expect(is_whole(text), "%zu", most);
        snprintf(text, most + 1, "%s", name);
        safe_text_end(text, most + 1);
        cr_expect(strlen(text) == length && is_whole(text), "%zu", most);
    }
}

Test(cut, what_is_not_utf8_stays)
{
    char latin[] = "caf\xe9", marks[] = "\x80\x80\x80\x80\x80", room[16] = "caf\xe9";

    cr_expect(safe_text_cut(latin, 4) == 4 && safe_text_cut(latin, 9) == 4);
    cr_expect(safe_text_cut(marks, 4) == 4 && safe_text_cut(marks, 1) == 1);
    safe_text_end(room, sizeof room);
    cr_expect(strlen(room) == 4, "it was not cut");
    safe_text_end(marks, sizeof marks);
    cr_expect(strlen(marks) == 5);
    cr_expect(safe_text_cut("", 0) == 0);
}

Test(cut, names_of_sites)
{
    char text[sizeof name + 64];

    for (size_t room = 1; room < sizeof text; room++) {
        const struct symbol symbol = {.function = name, .offset = 16};
        struct frame frame = {.site = {.module = "/lib/" NAME ".so"},
                              .symbol = &symbol,
                              .function = name,
                              .file = "/src/" NAME ".c",
                              .line = 7};

        if (room > 32) {
            symbol_text(&symbol, text, room);
            cr_expect(is_whole(text), "symbol in %zu: %s", room, text);
        }
        frame_text(&frame, text, room);
        cr_expect(is_whole(text), "frame in %zu: %s", room, text);
    }
}

/** The lines of a table of one cut name. */
static char *table_text(const char *cell, unsigned width)
{
    static const struct text_column columns[] = {{"BYTES", true, false, 0},
                                                 {"NAME", false, true, 0}};
    const char *const cells[] = {"1", cell};
    struct text_table *table = text_table_create(columns, 2, width);
    static char *text;
    static size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    cr_assert(table && out && text_table_add(table, cells) == 0);
    cr_assert(text_table_finish(table, out) == 0);
    fclose(out);
    return text;
}

/** Takes the ellipsis off a text that was cut. */
static void ellipsis_take(char *shown)
{
    static const char ellipsis[] = "\u2026";
    size_t length = strlen(shown), bytes = sizeof ellipsis - 1;

    if (length == sizeof name - 1)
        return;
    cr_expect(length >= bytes && !strcmp(shown + length - bytes, ellipsis), "%s", shown);
    shown[length >= bytes ? length - bytes : 0] = '\0';
}

/** At every width a column shows the beginning of the name, and as much of it as has room; what is
 * cut ends in an ellipsis. */
Test(cut, columns_of_a_table)
{
    for (unsigned width = 12; width < 80; width++) {
        char *text = table_text(name, width), *line = strchr(text, '\n') + 1;
        char *shown = line + strspn(line, " 1");

        shown[strcspn(shown, "\n")] = '\0';
        cr_expect(is_whole(shown), "width %u: %s", width, shown);
        ellipsis_take(shown);
        cr_expect(strncmp(shown, name, strlen(shown)) == 0, "width %u: %s", width, shown);
        /* 7 columns before it, one of the ellipsis; no character is shown wider than 2, none has
         * more than 4 bytes, and 12 columns are always there */
        cr_expect(strlen(shown) == sizeof name - 1 || strlen(shown) + 10 >= width, "%u: %s", width,
                  shown);
        /* A mark stays with its letter. */
        cr_expect(strncmp(name + strlen(shown), "\u0301", 2) != 0, "width %u", width);
        cr_expect(strncmp(name + strlen(shown), "\u0308", 2) != 0, "width %u", width);
        free(text);
    }
}

/** A text cut to a number of columns. */
static void wrap_expect(const char *text, size_t columns, const char *wanted)
{
    char *copy = strdup(text), *shown = NULL;
    size_t bytes;
    FILE *out = open_memstream(&shown, &bytes);

    text_fit_wrap(out, copy, columns);
    fclose(out);
    cr_expect_str_eq(shown, wanted);
    free(shown);
    free(copy);
}

/** Lines break at blanks, not between a figure and its unit, and go on in the column of the mark.
 */
Test(cut, lines_that_are_wrapped)
{
    wrap_expect("short\n\n  as it is\n", 20, "short\n\n  as it is\n");
    wrap_expect("Title  \001one two three four five\n", 20,
                "Title  one two three\n       four five\n");
    wrap_expect("it was 10.5 % of 12.0 MiB, and 3 s\n", 14,
                "it was 10.5 %\n  of 12.0 MiB,\n  and 3 s\n");
    wrap_expect("\033[31mred\033[0m is no wider\n", 16, "\033[31mred\033[0m is no wider\n");
    wrap_expect("\033[31mred and yellow\033[0m words\n", 16,
                "\033[31mred and yellow\033[0m\n  words\n");
    wrap_expect("first line with ::error beginning\n", 18,
                "first line with\n  : :error\n  beginning\n");
    wrap_expect("no end", 40, "no end\n");
    wrap_expect("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 14, "aaaaaaaaaaaaaa\n  aaaaaaaaaaaa\n  aaaa\n");
}

/** Columns leave a table that is too wide, the least important first. */
Test(cut, columns_that_are_dropped)
{
    static const struct text_column columns[] = {{"NAME", false, true, 0},
                                                 {"FIRST", true, false, 1},
                                                 {"SECOND", true, false, 2},
                                                 {"KEPT", true, false, 0}};
    const char *const cells[] = {"a name that is cut where it must be", "1", "2", "3"};
    const struct {
        unsigned width;
        bool first, second;
    } cases[] = {{80, true, true},
                 {45, true, true},
                 {40, true, false},
                 {30, false, false},
                 {20, false, false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_table *table = text_table_create(columns, 4, cases[i].width);
        char *text = NULL;
        size_t bytes;
        FILE *out = open_memstream(&text, &bytes);

        cr_assert(text_table_add(table, cells) == 0 && text_table_finish(table, out) == 0);
        fclose(out);
        cr_expect(!strstr(text, "FIRST") == !cases[i].first, "%s", text);
        cr_expect(!strstr(text, "SECOND") == !cases[i].second, "%s", text);
        cr_expect(strstr(text, "KEPT") && strchr(text, '3'), "%s", text);
        free(text);
    }
}
