/* SPDX-License-Identifier: MIT */
/*
 * Loading, at the first call, and the handles.
 */
#include "tests/simgpu/driver/base/driver.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/base/fault.h"
#include "tests/simgpu/driver/base/log.h"
#include "tests/simgpu/driver/base/profile.h"

_Atomic int driver_state;
pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t driver_progress = PTHREAD_COND_INITIALIZER;

static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static void load(void)
{
    profile_load();
    log_open();
    fault_load();
    atomic_store(&driver_state, DRIVER_LOADED);
}

void driver_load(void)
{
    pthread_once(&load_once, load);
}

void *handle_take(struct handle_cache *cache)
{
    struct handle *object = SLIST_FIRST(&cache->free);

    if (object)
        SLIST_REMOVE_HEAD(&cache->free, next_free);
    else if ((object = calloc(1, cache->bytes)))
        SLIST_INSERT_HEAD(&cache->made, object, next_made);
    if (object)
        object->magic = cache->magic;
    return object;
}

void handle_give(struct handle_cache *cache, void *object)
{
    struct handle *handle = object;

    handle->magic = HANDLE_FREE;
    SLIST_INSERT_HEAD(&cache->free, handle, next_free);
}

bool handle_is(const void *object, enum handle_magic magic)
{
    return (uintptr_t)object >= 4096 && ((const struct handle *)object)->magic == magic;
}
