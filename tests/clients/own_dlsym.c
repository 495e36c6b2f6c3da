/* SPDX-License-Identifier: MIT */
/*
 * A program that interposes dlsym itself, as tracers and allocators do. The executable comes before
 * every preloaded library, so its definition is the one that all others see. It counts the names of
 * the runtime it is asked for and hands on to the next dlsym ("next"), to that of libc ("libc"), or
 * to the one it reads from libc's symbol table, past everything that is preloaded ("table").
 * Or it calls the runtime it is linked with ("linked"), which asks this dlsym for the driver.
 *
 * usage: own_dlsym next|libc|table|linked
 */
#include <dlfcn.h>
#include <link.h>

#include "tests/clients/exercise.h"

/* dlsym's first version on this machine, and the one since it moved into libc.so.6. */
static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};

static void *(*forward)(void *library, const char *name);
static int asked;

static void forward_to(void *library)
{
    for (size_t i = 0; !forward && i < sizeof versions / sizeof versions[0]; i++)
        *(void **)&forward = dlvsym(library, "dlsym", versions[i]);
    if (!forward)
        exit(1);
}

/* The string table follows the symbol table, so that says how many symbols there are. */
static int read_table(struct dl_phdr_info *module, size_t size, void *unused)
{
    const ElfW(Sym) *symbol = NULL;
    const char *strings = NULL;
    if (!strstr(module->dlpi_name, "/libc.so.6"))
        return 0;
    for (int i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &module->dlpi_phdr[i];
        if (segment->p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(module->dlpi_addr + segment->p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_SYMTAB)
                symbol = (const ElfW(Sym) *)entry->d_un.d_ptr;
            if (entry->d_tag == DT_STRTAB)
                strings = (const char *)entry->d_un.d_ptr;
        }
    }
    for (; (const char *)symbol < strings; symbol++)
        if (symbol->st_shndx != SHN_UNDEF && !strcmp(strings + symbol->st_name, "dlsym"))
            *(void **)&forward = (void *)(module->dlpi_addr + symbol->st_value);
    return 1;
}

__attribute__((visibility("default"))) void *dlsym(void *restrict library,
                                                   const char *restrict name)
{
    if (!forward)
        forward_to(RTLD_NEXT);
    asked += !strncmp(name, "cuda", 4);
    return forward(library, name);
}

static struct exercise_runtime linked_runtime(void)
{
    return (struct exercise_runtime){
        .malloc = cudaMalloc,
        .free = cudaFree,
        .memset = cudaMemset,
        .memcpy = cudaMemcpy,
        .device_synchronize = cudaDeviceSynchronize,
    };
}

static struct exercise_runtime looked_up_runtime(void)
{
    struct exercise_runtime runtime;
    void *library = dlopen("libcudart.so.13", RTLD_NOW);
    if (!library)
        exit(1);
    *(void **)&runtime.malloc = dlsym(library, "cudaMalloc");
    *(void **)&runtime.free = dlsym(library, "cudaFree");
    *(void **)&runtime.memset = dlsym(library, "cudaMemset");
    *(void **)&runtime.memcpy = dlsym(library, "cudaMemcpy");
    *(void **)&runtime.device_synchronize = dlsym(library, "cudaDeviceSynchronize");
    return runtime;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (!strcmp(argv[1], "libc"))
        forward_to(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD));
    if (!strcmp(argv[1], "table"))
        dl_iterate_phdr(read_table, NULL);
    struct exercise_runtime runtime = strcmp(argv[1], "linked") ? looked_up_runtime()
                                                                : linked_runtime();
    exercise(&runtime, argv[1]);
    printf("%d names of the runtime asked for\n", asked);
    return 0;
}
