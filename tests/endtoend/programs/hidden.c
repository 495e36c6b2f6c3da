/* SPDX-License-Identifier: MIT */
/*
 * A library that takes device memory by a call that no preload can hook: it reads the driver's
 * symbol table itself. Its program is hidden_main.c.
 */
#include "tests/endtoend/programs/hidden.h"

#include <link.h>
#include <stdint.h>
#include <string.h>

struct search {
    const char *name;
    void *found;
};

static const ElfW(Dyn) * dynamic_of(const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return NULL;
}

/* The string table follows the symbols in every library that the linker here makes. */
static int look(struct dl_phdr_info *info, size_t bytes, void *state)
{
    struct search *search = state;
    const ElfW(Dyn) *entry = dynamic_of(info);
    const ElfW(Sym) *symbol = NULL;
    const char *strings = NULL;
    if (!strstr(info->dlpi_name, "libcuda.so") || !entry)
        return 0;
    for (; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            symbol = (const void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB)
            strings = (const void *)entry->d_un.d_ptr;
    }
    for (; symbol && strings && (const char *)symbol < strings; symbol++)
        if (symbol->st_shndx && !strcmp(strings + symbol->st_name, search->name))
            search->found = (void *)(info->dlpi_addr + symbol->st_value);
    return search->found != NULL;
}

static void *driver_function(const char *name)
{
    struct search search = {name, NULL};
    dl_iterate_phdr(look, &search);
    return search.found;
}

CUresult hidden_allocate(CUdeviceptr *ret, size_t bytes)
{
    CUresult (*allocate)(CUdeviceptr *, size_t);
    *(void **)&allocate = driver_function("cuMemAlloc_v2");
    return allocate ? allocate(ret, bytes) : CUDA_ERROR_NOT_FOUND;
}

CUresult hidden_free(CUdeviceptr pointer)
{
    CUresult (*give)(CUdeviceptr);
    *(void **)&give = driver_function("cuMemFree_v2");
    return give ? give(pointer) : CUDA_ERROR_NOT_FOUND;
}
