/* SPDX-License-Identifier: MIT */
/*
 * The command's own allocations, which the linker leads here (--wrap): each that fails is noted.
 */
#include "tools/cli/allocate.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/shortage.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_reallocarray(void *memory, size_t count, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_reallocarray(void *memory, size_t count, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);

static void *result(void *memory, size_t bytes)
{
    if (!memory && bytes)
        shortage_note(-ENOMEM);
    return memory;
}

void *__wrap_malloc(size_t bytes)
{
    return result(__real_malloc(bytes), bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return result(__real_calloc(count, bytes), count && bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return result(__real_realloc(memory, bytes), bytes);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t bytes)
{
    return result(__real_reallocarray(memory, count, bytes), count && bytes);
}

char *__wrap_strdup(const char *text)
{
    return result(__real_strdup(text), 1);
}

char *__wrap_strndup(const char *text, size_t most)
{
    return result(__real_strndup(text, most), 1);
}

void allocate_note_failures(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
}
