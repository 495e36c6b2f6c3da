/* SPDX-License-Identifier: MIT */
/*
 * Text from outside, one character at a time: what it may hold, and how it becomes part of a line
 * that people read.
 *
 * Which characters are harmless is decided here alone, for the preload's messages as for every form
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
 * Takes one character off a text: its length in bytes. What is not UTF-8, and what could disturb a
 * terminal or the order of reading (controls, separators of lines, marks of direction, tags,
 * noncharacters), gives U+FFFD; line ends and tabs stay.
 */
size_t safe_text_next(const char *text, uint32_t *ret_character);

/** Encodes a character that safe_text_next gave; the length in bytes. */
size_t safe_text_encode(uint32_t character, char ret_bytes[4]);

/** Position in a text that is read as part of a line; {0} before its first character. */
struct safe_text_line {
    int begun;       /* something other than a blank came */
    uint32_t before; /* the character before, as it was written */
};

/**
 * A character of a text as part of a line: its encoded length. Line ends and tabs become blanks.
 * Log readers of CI services take commands from "::" at the beginning of a line and from "##[" and
 * "##vso[" anywhere: a blank comes between the two characters.
 */
size_t safe_text_line_next(struct safe_text_line *line, uint32_t character, char ret_bytes[5]);

/**
 * Where to cut a text so that at most `most` bytes stay: not inside a character of UTF-8. What is
 * not UTF-8 is cut at any byte. The text's length when it fits.
 */
size_t safe_text_cut(const char *text, size_t most);

/** The same for a text that may have been cut to fill a buffer of `text_bytes`, as by snprintf. */
void safe_text_end(char *text, size_t text_bytes);

/** A text as part of a line; what does not fit is cut between characters. Returns its length. */
size_t safe_text_copy(char *ret_text, size_t text_bytes, const char *text);

#ifdef __cplusplus
}
#endif

#endif
