/* SPDX-License-Identifier: MIT */
/*
 * Functions come from the static symbol table, of the file itself or of its debug file, or else
 * from the dynamic one; they are sorted once.
 */
#include "tools/symbols/elf_module.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/symbols/debug_info.h"
#include "tools/base/texts.h"

#define DEBUG_ROOT "/usr/lib/debug"

struct file {
    int fd;
    Elf *elf; /* NULL: not usable */
};

struct function {
    uint64_t begin, bytes;
    const char *name;
    size_t place; /* in its table */
};

struct elf_module {
    const char *path, *build_id; /* texts of the modules */
    struct file file, debug;
    struct debug_info *info;
    struct function *function; /* by address */
    size_t functions;
    bool changed;
};

struct elf_modules {
    struct texts texts;     /* paths and build-ids */
    struct key_index index; /* by the numbers of both texts: row of `module` */
    struct elf_module **module;
    uint32_t count, room;
};

/** Whether a file has this build-id, or none if none is wanted. */
static bool build_id_is(Elf *elf, const char *wanted)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;

    while ((section = elf_nextscn(elf, section))) {
        Elf_Data *data;
        size_t offset = 0, next, name, id;
        GElf_Nhdr note;

        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_NOTE)
            continue;
        data = elf_getdata(section, NULL);
        while (data && (next = gelf_getnote(data, offset, &note, &name, &id)) > 0) {
            const unsigned char *bytes = (const unsigned char *)data->d_buf + id;
            bool same = note.n_type == NT_GNU_BUILD_ID && strlen(wanted) == 2 * note.n_descsz;
            char digits[3];

            for (size_t i = 0; same && i < note.n_descsz; i++) {
                snprintf(digits, sizeof digits, "%02x", bytes[i]);
                same = !strncmp(wanted + 2 * i, digits, 2);
            }
            if (same)
                return true;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof "GNU" && !*wanted &&
                !memcmp((const char *)data->d_buf + name, "GNU", sizeof "GNU"))
                return false;
            offset = next;
        }
    }
    return !*wanted;
}

static void file_close(struct file *file)
{
    if (file->elf)
        elf_end(file->elf);
    if (file->fd >= 0)
        close(file->fd);
    *file = (struct file){-1, NULL};
}

/** Opens a regular ELF file. Opening other things (devices, FIFOs) may have effects. */
static bool file_open(const char *path, struct file *ret_file)
{
    struct file file = {-1, NULL};
    struct stat status;

    *ret_file = file;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || elf_version(EV_CURRENT) == EV_NONE)
        return false;
    file.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file.fd >= 0 && fstat(file.fd, &status) == 0 && S_ISREG(status.st_mode))
        file.elf = elf_begin(file.fd, ELF_C_READ_MMAP, NULL);
    if (!file.elf || elf_kind(file.elf) != ELF_K_ELF) {
        file_close(&file);
        return false;
    }
    *ret_file = file;
    return true;
}

/** Opens a file that has to have a build-id. */
static bool file_open_verified(const char *path, const char *build_id, struct file *ret_file)
{
    if (!file_open(path, ret_file))
        return false;
    if (build_id_is(ret_file->elf, build_id))
        return true;
    file_close(ret_file);
    return false;
}

/** Name of the debug file given in a file; NULL: none, or one that leads elsewhere. */
static const char *debug_link(Elf *elf)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    size_t names;

    if (elf_getshdrstrndx(elf, &names) < 0)
        return NULL;
    while ((section = elf_nextscn(elf, section))) {
        const char *name = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name)
                                                          : NULL;
        Elf_Data *data = name && !strcmp(name, ".gnu_debuglink") ? elf_getdata(section, NULL)
                                                                 : NULL;

        if (data && data->d_buf && memchr(data->d_buf, '\0', data->d_size) &&
            !strchr(data->d_buf, '/'))
            return data->d_buf;
    }
    return NULL;
}

static bool debug_find(const struct elf_module *module, struct file *ret_file)
{
    static const char *const places[] = {"%.*s/%s", "%.*s/.debug/%s", DEBUG_ROOT "%.*s/%s"};
    const char *slash = strrchr(module->path, '/'), *link = debug_link(module->file.elf);
    int directory = slash ? (int)(slash - module->path) : 0;
    char path[PATH_MAX];

    if (strlen(module->build_id) > 2 && !strchr(module->build_id, '/')) {
        snprintf(path, sizeof path, DEBUG_ROOT "/.build-id/%.2s/%s.debug", module->build_id,
                 module->build_id + 2);
        if (file_open_verified(path, module->build_id, ret_file))
            return true;
    }
    for (size_t i = 0; link && slash && i < sizeof places / sizeof *places; i++) {
        /* The formats are those above; a path that is cut opens nothing. */
        snprintf(path, sizeof path, places[i], directory, module->path, link);
        if (file_open_verified(path, module->build_id, ret_file))
            return true;
    }
    return false;
}

static int function_compare(const void *a, const void *b)
{
    const struct function *left = a, *right = b;

    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return (left->place > right->place) - (left->place < right->place);
}

/** Adds the functions of a table of symbols. */
static void functions_add(struct elf_module *module, Elf *elf, Elf_Scn *section,
                          const GElf_Shdr *header)
{
    size_t count = header->sh_size / header->sh_entsize;
    Elf_Data *table = elf_getdata(section, NULL);
    Elf_Data *names = elf_getdata(elf_getscn(elf, header->sh_link), NULL);
    struct function *grown;

    /* A section without bytes in the file has a size, too. */
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
        if (name && memchr(name, '\0', names->d_size - symbol.st_name))
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
    if (!file_open(module->path, &module->file))
        return;
    if (!build_id_is(module->file.elf, module->build_id)) {
        module->changed = true;
        file_close(&module->file);
        return;
    }
    if (debug_info_open(module->file.elf, &module->info) < 0) {
        module->info = NULL;
        if (debug_find(module, &module->debug) &&
            debug_info_open(module->debug.elf, &module->info) < 0)
            module->info = NULL;
    }
    if (!functions_read(module, module->debug.elf))
        functions_read(module, module->file.elf);
}

static void module_free(struct elf_module *module)
{
    debug_info_close(module->info);
    file_close(&module->debug);
    file_close(&module->file);
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
    module->file.fd = module->debug.fd = -1;
    module->path = path;
    module->build_id = build_id;
    modules->module[modules->count++] = module;
    return module;
}

struct elf_module *elf_module_get(struct elf_modules **modules, const char *path,
                                  const char *build_id)
{
    struct elf_module *module;
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
    module = module_add(*modules, key, (*modules)->texts.row[path_number - 1].text,
                        (*modules)->texts.row[build_number - 1].text);
    if (module)
        module_load(module);
    return module;
}

void elf_modules_destroy(struct elf_modules *modules)
{
    if (!modules)
        return;
    for (uint32_t i = 0; i < modules->count; i++)
        module_free(modules->module[i]);
    free(modules->module);
    key_index_done(&modules->index);
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
    size_t low = 0, high = module ? module->functions : 0;
    const struct function *found = NULL;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (module->function[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Of several names the first in the table; shorter functions may lie in a longer one. */
    for (size_t back = 0; low-- > 0 && back < 32; back++) {
        const struct function *function = &module->function[low];

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
