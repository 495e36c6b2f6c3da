/* SPDX-License-Identifier: MIT */
/*
 * The thread and the caller each hold the look-up; whoever leaves last frees it.
 */
#include "engine/tier/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct resolve {
    char *host;
    pthread_mutex_t lock;
    pthread_cond_t ended_told;
    unsigned holders; /* guarded by lock, as what follows */
    bool ended;
    struct resolve_addresses found;
};

int resolve_is_number(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static void resolve_free(struct resolve *resolve)
{
    pthread_cond_destroy(&resolve->ended_told);
    pthread_mutex_destroy(&resolve->lock);
    free(resolve->host);
    free(resolve);
}

static void leave(struct resolve *resolve)
{
    pthread_mutex_lock(&resolve->lock);
    bool last = --resolve->holders == 0;
    pthread_mutex_unlock(&resolve->lock);
    if (last)
        resolve_free(resolve);
}

static void family_add(const struct addrinfo *list, int family, struct resolve_addresses *addresses)
{
    for (; list && addresses->count < RESOLVE_MOST; list = list->ai_next)
        if (list->ai_family == family &&
            getnameinfo(list->ai_addr, list->ai_addrlen, addresses->texts[addresses->count],
                        RESOLVE_TEXT_BYTES, NULL, 0, NI_NUMERICHOST) == 0)
            addresses->count++;
}

static void *resolve_run(void *state)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct resolve_addresses found = {.count = 0};
    struct resolve *resolve = state;
    struct addrinfo *list = NULL;

    if (getaddrinfo(resolve->host, NULL, &hints, &list) == 0) {
        family_add(list, AF_INET, &found);
        family_add(list, AF_INET6, &found);
        freeaddrinfo(list);
    }
    pthread_mutex_lock(&resolve->lock);
    resolve->found = found;
    resolve->ended = true;
    pthread_cond_signal(&resolve->ended_told);
    pthread_mutex_unlock(&resolve->lock);
    leave(resolve);
    return NULL;
}

/* Signals are the program's. */
static int thread_start(struct resolve *resolve)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;

    int error = -pthread_attr_init(&detached);
    if (error < 0)
        return error;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = -pthread_create(&thread, &detached, resolve_run, resolve);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return error;
}

struct resolve *resolve_begin(const char *host)
{
    struct resolve *resolve = calloc(1, sizeof(*resolve));
    pthread_condattr_t monotonic;

    if (!resolve)
        return NULL;
    pthread_mutex_init(&resolve->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&resolve->ended_told, &monotonic);
    pthread_condattr_destroy(&monotonic);
    resolve->holders = 2;
    resolve->host = strdup(host);
    if (!resolve->host || thread_start(resolve) < 0) {
        resolve_free(resolve);
        return NULL;
    }
    return resolve;
}

int resolve_await(struct resolve *resolve, uint64_t deadline_ns,
                  struct resolve_addresses *ret_addresses)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                   .tv_nsec = (long)(deadline_ns % 1000000000u)};
    int error = 0;

    pthread_mutex_lock(&resolve->lock);
    while (!resolve->ended && error == 0)
        error = pthread_cond_timedwait(&resolve->ended_told, &resolve->lock, &until);
    bool ended = resolve->ended;
    if (ended)
        *ret_addresses = resolve->found;
    pthread_mutex_unlock(&resolve->lock);
    if (!ended)
        return -ETIMEDOUT;
    return ret_addresses->count > 0 ? 0 : -EHOSTUNREACH;
}

void resolve_end(struct resolve *resolve)
{
    if (resolve)
        leave(resolve);
}
