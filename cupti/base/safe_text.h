/* SPDX-License-Identifier: MIT */
/*
 * Sanitizes text from outside, one character at a time: which characters it may contain, and how it
 * becomes part of a line that people read.
 *
 * This alone decides which characters are harmless, for the preload's messages and for every format
 * the tool writes (tools/base/escape.h).
 *
 * Threading: pure functions. Nothing here calls malloc.
 */
#ifndef CUPTI_BASE_SAFE_TEXT_H
#define CUPTI_BASE_SAFE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SAFE_TEXT_REPLACEMENT UINT32_C(0xfffd)

/**
 * Decodes the first character of a text; returns its length in bytes. Gives U+FFFD for invalid
 * UTF-8, and for anything that could disturb a terminal or the reading order (controls, line
 * separators, direction marks, tags, noncharacters). Line ends and tabs stay.
 */
size_t safe_text_next(const char *text, uint32_t *ret_character);

/** Encodes a character from safe_text_next(); returns the length in bytes. */
size_t safe_text_encode(uint32_t character, char ret_bytes[4]);

/** Position in a text that becomes part of a line; {0} before its first character. */
struct safe_text_line {
    int begun;       /* something other than a blank came */
    uint32_t before; /* the character before, as it was written */
};

/**
 * Encodes a character as part of a line; returns its encoded length. Line ends and tabs become
 * blanks. Log readers of CI services take commands from "::" at the beginning of a line, and from
 * "##[" and "##vso[" anywhere: a blank is inserted between the two characters.
 */
size_t safe_text_line_next(struct safe_text_line *line, uint32_t character, char ret_bytes[5]);

/**
 * Returns where to cut a text so that at most `most` bytes remain: never inside a UTF-8 character.
 * Invalid UTF-8 may be cut at any byte. Returns the text's length when it fits.
 */
size_t safe_text_cut(const char *text, size_t most);

/** Does the same for a text that may have been cut to fill a buffer of `text_bytes`, as by
 * snprintf. */
void safe_text_end(char *text, size_t text_bytes);

/** Copies a text as part of a line, cut between characters to fit. Returns its length. */
size_t safe_text_copy(char *ret_text, size_t text_bytes, const char *text);

#ifdef __cplusplus
}
#endif

#endif
