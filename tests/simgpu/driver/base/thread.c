/* SPDX-License-Identifier: MIT */
/*
 * The list of threads that have called the driver. It has its own lock, taken last, because
 * the log reads the clock with the driver's lock held.
 */
#include "tests/simgpu/driver/base/thread.h"

#include <stdio.h>
#include <stdlib.h>

__thread struct thread *thread_current __attribute__((tls_model("initial-exec")));

static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, thread) threads; /* guarded by threads_lock */
static struct thread ended;         /* the counters of threads that are gone */
static pthread_key_t end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;

static void thread_end(void *value)
{
    struct thread *self = value;

    thread_current = NULL;
    if (driver_state == DRIVER_FORKED)
        return;
    pthread_mutex_lock(&threads_lock);
    LIST_REMOVE(self, link);
    ended.virtual_ns += self->virtual_ns;
    for (int i = 0; i < CALL_COUNT; i++)
        ended.calls[i] += self->calls[i];
    pthread_mutex_unlock(&threads_lock);
    free(self);
}

static void end_key_create(void)
{
    pthread_key_create(&end_key, thread_end);
}

struct thread *thread_create(void)
{
    static _Atomic uint64_t next_id = 1;
    static struct thread of_last_resort;

    driver_load();
    pthread_once(&end_once, end_key_create);
    struct thread *self = calloc(1, sizeof *self);
    if (!self)
        return &of_last_resort;
    self->id = atomic_fetch_add(&next_id, 1);
    pthread_mutex_lock(&threads_lock);
    LIST_INSERT_HEAD(&threads, self, link);
    pthread_mutex_unlock(&threads_lock);
    pthread_setspecific(end_key, self);
    thread_current = self;
    return self;
}

uint64_t threads_virtual_ns(void)
{
    struct thread *each;

    pthread_mutex_lock(&threads_lock);
    uint64_t sum = ended.virtual_ns;
    LIST_FOREACH(each, &threads, link)
        sum += atomic_load_explicit(&each->virtual_ns, memory_order_relaxed);
    pthread_mutex_unlock(&threads_lock);
    return sum;
}

uint64_t threads_calls(enum call_id id)
{
    struct thread *each;

    pthread_mutex_lock(&threads_lock);
    uint64_t sum = ended.calls[id];
    LIST_FOREACH(each, &threads, link)
        sum += atomic_load_explicit(&each->calls[id], memory_order_relaxed);
    pthread_mutex_unlock(&threads_lock);
    return sum;
}
