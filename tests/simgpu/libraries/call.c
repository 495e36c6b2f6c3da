/* SPDX-License-Identifier: MIT */
/*
 * Objects and their properties are guarded by one lock: they are small, and few.
 */
#include "tests/simgpu/libraries/call.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "tests/simgpu/driver/base/machine.h"

#define OBJECT_MAGIC UINT64_C(0x73696d6c69627279)

struct property {
    SLIST_ENTRY(property) link;
    uint64_t key;
    size_t bytes;
    unsigned char value[];
};

struct object {
    uint64_t magic;
    SLIST_HEAD(, property) properties;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct machine_table *machine_find(void)
{
    static const char id[] = MACHINE_TABLE_ID;
    static const struct machine_table *_Atomic found;
    CUresult (*get)(const void **, const CUuuid *) = NULL;
    const void *table = NULL;
    void *library;

    static_assert(sizeof id == sizeof(CUuuid) + 1, "a UUID");
    if (found)
        return found;
    library = dlopen("libcuda.so.1", RTLD_NOW);
    if (library)
        *(void **)&get = dlsym(library, "cuGetExportTable");
    if (get && get(&table, (const CUuuid *)id) == CUDA_SUCCESS)
        found = table;
    return found;
}

/* A descriptor may lie in the program's own memory; the magic identifies ours. */
static struct object *object_of(void *pointer)
{
    struct object *object = pointer;

    return object && (uintptr_t)object % 16 == 0 && object->magic == OBJECT_MAGIC ? object : NULL;
}

int call_create(call_arguments a, int at)
{
    struct object *made;

    if (!a[at])
        return library_errors.no_handle;
    made = calloc(1, sizeof *made);
    if (!made)
        return library_errors.failed;
    made->magic = OBJECT_MAGIC;
    *(struct object **)a[at] = made;
    return 0;
}

int call_destroy(call_arguments a)
{
    struct object *object = object_of((void *)a[0]);
    struct property *each;

    if (!object)
        return a[0] ? 0 : library_errors.no_handle;
    pthread_mutex_lock(&lock);
    while ((each = SLIST_FIRST(&object->properties))) {
        SLIST_REMOVE_HEAD(&object->properties, link);
        free(each);
    }
    object->magic = 0;
    pthread_mutex_unlock(&lock);
    free(object);
    return 0;
}

static struct property *property_find(struct object *object, uint64_t key)
{
    struct property *each;

    SLIST_FOREACH(each, &object->properties, link)
    if (each->key == key)
        return each;
    return NULL;
}

bool object_keep(void *pointer, uint64_t key, const void *value, size_t bytes)
{
    struct object *object = object_of(pointer);
    struct property *property, *before;

    if (!object)
        return false;
    property = malloc(sizeof *property + bytes);
    if (!property)
        return false;
    property->key = key;
    property->bytes = bytes;
    memcpy(property->value, value, bytes);
    pthread_mutex_lock(&lock);
    before = property_find(object, key);
    if (before)
        SLIST_REMOVE(&object->properties, before, property, link);
    SLIST_INSERT_HEAD(&object->properties, property, link);
    pthread_mutex_unlock(&lock);
    free(before);
    return true;
}

size_t object_kept(void *pointer, uint64_t key, void *ret, size_t room)
{
    struct object *object = object_of(pointer);
    struct property *property;
    size_t bytes = 0;

    if (!object)
        return 0;
    pthread_mutex_lock(&lock);
    property = property_find(object, key);
    if (property) {
        bytes = property->bytes;
        memcpy(ret, property->value, bytes < room ? bytes : room);
    }
    pthread_mutex_unlock(&lock);
    return bytes;
}

/* FNV-1a; above the numbers of attributes, which have 32 bits. */
static uint64_t key_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash | UINT64_C(1) << 63;
}

int call_set(call_arguments a, const char *key)
{
    return object_keep((void *)a[0], key_of(key), &a[1], sizeof a[1]) ? 0
                                                                      : library_errors.no_handle;
}

int call_get(call_arguments a, const char *key, int bytes)
{
    uintptr_t value = 0;

    if (!object_of((void *)a[0]) || !a[1])
        return library_errors.no_handle;
    object_kept((void *)a[0], key_of(key), &value, sizeof value);
    memcpy((void *)a[1], &value, (size_t)bytes); /* little-endian, as all that CUDA runs on */
    return 0;
}

int call_attribute_set(call_arguments a)
{
    if (!a[0] || !a[2])
        return library_errors.no_handle;
    object_keep((void *)a[0], (uint32_t)a[1], (const void *)a[2], a[3]);
    return 0;
}

int call_attribute_get(call_arguments a)
{
    size_t bytes;

    if (!a[0])
        return library_errors.no_handle;
    if (a[2] && a[3])
        memset((void *)a[2], 0, a[3]);
    bytes = object_kept((void *)a[0], (uint32_t)a[1], (void *)a[2], a[2] ? a[3] : 0);
    if (a[4])
        *(size_t *)a[4] = bytes ? bytes : a[3];
    return 0;
}

static void size_write(call_arguments a, int at, int bytes)
{
    const size_t workspace = LIBRARY_WORKSPACE_BYTES;
    const int elements = 1 << 14;

    if (bytes == 8 && a[at])
        *(size_t *)a[at] = workspace;
    else if (bytes == 4 && a[at])
        *(int *)a[at] = elements;
}

int call_sizes(call_arguments a, int first_at, int first_bytes, int second_at, int second_bytes)
{
    size_write(a, first_at, first_bytes);
    size_write(a, second_at, second_bytes);
    return 0;
}

int call_zeros(call_arguments a, unsigned mask4, unsigned mask8)
{
    for (int i = 0; i < 32; i++)
        if ((mask4 | mask8) >> i & 1 && a[i])
            memset((void *)a[i], 0, mask8 >> i & 1 ? 8 : 4);
    return 0;
}

static CUstream stream_of(call_arguments a, int at)
{
    uintptr_t stream = 0;

    if (at >= 0)
        return (CUstream)a[at];
    if (at == -1)
        object_kept((void *)a[0], key_of("Stream"), &stream, sizeof stream);
    return (CUstream)stream;
}

int call_work(call_arguments a, int at, const char *function)
{
    const struct machine_table *machine = machine_find();

    if ((at == -1 && !object_of((void *)a[0])) || !machine)
        return library_errors.no_handle;
    return machine->skip(stream_of(a, at), function) == CUDA_SUCCESS ? 0 : library_errors.failed;
}
