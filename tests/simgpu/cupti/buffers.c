/* SPDX-License-Identifier: MIT */
/*
 * The client's buffers: one is being filled, full ones wait to be returned by a worker thread or a
 * flush. A record that finds no buffer is dropped and counted.
 *
 * A buffer is asked for while the driver's lock is held, as the real library asks from inside the
 * program's call: the client must not call CUDA there. Buffers are returned without that lock, one
 * at a time (delivery lock, recursive, because a client may flush from there).
 */
#include "tests/simgpu/cupti/state.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#define FULL_MAX 1024

struct buffer {
    uint8_t *memory;
    size_t bytes, used, records, records_max;
};

static pthread_mutex_t delivery = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t queue = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static CUpti_BuffersCallbackRequestFunc request;
static CUpti_BuffersCallbackCompleteFunc complete;
static struct buffer current;
static struct buffer full[FULL_MAX]; /* a ring */
static size_t full_first, full_count;
static size_t dropped;
static bool has_worker;

static bool full_take(struct buffer *ret)
{
    pthread_mutex_lock(&queue);
    bool found = full_count > 0;
    if (found) {
        *ret = full[full_first];
        full_first = (full_first + 1) % FULL_MAX;
        full_count--;
    }
    pthread_mutex_unlock(&queue);
    return found;
}

static void deliver(void)
{
    struct buffer buffer;

    pthread_mutex_lock(&delivery);
    while (full_take(&buffer))
        complete(NULL, 0, buffer.memory, buffer.bytes, buffer.used);
    pthread_mutex_unlock(&delivery);
}

static void *worker_main(void *argument)
{
    for (;;) {
        pthread_mutex_lock(&queue);
        while (!full_count)
            pthread_cond_wait(&wake, &queue);
        pthread_mutex_unlock(&queue);
        deliver();
    }
    return NULL;
}

/* Signals are the program's: the worker takes none. */
static void worker_start(void)
{
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    has_worker = pthread_create(&thread, NULL, worker_main, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (has_worker)
        pthread_detach(thread);
}

static void current_end_locked(void)
{
    if (!current.memory)
        return;
    if (full_count < FULL_MAX)
        full[(full_first + full_count++) % FULL_MAX] = current;
    current = (struct buffer){0};
}

static bool current_has_room_locked(size_t bytes)
{
    return current.memory && current.bytes - current.used >= bytes &&
           (!current.records_max || current.records < current.records_max);
}

/* The smallest buffer the real library accepts is not documented; here: one record. */
static void current_begin_locked(size_t bytes)
{
    struct buffer fresh = {0};

    if (request)
        request(&fresh.memory, &fresh.bytes, &fresh.records_max);
    if (fresh.memory && fresh.bytes >= bytes)
        current = fresh;
}

void buffers_add(const void *record, size_t bytes)
{
    pthread_mutex_lock(&queue);
    if (!current_has_room_locked(bytes)) {
        current_end_locked();
        if (full_count && !has_worker)
            worker_start();
        pthread_cond_signal(&wake);
        current_begin_locked(bytes);
    }
    if (current.memory) {
        memcpy(current.memory + current.used, record, bytes);
        current.used += bytes;
        current.records++;
    } else {
        dropped++;
    }
    pthread_mutex_unlock(&queue);
}

CUptiResult buffers_register(CUpti_BuffersCallbackRequestFunc requested,
                             CUpti_BuffersCallbackCompleteFunc completed)
{
    if (!requested || !completed)
        return CUPTI_ERROR_INVALID_PARAMETER;
    pthread_mutex_lock(&queue);
    request = requested;
    complete = completed;
    pthread_mutex_unlock(&queue);
    return CUPTI_SUCCESS;
}

bool buffers_registered(void)
{
    pthread_mutex_lock(&queue);
    bool registered = request;
    pthread_mutex_unlock(&queue);
    return registered;
}

void buffers_flush(void)
{
    pthread_mutex_lock(&queue);
    current_end_locked();
    pthread_mutex_unlock(&queue);
    deliver();
}

size_t buffers_dropped_take(void)
{
    pthread_mutex_lock(&queue);
    size_t count = dropped;
    dropped = 0;
    pthread_mutex_unlock(&queue);
    return count;
}

void buffers_drop(void)
{
    pthread_mutex_lock(&queue);
    request = NULL;
    current = (struct buffer){0};
    dropped = 0;
    pthread_mutex_unlock(&queue);
}
