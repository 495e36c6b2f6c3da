/* SPDX-License-Identifier: MIT */
/*
 * The cache of each address. Python frames already have names.
 */
#include "tools/symbols/symbols.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/symbols/debug_info.h"
#include "tools/symbols/demangle.h"
#include "tools/symbols/elf_module.h"
#include "tools/base/texts.h"

#define FRAMES_MOST 32

/** One address, remembered. */
struct known {
    const struct elf_module *module;
    uint64_t offset;
    struct symbol symbol;
    struct symbol_frame frame[]; /* symbol.frames of them */
};

/** Frames found for an address, before their number is known. */
struct finding {
    struct symbol symbol;
    bool linked; /* the last frame has its linker's name */
    struct symbol_frame frame[FRAMES_MOST];
};

static void *knowns; /* a tree of struct known */
static struct elf_modules *modules;
static struct texts names; /* of functions and files */

/** A function of a name, by the number of this name as the file has it. */
struct function {
    const char *name; /* as its source has it; NULL: not looked at */
    enum function_role role;
};

static struct function *functions;
static uint32_t functions_room;

static const struct symbol nothing;

static int known_compare(const void *a, const void *b)
{
    const struct known *left = a, *right = b;

    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return (left->module > right->module) - (left->module < right->module);
}

/** Returns a text, or a copy of its first bytes that the next one replaces. */
static const char *text_cut(const char *text, size_t most)
{
    static char cut[ELF_MODULE_NAME_MOST + 1];
    size_t length = strnlen(text, most);

    if (length < most || !text[most])
        return text;
    length = safe_text_cut(text, most);
    memcpy(cut, text, length);
    cut[length] = '\0';
    return cut;
}

static const char *text_keep(const char *text)
{
    return text ? texts_keep(&names, text_cut(text, SYMBOL_NAME_MOST)) : NULL;
}

/** Finds the function of a linkage name, or of one as the source has it. */
static struct function function_find(const char *name)
{
    const char *plain;
    uint32_t number = texts_number(&names, text_cut(name, ELF_MODULE_NAME_MOST));
    struct function *function, *grown;

    if (number > functions_room) {
        uint32_t room = number > UINT32_MAX / 2 ? UINT32_MAX : 2 * number;

        grown = reallocarray(functions, room, sizeof *grown);
        if (!grown)
            return (struct function){0};
        memset(grown + functions_room, 0, (room - functions_room) * sizeof *grown);
        functions = grown;
        functions_room = room;
    }
    if (!number)
        return (struct function){0};
    function = &functions[number - 1];
    if (function->name)
        return *function;
    name = names.row[number - 1].text;
    plain = demangle(name);
    function->name = text_keep(plain ? plain : name);
    function->role = function->name ? function_role_of(function->name) : FUNCTION_PLAIN;
    return *function;
}

static void frame_name(struct symbol_frame *frame, const char *name)
{
    struct function function = name ? function_find(name) : (struct function){0};

    frame->function = function.name;
    frame->role = function.role;
}

static void frame_add(void *state, const char *function, const char *file, uint64_t line,
                      uint64_t column)
{
    struct finding *finding = state;
    struct symbol_frame *frame = &finding->frame[finding->symbol.frames];

    if (finding->symbol.frames == FRAMES_MOST)
        return;
    finding->linked = function && demangle_is_mangled(function);
    frame_name(frame, function);
    frame->file = text_keep(file);
    frame->line = file ? line : 0;
    frame->column = file ? column : 0;
    finding->symbol.frames++;
}

static void address_find(struct finding *finding, struct elf_module *module, uint64_t offset)
{
    const char *name = elf_module_function(module, offset, &finding->symbol.offset);
    const char *directory = NULL;

    finding->symbol.changed = elf_module_is_changed(module);
    finding->symbol.function = name ? function_find(name).name : NULL;
    if (elf_module_debug_info(module)) {
        debug_info_frames(elf_module_debug_info(module), offset, frame_add, finding);
        directory = debug_info_directory(elf_module_debug_info(module), offset);
    }
    finding->symbol.directory = text_keep(directory);
    if (!finding->symbol.frames && name)
        frame_add(finding, name, NULL, 0, 0);
    /* The symbol table may know a name, or its parameters, that debug information lacks: for
     * the frame that is not inlined, which is the last. */
    if (finding->symbol.frames && name &&
        (!finding->frame[finding->symbol.frames - 1].function ||
         (!finding->linked && demangle_is_mangled(name))))
        frame_name(&finding->frame[finding->symbol.frames - 1], name);
}

static struct known *known_create(struct elf_module *module, uint64_t offset)
{
    struct finding finding = {0};
    struct known *known;

    address_find(&finding, module, offset);
    known = malloc(sizeof *known + finding.symbol.frames * sizeof *known->frame);
    if (!known)
        return NULL;
    *known = (struct known){module, offset, finding.symbol};
    memcpy(known->frame, finding.frame, finding.symbol.frames * sizeof *known->frame);
    known->symbol.frame = known->frame;
    return known;
}

const struct symbol *symbols_get(const struct trace_site *site)
{
    struct known wanted = {.offset = site->offset}, **found, *known;
    struct elf_module *module;

    if (!site->module || site->function)
        return &nothing;
    module = elf_module_get(&modules, site->module, site->build_id);
    if (!module)
        return &nothing;
    wanted.module = module;
    found = tfind(&wanted, &knowns, known_compare);
    if (found)
        return &(*found)->symbol;
    known = known_create(module, site->offset);
    if (!known)
        return &nothing;
    if (!tsearch(known, &knowns, known_compare)) {
        free(known);
        return &nothing;
    }
    return &known->symbol;
}

void symbol_text(const struct symbol *symbol, char *ret_text, size_t text_bytes)
{
    *ret_text = '\0';
    if (symbol->function)
        snprintf(ret_text, text_bytes, "%.*s+%#llx",
                 (int)safe_text_cut(symbol->function, text_bytes > 32 ? text_bytes - 32 : 0),
                 symbol->function, (unsigned long long)symbol->offset);
}

void symbols_done(void)
{
    tdestroy(knowns, free);
    knowns = NULL;
    elf_modules_destroy(modules);
    modules = NULL;
    texts_done(&names);
    free(functions);
    functions = NULL;
    functions_room = 0;
}
