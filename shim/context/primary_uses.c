/* SPDX-License-Identifier: MIT */
/*
 * No lock is held in a release. One that leaves a use is under way until it is over; one that may
 * be the last waits for those, so that none of them can come after it and be the last instead. A
 * release that was not seen makes a count too high: then a context ends in a call that is not
 * ordered as an end, and the driver is asked afterwards all the same.
 */
#include "shim/context/primary_uses.h"

#include <pthread.h>
#include <string.h>

#include "cupti/base/backoff.h"
#include "shim/context/context.h"

#define DEVICES_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    unsigned held, leaving; /* leaving: releases under way that left one */
} uses[DEVICES_MAX];        /* guarded by lock */

static bool is_counted(CUdevice device)
{
    return device >= 0 && device < DEVICES_MAX;
}

void primary_uses_add(CUdevice device)
{
    if (!is_counted(device))
        return;
    pthread_mutex_lock(&lock);
    uses[device].held++;
    pthread_mutex_unlock(&lock);
}

static bool is_leaving(CUdevice device)
{
    pthread_mutex_lock(&lock);
    bool leaving = uses[device].leaving;
    pthread_mutex_unlock(&lock);
    return leaving;
}

bool primary_uses_begin(CUdevice device)
{
    uint64_t end_ns = monotonic_ns() + CONTEXT_END_WAIT_NS;
    struct backoff backoff = {0};

    if (!is_counted(device))
        return false;
    pthread_mutex_lock(&lock);
    bool left = uses[device].held > 1;
    if (uses[device].held)
        uses[device].held--;
    uses[device].leaving += left;
    pthread_mutex_unlock(&lock);
    while (!left && is_leaving(device) && backoff_pause(&backoff, end_ns))
        ;
    return left;
}

void primary_uses_finish(CUdevice device, bool released)
{
    pthread_mutex_lock(&lock);
    if (uses[device].leaving)
        uses[device].leaving--;
    uses[device].held += !released;
    pthread_mutex_unlock(&lock);
}

void primary_uses_forget(CUdevice device)
{
    if (!is_counted(device))
        return;
    pthread_mutex_lock(&lock);
    uses[device].held = 0;
    pthread_mutex_unlock(&lock);
}

void primary_uses_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    memset(uses, 0, sizeof(uses));
}
