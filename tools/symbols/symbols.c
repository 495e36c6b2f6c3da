/* SPDX-License-Identifier: MIT */
/*
 * See symbols.h. Here: what is remembered of each address. Python frames bring their own names.
 */
#include "tools/symbols/symbols.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols/debug_info.h"
#include "tools/symbols/elf_module.h"

#define FRAMES_MOST 32

/** Of the C++ runtime. */
extern char *__cxa_demangle(const char *name, char *buffer, size_t *bytes, int *status);

/** One address, remembered. */
struct known {
    char *path;
    uint64_t offset;
    struct symbol symbol;
    struct symbol_frame frame[FRAMES_MOST];
    size_t frames;
};

static void *knowns; /* a tree of struct known */
static struct elf_module *modules;
static const struct symbol nothing;

static int known_compare(const void *a, const void *b)
{
    const struct known *left = a, *right = b;

    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return strcmp(left->path, right->path);
}

/** The function as its source has it; free() it. */
static char *name_plain(const char *name)
{
    char *plain = !strncmp(name, "_Z", 2) ? __cxa_demangle(name, NULL, NULL, NULL) : NULL;

    return plain ? plain : strdup(name);
}

static void frame_add(void *state, const char *function, const char *file, uint64_t line)
{
    struct known *known = state;
    struct symbol_frame *frame = &known->frame[known->frames];

    if (known->frames == FRAMES_MOST)
        return;
    frame->function = function ? name_plain(function) : NULL;
    frame->file = file ? strdup(file) : NULL;
    frame->line = file ? line : 0;
    known->frames++;
}

static void known_fill(struct known *known, const struct trace_site *site)
{
    struct elf_module *module = elf_module_get(&modules, site->module, site->build_id);
    const char *name;

    known->symbol.changed = elf_module_is_changed(module);
    name = elf_module_function(module, site->offset, &known->symbol.offset);
    known->symbol.function = name ? name_plain(name) : NULL;
    if (elf_module_debug_info(module))
        debug_info_frames(elf_module_debug_info(module), site->offset, frame_add, known);
    if (!known->frames && name)
        frame_add(known, name, NULL, 0);
    /* Where debug information has no name the symbol table may: of the frame that is no inlined
     * one, which is the last. */
    if (known->frames && name && !known->frame[known->frames - 1].function)
        known->frame[known->frames - 1].function = name_plain(name);
    known->symbol.frame = known->frame;
    known->symbol.frames = known->frames;
}

static void known_free(void *entry)
{
    struct known *known = entry;

    for (size_t i = 0; i < known->frames; i++) {
        free((char *)known->frame[i].function);
        free((char *)known->frame[i].file);
    }
    free((char *)known->symbol.function);
    free(known->path);
    free(known);
}

static struct known *known_create(const struct trace_site *site)
{
    struct known *known = calloc(1, sizeof *known);

    if (known)
        known->path = strdup(site->module);
    if (known && known->path) {
        known->offset = site->offset;
        return known;
    }
    free(known);
    return NULL;
}

const struct symbol *symbols_get(const struct trace_site *site)
{
    struct known wanted = {.path = (char *)site->module, .offset = site->offset};
    struct known **found, *known;

    if (!site->module || site->function)
        return &nothing;
    found = tfind(&wanted, &knowns, known_compare);
    if (found)
        return &(*found)->symbol;
    known = known_create(site);
    if (!known)
        return &nothing;
    known_fill(known, site);
    if (!tsearch(known, &knowns, known_compare)) {
        known_free(known);
        return &nothing;
    }
    return &known->symbol;
}

void symbol_text(const struct symbol *symbol, char *ret_text, size_t text_bytes)
{
    *ret_text = '\0';
    if (symbol->function)
        snprintf(ret_text, text_bytes, "%.*s+%#llx", (int)(text_bytes > 32 ? text_bytes - 32 : 0),
                 symbol->function, (unsigned long long)symbol->offset);
}

void symbols_done(void)
{
    tdestroy(knowns, known_free);
    knowns = NULL;
    elf_modules_destroy(modules);
    modules = NULL;
}
