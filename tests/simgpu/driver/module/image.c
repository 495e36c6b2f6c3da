/* SPDX-License-Identifier: MIT */
/*
 * Images of device code: cubin (ELF), PTX, fat binary, or nvcc's wrapper around one. Names are
 * looked up in cubin and PTX, so that a kernel that is not there is not found; what is inside a fat
 * binary may be compressed, so any name is taken. Variables have a size and a first value in cubin
 * only; elsewhere they exist once simgpu_define_global() or simgpu_define_managed() has said how
 * large they are, and begin as zeros.
 */
#include "tests/simgpu/driver/module/module.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/simgpu.h"

#define FATBIN_MAGIC  0xba55ed50u
#define WRAPPER_MAGIC 0x466243b1u
#define STO_MANAGED   4 /* st_other of a __managed__ variable; read off nvcc's output */

static struct handle_cache function_cache = {
    HANDLE_FUNCTION, sizeof(struct CUfunc_st), {NULL}, {NULL}};
static struct arena globals_arena[PROFILE_DEVICES];
static struct arena managed_arena; /* of no device */

/* Up to the end of the section headers, which come last. */
static size_t elf_bytes(const void *data)
{
    const Elf64_Ehdr *header = data;

    return header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
}

static bool looks_like_text(const char *data)
{
    for (size_t i = 0; i < 8; i++)
        if (!(data[i] == '\t' || data[i] == '\n' || data[i] == '\r' ||
              (data[i] >= ' ' && data[i] < 127)))
            return false;
    return strstr(data, ".version") != NULL;
}

static bool image_keep(struct image *image, const void *data, size_t bytes)
{
    image->data = malloc(bytes + 1);
    if (!image->data)
        return false;
    memcpy(image->data, data, bytes);
    image->bytes = bytes;
    return true;
}

CUresult image_open(struct image *image, const void *data)
{
    LIST_INIT(&image->functions);
    LIST_INIT(&image->globals);
    image->data = NULL;
    image->bytes = 0;
    uint32_t magic;
    if (!data)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&magic, data, sizeof magic);
    if (magic == FATBIN_MAGIC || magic == WRAPPER_MAGIC)
        return CUDA_SUCCESS;
    bool elf = !memcmp(data, ELFMAG, SELFMAG);
    if (!elf && !looks_like_text(data))
        return CUDA_ERROR_INVALID_IMAGE;
    return image_keep(image, data, elf ? elf_bytes(data) : strlen(data)) ? CUDA_SUCCESS
                                                                         : CUDA_ERROR_OUT_OF_MEMORY;
}

void image_close(struct image *image)
{
    while (!LIST_EMPTY(&image->functions)) {
        CUfunction function = LIST_FIRST(&image->functions);

        LIST_REMOVE(function, link);
        free(function->name);
        function->name = NULL;
        handle_give(&function_cache, function);
    }
    while (!LIST_EMPTY(&image->globals)) {
        struct global *global = LIST_FIRST(&image->globals);

        LIST_REMOVE(global, link);
        observed_memory(OBSERVER_FREE, global->memory, global->name);
        memory_give(global->memory);
        free(global->name);
        free(global);
    }
    free(image->data);
    image->data = NULL;
}

static bool may_contain(const struct image *image, const char *name)
{
    return !image->data || memmem(image->data, image->bytes, name, strlen(name));
}

