/* SPDX-License-Identifier: MIT */
/*
 * Threads at the same queues: each sees its own transfers end with the right content, whoever
 * carries them on.
 */
#include "tests/unit/transfer/fixture.h"

#define THREADS 6
#define ROUNDS  150
#define BYTES   8192u

static uint8_t out[THREADS][BYTES], back[THREADS][BYTES];
static _Atomic unsigned heard;

static void hear(void *state, cupool_transfer transfer, int result)
{
    heard++;
}

static int submitted(enum cupool_direction direction, const struct cupool_copy *copies,
                     unsigned count, int priority, cupool_transfer *ret_transfer)
{
    struct cupool_transfer_options options;
    int error;

    cupool_transfer_options_init(&options);
    options.priority = priority;
    options.callback = hear;
    do
        error = cupool_transfers_submit(transfers, direction, copies, count, &options,
                                        ret_transfer);
    while (error == -EAGAIN);
    return error;
}

static void *thread_run(void *state)
{
    unsigned mine = (unsigned)(uintptr_t)state;
    uint32_t random = mine + 1;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cupool_copy there[24], again[24];
        cupool_transfer transfer;
        unsigned count = 1 + round % 24;
        size_t each = BYTES / count / 2;

        fill(out[mine], BYTES, random);
        memset(back[mine], 0, BYTES);
        for (unsigned at = 0; at < count; at++) {
            uint8_t *device = fake.device + mine * 20000 + at * 2 * each;

            there[at] = (struct cupool_copy){device, out[mine] + at * 2 * each, each};
            again[at] = (struct cupool_copy){back[mine] + at * 2 * each, device, each};
        }
        random = random * 1664525 + 1013904223;
        if (submitted(TO, there, count, (int)(random >> 16) % 100, &transfer) < 0 ||
            cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER) < 0)
            return "a transfer to the device failed";
        if (submitted(FROM, again, count, 50, &transfer) < 0)
            return "a transfer from the device was refused";
        if (random >> 29 == 0)
            cupool_transfers_poll(transfers);
        int error = random >> 28 == 15 ? cupool_transfer_cancel(transfers, transfer) : 1;
        if (cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER) !=
            (error == 0 ? -ECANCELED : 0))
            return "a transfer from the device failed";
        for (unsigned at = 0; at < count && error != 0; at++)
            if (memcmp(again[at].to, there[at].from, each) != 0)
                return "something else came back";
        if (random >> 27 == 3 && cupool_transfers_check(transfers, NULL, 0) < 0)
            return "an invariant is broken";
    }
    return NULL;
}

Test(transfer_threads, each_gets_its_own)
{
    struct cupool_transfers_config config = config_small();
    pthread_t threads[THREADS];

    fake_make(&fake);
    config.requests = THREADS + 4; /* results are kept until others need their place */
    config.fragments = 100;
    transfers_make(&config);
    for (uintptr_t at = 0; at < THREADS; at++)
        cr_assert_eq(pthread_create(&threads[at], NULL, thread_run, (void *)at), 0);
    for (unsigned at = 0; at < THREADS; at++) {
        void *wrong = NULL;

        pthread_join(threads[at], &wrong);
        cr_assert(!wrong, "%s", (const char *)wrong);
    }
    struct cupool_transfer_statistics to = stats_of(TO), from = stats_of(FROM);
    cr_assert_eq(to.completed, THREADS * ROUNDS);
    cr_assert_eq(from.completed + from.cancelled, THREADS * ROUNDS);
    cr_assert_eq(heard, 2 * THREADS * ROUNDS);
    teardown();
}
