/* SPDX-License-Identifier: MIT */
/*
 * The list of green contexts that were converted to a CUcontext; a program must convert one to
 * make it current. The table is small and changes only under a lock; while it is empty nobody
 * takes the lock. When it is full, a green context is treated as an independent context: correct,
 * but less efficient.
 */
#include "shim/context/green.h"

#include <pthread.h>

#include "shim/context/context.h"

#define GREEN_MAX 64

struct green {
    CUcontext handle, primary;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct green greens[GREEN_MAX]; /* guarded by lock */
static atomic_int used;                /* changed under lock */

bool green_any(void)
{
    return atomic_load_explicit(&used, memory_order_acquire) != 0;
}

CUcontext green_owner(CUcontext handle)
{
    if (!green_any())
        return handle;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used; i++) {
        if (greens[i].handle == handle) {
            handle = greens[i].primary;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

void green_add(CUcontext handle, CUcontext primary)
{
    pthread_mutex_lock(&lock);
    bool known = false;
    for (int i = 0; i < used; i++)
        known = known || greens[i].handle == handle;
    if (!known && used < GREEN_MAX)
        greens[used++] = (struct green){handle, primary};
    pthread_mutex_unlock(&lock);
}

void green_remove(CUcontext handle)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used; i++) {
        if (greens[i].handle == handle) {
            greens[i] = greens[used - 1];
            used--;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&context_generation, 1); /* threads remember what a handle stood for */
}

void green_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    atomic_store(&used, 0);
}
