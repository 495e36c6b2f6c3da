/* SPDX-License-Identifier: MIT */
/*
 * One ELF file that a trace names, and the file with its debug information.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_SYMBOLS_ELF_MODULE_H
#define TOOLS_SYMBOLS_ELF_MODULE_H

#include <stdbool.h>
#include <stdint.h>

struct elf_module;
struct elf_modules;
struct debug_info;

/**
 * Returns the module of a path and a build-id, opened and cached at first use. Creates `modules`
 * if NULL. NULL: out of memory.
 */
struct elf_module *elf_module_get(struct elf_modules **modules, const char *path,
                                  const char *build_id);

/** NULL is accepted. */
void elf_modules_destroy(struct elf_modules *modules);

/* Each accepts NULL. */

/** Whether a file exists that differs from the one recorded. */
bool elf_module_is_changed(const struct elf_module *module);

/** Of a linkage name only so many bytes count, and there may be no zero byte behind them. */
#define ELF_MODULE_NAME_MOST 16384

/** Returns the linkage name of the function at an address; NULL: none. */
const char *elf_module_function(const struct elf_module *module, uint64_t address,
                                uint64_t *ret_offset);

/** NULL: there is none. */
struct debug_info *elf_module_debug_info(const struct elf_module *module);

#endif
