/* SPDX-License-Identifier: MIT */
/*
 * Finds the loaded module that a code address belongs to.
 *
 * Threading: any thread, also inside dlopen. Takes the dynamic loader's own lock, so the caller
 * must not hold a lock that a thread inside the loader may want.
 */
#ifndef CUPTI_STACK_MODULE_FIND_H
#define CUPTI_STACK_MODULE_FIND_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define MODULE_BUILD_ID_BYTES 72 /* as hexadecimal digits, terminated */

struct module_place {
    char path[PATH_MAX];
    char build_id[MODULE_BUILD_ID_BYTES]; /* empty when the module has none */
    uint64_t load_address;                /* added to addresses of the ELF file */
    uint64_t extent_bytes;
};

/** Errors: -ENOENT when the address is in no module. */
int module_find(const void *code_address, struct module_place *ret_place);

/** Returns the running program; without /proc, the path as it was executed. */
void module_program_path(char *ret_path, size_t path_bytes);

#endif
