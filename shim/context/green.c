/* SPDX-License-Identifier: MIT */
/*
 * The list of green contexts that were converted to a CUcontext; a program must convert one to
 * make it current. It changes only under a lock; while it is empty nobody takes the lock. A green
 * context that finds no host memory is treated as an independent one: its blocks end with it.
 */
#include "shim/context/green.h"

#include <pthread.h>
#include <string.h>

#include "cupti/base/pages.h"
#include "shim/context/context.h"

struct green {
    CUcontext handle, primary;
};

#define GREENS_FIRST ((int)(4096 / sizeof(struct green)))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct green *greens; /* guarded by lock */
static int room;             /* likewise */
static atomic_int used;      /* changed under lock */

bool green_any(void)
{
    return atomic_load_explicit(&used, memory_order_acquire) != 0;
}

static struct green *find_locked(CUcontext handle)
{
    for (int i = used; i-- > 0;)
        if (greens[i].handle == handle)
            return &greens[i];
    return NULL;
}

CUcontext green_owner(CUcontext handle)
{
    if (!green_any())
        return handle;
    pthread_mutex_lock(&lock);
    const struct green *green = find_locked(handle);
    if (green)
        handle = green->primary;
    pthread_mutex_unlock(&lock);
    return handle;
}

static bool room_make_locked(void)
{
    if (used < room)
        return true;
    int more = room ? 2 * room : GREENS_FIRST;
    struct green *larger = pages_map((size_t)more * sizeof(*larger));
    if (!larger)
        return false;
    if (room)
        memcpy(larger, greens, (size_t)used * sizeof(*larger));
    pages_unmap(greens, (size_t)room * sizeof(*greens));
    greens = larger;
    room = more;
    return true;
}

void green_add(CUcontext handle, CUcontext primary)
{
    pthread_mutex_lock(&lock);
    if (!find_locked(handle) && room_make_locked())
        greens[used++] = (struct green){handle, primary};
    pthread_mutex_unlock(&lock);
}

CUcontext green_remove(CUcontext handle)
{
    CUcontext primary = NULL;

    pthread_mutex_lock(&lock);
    struct green *green = find_locked(handle);
    if (green) {
        primary = green->primary;
        *green = greens[used - 1];
        used--;
    }
    pthread_mutex_unlock(&lock);
    context_look_again(); /* threads remember what a handle stood for */
    return primary;
}

void green_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    greens = NULL; /* not unmapped: a change may be incomplete */
    room = 0;
    atomic_store(&used, 0);
}
