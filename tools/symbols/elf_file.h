/* SPDX-License-Identifier: MIT */
/*
 * ELF files of strangers, opened and looked at within bounds.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_SYMBOLS_ELF_FILE_H
#define TOOLS_SYMBOLS_ELF_FILE_H

#include <gelf.h>
#include <libelf.h>
#include <stdint.h>

/**
 * Opens a file, of any kind that libelf knows; its descriptor stays open. NULL: most of it is a
 * hole, where libelf would make rows for sections, or the names of its sections have no end, which
 * libelf would search for each of them. `ret_left`: the bytes that its sections may be inflated to.
 */
Elf *elf_file_begin(int fd, uint64_t *ret_left);

/** Returns the name of a section; "": none, or a long one. */
const char *elf_file_section_name(Elf *elf, const GElf_Shdr *header);

/** Returns a text of a section of texts; NULL: none, or one of `most_bytes` or more. */
const char *elf_file_text(Elf *elf, size_t section, uint64_t offset, size_t most_bytes);

#endif
