/* SPDX-License-Identifier: MIT */
/*
 * Uses the loader's own hash table (DT_GNU_HASH), or else all symbols that the older table
 * (DT_HASH) counts. Ignores symbol versions. Compares strings by hand: a sanitizer looks functions
 * up before its own strcmp can be called.
 */
#include "cupti/stack/module_symbol.h"

#include <stdbool.h>
#include <string.h>

/** Target of DT_GNU_HASH; a filter, buckets and chains follow. */
struct gnu_hash {
    uint32_t buckets, first_symbol, filter_words, filter_shift;
};

/** Target of DT_HASH; buckets and chains follow, one chain entry per symbol. */
struct old_hash {
    uint32_t buckets, chains;
};

struct tables {
    const struct gnu_hash *hash;
    const struct old_hash *old;
    const ElfW(Sym) * symbols;
    const char *names;
};

struct search {
    const char *name;
    struct symbol_place found;
};

static bool is_same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static uint32_t name_hash(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/** False for a module with missing tables. */
static bool tables_read(uintptr_t base, const ElfW(Dyn) * entry, struct tables *ret_tables)
{
    struct tables tables = {0};

    for (; entry && entry->d_tag != DT_NULL; entry++) {
        /* glibc has added the load address to the values in the file; other loaders have not. */
        uintptr_t address = entry->d_un.d_ptr < base ? entry->d_un.d_ptr + base : entry->d_un.d_ptr;

        switch (entry->d_tag) {
        case DT_HASH: tables.old = (const void *)address; break;
        case DT_GNU_HASH: tables.hash = (const void *)address; break;
        case DT_SYMTAB: tables.symbols = (const void *)address; break;
        case DT_STRTAB: tables.names = (const void *)address; break;
        default: break;
        }
    }
    *ret_tables = tables;
    return tables.symbols && tables.names &&
           (tables.hash ? tables.hash->buckets > 0 : tables.old != NULL);
}

static bool is_definition(const struct tables *tables, const ElfW(Sym) * symbol, const char *name)
{
    return symbol->st_shndx != SHN_UNDEF && is_same(tables->names + symbol->st_name, name);
}

/** Compares all behind an index: few modules have this table alone. */
static const ElfW(Sym) * old_find(const struct tables *tables, const char *name, size_t behind)
{
    for (size_t i = behind + 1; i < tables->old->chains; i++)
        if (is_definition(tables, &tables->symbols[i], name))
            return &tables->symbols[i];
    return NULL;
}

static const ElfW(Sym) * gnu_find(const struct tables *tables, const char *name, size_t behind)
{
    const ElfW(Addr) *filter = (const void *)(tables->hash + 1);
    const uint32_t *buckets = (const void *)(filter + tables->hash->filter_words);
    const uint32_t *chain = buckets + tables->hash->buckets;
    uint32_t hash = name_hash(name), first = tables->hash->first_symbol;
    uint32_t i = buckets[hash % tables->hash->buckets];

    if (i == 0 || i < first) /* nothing has that hash */
        return NULL;
    for (;; i++) {
        const ElfW(Sym) *symbol = &tables->symbols[i];
        uint32_t of_symbol = chain[i - first];

        if (i > behind && (of_symbol | 1) == (hash | 1) && is_definition(tables, symbol, name))
            return symbol;
        if (of_symbol & 1) /* the last of its bucket */
            return NULL;
    }
}

struct symbol_place module_symbol_behind(uintptr_t base, const ElfW(Dyn) * dynamic,
                                         const char *name, size_t behind)
{
    const ElfW(Sym) *symbol = NULL;
    struct tables tables;

    if (tables_read(base, dynamic, &tables))
        symbol = tables.hash ? gnu_find(&tables, name, behind) : old_find(&tables, name, behind);
    if (!symbol)
        return (struct symbol_place){0};
    return (struct symbol_place){.address = base + symbol->st_value,
                                 .index = (size_t)(symbol - tables.symbols),
                                 .is_resolver = ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC};
}

struct symbol_place module_symbol_in(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    return module_symbol_behind(base, dynamic, name, 0);
}

/** Returns one more than the highest symbol that a relocation names. */
static uint32_t relocated_count(uintptr_t base, const ElfW(Dyn) * dynamic)
{
    const ElfW(Rela) * tables[2] = {NULL, NULL};
    size_t counts[2] = {0, 0};
    uint32_t count = 0;

    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        size_t value = dynamic->d_un.d_val;
        uintptr_t address = value < base ? value + base : value;

        switch (dynamic->d_tag) {
        case DT_JMPREL: tables[0] = (const void *)address; break;
        case DT_PLTRELSZ: counts[0] = value / sizeof(ElfW(Rela)); break;
        case DT_RELA: tables[1] = (const void *)address; break;
        case DT_RELASZ: counts[1] = value / sizeof(ElfW(Rela)); break;
        default: break;
        }
    }
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; tables[i] && j < counts[i]; j++)
            if (ELF64_R_SYM(tables[i][j].r_info) >= count)
                count = (uint32_t)ELF64_R_SYM(tables[i][j].r_info) + 1;
    return count;
}

