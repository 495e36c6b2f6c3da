/* SPDX-License-Identifier: MIT */
/*
 * The pools of the process. Fork holds every lock, so that the child finds each pool consistent.
 * In the child, pools of device memory belong to the parent and return -ECHILD.
 */
#include "pool/kv/kv.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cupool_kv *registry_first;

static void fork_prepare(void)
{
    pthread_mutex_lock(&registry_lock);
    for (struct cupool_kv *pool = registry_first; pool; pool = pool->registry_next) {
        pthread_mutex_lock(&pool->pages.lock);
        pthread_mutex_lock(&pool->lock);
        kv_fronts_lock(pool);
    }
}

static void fork_release(bool child)
{
    for (struct cupool_kv *pool = registry_first; pool; pool = pool->registry_next) {
        if (child && !pool->backend.outlives_fork)
            pool->gone = true;
        if (pool->gone) /* blocks of the fronts are handed out without a look at that */
            atomic_store_explicit(&pool->fronts_on, false, memory_order_relaxed);
        kv_fronts_unlock(pool);
        pthread_mutex_unlock(&pool->lock);
        pthread_mutex_unlock(&pool->pages.lock);
    }
    pthread_mutex_unlock(&registry_lock);
}

static void fork_parent(void)
{
    fork_release(false);
}

static void fork_child(void)
{
    fork_release(true);
}

static void handlers_install(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void kv_registry_add(struct cupool_kv *pool)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, handlers_install);
    pthread_mutex_lock(&registry_lock);
    pool->registry_previous = NULL;
    pool->registry_next = registry_first;
    if (registry_first)
        registry_first->registry_previous = pool;
    registry_first = pool;
    pthread_mutex_unlock(&registry_lock);
}

void kv_registry_remove(struct cupool_kv *pool)
{
    pthread_mutex_lock(&registry_lock);
    if (pool->registry_previous)
        pool->registry_previous->registry_next = pool->registry_next;
    else
        registry_first = pool->registry_next;
    if (pool->registry_next)
        pool->registry_next->registry_previous = pool->registry_previous;
    pthread_mutex_unlock(&registry_lock);
}
