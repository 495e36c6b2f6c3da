/* SPDX-License-Identifier: MIT */
/*
 * The loader's own look-ups do the work: RTLD_NEXT from this library is the global scope behind us;
 * a module's handle is the module with its dependencies.
 *
 * A versioned reference binds to the first definition with this version or with none. dlvsym finds
 * only the former, dlsym the first with any version, so both are asked.
 */
#include "shim/resolve/next.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "cupti/stack/module_symbol.h"
#include "shim/resolve/modules.h"
#include "shim/resolve/real.h"
#include "shim/resolve/runtime_versions.h"

#define RUNTIME_FILES_MAX (2 * REAL_LIBRARIES)

static struct link_map *module_of(const void *code)
{
    Dl_info info;
    struct link_map *module = NULL;

    return dladdr1(code, &info, (void **)&module, RTLD_DL_LINKMAP) ? module : NULL;
}

/* Compared by name, not address: the loader may have got the function from a resolver (ifunc),
 * and it may have other names, with and without versions. */
static bool has_no_version(const void *function, const char *name)
{
    const ElfW(Half) *versions = NULL;
    const struct link_map *module = module_of(function);

    if (!module)
        return false;
    for (const ElfW(Dyn) *entry = module->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_VERSYM)
            versions = (const void *)entry->d_un.d_ptr;
    struct symbol_place symbol = module_symbol_in(module->l_addr, module->l_ld, name);
    return !versions || !symbol.address || (versions[symbol.index] & 0x7fff) <= VER_NDX_GLOBAL;
}

/* Name of a version's node; NULL for 0. */
static const char *version_name(unsigned version)
{
#define VERSION_NAME(context, index, node) [index] = #node,
    static const char *const names[RUNTIME_VERSION_COUNT] = {RUNTIME_VERSIONS(VERSION_NAME, )};
    return names[version];
}

static void *foreign(void *function)
{
    return function && !real_is_own(function) ? function : NULL;
}

static void *look_up(void *handle, const struct hook *hook, unsigned version)
{
    void *first = foreign(real_dlsym(handle, hook->name));
    const char *node = version_name(version);

    if (!node || (first && has_no_version(first, hook->name)))
        return first;
    return foreign(real_dlvsym(handle, hook->name, node));
}

void *next_only(const struct hook *hook, unsigned version)
{
    return module_only_function(hook->name, version_name(version));
}

void *next_in_global_scope(const struct hook *hook, unsigned version)
{
    void *function = look_up(RTLD_NEXT, hook, version);

    dlerror();
    return function;
}

struct runtime_files {
    const char *path[RUNTIME_FILES_MAX];
    int count;
};

static int runtime_file_note(struct dl_phdr_info *info, size_t size, void *data)
{
    struct runtime_files *files = data;
    const char *slash = strrchr(info->dlpi_name, '/');

    if (strncmp(slash ? slash + 1 : info->dlpi_name, "libcudart", 9) == 0)
        files->path[files->count++] = info->dlpi_name;
    return files->count == RUNTIME_FILES_MAX;
}

void *next_anywhere(const struct hook *hook, unsigned version)
{
    struct runtime_files files = {.count = 0};
    void *found = NULL;

    if (hook->family != HOOK_FAMILY_RUNTIME)
        return NULL;
    dl_iterate_phdr(runtime_file_note, &files);
    for (int i = 0; i < files.count && !found; i++) {
        void *handle = dlopen(files.path[i], RTLD_NOLOAD | RTLD_LAZY);

        if (!handle)
            continue;
        found = look_up(handle, hook, version);
        dlclose(handle);
    }
    dlerror();
    return found;
}

void *next_for_module(const struct hook *hook, unsigned version, const void *code)
{
    const struct link_map *module = module_of(code);
    void *handle = module && module->l_name[0] ? dlopen(module->l_name, RTLD_NOLOAD | RTLD_LAZY)
                                               : NULL;
    void *found = handle ? look_up(handle, hook, version) : NULL;

    if (handle)
        dlclose(handle); /* the caller may be unloaded as if we had not looked */
    dlerror();
    return found;
}

#define IMPORTERS_MOST 16

void *next_for_importers(const struct hook *hook, unsigned version)
{
    const void *module[IMPORTERS_MOST];
    unsigned count = module_importers(hook->name, module, IMPORTERS_MOST);
    void *found = NULL;

    for (unsigned i = 0; i < count && !found; i++)
        found = next_for_module(hook, version, module[i]);
    return found;
}

/* Walks the modules once, in load order. */
struct walk {
    const char *name;
    const void *from, *to; /* bases of the modules that bound it; the ends are left out */
    bool inside;
    struct symbol_place found;
};

static const void *base_of(const void *code)
{
    Dl_info info;

    return dladdr(code, &info) ? info.dli_fbase : NULL;
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    struct walk *walk = data;
    const ElfW(Dyn) *dynamic = NULL;
    const void *base = NULL;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && !base)
            base = (const void *)(info->dlpi_addr + (segment->p_vaddr - segment->p_offset));
        if (segment->p_type == PT_DYNAMIC)
            dynamic = (const void *)(info->dlpi_addr + segment->p_vaddr);
    }
    if (base == walk->to)
        return 1;
    if (walk->inside && dynamic)
        walk->found = module_symbol_in(info->dlpi_addr, dynamic, walk->name);
    if (base == walk->from)
        walk->inside = true;
    return walk->found.address != 0;
}

static void *walk_between(const char *name, const void *code, const void *end)
{
    struct walk walk = {.name = name, .from = base_of(code), .to = end};

    dl_iterate_phdr(visit, &walk);
    return module_symbol_function(walk.found);
}

void *next_before_us(const char *name, const void *code)
{
    return walk_between(name, code, base_of((void *)next_before_us));
}

void *next_loaded(const char *name, const void *code)
{
    return walk_between(name, code, (const void *)-1);
}

void next_keep(void *function)
{
    const struct link_map *module = module_of(function);

    if (module && module->l_name[0])
        dlopen(module->l_name, RTLD_NOLOAD | RTLD_LAZY | RTLD_NODELETE);
}
