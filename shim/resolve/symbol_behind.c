/* SPDX-License-Identifier: MIT */
/*
 * Walks the loader's list from this library on and searches each module's hash table, the GNU one
 * or the one of System V. libc is among the modules of the program's start, so the walk ends before
 * anything that may be unloaded. Strings are compared by hand: a sanitizer asks before its own
 * strcmp can be called.
 */
#include "shim/resolve/symbol_behind.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DT_GNU_HASH: this header, words of a Bloom filter, buckets, chains. */
struct hash_header {
    uint32_t buckets, first_symbol, filter_words, filter_shift;
};

/* DT_HASH: this header, buckets, chains. */
struct old_header {
    uint32_t buckets, chains;
};

struct symbol_tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const struct hash_header *hash;
    const struct old_header *old;
};

static bool is_same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (uint8_t)*name;
    return hash;
}

/* False for a module whose addresses the loader has not made absolute, such as the vdso. */
static bool tables_read(uintptr_t base, const ElfW(Dyn) * entry, struct symbol_tables *ret_tables)
{
    struct symbol_tables tables = {0};
    for (; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag != DT_SYMTAB && entry->d_tag != DT_STRTAB && entry->d_tag != DT_GNU_HASH &&
            entry->d_tag != DT_HASH)
            continue;
        if (entry->d_un.d_ptr < base)
            return false;
        const void *address = (const void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_SYMTAB)
            tables.symbols = address;
        else if (entry->d_tag == DT_STRTAB)
            tables.strings = address;
        else if (entry->d_tag == DT_GNU_HASH)
            tables.hash = address;
        else
            tables.old = address;
    }
    *ret_tables = tables;
    return tables.symbols && tables.strings && (tables.hash || tables.old);
}

static bool is_definition(const struct symbol_tables *tables, const ElfW(Sym) * symbol,
                          const char *name)
{
    return symbol->st_shndx != SHN_UNDEF && is_same(tables->strings + symbol->st_name, name);
}

/* There are as many chains as symbols. All are compared: few modules have this table alone. */
static const ElfW(Sym) * old_find(const struct symbol_tables *tables, const char *name)
{
    for (uint32_t i = 1; i < tables->old->chains; i++)
        if (is_definition(tables, &tables->symbols[i], name))
            return &tables->symbols[i];
    return NULL;
}

static const ElfW(Sym) * tables_find(const struct symbol_tables *tables, const char *name)
{
    const struct hash_header *header = tables->hash;
    if (!header)
        return old_find(tables, name);
    const ElfW(Addr) *filter = (const void *)(header + 1);
    const uint32_t *buckets = (const void *)(filter + header->filter_words);
    const uint32_t *chains = buckets + header->buckets;
    uint32_t hash = gnu_hash(name);
    uint32_t i = header->buckets ? buckets[hash % header->buckets] : 0;
    for (; i >= header->first_symbol && i; i++) {
        uint32_t link = chains[i - header->first_symbol];
        const ElfW(Sym) *symbol = &tables->symbols[i];
        if ((link | 1) == (hash | 1) && is_definition(tables, symbol, name))
            return symbol;
        if (link & 1)
            return NULL;
    }
    return NULL;
}

struct symbol_place symbol_in(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    struct symbol_tables tables;
    const ElfW(Sym) *symbol = tables_read(base, dynamic, &tables) ? tables_find(&tables, name)
                                                                  : NULL;
    if (!symbol)
        return (struct symbol_place){0};
    return (struct symbol_place){.address = base + symbol->st_value,
                                 .index = symbol - tables.symbols,
                                 .is_resolver = ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC};
}

void *symbol_function(struct symbol_place place)
{
    void *(*resolver)(void) = (void *(*)(void))place.address;
    return place.is_resolver ? resolver() : (void *)place.address;
}

void *symbol_behind(const char *name)
{
    Dl_info info;
    struct link_map *module = NULL;
    if (!dladdr1((void *)symbol_behind, &info, (void **)&module, RTLD_DL_LINKMAP) || !module)
        return NULL;
    for (module = module->l_next; module; module = module->l_next) {
        struct symbol_place found = symbol_in(module->l_addr, module->l_ld, name);
        if (found.address)
            return symbol_function(found);
    }
    return NULL;
}
