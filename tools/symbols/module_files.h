/* SPDX-License-Identifier: MIT */
/*
 * The files behind one module of a trace: the ELF file that was loaded, and the debug information
 * that was split off it.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_SYMBOLS_MODULE_FILES_H
#define TOOLS_SYMBOLS_MODULE_FILES_H

#include <elfutils/libdwfl.h>
#include <libelf.h>

struct module_files {
    Dwfl *dwfl;   /* NULL: no file */
    Elf *elf;     /* the file itself */
    Elf *debug;   /* the debug file; NULL: none */
    Dwarf *dwarf; /* debug information, of either; NULL: none */
    char *folder; /* where the file with the debug information lies, by the kernel's name */
    /* A debug file without debug information, which may have a table of symbols. */
    int bare_fd;
    Elf *bare;
};

/**
 * Opens the files of a path, if the file there has this build-id, or none where it is empty.
 * Errors: -ENOENT no file to read, -ESTALE another build-id.
 */
int module_files_open(const char *path, const char *build_id, struct module_files *ret_files);

/** Accepts what module_files_open() did not fill and bytes that are all zero. */
void module_files_close(struct module_files *files);

#endif
