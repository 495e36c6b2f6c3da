/* SPDX-License-Identifier: MIT */
/*
 * Walks the loader's list in load order. What a program is linked with stands there behind what
 * needs it, so one pass in order finds all of it.
 */
#include "shim/resolve/modules.h"

#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include "cupti/stack/module_symbol.h"
#include "shim/resolve/real.h"

#define LINKED_MOST 1024 /* modules of a program that are told apart */

static const ElfW(Dyn) * dynamic_of(const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return NULL;
}

static bool contains(const struct dl_phdr_info *info, const void *code)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD &&
            (uintptr_t)code - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
            return true;
    }
    return false;
}

/** The entries of the dynamic section are relative in some loaders. */
static const char *strings_of(const struct dl_phdr_info *info, const ElfW(Dyn) * dynamic)
{
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_STRTAB)
            return (const char *)(dynamic->d_un.d_ptr < info->dlpi_addr
                                      ? dynamic->d_un.d_ptr + info->dlpi_addr
                                      : dynamic->d_un.d_ptr);
    return NULL;
}

static const char *soname_of(const struct dl_phdr_info *info)
{
    const ElfW(Dyn) *entry = dynamic_of(info);
    const char *strings = strings_of(info, entry);

    for (; strings && entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_SONAME)
            return strings + entry->d_un.d_val;
    return NULL;
}

/* ---- the module at an address ---- */

struct at {
    const void *code, *base;
    bool (*is)(const char *name);
    bool wants_soname, answer;
};

static int visit_at(struct dl_phdr_info *info, size_t size, void *state)
{
    struct at *at = state;
    const char *name = info->dlpi_name;

    if (!contains(info, at->code))
        return 0;
    for (int i = info->dlpi_phnum - 1; i >= 0; i--) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD)
            at->base = (const void *)(info->dlpi_addr + (segment->p_vaddr - segment->p_offset));
    }
    if (at->wants_soname)
        name = soname_of(info);
    else if (!name || !name[0])
        name = program_invocation_name;
    at->answer = at->is && name && at->is(name);
    return 1;
}

const void *module_base(const void *code)
{
    struct at at = {.code = code};

    if (code)
        dl_iterate_phdr(visit_at, &at);
    return at.base;
}

bool module_name_is(const void *code, bool (*is)(const char *name))
{
    struct at at = {.code = code, .is = is};

    dl_iterate_phdr(visit_at, &at);
    return at.answer;
}

bool module_soname_is(const void *code, bool (*is)(const char *name))
{
    struct at at = {.code = code, .is = is, .wants_soname = true};

    dl_iterate_phdr(visit_at, &at);
    return at.answer;
}

/* ---- the only definition ---- */

struct only {
    const char *name, *version;
    struct symbol_place found;
    unsigned count;
    bool behind_us;
};

/** Any version, or this one, or none. */
static bool is_meant(const struct only *only, const struct dl_phdr_info *info,
                     const ElfW(Dyn) * dynamic, size_t index)
{
    const char *version = only->version ? module_symbol_version(info->dlpi_addr, dynamic, index)
                                        : NULL;

    return !version || strcmp(version, only->version) == 0;
}

/** Of two in one module, the search chooses by their versions. */
static int visit_only(struct dl_phdr_info *info, size_t size, void *state)
{
    struct only *only = state;
    const ElfW(Dyn) *dynamic = dynamic_of(info);
    struct symbol_place place = {0};

    if (dynamic && real_is_own(dynamic)) {
        only->behind_us = true;
        return 0;
    }
    if (!dynamic || !only->behind_us || !info->dlpi_name || !strncmp(info->dlpi_name, "linux-", 6))
        return 0;
    do {
        place = module_symbol_behind(info->dlpi_addr, dynamic, only->name, place.index);
        if (place.address && is_meant(only, info, dynamic, place.index)) {
            only->found = place;
            only->count++;
        }
    } while (place.address && only->count < 2);
    return only->count > 1;
}

void *module_only_function(const char *name, const char *version)
{
    struct only only = {.name = name, .version = version};

    dl_iterate_phdr(visit_only, &only);
    return only.count == 1 ? module_symbol_function(only.found) : NULL;
}

static int visit_state(struct dl_phdr_info *info, size_t size, void *state)
{
    *(uint64_t *)state = info->dlpi_adds + info->dlpi_subs;
    return 1;
}

uint64_t module_list_state(void)
{
    uint64_t state = 0;

    dl_iterate_phdr(visit_state, &state);
    return state;
}

