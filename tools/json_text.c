/* SPDX-License-Identifier: MIT */
/*
 * See json_text.h. The library takes UTF-8 alone and escapes it itself, so the text is only
 * repaired here.
 */
#include "tools/json_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"

#define REPAIRED_BYTES 3 /* of U+FFFD, which may stand for one byte */

static char *character_put(char *at, uint32_t c)
{
    if (c < 0x80) {
        *at++ = (char)c;
    } else if (c < 0x800) {
        *at++ = (char)(0xc0 | c >> 6);
        *at++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *at++ = (char)(0xe0 | c >> 12);
        *at++ = (char)(0x80 | (c >> 6 & 0x3f));
        *at++ = (char)(0x80 | (c & 0x3f));
    } else {
        *at++ = (char)(0xf0 | c >> 18);
        *at++ = (char)(0x80 | (c >> 12 & 0x3f));
        *at++ = (char)(0x80 | (c >> 6 & 0x3f));
        *at++ = (char)(0x80 | (c & 0x3f));
    }
    return at;
}

json_t *json_text(const char *text)
{
    char *repaired = malloc(REPAIRED_BYTES * strlen(text) + 1), *at = repaired;
    json_t *string;

    if (!repaired)
        return NULL;
    while (*text) {
        uint32_t character;

        text += escape_next(text, &character);
        at = character_put(at, character);
    }
    *at = '\0';
    string = json_string(repaired);
    free(repaired);
    return string;
}
