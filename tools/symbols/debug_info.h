/* SPDX-License-Identifier: MIT */
/*
 * Source lines of code addresses, from the DWARF of an ELF file or of its split file.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_SYMBOLS_DEBUG_INFO_H
#define TOOLS_SYMBOLS_DEBUG_INFO_H

#include <elfutils/libdw.h>
#include <stddef.h>
#include <stdint.h>

struct debug_info;

/** Receives a frame: an inlined function, or finally the enclosing one. */
typedef void debug_info_frame(void *state, const char *function, const char *file, uint64_t line,
                              uint64_t column);

/**
 * Reads debug information of a file in `folder`; the caller keeps both. Errors: -ENOENT it belongs
 * to another file that must not be opened, -ENOMEM.
 */
int debug_info_open(Dwarf *dwarf, const char *folder, struct debug_info **ret_info);

/** NULL is accepted. */
void debug_info_close(struct debug_info *info);

/** Returns the frames of an address, innermost first; none when nothing is known. */
void debug_info_frames(struct debug_info *info, uint64_t address, debug_info_frame *give,
                       void *state);

/** The folder that relative file names start in; NULL: not known. */
const char *debug_info_directory(struct debug_info *info, uint64_t address);

#endif