/* ---- who refers to a name ---- */

struct importers {
    const char *name;
    const void *code; /* of the only module that is of interest; NULL: all are */
    const void **module;
    unsigned count, most;
};

static int visit_importers(struct dl_phdr_info *info, size_t size, void *state)
{
    struct importers *importers = state;
    const ElfW(Dyn) *dynamic = dynamic_of(info);

    if (importers->code && !contains(info, importers->code))
        return 0;
    if (dynamic && !real_is_own(dynamic) && strncmp(info->dlpi_name, "linux-", 6) != 0 &&
        module_symbol_is_wanted(info->dlpi_addr, dynamic, importers->name))
        importers->module[importers->count++] = dynamic;
    return importers->code || importers->count == importers->most;
}

unsigned module_importers(const char *name, const void **ret_modules, unsigned most)
{
    struct importers importers = {.name = name, .module = ret_modules, .most = most};

    dl_iterate_phdr(visit_importers, &importers);
    return importers.count;
}

bool module_imports(const void *code, const char *name)
{
    const void *module;
    struct importers importers = {.name = name, .code = code, .module = &module, .most = 1};

    dl_iterate_phdr(visit_importers, &importers);
    return importers.count;
}

/* ---- what the program is linked with ---- */

struct linked {
    const void *code;
    uint64_t needed[LINKED_MOST / 64]; /* of the modules by their places in the list */
    unsigned place;                    /* of the one that is visited */
    bool is_root;                      /* the program, and preloads up to this library */
    bool answer;
};

struct need {
    struct linked *linked;
    const char *name;
    unsigned place;
};

static bool is_named(const struct dl_phdr_info *info, const char *name)
{
    const char *soname = soname_of(info), *path = info->dlpi_name ? info->dlpi_name : "";
    const char *slash = strrchr(path, '/');

    return (soname && strcmp(soname, name) == 0) || strcmp(path, name) == 0 ||
           (slash && strcmp(slash + 1, name) == 0);
}

static int visit_needed(struct dl_phdr_info *info, size_t size, void *state)
{
    struct need *need = state;
    unsigned place = need->place++;

    if (place < LINKED_MOST && place > need->linked->place && is_named(info, need->name))
        need->linked->needed[place / 64] |= UINT64_C(1) << place % 64;
    return place >= LINKED_MOST;
}

static int visit_linked(struct dl_phdr_info *info, size_t size, void *state)
{
    struct linked *linked = state;
    const ElfW(Dyn) *entry = dynamic_of(info);
    const char *strings = strings_of(info, entry);
    unsigned place = linked->place;
    bool is_linked = linked->is_root || (linked->needed[place / 64] >> place % 64 & 1);

    if (contains(info, linked->code)) {
        linked->answer = is_linked;
        return 1;
    }
    for (; is_linked && strings && entry->d_tag != DT_NULL; entry++) {
        struct need need = {linked, strings + entry->d_un.d_val, 0};

        if (entry->d_tag == DT_NEEDED)
            dl_iterate_phdr(visit_needed, &need);
    }
    if (real_is_own(dynamic_of(info)))
        linked->is_root = false;
    return ++linked->place == LINKED_MOST;
}

bool module_is_linked(const void *code)
{
    struct linked linked = {.code = code, .is_root = true};

    dl_iterate_phdr(visit_linked, &linked);
    return linked.answer;
}

/* ---- a module that stays ---- */

struct placed {
    const char *name; /* NULL: by code */
    const void *code;
    struct module_place place; /* dynamic NULL: not found */
};

/** The program itself is not meant: it is no library. */
static int visit_placed(struct dl_phdr_info *info, size_t size, void *state)
{
    struct placed *placed = state;

    if (!info->dlpi_name || !info->dlpi_name[0] ||
        !(placed->name ? is_named(info, placed->name) : contains(info, placed->code)))
        return 0;
    placed->place = (struct module_place){info->dlpi_addr, dynamic_of(info)};
    return 1;
}

static bool linked_place(struct placed *placed, struct module_place *ret_place)
{
    dl_iterate_phdr(visit_placed, placed);
    if (!placed->place.dynamic || !module_is_linked(placed->place.dynamic))
        return false;
    *ret_place = placed->place;
    return true;
}

bool module_linked_at(const void *code, struct module_place *ret_place)
{
    return linked_place(&(struct placed){.code = code}, ret_place);
}

bool module_linked_named(const char *name, struct module_place *ret_place)
{
    return linked_place(&(struct placed){.name = name}, ret_place);
}
