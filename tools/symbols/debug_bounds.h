/* SPDX-License-Identifier: MIT */
/*
 * What libdw makes of the debug information of a file, before it makes it.
 *
 * libdw keeps the abbreviations of each unit separately, also where units share a table, and the
 * path of each file of a line table as a text of its own, also where entries share a directory. So
 * a file of kilobytes can take any amount of memory.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_SYMBOLS_DEBUG_BOUNDS_H
#define TOOLS_SYMBOLS_DEBUG_BOUNDS_H

#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

/** Sums up the tables of abbreviations of all units. Errors: -EFBIG not in proportion to the file,
 * or not what libdw reads. */
int debug_bounds_units(Elf *elf, uint64_t *ret_bytes);

/** The sections that line tables are read from; they belong to the file. */
struct debug_bounds_lines {
    const unsigned char *lines, *texts, *line_texts;
    size_t lines_bytes, texts_bytes, line_texts_bytes;
};

/** Finds them, once for all tables. Errors: as above. */
int debug_bounds_lines_find(Elf *elf, struct debug_bounds_lines *ret_sections);

/** Sums up the paths of a line table, for a unit compiled in a directory (NULL: not known). Errors:
 * -EFBIG not in proportion to the table, or not known. */
int debug_bounds_paths(const struct debug_bounds_lines *sections, uint64_t place,
                       const char *directory, uint64_t *ret_bytes);

#endif
