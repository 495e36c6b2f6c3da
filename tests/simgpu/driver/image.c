/* SPDX-License-Identifier: MIT */
/*
 * Images of device code: cubin (ELF), PTX, fat binary, or nvcc's wrapper around one. Names are
 * looked up in cubin and PTX, so that a kernel that is not there is not found; what is inside a fat
 * binary may be compressed, so any name is taken. Variables have a size in cubin only; elsewhere
 * they exist once simgpu_define_global() has said how large they are.
 */
#include "tests/simgpu/driver/module.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/context.h"
#include "tests/simgpu/driver/observed.h"
#include "tests/simgpu/driver/profile.h"
#include "tests/simgpu/simgpu.h"

#define FATBIN_MAGIC  0xba55ed50u
#define WRAPPER_MAGIC 0x466243b1u

static struct handle_cache function_cache = {
    HANDLE_FUNCTION, sizeof(struct CUfunc_st), {NULL}, {NULL}};
static struct arena globals_arena[PROFILE_DEVICES];

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
        observed_memory(OBSERVER_FREE, global->memory, global->name, NULL);
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

/* The size of a variable in a cubin's symbol table; 0 if it is not there. */
static size_t elf_symbol_bytes(const struct image *image, const char *name)
{
    const char *base = image->data;
    const Elf64_Ehdr *header = image->data;
    if (!base || memcmp(base, ELFMAG, SELFMAG))
        return 0;
    const Elf64_Shdr *sections = (const void *)(base + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum)
            continue;
        const Elf64_Sym *symbols = (const void *)(base + sections[i].sh_offset);
        const char *names = base + sections[sections[i].sh_link].sh_offset;
        for (size_t j = 0; j < sections[i].sh_size / sizeof *symbols; j++)
            if (ELF64_ST_TYPE(symbols[j].st_info) == STT_OBJECT &&
                !strcmp(names + symbols[j].st_name, name))
                return symbols[j].st_size;
    }
    return 0;
}

/* Natively variables live in memory that loading the module takes; here each when it is known. */
static CUresult global_define(struct image *image, const char *name, size_t bytes,
                              struct global **ret)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    struct global *made = calloc(1, sizeof *made);
    if (result != CUDA_SUCCESS || !made) {
        free(made);
        return result != CUDA_SUCCESS ? result : CUDA_ERROR_OUT_OF_MEMORY;
    }
    struct arena *arena = &globals_arena[ctx->device->ordinal];
    arena->device = ctx->device;
    made->name = strdup(name);
    made->bytes = bytes;
    result = made->name ? memory_take(arena, NULL, MEMORY_GLOBAL, bytes, &made->memory)
                        : CUDA_ERROR_OUT_OF_MEMORY;
    if (result != CUDA_SUCCESS) {
        free(made->name);
        free(made);
        return result;
    }
    memset((void *)made->memory->base, 0, bytes);
    LIST_INSERT_HEAD(&image->globals, made, link);
    observed_memory(OBSERVER_ALLOCATE, made->memory, made->name, NULL);
    *ret = made;
    return CUDA_SUCCESS;
}

CUresult image_global(struct image *image, const char *name, CUdeviceptr *ret, size_t *ret_bytes)
{
    struct global *each;
    CUresult result = CUDA_SUCCESS;
    LIST_FOREACH(each, &image->globals, link)
        if (!strcmp(each->name, name))
            break;
    if (!each) {
        size_t bytes = elf_symbol_bytes(image, name);
        result = bytes ? global_define(image, name, bytes, &each) : CUDA_ERROR_NOT_FOUND;
    }
    if (result != CUDA_SUCCESS)
        return result;
    if (ret)
        *ret = each->memory->base;
    if (ret_bytes)
        *ret_bytes = each->bytes;
    return CUDA_SUCCESS;
}

int simgpu_define_global(struct CUmod_st *module, const char *name, size_t bytes)
{
    struct global *made;
    CUresult result = CUDA_ERROR_INVALID_HANDLE;
    pthread_mutex_lock(&driver_lock);
    if (handle_is(module, HANDLE_MODULE) || handle_is(module, HANDLE_LIBRARY)) {
        struct image *image = module->handle.magic == HANDLE_MODULE
                                  ? &module->image
                                  : &((CUlibrary)(void *)module)->image;
        result = image_global(image, name, NULL, NULL);
        if (result == CUDA_ERROR_NOT_FOUND)
            result = global_define(image, name, bytes, &made);
    }
    pthread_mutex_unlock(&driver_lock);
    return (int)result;
}
