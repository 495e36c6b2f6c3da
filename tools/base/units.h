/* SPDX-License-Identifier: MIT */
/*
 * Formats figures for people: binary units for bytes, suitable units for times, groups of three
 * digits.
 *
 * Threading: pure functions; each result is in its caller's buffer.
 */
#ifndef TOOLS_BASE_UNITS_H
#define TOOLS_BASE_UNITS_H

#include <stdint.h>

/** Room for any of the texts. */
struct unit_text {
    char text[48];
};

/** 0 B, 512 B, 1.5 KiB, 14.0 GiB. */
struct unit_text unit_bytes(uint64_t bytes);

/** 950 ns, 1.2 us, 3.40 s, 2 min 05 s. */
struct unit_text unit_duration(uint64_t ns);

/** 1,234,567. */
struct unit_text unit_count(uint64_t count);

/** 1 call, 1,200 calls: a noun with a regular plural, of at most 11 letters. */
struct unit_text unit_nouns(uint64_t count, const char *noun);

/** 1 block, 1,200 blocks. */
struct unit_text unit_blocks(uint64_t count);

/** A part of a whole: 12.3 %. `whole` 0 gives "-". */
struct unit_text unit_percent(uint64_t part, uint64_t whole);

/** A part of bytes, in percent, rounded down. */
static inline uint64_t percent_of(uint64_t bytes, unsigned percent)
{
    return (uint64_t)((unsigned __int128)bytes * percent / 100);
}

#endif
