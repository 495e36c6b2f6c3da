/* SPDX-License-Identifier: MIT */
/*
 * Uses the hash table that the loader itself uses (DT_GNU_HASH); a module
 * without one is passed over. Symbol versions are not looked at.
 */
#include "cupti/stack/module_symbol.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** What DT_GNU_HASH points to; a filter, buckets and chains follow. */
struct gnu_hash {
    uint32_t buckets, first_symbol, filter_words, filter_shift;
};

struct tables {
    const struct gnu_hash *hash;
    const ElfW(Sym) * symbols;
    const char *names;
};

struct search {
    const char *name;
    uint32_t hash;
    void *found;
};

static uint32_t name_hash(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/** glibc has added the load address to what the file says, other loaders have not. */
static const void *table_at(const struct dl_phdr_info *info, uint64_t address)
{
    return (const void *)(uintptr_t)(address < info->dlpi_addr ? address + info->dlpi_addr
                                                               : address);
}

static bool tables_find(const struct dl_phdr_info *info, struct tables *ret_tables)
{
    struct tables tables = {0};

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Dyn) *entry = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);

        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        for (; entry->d_tag != DT_NULL; entry++)
            switch (entry->d_tag) {
            case DT_GNU_HASH: tables.hash = table_at(info, entry->d_un.d_ptr); break;
            case DT_SYMTAB: tables.symbols = table_at(info, entry->d_un.d_ptr); break;
            case DT_STRTAB: tables.names = table_at(info, entry->d_un.d_ptr); break;
            }
    }
    *ret_tables = tables;
    return tables.hash && tables.symbols && tables.names && tables.hash->buckets;
}

static const ElfW(Sym) * symbol_find(const struct tables *tables, const char *name, uint32_t hash)
{
    const ElfW(Addr) *filter = (const void *)(tables->hash + 1);
    const uint32_t *buckets = (const void *)(filter + tables->hash->filter_words);
    const uint32_t *chain = buckets + tables->hash->buckets;
    uint32_t first = tables->hash->first_symbol, i = buckets[hash % tables->hash->buckets];

    if (i < first)
        return NULL;
    for (;; i++) {
        const ElfW(Sym) *symbol = &tables->symbols[i];
        uint32_t of_symbol = chain[i - first];

        if ((of_symbol | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF &&
            !strcmp(tables->names + symbol->st_name, name))
            return symbol;
        if (of_symbol & 1) /* the last of its bucket */
            return NULL;
    }
}

static int visit(struct dl_phdr_info *info, size_t bytes, void *state)
{
    struct search *search = state;
    const ElfW(Sym) * symbol;
    struct tables tables;

    /* The kernel's own module (vDSO) comes without a file; none of its names is ever wanted. */
    if (!info->dlpi_name || !strncmp(info->dlpi_name, "linux-", 6) || !tables_find(info, &tables))
        return 0;
    symbol = symbol_find(&tables, search->name, search->hash);
    if (symbol)
        search->found = (void *)(info->dlpi_addr + symbol->st_value);
    return symbol != NULL;
}

void *module_symbol_find(const char *name)
{
    struct search search = {.name = name, .hash = name_hash(name)};

    dl_iterate_phdr(visit, &search);
    return search.found;
}
