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
    char *folder; /* directory of the file with the debug information, as the kernel names it */
    /* A debug file without debug information, which may have a symbol table. */
    int bare_fd;
    Elf *bare;
};

#define MODULE_FILES_IDENTITY_BYTES 48

/** What tells a file from others, by whatever path. Errors: -ENOENT no regular file; from the
 * system. */
int module_files_identify(const char *path, char ret_text[MODULE_FILES_IDENTITY_BYTES]);

/**
 * Bytes of memory that libdw takes at most for a file with split debug information, of which one
 * unit is looked at, or with the common part of several. Errors: -ENOENT no regular ELF file,
 * -EFBIG many times what the file holds.
 */
int64_t module_files_taken_bytes(const char *path);

/**
 * Opens the files of a module if the file at its path has this build-id; "": if it has none.
 * Errors: -ENOENT no file to read, -ESTALE another build-id.
 */
int module_files_open(const char *path, const char *build_id, struct module_files *ret_files);

/** Closes the files. Accepts a failed open, and a zeroed structure. */
void module_files_close(struct module_files *files);

#endif
