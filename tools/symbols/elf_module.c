/* SPDX-License-Identifier: MIT */
/*
 * Takes functions from the static symbol table of the debug file or of the file itself, else from
 * the dynamic one, sorts them once and finds them by binary search. libdwfl, which finds the files,
 * can look up symbols too, but scans all of them for each address.
 */
#include "tools/symbols/elf_module.h"

#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/bound.h"
#include "tools/base/texts.h"
#include "tools/symbols/debug_info.h"
#include "tools/symbols/module_files.h"

struct function {
    uint64_t begin, bytes;
    const char *name;
    size_t place; /* in its table */
};

struct elf_module {
    const char *path, *build_id; /* texts of the modules */
    struct module_files files;
    struct debug_info *info;
    struct function *function; /* by address */
    size_t functions;
    bool changed;
};

struct elf_modules {
    struct texts texts;       /* paths, build-ids and identities of files */
    struct key_index index;   /* by the numbers of path and build-id: row of `module` */
    struct key_index by_file; /* by those of identity and build-id */
    struct elf_module **module;
    uint32_t count, room;
};

static int function_compare(const void *a, const void *b)
{
    const struct function *left = a, *right = b;

    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return (left->place > right->place) - (left->place < right->place);
}

/** Whether a name ends in its table, or has at least the bytes of it that count. */
static bool name_ends(const char *name, size_t left)
{
    return left > ELF_MODULE_NAME_MOST || memchr(name, '\0', left);
}

/** Adds the functions of a symbol table. */
static void functions_add(struct elf_module *module, Elf *elf, Elf_Scn *section,
                          const GElf_Shdr *header)
{
    size_t count = header->sh_size / header->sh_entsize;
    Elf_Data *table = elf_getdata(section, NULL);
    Elf_Data *names = elf_getdata(elf_getscn(elf, header->sh_link), NULL);
    struct function *grown;

    /* A section without bytes in the file still has a size. */
    if (!table || !names || !names->d_buf || !names->d_size || !count || count > INT_MAX)
        return;
    grown = calloc(count, sizeof *grown);
    if (!grown)
        return;
    free(module->function);
    module->function = grown;
    module->functions = 0;
    for (size_t i = 0; i < count; i++) {
        GElf_Sym symbol;
        const char *name = NULL;

        if (gelf_getsym(table, (int)i, &symbol) && GELF_ST_TYPE(symbol.st_info) == STT_FUNC &&
            symbol.st_size && symbol.st_name < names->d_size)
            name = (const char *)names->d_buf + symbol.st_name;
        if (name && name_ends(name, names->d_size - symbol.st_name))
            grown[module->functions++] = (struct function){symbol.st_value, symbol.st_size, name,
                                                           i};
    }
    qsort(grown, module->functions, sizeof *grown, function_compare);
}

/** True when the file has a static table. */
static bool functions_read(struct elf_module *module, Elf *elf)
{
    static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};

    for (size_t i = 0; elf && i < sizeof types / sizeof *types; i++) {
        Elf_Scn *section = NULL;
        GElf_Shdr header;

        while ((section = elf_nextscn(elf, section)))
            if (gelf_getshdr(section, &header) && header.sh_entsize && header.sh_type == types[i]) {
                functions_add(module, elf, section, &header);
                return types[i] == SHT_SYMTAB;
            }
    }
    return false;
}

static void module_load(struct elf_module *module)
{
    int error = module_files_open(module->path, module->build_id, &module->files);

    module->changed = error == -ESTALE;
    if (error < 0)
        return;
    if (module->files.dwarf)
        debug_info_open(module->files.dwarf, module->files.folder, &module->info);
    if (!functions_read(module, module->files.debug))
        functions_read(module, module->files.elf);
}

static void module_free(struct elf_module *module)
{
    debug_info_close(module->info);
    module_files_close(&module->files);
    free(module->function);
    free(module);
}

