/* SPDX-License-Identifier: MIT */
/*
 * Walks the loader's list from this library on. libc is loaded at the start of the program, so the
 * walk ends before anything that may be unloaded.
 */
#include "shim/resolve/symbol_behind.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>

#include "cupti/stack/module_symbol.h"

void *symbol_behind(const char *name)
{
    Dl_info info;
    struct link_map *module = NULL;
    if (!dladdr1((void *)symbol_behind, &info, (void **)&module, RTLD_DL_LINKMAP) || !module)
        return NULL;
    for (module = module->l_next; module; module = module->l_next) {
        struct symbol_place found = module_symbol_in(module->l_addr, module->l_ld, name);
        if (found.address)
            return module_symbol_function(found);
    }
    return NULL;
}
