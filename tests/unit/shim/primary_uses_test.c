/* SPDX-License-Identifier: MIT */
/* Which releases of a primary context leave a use, and what the last one waits for. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "shim/context/primary_uses.h"

Test(primary_uses, a_release_leaves_a_use_if_two_were_seen)
{
    cr_assert_not(primary_uses_begin(0)); /* of retains before anybody looked */
    primary_uses_add(0);
    cr_assert_not(primary_uses_begin(0));
    primary_uses_add(0);
    primary_uses_add(0);
    primary_uses_add(1);
    cr_assert(primary_uses_begin(0));
    primary_uses_finish(0, true);
    cr_assert_not(primary_uses_begin(0));
    cr_assert_not(primary_uses_begin(1));
}

Test(primary_uses, a_refused_release_keeps_its_use)
{
    primary_uses_add(0);
    primary_uses_add(0);
    for (int i = 0; i < 3; i++) {
        cr_assert(primary_uses_begin(0));
        primary_uses_finish(0, false);
    }
}

Test(primary_uses, none_is_known_after_a_reset)
{
    primary_uses_add(0);
    primary_uses_add(0);
    primary_uses_forget(0);
    cr_assert_not(primary_uses_begin(0));
}

Test(primary_uses, devices_beyond_those_counted_may_end)
{
    static const CUdevice devices[] = {-1, 64, 1 << 20};

    for (int i = 0; i < 3; i++) {
        primary_uses_add(devices[i]);
        primary_uses_add(devices[i]);
        cr_assert_not(primary_uses_begin(devices[i]));
        primary_uses_forget(devices[i]);
    }
}

static atomic_bool over;

static void *finish_later(void *unused)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    atomic_store(&over, true);
    primary_uses_finish(0, true);
    return unused;
}

Test(primary_uses, the_last_waits_for_those_under_way)
{
    pthread_t thread;

    primary_uses_add(0);
    primary_uses_add(0);
    cr_assert(primary_uses_begin(0));
    cr_assert_eq(pthread_create(&thread, NULL, finish_later, NULL), 0);
    cr_assert_not(primary_uses_begin(0));
    cr_assert(atomic_load(&over));
    pthread_join(thread, NULL);
}
