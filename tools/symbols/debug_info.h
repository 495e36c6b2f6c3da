/* SPDX-License-Identifier: MIT */
/*
 * Source lines of code addresses, from the DWARF of an ELF file or of its split file.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_SYMBOLS_DEBUG_INFO_H
#define TOOLS_SYMBOLS_DEBUG_INFO_H

#include <stddef.h>
#include <stdint.h>
#include <libelf.h>

struct debug_info;

/** Receives a frame: an inlined function, or finally the enclosing one. */
typedef void debug_info_frame(void *state, const char *function, const char *file, uint64_t line,
                              uint64_t column);

/** Errors: -ENOENT the file has none, -ENOSYS this build cannot read any. */
int debug_info_open(Elf *elf, struct debug_info **ret_info);

/** NULL is accepted. */
void debug_info_close(struct debug_info *info);

/** Returns the frames of an address, innermost first; none when nothing is known. */
void debug_info_frames(struct debug_info *info, uint64_t address, debug_info_frame *give,
                       void *state);

/** The folder that relative file names start in; NULL: not known. */
const char *debug_info_directory(struct debug_info *info, uint64_t address);

#endif
