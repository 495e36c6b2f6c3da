/* SPDX-License-Identifier: MIT */
/*
 * Names of functions and lines of source, found offline in the ELF files a trace names.
 *
 * A file is used only if its build-id is the recorded one, so a rebuilt library gives offsets
 * rather than wrong names. Separate debug information is looked for by build-id under
 * /usr/lib/debug and by the name in the file (.gnu_debuglink), and verified likewise. Paths come
 * from the trace, so only regular files are opened. Results stay valid until symbols_done().
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_SYMBOLS_SYMBOLS_H
#define TOOLS_SYMBOLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "cupti/read/trace_reader.h"
#include "tools/symbols/function_name.h"

/**
 * What is kept of a name, in bytes: whole characters. Everything that is done with a name is done
 * for each address, and a file may have one of any length.
 */
#define SYMBOL_NAME_MOST 4096

/** A function at an address; unknown fields are NULL or 0. */
struct symbol_frame {
    const char *function; /* as its source has it */
    enum function_role role;
    const char *file;
    uint64_t line, column;
};

struct symbol {
    const struct symbol_frame *frame; /* inlined functions, innermost first, then the function */
    size_t frames;
    const char *function;  /* of the symbol table; NULL: no name */
    const char *directory; /* where relative names of files begin; NULL: not known */
    uint64_t offset;       /* of the address in it */
    bool changed;          /* the file is there, but not the one that was loaded */
};

/** Names of a frame of a trace; never NULL, perhaps empty. */
const struct symbol *symbols_get(const struct trace_site *site);

/** Function and offset within it, "decode+0x4e"; empty when there is no name. */
void symbol_text(const struct symbol *symbol, char *ret_text, size_t text_bytes);

void symbols_done(void);

#endif
