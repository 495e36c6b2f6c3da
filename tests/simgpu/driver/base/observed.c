/* SPDX-License-Identifier: MIT */
/*
 * Events that occur under the lock wait, per thread, until the call has released it.
 */
#include "tests/simgpu/driver/base/observed.h"

#include <string.h>

#define WAITING_MAX 4 /* one call makes a context or a stream, hardly both */

_Atomic bool observed;
__thread uint64_t observed_pc;
__thread unsigned observed_waiting;

static void (*_Atomic observer)(const struct observer_event *event);
static __thread struct observer_event waiting[WAITING_MAX];

void observed_tell(const struct observer_event *event)
{
    void (*function)(const struct observer_event *) = observer;

    if (function)
        function(event);
}

void observed_tell_later(const struct observer_event *event)
{
    if (observed && observed_waiting < WAITING_MAX)
        waiting[observed_waiting++] = *event;
}

void observed_tell_made(void)
{
    struct observer_event events[WAITING_MAX];
    unsigned count = observed_waiting;

    memcpy(events, waiting, sizeof events);
    observed_waiting = 0;
    for (unsigned i = 0; i < count; i++)
        observed_tell(&events[i]);
}

void observed_tell_before(const struct observer_event *event)
{
    pthread_mutex_unlock(&driver_lock);
    observed_tell(event);
    pthread_mutex_lock(&driver_lock);
}

void observed_by(void (*function)(const struct observer_event *event))
{
    observer = function;
    observed = function;
}
