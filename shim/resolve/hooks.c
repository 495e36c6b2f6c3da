/* SPDX-License-Identifier: MIT */
/*
 * The table of hooks, checked row by row against the CUDA headers, and the search by name.
 *
 * Every dlsym of the process looks a name up here, mostly one that has nothing to do with CUDA, so
 * the first letters decide before anything is hashed. The index is a constant-size open-addressing
 * table built on first use; two threads may build it at once.
 *
 * Threading: lock-free.
 */
#include "shim/resolve/hooks.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

/* Each row declares exactly the type of the function it replaces. */
#define HOOK(action, family, name, since, params, args)                                            \
    static_assert(                                                                                 \
        __builtin_types_compatible_p(__typeof__(name), __typeof__(RESULT_##family params)),        \
        #name " differs from the CUDA headers");
#include "shim/resolve/hooks.def"

#define REAL_OFFSET_RUNTIME(name) offsetof(struct runtime_functions, name)
#define REAL_OFFSET_DRIVER(name)  offsetof(struct driver_functions, name)

const struct hook hooks[HOOK_COUNT] = {
#define HOOK(action, family_, name_, since_, params, args)                                         \
    [HOOK_##name_] = {.name = #name_,                                                              \
                      .real = REAL_OFFSET_##family_(name_),                                        \
                      .since = since_,                                                             \
                      .family = HOOK_FAMILY_##family_},
#include "shim/resolve/hooks.def"
};

#define INDEX_SLOTS 512 /* power of two, at least twice HOOK_COUNT */
static_assert(INDEX_SLOTS >= 2 * HOOK_COUNT, "the index must stay half empty");

/* Hook id + 1; 0: empty. Every thread that builds it writes the same values. */
static _Atomic uint16_t name_index[INDEX_SLOTS];
static atomic_bool name_index_ready;

static uint32_t name_hash(const char *name)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * UINT32_C(16777619);
    return hash ^ hash >> 15;
}

static void name_index_build(void)
{
    for (int id = 0; id < HOOK_COUNT; id++) {
        uint32_t slot = name_hash(hooks[id].name) % INDEX_SLOTS;
        uint16_t present;

        while ((present = atomic_load_explicit(&name_index[slot], memory_order_relaxed)) != 0 &&
               present != id + 1)
            slot = (slot + 1) % INDEX_SLOTS;
        atomic_store_explicit(&name_index[slot], id + 1, memory_order_relaxed);
    }
    atomic_store_explicit(&name_index_ready, true, memory_order_release);
}

static bool name_may_be_cuda(const char *name)
{
    if (name[0] != 'c' || name[1] != 'u')
        return false;
    return (name[2] >= 'A' && name[2] <= 'Z') || (name[2] == 'd' && name[3] == 'a');
}

const struct hook *hook_find(const char *name)
{
    if (!name_may_be_cuda(name))
        return NULL;
    if (!atomic_load_explicit(&name_index_ready, memory_order_acquire))
        name_index_build();
    for (uint32_t slot = name_hash(name) % INDEX_SLOTS;; slot = (slot + 1) % INDEX_SLOTS) {
        uint16_t present = atomic_load_explicit(&name_index[slot], memory_order_relaxed);

        if (present == 0)
            return NULL;
        if (strcmp(hooks[present - 1].name, name) == 0)
            return &hooks[present - 1];
    }
}