/** Adds a module without opening its files. NULL: out of memory. */
static struct elf_module *module_add(struct elf_modules *modules, uint64_t key, const char *path,
                                     const char *build_id)
{
    struct elf_module *module = calloc(1, sizeof *module);

    if (module && modules->count == modules->room) {
        uint32_t room = modules->room ? 2 * modules->room : 16;
        struct elf_module **grown = reallocarray(modules->module, room, sizeof(void *));

        modules->module = grown ? grown : modules->module;
        modules->room = grown ? room : modules->room;
    }
    if (!module || modules->count == modules->room ||
        key_index_get(&modules->index, key, modules->count) == KEY_INDEX_NONE) {
        free(module);
        return NULL;
    }
    module->path = path;
    module->build_id = build_id;
    modules->module[modules->count++] = module;
    return module;
}

/** Key of a file, by whatever path, and its build-id; false: there is no such file. */
static bool file_key(struct elf_modules *modules, const char *path, uint32_t build_number,
                     uint64_t *ret_key)
{
    char identity[MODULE_FILES_IDENTITY_BYTES];
    uint32_t number = 0;

    if (module_files_identify(path, identity) == 0)
        number = texts_number(&modules->texts, identity);
    *ret_key = (uint64_t)number << 32 | build_number;
    return number;
}

/** The module of a new path. A file has one, however many paths a trace has to it. */
static struct elf_module *module_find(struct elf_modules *modules, uint64_t key, const char *path,
                                      const char *build_id, uint32_t build_number)
{
    uint64_t by_file;
    bool is_file = file_key(modules, path, build_number, &by_file);
    uint32_t row = is_file ? key_index_find(&modules->by_file, by_file) : KEY_INDEX_NONE;
    struct elf_module *module;

    if (row != KEY_INDEX_NONE)
        return key_index_get(&modules->index, key, row) == row ? modules->module[row] : NULL;
    row = modules->count;
    module = module_add(modules, key, path, build_id);
    if (module)
        module_load(module);
    if (module && is_file)
        key_index_get(&modules->by_file, by_file, row);
    return module;
}

struct elf_module *elf_module_get(struct elf_modules **modules, const char *path,
                                  const char *build_id)
{
    uint32_t path_number, build_number, row;
    uint64_t key;

    if (!*modules)
        *modules = calloc(1, sizeof **modules);
    if (!*modules)
        return NULL;
    path_number = texts_number(&(*modules)->texts, path);
    build_number = texts_number(&(*modules)->texts, build_id);
    if (!path_number || !build_number)
        return NULL;
    key = (uint64_t)path_number << 32 | build_number;
    row = key_index_find(&(*modules)->index, key);
    if (row != KEY_INDEX_NONE)
        return (*modules)->module[row];
    return module_find(*modules, key, (*modules)->texts.row[path_number - 1].text,
                       (*modules)->texts.row[build_number - 1].text, build_number);
}

void elf_modules_destroy(struct elf_modules *modules)
{
    if (!modules)
        return;
    for (uint32_t i = 0; i < modules->count; i++)
        module_free(modules->module[i]);
    free(modules->module);
    key_index_done(&modules->index);
    key_index_done(&modules->by_file);
    texts_done(&modules->texts);
    free(modules);
}

bool elf_module_is_changed(const struct elf_module *module)
{
    return module && module->changed;
}

const char *elf_module_function(const struct elf_module *module, uint64_t address,
                                uint64_t *ret_offset)
{
    size_t at = module ? UPPER_BOUND(module->function, module->functions, begin, address) : 0;
    const struct function *found = NULL;

    /* The first of several names in the table; shorter functions may lie in a longer one. */
    for (size_t back = 0; at-- > 0 && back < 32; back++) {
        const struct function *function = &module->function[at];

        if (found && function->begin != found->begin)
            break;
        if (address - function->begin < function->bytes)
            found = function;
    }
    if (!found)
        return NULL;
    *ret_offset = address - found->begin;
    return found->name;
}

struct debug_info *elf_module_debug_info(const struct elf_module *module)
{
    return module ? module->info : NULL;
}