CUresult image_function(struct image *image, const char *name, CUfunction *ret)
{
    CUfunction each;

    LIST_FOREACH(each, &image->functions, link)
        if (!strcmp(each->name, name)) {
            *ret = each;
            return CUDA_SUCCESS;
        }
    if (!may_contain(image, name))
        return CUDA_ERROR_NOT_FOUND;
    CUfunction made = handle_take(&function_cache);
    char *copy = made ? strdup(name) : NULL;
    if (!copy) {
        if (made)
            handle_give(&function_cache, made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->image = image;
    made->name = copy;
    made->twin = twin_find(name);
    made->max_dynamic_shared_bytes = 49152;
    LIST_INSERT_HEAD(&image->functions, made, link);
    *ret = made;
    return CUDA_SUCCESS;
}

/* Properties of a variable before it has memory. */
struct variable {
    size_t bytes; /* 0: there is none of that name */
    bool managed;
    const void *first; /* its first value; NULL for zeros */
};

static struct variable variable_of(const char *base, const Elf64_Shdr *sections,
                                   const Elf64_Sym *symbol)
{
    const Elf64_Shdr *section = &sections[symbol->st_shndx];

    return (struct variable){.bytes = symbol->st_size,
                             .managed = symbol->st_other & STO_MANAGED,
                             .first = section->sh_type == SHT_PROGBITS
                                          ? base + section->sh_offset + symbol->st_value
                                          : NULL};
}

/* A variable in a cubin's symbol table. */
static struct variable elf_variable(const struct image *image, const char *name)
{
    const char *base = image->data;
    const Elf64_Ehdr *header = image->data;

    if (!base || memcmp(base, ELFMAG, SELFMAG))
        return (struct variable){0};
    const Elf64_Shdr *sections = (const void *)(base + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum)
            continue;
        const Elf64_Sym *symbols = (const void *)(base + sections[i].sh_offset);
        const char *names = base + sections[sections[i].sh_link].sh_offset;
        for (size_t j = 0; j < sections[i].sh_size / sizeof *symbols; j++)
            if (ELF64_ST_TYPE(symbols[j].st_info) == STT_OBJECT &&
                symbols[j].st_shndx < header->e_shnum && !strcmp(names + symbols[j].st_name, name))
                return variable_of(base, sections, &symbols[j]);
    }
    return (struct variable){0};
}

/* Natively variables live in memory that loading the module takes; here each when it is known. */
static CUresult global_define(struct image *image, const char *name, struct variable variable,
                              struct global **ret)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    struct global *made = calloc(1, sizeof *made);

    if (result != CUDA_SUCCESS || !made) {
        free(made);
        return result != CUDA_SUCCESS ? result : CUDA_ERROR_OUT_OF_MEMORY;
    }
    struct arena *arena = variable.managed ? &managed_arena : &globals_arena[ctx->device->ordinal];
    arena->device = variable.managed ? NULL : ctx->device;
    made->name = strdup(name);
    made->bytes = variable.bytes;
    result = made->name ? memory_take(arena, memory_unowned(arena),
                                      variable.managed ? MEMORY_MANAGED : MEMORY_GLOBAL,
                                      variable.bytes, &made->memory)
                        : CUDA_ERROR_OUT_OF_MEMORY;
    if (result != CUDA_SUCCESS) {
        free(made->name);
        free(made);
        return result;
    }
    made->memory->of_image = true;
    if (variable.first)
        memcpy((void *)made->memory->base, variable.first, variable.bytes);
    else
        memset((void *)made->memory->base, 0, variable.bytes);
    LIST_INSERT_HEAD(&image->globals, made, link);
    observed_memory(OBSERVER_ALLOCATE, made->memory, made->name);
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult global_find(struct image *image, const char *name, struct global **ret)
{
    struct global *each;

    LIST_FOREACH(each, &image->globals, link)
        if (!strcmp(each->name, name)) {
            *ret = each;
            return CUDA_SUCCESS;
        }
    struct variable variable = elf_variable(image, name);
    return variable.bytes ? global_define(image, name, variable, ret) : CUDA_ERROR_NOT_FOUND;
}

static CUresult global_tell(const struct global *each, CUdeviceptr *ret, size_t *ret_bytes)
{
    if (ret)
        *ret = each->memory->base;
    if (ret_bytes)
        *ret_bytes = each->bytes;
    return CUDA_SUCCESS;
}

CUresult image_global(struct image *image, const char *name, CUdeviceptr *ret, size_t *ret_bytes)
{
    struct global *found;
    CUresult result = global_find(image, name, &found);

    return result == CUDA_SUCCESS ? global_tell(found, ret, ret_bytes) : result;
}

CUresult image_managed(struct image *image, const char *name, CUdeviceptr *ret, size_t *ret_bytes)
{
    struct global *found;
    CUresult result = global_find(image, name, &found);

    if (result == CUDA_SUCCESS && found->memory->kind != MEMORY_MANAGED)
        result = CUDA_ERROR_NOT_FOUND;
    return result == CUDA_SUCCESS ? global_tell(found, ret, ret_bytes) : result;
}

static int define(struct CUmod_st *module, const char *name, struct variable variable)
{
    struct global *made;
    CUresult result = CUDA_ERROR_INVALID_HANDLE;

    pthread_mutex_lock(&driver_lock);
    if (handle_is(module, HANDLE_MODULE) || handle_is(module, HANDLE_LIBRARY)) {
        struct image *image = module->handle.magic == HANDLE_MODULE
                                  ? &module->image
                                  : &((CUlibrary)(void *)module)->image;

        result = global_find(image, name, &made);
        if (result == CUDA_ERROR_NOT_FOUND)
            result = global_define(image, name, variable, &made);
    }
    pthread_mutex_unlock(&driver_lock);
    return (int)result;
}

int simgpu_define_global(struct CUmod_st *module, const char *name, size_t bytes)
{
    return define(module, name, (struct variable){.bytes = bytes});
}

int simgpu_define_managed(struct CUmod_st *module, const char *name, size_t bytes)
{
    return define(module, name, (struct variable){.bytes = bytes, .managed = true});
}
