/* SPDX-License-Identifier: MIT */
/*
 * See symbols.h. The static symbol table where there is one, else the dynamic one, searched for
 * the function that covers an offset. A file has few sites, so the search is linear.
 */
#include "tools/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Of the C++ runtime. */
extern char *__cxa_demangle(const char *name, char *buffer, size_t *bytes, int *status);

struct module {
    struct module *next;
    char *path;
    int fd;
    Elf *elf; /* NULL: not usable */
    Elf_Data *table, *names;
    size_t symbols;
};

static struct module *modules;

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
            offset = next;
        }
    }
    return false;
}

/** Finds .symtab, or .dynsym where it was stripped. */
static bool table_find(struct module *module)
{
    Elf_Scn *section = NULL, *found = NULL;
    GElf_Shdr header, found_header = {0};

    while ((section = elf_nextscn(module->elf, section))) {
        if (!gelf_getshdr(section, &header) || !header.sh_entsize ||
            (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM))
            continue;
        if (!found || header.sh_type == SHT_SYMTAB) {
            found = section;
            found_header = header;
        }
    }
    if (!found)
        return false;
    module->table = elf_getdata(found, NULL);
    module->names = elf_getdata(elf_getscn(module->elf, found_header.sh_link), NULL);
    module->symbols = found_header.sh_size / found_header.sh_entsize;
    return module->table && module->names;
}

static void module_load(struct module *module, const char *build_id)
{
    module->fd = open(module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (module->fd < 0 || elf_version(EV_CURRENT) == EV_NONE)
        return;
    module->elf = elf_begin(module->fd, ELF_C_READ_MMAP, NULL);
    if (!module->elf)
        return;
    if (elf_kind(module->elf) != ELF_K_ELF || !build_id || !build_id_is(module->elf, build_id) ||
        !table_find(module)) {
        elf_end(module->elf);
        module->elf = NULL;
    }
}

static struct module *module_get(const struct trace_site *site)
{
    struct module *module = modules;

    while (module && strcmp(module->path, site->module) != 0)
        module = module->next;
    if (module)
        return module;
    module = calloc(1, sizeof *module);
    if (!module)
        return NULL;
    module->path = strdup(site->module);
    module->next = modules;
    modules = module;
    module->fd = -1;
    if (module->path)
        module_load(module, site->build_id);
    return module;
}

/** The function as its source has it. */
static void name_print(const char *name, uint64_t offset, char *ret_text, size_t text_bytes)
{
    char *plain = !strncmp(name, "_Z", 2) ? __cxa_demangle(name, NULL, NULL, NULL) : NULL;

    snprintf(ret_text, text_bytes, "%.*s+%#llx", (int)(text_bytes > 32 ? text_bytes - 32 : 0),
             plain ? plain : name, (unsigned long long)offset);
    free(plain);
}

int symbols_find(const struct trace_site *site, char *ret_text, size_t text_bytes)
{
    struct module *module = module_get(site);
    GElf_Sym symbol;

    for (size_t i = 0; module && module->elf && i < module->symbols; i++) {
        if (!gelf_getsym(module->table, (int)i, &symbol) ||
            GELF_ST_TYPE(symbol.st_info) != STT_FUNC || site->offset < symbol.st_value ||
            site->offset - symbol.st_value >= symbol.st_size ||
            symbol.st_name >= module->names->d_size)
            continue;
        name_print((const char *)module->names->d_buf + symbol.st_name,
                   site->offset - symbol.st_value, ret_text, text_bytes);
        return 0;
    }
    return -ENOENT;
}

void symbols_done(void)
{
    while (modules) {
        struct module *module = modules;

        modules = module->next;
        if (module->elf)
            elf_end(module->elf);
        if (module->fd >= 0)
            close(module->fd);
        free(module->path);
        free(module);
    }
}
