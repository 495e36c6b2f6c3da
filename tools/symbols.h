/* SPDX-License-Identifier: MIT */
/*
 * Names of functions, found offline in the ELF files a trace names.
 *
 * A file is used only when its build-id is the one recorded, so a rebuilt library gives offsets
 * rather than wrong names. Opened files stay open until symbols_done.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_SYMBOLS_H
#define TOOLS_SYMBOLS_H

#include <stddef.h>

#include "cupti/trace_reader.h"

/** Function and offset within it, "decode+0x4e". Errors: -ENOENT when there is no name. */
int symbols_find(const struct trace_site *site, char *ret_text, size_t text_bytes);

void symbols_done(void);

#endif