/**
 * Symbols that others define come first, up to those in the hash table. A linker writes an empty
 * one that begins with the first symbol, whatever there are; then the relocations say how many.
 */
static uint32_t wanted_count(uintptr_t base, const ElfW(Dyn) * dynamic, const struct tables *tables)
{
    if (!tables->hash)
        return tables->old->chains;
    return tables->hash->first_symbol > 1 ? tables->hash->first_symbol
                                          : relocated_count(base, dynamic);
}

bool module_symbol_is_wanted(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    struct tables tables;
    uint32_t count;

    if (!tables_read(base, dynamic, &tables))
        return false;
    count = wanted_count(base, dynamic, &tables);
    for (uint32_t i = 1; i < count; i++)
        if (tables.symbols[i].st_shndx == SHN_UNDEF &&
            is_same(tables.names + tables.symbols[i].st_name, name))
            return true;
    return false;
}

const char *module_symbol_version(uintptr_t base, const ElfW(Dyn) * dynamic, size_t index)
{
    const ElfW(Half) *numbers = NULL;
    const char *version = NULL, *names = NULL;

    for (const ElfW(Dyn) *entry = dynamic; entry->d_tag != DT_NULL; entry++) {
        uintptr_t address = entry->d_un.d_ptr < base ? entry->d_un.d_ptr + base : entry->d_un.d_ptr;

        switch (entry->d_tag) {
        case DT_VERSYM: numbers = (const void *)address; break;
        case DT_VERDEF: version = (const void *)address; break;
        case DT_STRTAB: names = (const void *)address; break;
        default: break;
        }
    }
    if (!numbers || !version || !names || (numbers[index] & 0x7fff) <= VER_NDX_GLOBAL)
        return NULL;
    for (;;) {
        const ElfW(Verdef) *definition = (const void *)version;

        if (definition->vd_ndx == (numbers[index] & 0x7fff))
            return names + ((const ElfW(Verdaux) *)(version + definition->vd_aux))->vda_name;
        if (!definition->vd_next)
            return NULL;
        version += definition->vd_next;
    }
}

void *module_symbol_function(struct symbol_place place)
{
    void *(*resolver)(void) = (void *(*)(void))place.address;

    return place.is_resolver ? resolver() : (void *)place.address;
}

static int visit(struct dl_phdr_info *info, size_t bytes, void *state)
{
    struct search *search = state;

    /* The kernel's own module (vDSO) has no file; nobody looks its names up here. */
    if (!info->dlpi_name || !strncmp(info->dlpi_name, "linux-", 6))
        return 0;
    for (int i = 0; i < info->dlpi_phnum && !search->found.address; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            search->found = module_symbol_in(
                info->dlpi_addr, (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
                search->name);
    return search->found.address != 0;
}

void *module_symbol_find(const char *name)
{
    struct search search = {.name = name};

    dl_iterate_phdr(visit, &search);
    return module_symbol_function(search.found);
}
