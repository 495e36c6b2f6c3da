/* SPDX-License-Identifier: MIT */
#include "cupti/base/safe_text.h"

#include <stdbool.h>
#include <string.h>

/* Characters that become U+FFFD, whatever their source; in ascending order. */
static const struct {
    uint32_t first, last;
} harmful[] = {
    {0x00, 0x08},       /* controls, but for tab and line feed */
    {0x0b, 0x0c},       /* and carriage return */
    {0x0e, 0x1f},       /* */
    {0x7f, 0x9f},       /* DEL; C1 controls, NEXT LINE among them */
    {0x61c, 0x61c},     /* Arabic letter mark */
    {0x200e, 0x200f},   /* marks of direction */
    {0x2028, 0x202e},   /* separators of lines and paragraphs; embeddings and overrides */
    {0x2066, 0x206f},   /* isolates; deprecated controls of shape */
    {0xd800, 0xdfff},   /* surrogates */
    {0xfdd0, 0xfdef},   /* noncharacters */
    {0xfeff, 0xfeff},   /* byte order mark */
    {0xfff9, 0xfffb},   /* annotations, which hide what they hold */
    {0xe0000, 0xe0fff}, /* tags and others that are not shown */
};

static bool is_harmless(uint32_t c)
{
    for (size_t i = 0; i < sizeof harmful / sizeof *harmful && c >= harmful[i].first; i++)
        if (c <= harmful[i].last)
            return false;
    return (c & 0xfffe) != 0xfffe && c < 0x110000;
}

/** Returns the length of the character that begins with this byte; 0: none does. */
static size_t length_of(char first)
{
    unsigned char byte = (unsigned char)first;

    return byte < 0x80   ? 1
           : byte < 0xc2 ? 0
           : byte < 0xe0 ? 2
           : byte < 0xf0 ? 3
           : byte < 0xf5 ? 4
                         : 0;
}

size_t safe_text_next(const char *text, uint32_t *ret_character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t length = length_of(*text);
    uint32_t character = length == 1 ? *byte : *byte & (0x7fU >> length);

    *ret_character = SAFE_TEXT_REPLACEMENT;
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

/** Returns the length without a truncated character at the end. */
static size_t whole_length(const char *text, size_t length)
{
    size_t begin = length;

    while (begin && length - begin < 3 && ((unsigned char)text[begin - 1] & 0xc0) == 0x80)
        begin--;
    return begin && length_of(text[begin - 1]) > length - begin + 1 ? begin - 1 : length;
}

size_t safe_text_cut(const char *text, size_t most)
{
    size_t length = strnlen(text, most);

    return length == most && ((unsigned char)text[length] & 0xc0) == 0x80
               ? whole_length(text, length)
               : length;
}

void safe_text_end(char *text, size_t text_bytes)
{
    size_t length = strlen(text);

    if (length && length + 1 == text_bytes)
        text[whole_length(text, length)] = '\0';
}

size_t safe_text_encode(uint32_t c, char ret_bytes[4])
{
    char *at = ret_bytes;

    if (c < 0x80) {
        *at++ = (char)c;
        return 1;
    }
    if (c < 0x800) {
        *at++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *at++ = (char)(0xe0 | c >> 12);
        } else {
            *at++ = (char)(0xf0 | c >> 18);
            *at++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *at++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *at++ = (char)(0x80 | (c & 0x3f));
    return (size_t)(at - ret_bytes);
}

/** Unicode blanks: characters that a log reader may strip before it looks for a command. */
static bool is_blank(uint32_t c)
{
    return c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200b) || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

size_t safe_text_line_next(struct safe_text_line *line, uint32_t character, char ret_bytes[5])
{
    uint32_t c = character == '\t' || character == '\n' || character == '\r' ? ' ' : character;
    bool command = c == line->before && (c == '#' || (c == ':' && line->begun == 1));
    size_t length = 0;

    if (command)
        ret_bytes[length++] = ' ';
    if (line->begun < 2 && (line->begun == 1 || !is_blank(c)))
        line->begun++; /* 1 with the first character of the text, 2 behind it */
    line->before = c;
    return length + safe_text_encode(c, ret_bytes + length);
}

size_t safe_text_copy(char *ret_text, size_t text_bytes, const char *text)
{
    struct safe_text_line line = {0};
    size_t used = 0, length;
    uint32_t character;
    char bytes[5];

    if (!text_bytes)
        return 0;
    while (*text) {
        text += safe_text_next(text, &character);
        length = safe_text_line_next(&line, character, bytes);
        if (used + length >= text_bytes)
            break;
        memcpy(ret_text + used, bytes, length);
        used += length;
    }
    ret_text[used] = '\0';
    return used;
}
