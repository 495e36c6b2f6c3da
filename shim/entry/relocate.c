/* SPDX-License-Identifier: MIT */
/*
 * Finds slots of dlsym and dlvsym that were bound past us. See relocate.h.
 *
 * There is no hook on dlopen: whoever loads a module soon looks something up in it, and that is
 * when the module is examined. A slot is changed only if it holds exactly the function behind ours,
 * or is not bound yet and the global scope offers ours; a slot bound to an earlier preload
 * library's function stays. Slots are changed inside dl_iterate_phdr, so that the module cannot be
 * unloaded meanwhile.
 */
#include "shim/entry/relocate.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/resolve/real.h"
#include "shim/shim.h"

#if defined(__x86_64__)
#define SLOT_LAZY  R_X86_64_JUMP_SLOT
#define SLOT_EAGER R_X86_64_GLOB_DAT
#define SLOT_DATA  R_X86_64_64
#else
#define SLOT_LAZY  R_AARCH64_JUMP_SLOT
#define SLOT_EAGER R_AARCH64_GLOB_DAT
#define SLOT_DATA  R_AARCH64_ABS64
#endif

/* Progress: the first `seen` modules are examined, as long as none was removed. */
static _Atomic unsigned long long last_adds, last_subs;
static atomic_uint seen;

/* A function that look-ups go through. */
struct look_up {
    const char *name;
    uintptr_t own, behind;
    bool global; /* ours is what the global scope offers */
};

/* Walks the modules once. Takes no other lock inside. */
struct scan {
    struct look_up look_ups[2];
    bool change; /* the slots found, else only find them */
    bool found;
    unsigned skip, position;
};

struct module {
    uintptr_t base, begin, end; /* of its segments */
    uintptr_t relro_begin, relro_end;
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *strings;
    const ElfW(Rela) * tables[2]; /* of functions, of everything */
    size_t counts[2];
};

static bool module_read_segments(struct module *module, const struct dl_phdr_info *info)
{
    *module = (struct module){.base = info->dlpi_addr, .begin = UINTPTR_MAX};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;

        if (segment->p_type == PT_DYNAMIC)
            module->dynamic = (const ElfW(Dyn) *)begin;
        if (segment->p_type == PT_GNU_RELRO)
            module->relro_begin = begin, module->relro_end = end;
        if (segment->p_type == PT_LOAD && begin < module->begin)
            module->begin = begin;
        if (segment->p_type == PT_LOAD && end > module->end)
            module->end = end;
    }
    return module->dynamic;
}

static bool module_read_dynamic(struct module *module)
{
    for (const ElfW(Dyn) *entry = module->dynamic; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB: module->symbols = (const void *)entry->d_un.d_ptr; break;
        case DT_STRTAB: module->strings = (const void *)entry->d_un.d_ptr; break;
        case DT_JMPREL: module->tables[0] = (const void *)entry->d_un.d_ptr; break;
        case DT_PLTRELSZ: module->counts[0] = entry->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELA: module->tables[1] = (const void *)entry->d_un.d_ptr; break;
        case DT_RELASZ: module->counts[1] = entry->d_un.d_val / sizeof(ElfW(Rela)); break;
        default: break;
        }
    }
    /* The loader has made these addresses absolute, except those of the vdso. */
    return (uintptr_t)module->symbols >= module->begin &&
           (uintptr_t)module->strings >= module->begin;
}

static bool slot_passes_us_by(const struct look_up *look_up, const struct module *module,
                              const ElfW(Rela) * entry)
{
    uintptr_t bound = *(const uintptr_t *)(module->base + entry->r_offset);

    if (bound == look_up->behind)
        return true;
    bool unbound = bound >= module->begin && bound < module->end;
    return unbound && ELF64_R_TYPE(entry->r_info) == SLOT_LAZY && look_up->global;
}

static void slot_set(const struct module *module, uintptr_t slot, uintptr_t function)
{
    uintptr_t page = slot & -(uintptr_t)sysconf(_SC_PAGESIZE);
    bool read_only = slot >= module->relro_begin && slot < module->relro_end;
    size_t bytes = slot + sizeof(slot) - page;

    if (read_only && mprotect((void *)page, bytes, PROT_READ | PROT_WRITE) < 0)
        return;
    __atomic_store_n((uintptr_t *)slot, function, __ATOMIC_RELEASE);
    if (read_only)
        mprotect((void *)page, bytes, PROT_READ);
}

/* Returns the function that a slot is for; NULL: none of ours. */
static const struct look_up *look_up_of(const struct scan *scan, const struct module *module,
                                        const ElfW(Rela) * entry)
{
    unsigned long type = ELF64_R_TYPE(entry->r_info);

    if (type != SLOT_LAZY && type != SLOT_EAGER && type != SLOT_DATA)
        return NULL;
    const ElfW(Sym) *symbol = &module->symbols[ELF64_R_SYM(entry->r_info)];
    for (int i = 0; i < 2; i++)
        if (strcmp(module->strings + symbol->st_name, scan->look_ups[i].name) == 0)
            return &scan->look_ups[i];
    return NULL;
}

static void module_examine(struct scan *scan, const struct module *module)
{
    for (int table = 0; table < 2; table++) {
        for (size_t i = 0; module->tables[table] && i < module->counts[table]; i++) {
            const ElfW(Rela) *entry = &module->tables[table][i];
            const struct look_up *look_up = look_up_of(scan, module, entry);

            if (!look_up || !slot_passes_us_by(look_up, module, entry))
                continue;
            scan->found = true;
            if (scan->change)
                slot_set(module, module->base + entry->r_offset, look_up->own);
        }
    }
}

/* The driver's own look-ups are left alone. */
static bool is_driver(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strncmp(slash ? slash + 1 : path, "libcuda.so", 10) == 0;
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    struct scan *scan = data;
    struct module module;

    if (scan->position++ >= scan->skip && !is_driver(info->dlpi_name) &&
        module_read_segments(&module, info) && module_read_dynamic(&module) &&
        !real_is_own((const void *)module.dynamic))
        module_examine(scan, &module);
    return 0;
}

static int count_changes(struct dl_phdr_info *info, size_t size, void *data)
{
    unsigned long long *changes = data;

    changes[0] = info->dlpi_adds;
    changes[1] = info->dlpi_subs;
    return 1;
}

void relocate_new_modules(void)
{
    unsigned long long changes[2] = {0};

    dl_iterate_phdr(count_changes, changes);
    if (changes[0] == last_adds && changes[1] == last_subs)
        return;
    struct scan scan = {
        .look_ups = {{"dlsym", (uintptr_t)dlsym, (uintptr_t)real_dlsym_get(),
                      real_is_own(real_dlsym_global("dlsym"))},
                     {"dlvsym", (uintptr_t)dlvsym, (uintptr_t)real_dlvsym_get(),
                      real_is_own(real_dlsym_global("dlvsym"))}},
        .skip = changes[1] == last_subs ? seen : 0,
    };
    dl_iterate_phdr(visit, &scan);
    if (scan.found && shim_mode() != SHIM_OFF) {
        scan.change = true;
        scan.position = 0;
        dl_iterate_phdr(visit, &scan);
    }
    seen = scan.position;
    last_adds = changes[0];
    last_subs = changes[1];
}
