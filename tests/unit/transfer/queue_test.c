/* SPDX-License-Identifier: MIT */
/*
 * Ways, refusals, order, cancelling, faults: the queues call by call.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/transfer/fixture.h"

#define KIB ((size_t)1024)

Test(transfer_queue, neighbours_are_joined, .init = setup, .fini = teardown)
{
    struct cupool_copy copies[16];
    cupool_transfer transfer;

    for (unsigned at = 0; at < 16; at++) {
        unsigned place = at * 7 % 16; /* in no order */

        copies[at] = (struct cupool_copy){fake.device + place * 100, fake.pinned + place * 100,
                                          100};
    }
    cr_assert_eq(submit(TO, copies, 16, &transfer), 0);
    cr_assert_eq(wait_for(transfer), 0);
    struct cupool_transfer_statistics stats = stats_of(TO);
    cr_assert(stats.fragments == 16 && stats.joined == 15 && stats.driver_calls == 1);
    /* Neighbours on one side alone are not. */
    for (unsigned at = 0; at < 2; at++)
        copies[at] = (struct cupool_copy){fake.device + at * 2000, fake.pinned + at * 2001, 2000};
    cr_assert_eq(submit(TO, copies, 2, &transfer), 0);
    cr_assert_eq(stats_of(TO).joined, 15);
}

Test(transfer_queue, the_way_is_chosen_by_size_and_number, .init = setup, .fini = teardown)
{
    struct cupool_copy copies[40];
    cupool_transfer transfer;

    for (unsigned at = 0; at < 40; at++)
        copies[at] = (struct cupool_copy){fake.device + at * 4096, fake.pinned + at * 4096,
                                          at < 4   ? 1023
                                          : at < 6 ? 2048
                                                   : 1024};
    cr_assert_eq(submit(TO, copies, 3, &transfer), 0);
    cr_assert_eq(stats_of(TO).batches, 1, "three small ones are too few for the kernel");
    cr_assert_eq(submit(TO, copies, 4, &transfer), 0);
    cr_assert_eq(stats_of(TO).launches, 1);
    cr_assert_eq(submit(TO, copies, 6, &transfer), 0);
    struct cupool_transfer_statistics stats = stats_of(TO);
    cr_assert(stats.launches == 2 && stats.copies == 2, "two large ones are too few for a batch");
    cr_assert_eq(submit(TO, copies, 40, &transfer), 0);
    stats = stats_of(TO);
    cr_assert(stats.launches == 3 && stats.batches == 2 && stats.descriptors == 3 + 4 * 3 + 36);
    cr_assert_eq(stats.staged_bytes, 0);
    cr_assert_eq(stats.driver_calls, stats.launches + stats.batches + stats.copies);
    cr_assert_eq(stats.bytes, stats.copied_bytes + stats.batched_bytes + stats.kernel_bytes);
}

Test(transfer_queue, without_a_batched_call_or_a_kernel)
{
    const struct cupool_transfers_config config = config_small();

    for (unsigned round = 0; round < 3; round++) {
        struct cupool_copy copies[8];
        cupool_transfer transfer;

        fake_make(&fake);
        fake.no_batch = round != 0;
        fake.no_kernel = round == 1;
        fake.kernel_unsupported = round != 1; /* as it turns out */
        transfers_make(&config);
        fill(fake.pinned, 8 * KIB, 1);
        for (unsigned at = 0; at < 8; at++)
            copies[at] = (struct cupool_copy){fake.device + at * KIB, fake.pinned + at * KIB, 500};
        for (unsigned again = 0; again < 2; again++) {
            cr_assert_eq(submit(TO, copies, 8, &transfer), 0);
            cr_assert_eq(wait_for(transfer), 0);
        }
        for (unsigned at = 0; at < 8; at++)
            cr_assert_eq(memcmp(fake.device + at * KIB, fake.pinned + at * KIB, 500), 0);
        cr_assert_eq(fake.calls[FAKE_KERNEL], round != 1, "it is asked once");
        cr_assert_eq(stats_of(TO).copies, round == 0 ? 0 : 16);
        teardown();
    }
}

Test(transfer_queue, one_look_serves_a_whole_allocation, .init = setup, .fini = teardown)
{
    struct cupool_copy copies[100];
    cupool_transfer transfer;

    for (unsigned at = 0; at < 100; at++)
        copies[at] = (struct cupool_copy){fake.device + at * 4096, fake.pinned + at * 2048, 100};
    cr_assert_eq(submit(TO, copies, 100, &transfer), 0);
    cr_assert_eq(fake.calls[FAKE_PLACE], 2);
}

Test(transfer_queue, what_is_refused, .init = setup, .fini = teardown)
{
    uint8_t *device = fake.device, *pinned = fake.pinned;
    const struct {
        enum cupool_direction direction;
        struct cupool_copy copies[2];
        int error;
        const char *text;
    } cases[] = {
        {TO, {{device, pinned, 10}, {device + 9, pinned + 20, 10}}, -ENOTUNIQ, "destinations"},
        {TO, {{device, pinned, 10}, {device, pinned + 20, 1}}, -ENOTUNIQ, "destinations"},
        {TO, {{device + 5, pinned, 1}, {device, pinned + 20, 10}}, -ENOTUNIQ, "destinations"},
        {WITHIN, {{device, device + 9, 10}, {NULL, NULL, 0}}, -ENOTUNIQ, "source"},
        {WITHIN, {{device + 9, device, 10}, {NULL, NULL, 0}}, -ENOTUNIQ, "source"},
        {WITHIN, {{device, device + 50, 10}, {device + 100, device + 5, 20}}, -ENOTUNIQ, "source"},
        {TO, {{NULL, pinned, 10}, {device, pinned + 20, 10}}, -EINVAL, "null"},
        {TO, {{device, NULL, 10}, {NULL, NULL, 0}}, -EINVAL, "null"},
        {TO, {{device, pinned, SIZE_MAX}, {NULL, NULL, 0}}, -EOVERFLOW, "address space"},
        {TO, {{fake.foreign, pinned, 10}, {NULL, NULL, 0}}, -EXDEV, "another device or context"},
        {FROM, {{pinned, fake.foreign, 10}, {NULL, NULL, 0}}, -EXDEV, "another device or context"},
        {FROM, {{fake.foreign, device, 10}, {NULL, NULL, 0}}, -EXDEV, "host side"},
        {TO, {{pinned, device, 10}, {NULL, NULL, 0}}, -EINVAL, "device side"},
        {TO, {{pageable, pinned, 10}, {NULL, NULL, 0}}, -EINVAL, "device side"},
        {TO, {{device, device + 100, 10}, {NULL, NULL, 0}}, -EINVAL, "host side"},
        {TO, {{device + FAKE_DEVICE_BYTES - 4, pinned, 10}, {NULL, NULL, 0}}, -EFAULT, "exceeds"},
    };

    for (unsigned at = 0; at < sizeof(cases) / sizeof(*cases); at++) {
        cupool_transfer transfer = 77;

        cr_assert_eq(submit(cases[at].direction, cases[at].copies, 2, &transfer), cases[at].error,
                     "case %u", at);
        cr_assert(strstr(cupool_transfers_error(transfers), cases[at].text), "case %u: %s", at,
                  cupool_transfers_error(transfers));
        cr_assert_eq(transfer, 77);
        check();
    }
    cr_assert_eq(fake.calls[FAKE_COPY] + fake.calls[FAKE_BATCH] + fake.calls[FAKE_KERNEL], 0);
    cr_assert_gt(stats_of(TO).refused, 5);
    /* Sources may overlap, and neighbours touch. */
    const struct cupool_copy good[] = {{device, pinned, 10}, {device + 10, pinned + 5, 10}};
    cupool_transfer transfer;
    cr_assert_eq(submit(TO, good, 2, &transfer), 0);
    cr_assert_eq(wait_for(transfer), 0);
}

Test(transfer_queue, options_that_are_refused, .init = setup, .fini = teardown)
{
    struct cupool_copy copies[513] = {{fake.device, fake.pinned + 8, 8}};
    struct cupool_transfer_options options;
    cupool_transfer transfer;

    cupool_transfer_options_init(&options);
    options.alignment = 16;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, copies, 1, &options, &transfer), -EINVAL);
    cr_assert(strstr(cupool_transfers_error(transfers), "aligned") != NULL);
    options.alignment = 8;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, copies, 1, &options, &transfer), 0);
    options.alignment = 12;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, copies, 1, &options, &transfer), -EINVAL);
    cupool_transfer_options_init(&options);
    options.priority = 101;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, copies, 1, &options, &transfer), -ERANGE);
    cupool_transfer_options_init(&options);
    options.after_stream = FAKE_STREAM(7);
    fake.captured = 7;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, copies, 1, &options, &transfer), -EBUSY);
    cr_assert(strstr(cupool_transfers_error(transfers), "captured") != NULL);
    options.after_event = &options;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, copies, 1, &options, &transfer), -EINVAL);
    cr_assert_eq(submit(TO, copies, 513, &transfer), -E2BIG);
    cr_assert_eq(submit(CUPOOL_DIRECTIONS, copies, 1, &transfer), -EINVAL);
    cr_assert_eq(submit(TO, NULL, 1, &transfer), -EINVAL);
    cr_assert_eq(submit(TO, NULL, 0, &transfer), 0, "nothing to copy");
    cr_assert_eq(cupool_transfer_query(transfers, transfer), 1);
}

Test(transfer_queue, handles_that_are_none, .init = setup, .fini = teardown)
{
    cupool_transfer first = copy_of(TO, fake.device, fake.pinned, 8), transfer = first;

    cr_assert_eq(cupool_transfer_query(transfers, 0), -EINVAL);
    cr_assert_eq(cupool_transfer_query(transfers, UINT64_MAX), -EINVAL);
    cr_assert_eq(cupool_transfer_query(transfers, first + (UINT64_C(1) << 32)), -EINVAL);
    cr_assert_eq(cupool_transfer_cancel(transfers, first), -EALREADY);
    for (unsigned at = 0; at < 40; at++)
        transfer = copy_of(TO, fake.device, fake.pinned, 8);
    cr_assert_eq(cupool_transfer_query(transfers, first), -ESTALE);
    cr_assert_eq(cupool_transfer_wait(transfers, first, 0), -ESTALE);
    cr_assert_eq(cupool_transfer_query(transfers, transfer), 1);
}

Test(transfer_queue, unread_results_are_kept_longer_than_read_ones, .init = setup, .fini = teardown)
{
    cupool_transfer unread = copy_of(TO, fake.device, fake.pinned, 8), read = 0;

    for (unsigned at = 0; at < 40; at++) {
        cupool_transfer transfer = copy_of(TO, fake.device, fake.pinned, 8);

        cr_assert_eq(cupool_transfer_query(transfers, transfer), 1);
        read = at == 0 ? transfer : read;
        check();
    }
    cr_assert_eq(cupool_transfer_query(transfers, read), -ESTALE);
    cr_assert_eq(cupool_transfer_query(transfers, unread), 1);
    cr_assert_eq(cupool_transfer_query(transfers, unread), 1, "it can be read again");
}

Test(transfer_queue, the_highest_priority_begins_first, .init = setup, .fini = teardown)
{
    static const int priorities[] = {50, 10, 90, 50, 90};
    static const unsigned order[] = {2, 4, 0, 3, 1};
    struct cupool_transfer_options options;
    cupool_transfer running[2], waiting[5];

    fake.held = 1;
    for (unsigned at = 0; at < 2; at++)
        running[at] = copy_of(TO, fake.device + at * 100, fake.pinned, 100);
    cupool_transfer_options_init(&options);
    for (unsigned at = 0; at < 5; at++) {
        const struct cupool_copy copy = {fake.device + 1000 + at * 10, fake.pinned, 10};

        options.priority = priorities[at];
        cr_assert_eq(cupool_transfers_submit(transfers, TO, &copy, 1, &options, &waiting[at]), 0);
    }
    cr_assert_eq(stats_of(TO).waiting, 5);
    cr_assert_eq(stats_of(TO).under_way, 2);
    for (unsigned at = 0; at < 5; at++) {
        fake_run(&fake, 1);
        cupool_transfers_poll(transfers);
        /* The one that has begun is the one that can no longer be cancelled. */
        cr_assert_eq(cupool_transfer_cancel(transfers, waiting[order[at]]), -EBUSY, "%u", at);
    }
    fake_run(&fake, UINT32_MAX);
    for (unsigned at = 0; at < 5; at++)
        cr_assert_eq(wait_for(waiting[at]), 0);
    cr_assert_eq(wait_for(running[0]) + wait_for(running[1]), 0);
}

Test(transfer_queue, a_full_queue_says_so, .init = setup, .fini = teardown)
{
    struct cupool_copy copies[300];
    cupool_transfer transfer, last = 0;
    unsigned count = 0;

    fake.held = 1;
    while (submit(TO, &(struct cupool_copy){fake.device + count, fake.pinned, 1}, 1, &transfer) ==
           0) {
        count++;
        last = transfer;
    }
    cr_assert_eq(count, 16);
    cr_assert(strstr(cupool_transfers_error(transfers), "full") != NULL);
    fake.held = 0;
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(last), 0);
    /* Room for copies is given back in any order. */
    fake.held = 1;
    for (unsigned at = 0; at < 300; at++)
        copies[at] = (struct cupool_copy){fake.device + at * 2, fake.pinned + at, 1};
    cr_assert_eq(submit(TO, copies, 200, &transfer), 0);
    cr_assert_eq(submit(TO, copies, 200, &last), 0);
    cr_assert_eq(submit(TO, copies, 200, &transfer), -EAGAIN);
    cr_assert_eq(submit(TO, copies, 100, &transfer), 0);
    check();
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(transfer), 0);
    cr_assert_eq(submit(TO, copies, 300, &transfer), 0);
}

struct heard {
    unsigned count;
    int result;
    cupool_transfer transfer, next;
};

static void hear(void *state, cupool_transfer transfer, int result)
{
    struct heard *heard = state;

    heard->count++;
    heard->result = result;
    heard->transfer = transfer;
    if (heard->next == 0)
        heard->next = copy_of(TO, fake.device + 5000, fake.pinned + 5000, 100);
}

Test(transfer_queue, a_callback_comes_once_and_may_submit, .init = setup, .fini = teardown)
{
    const struct cupool_copy copy = {fake.device, fake.pinned, 100};
    struct cupool_transfer_options options;
    struct heard heard = {0};
    cupool_transfer transfer;

    cupool_transfer_options_init(&options);
    options.callback = hear;
    options.state = &heard;
    fake.held = 1;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &copy, 1, &options, &transfer), 0);
    cr_assert_eq(heard.count, 0);
    fake.held = 0;
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(cupool_transfers_poll(transfers), 0);
    cr_assert(heard.count == 1 && heard.result == 0 && heard.transfer == transfer);
    cr_assert_eq(wait_for(heard.next), 0);
    cr_assert_eq(heard.count, 1);
    check();
}

Test(transfer_queue, the_ring_is_filled_while_it_is_emptied, .init = setup, .fini = teardown)
{
    cupool_transfer transfer;

    fill(pageable, 64 * KIB, 5);
    fake.held = 1;
    transfer = copy_of(TO, fake.device, pageable, 64 * KIB);
    struct cupool_transfer_statistics stats = stats_of(TO);
    cr_assert(stats.pieces == 3 && stats.stalls == 1 && stats.copies == 3);
    for (unsigned at = 0; at < 13; at++) {
        cr_assert_eq(cupool_transfer_query(transfers, transfer), 0);
        cr_assert_eq(cupool_transfer_order(transfers, transfer, FAKE_STREAM(7)), -EAGAIN);
        cr_assert_eq(fake_run(&fake, 1), 1);
        cupool_transfers_poll(transfers);
        check();
    }
    cr_assert_eq(cupool_transfer_order(transfers, transfer, FAKE_STREAM(7)), 0,
                 "all of it is with the driver");
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(transfer), 0);
    cr_assert_eq(stats_of(TO).pieces, 16);
    cr_assert_eq(stats_of(TO).staged_bytes, 64 * KIB);
    cr_assert_eq(memcmp(fake.device, pageable, 64 * KIB), 0);
}

Test(transfer_queue, scenario_66_the_ring_wraps_and_exhaustion_leaves_its_cursor, .init = setup,
     .fini = teardown)
{
    struct transfer_queue *queue = &transfers->queues[TO];
    cupool_transfer first, second;

    fill(pageable, 64 * KIB, 8);
    fake.held = 1;
    first = copy_of(TO, fake.device, pageable, 5 * 4096);
    cr_assert(queue->pieces_used == 3 && queue->piece_next == 0, "all three are out");
    second = copy_of(TO, fake.device + 32 * KIB, pageable + 32 * KIB, 4096);
    for (unsigned again = 0; again < 3; again++) {
        cupool_transfers_poll(transfers);
        cr_assert(queue->pieces_used == 3 && queue->piece_next == 0 && queue->piece_oldest == 0);
    }
    fake_run(&fake, 1);
    cupool_transfers_poll(transfers);
    cr_assert(queue->piece_oldest == 1 && queue->piece_next == 1, "the first one is out again");
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(first), 0);
    cr_assert_eq(wait_for(second), 0);
    cr_assert_eq(memcmp(fake.device, pageable, 5 * 4096), 0);
    cr_assert_eq(memcmp(fake.device + 32 * KIB, pageable + 32 * KIB, 4096), 0);
}

Test(transfer_queue, a_stream_waits_for_a_transfer, .init = setup, .fini = teardown)
{
    cupool_transfer transfer, ring;

    fake.held = 1;
    transfer = copy_of(TO, fake.device, fake.pinned, 100);
    cr_assert_eq(cupool_transfer_order(transfers, transfer, FAKE_STREAM(7)), 0);
    cr_assert_eq(fake.calls[FAKE_WAIT], 1);
    ring = copy_of(FROM, pageable, fake.device + 4096, 100);
    cr_assert_eq(cupool_transfer_order(transfers, ring, FAKE_STREAM(7)), -EAGAIN,
                 "the host has to unpack it");
    cr_assert_eq(cupool_transfer_order(transfers, transfer, NONE), -EINVAL);
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(ring), 0);
    cr_assert_eq(cupool_transfer_order(transfers, ring, FAKE_STREAM(7)), 0, "it has ended");
    cr_assert_eq(fake.calls[FAKE_WAIT], 1);
}

/* Puts one unit of work into a stream of the caller's. */
static void work_put(unsigned stream, void *to, const void *from, size_t bytes)
{
    transfers->backend.copy(&fake, FAKE_STREAM(stream), (uintptr_t)to, (uintptr_t)from, bytes);
}

Test(transfer_queue, after_a_stream, .init = setup, .fini = teardown)
{
    struct cupool_copy pinned_copy = {fake.device, fake.pinned, 64};
    struct cupool_copy pageable_copy = {fake.device + 4096, pageable, 64};
    struct cupool_transfer_options options;
    cupool_transfer first, second, third;

    fill(fake.pinned + 8192, 64, 3);
    fake.held = 1;
    /* Device work on stream 7 writes both sources first. */
    work_put(7, fake.pinned, fake.pinned + 8192, 64);
    work_put(7, pageable, fake.pinned + 8192, 64);
    cupool_transfer_options_init(&options);
    options.after_stream = FAKE_STREAM(7);
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &pageable_copy, 1, &options, &first), 0);
    cr_assert_eq(stats_of(TO).pieces, 0, "the host must not read it yet");
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &pinned_copy, 1, &options, &second), 0);
    cr_assert_eq(stats_of(TO).copies, 1, "the device waits by itself");
    options.after_stream = NONE;
    options.after_event = (void *)(uintptr_t)(UINT64_C(7) << 56 | 2);
    pinned_copy.to = fake.device + 8192;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &pinned_copy, 1, &options, &third), 0);
    int fences = fake.fences;
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(first), 0);
    cr_assert_eq(wait_for(second), 0);
    cr_assert_eq(wait_for(third), 0);
    cr_assert_eq(memcmp(fake.device, fake.pinned + 8192, 64), 0);
    cr_assert_eq(memcmp(fake.device + 4096, fake.pinned + 8192, 64), 0);
    cr_assert_eq(memcmp(fake.device + 8192, fake.pinned + 8192, 64), 0);
    cr_assert_gt(fences, 0);
    cr_assert_eq(fake.fences, 0, "the caller's event stays the caller's");
}

Test(transfer_queue, after_an_event_as_it_is_now, .init = setup, .fini = teardown)
{
    const uint64_t event = UINT64_C(7) << 56 | 1, none = UINT64_C(6) << 56;
    struct cupool_copy copy = {fake.device, pageable, 64};
    struct cupool_transfer_options options;
    cupool_transfer transfer, second;

    fill(fake.pinned + 8192, 64, 3);
    memset(pageable, 0, 64);
    fake.held = 1;
    work_put(7, pageable, fake.pinned + 8192, 64);
    cupool_transfer_options_init(&options);
    options.after_event = (void *)(uintptr_t)event;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &copy, 1, &options, &transfer), 0);
    int fences = fake.fences;
    cr_assert_eq(fences, 1, "a fence of our own");
    /* The event is recorded again, or destroyed: nobody asks it any more. */
    fake.gone = event;
    cr_assert_eq(cupool_transfer_query(transfers, transfer), 0);
    cr_assert_eq(stats_of(TO).pieces, 0, "the producer still runs");
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(transfer), 0);
    cr_assert_eq(memcmp(fake.device, fake.pinned + 8192, 64), 0);
    cr_assert_eq(fake.fences, 0);
    /* One that has passed needs no fence. */
    copy.to = fake.device + 4096;
    options.after_event = (void *)(uintptr_t)none;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &copy, 1, &options, &second), 0);
    cr_assert_eq(stats_of(TO).pieces, 2);
    fake_run(&fake, UINT32_MAX);
    cr_assert_eq(wait_for(second), 0);
    options.after_event = (void *)(uintptr_t)event;
    cr_assert_eq(cupool_transfers_submit(transfers, TO, &copy, 1, &options, &second), -EBUSY);
}

Test(transfer_queue, a_wait_has_a_bound, .init = setup, .fini = teardown)
{
    fake.held = 1;
    cupool_transfer transfer = copy_of(TO, fake.device, fake.pinned, 100);
    /* Nobody runs it: pausing would, so the bound is less than the first pause. */
    cr_assert_eq(cupool_transfer_wait(transfers, transfer, 0), -ETIMEDOUT);
    cr_assert(strstr(cupool_transfers_error(transfers), "time") != NULL);
    cr_assert_eq(wait_for(transfer), 0);
    cr_assert_gt(fake.pauses, 0, "who waits does not spin");
}

/* The scene for cancelling and for faults: every way, in three directions. */
struct scene {
    cupool_transfer transfers[8];
    int submitted[8];
    unsigned count;
};

static void scene_submit(struct scene *scene)
{
    static struct cupool_copy small[32];

    for (unsigned at = 0; at < 32; at++)
        small[at] = (struct cupool_copy){fake.device + 200000 + at * 300, fake.pinned + at * 301,
                                         (at % 5) * 60};
    const struct {
        enum cupool_direction direction;
        struct cupool_copy copies[3];
        const struct cupool_copy *list;
        unsigned count;
    } scenes[] = {
        {TO, {{fake.device, fake.pinned, 5000}}, NULL, 1},
        {TO, {{fake.device + 10000, pageable, 30000}}, NULL, 1},
        {TO, {{NULL, NULL, 0}}, small, 32},
        {FROM, {{pageable + 100000, fake.device + 300000, 20000}}, NULL, 1},
        {FROM,
         {{fake.pinned + 300000, fake.device + 400000, 2000},
          {fake.pinned + 310000, fake.device + 410000, 2000},
          {fake.pinned + 320000, fake.device + 420000, 2000}},
         NULL,
         3},
        {WITHIN, {{fake.device + 500000, fake.device + 600000, 3000}}, NULL, 1},
        {TO, {{fake.device + 700000, fake.second - 70000, 140000}}, NULL, 1},
        {TO, {{fake.device + 900000, pageable + 200000, 100}}, NULL, 1},
    };
    scene->count = 8;
    for (unsigned at = 0; at < 8; at++)
        scene->submitted[at] = submit(scenes[at].direction,
                                      scenes[at].list ? scenes[at].list : scenes[at].copies,
                                      scenes[at].count, &scene->transfers[at]);
}

/* Whether the destinations of a transfer of the scene hold its sources. */
static bool scene_arrived(unsigned number)
{
    bool small = true;

    switch (number) {
    case 0: return memcmp(fake.device, fake.pinned, 5000) == 0;
    case 1: return memcmp(fake.device + 10000, pageable, 30000) == 0;
    case 2:
        for (unsigned at = 0; at < 32; at++)
            small &= memcmp(fake.device + 200000 + at * 300, fake.pinned + at * 301,
                            (at % 5) * 60) == 0;
        return small;
    case 3: return memcmp(pageable + 100000, fake.device + 300000, 20000) == 0;
    case 4:
        return memcmp(fake.pinned + 300000, fake.device + 400000, 2000) == 0 &&
               memcmp(fake.pinned + 310000, fake.device + 410000, 2000) == 0 &&
               memcmp(fake.pinned + 320000, fake.device + 420000, 2000) == 0;
    case 5: return memcmp(fake.device + 500000, fake.device + 600000, 3000) == 0;
    case 6: return memcmp(fake.device + 700000, fake.second - 70000, 140000) == 0;
    default: return memcmp(fake.device + 900000, pageable + 200000, 100) == 0;
    }
}

static uint8_t fresh_device[FAKE_DEVICE_BYTES], fresh_pinned[2 * FAKE_PINNED_BYTES],
    fresh_pageable[sizeof(pageable)];

static void scene_fill(void)
{
    if (fresh_device[0] == 0) {
        fill(fresh_device, sizeof(fresh_device), 11);
        fill(fresh_pinned, sizeof(fresh_pinned), 12);
        fill(fresh_pageable, sizeof(fresh_pageable), 13);
        fresh_device[0] = 1;
    }
    memcpy(fake.device, fresh_device, sizeof(fresh_device));
    memcpy(fake.pinned, fresh_pinned, sizeof(fresh_pinned));
    memcpy(pageable, fresh_pageable, sizeof(fresh_pageable));
}

Test(transfer_queue, cancelled_at_each_moment)
{
    unsigned cancelled = 0;

    for (unsigned victim = 0; victim < 8; victim++)
        for (unsigned moment = 0; moment < 60; moment++) {
            struct scene scene;

            setup();
            scene_fill();
            fake.held = 1;
            scene_submit(&scene);
            for (unsigned step = 0; step < moment; step++) {
                fake_run(&fake, 1);
                cupool_transfers_poll(transfers);
            }
            int error = cupool_transfer_cancel(transfers, scene.transfers[victim]);
            cr_assert(error == 0 || error == -EBUSY || error == -EALREADY, "%d", error);
            check();
            for (unsigned at = 0; at < 8; at++)
                cr_assert_eq(wait_for(scene.transfers[at]),
                             at == victim && error == 0 ? -ECANCELED : 0);
            for (unsigned at = 0; at < 8; at++)
                cr_assert_eq(scene_arrived(at), at != victim || error != 0, "%u after %u", at,
                             moment);
            if (error == 0 && victim == 7)
                cr_assert_eq(memcmp(fake.device + 900000, fresh_device + 900000, 100), 0);
            cancelled += error == 0;
            teardown();
        }
    cr_assert_geq(cancelled, 15, "%u", cancelled);
}

Test(transfer_queue, ended_by_destroy_at_each_moment)
{
    for (unsigned moment = 0; moment < 60; moment++) {
        struct scene scene;

        setup();
        scene_fill();
        fake.held = 1;
        scene_submit(&scene);
        for (unsigned step = 0; step < moment; step++) {
            fake_run(&fake, 1);
            cupool_transfers_poll(transfers);
        }
        teardown();
    }
}

Test(transfer_queue, faults_at_each_call_of_the_driver)
{
    unsigned failed = 0, refused = 0;
    uint64_t last = 1;

    for (uint64_t fail = 1; fail <= last + 1; fail++) {
        static const int errors[] = {-EIO, -ENOMEM, -EBUSY};
        struct scene scene;

        setup();
        scene_fill();
        fake.held = fail % 2 != 0;
        fake.fail_at = fail;
        fake.fail_error = errors[fail % 3];
        scene_submit(&scene);
        check();
        for (unsigned at = 0; at < 8; at++) {
            if (scene.submitted[at] < 0) {
                refused++;
                cr_assert_eq(scene.submitted[at], fake.fail_error);
                continue;
            }
            int error = wait_for(scene.transfers[at]);
            cr_assert(error == 0 || error == fake.fail_error, "call %lu: %d", (unsigned long)fail,
                      error);
            cr_assert(error != 0 || scene_arrived(at), "call %lu: %u", (unsigned long)fail, at);
            failed += error != 0;
        }
        last = fake.all_calls > last ? fake.all_calls : last;
        /* Failed transfers are complete: nothing remains in the streams, and the queues work. */
        cr_assert_eq(fake_run(&fake, UINT32_MAX), 0);
        fake.fail_at = 0;
        cr_assert_eq(wait_for(copy_of(TO, fake.device, pageable, 9000)), 0);
        cr_assert_eq(memcmp(fake.device, pageable, 9000), 0);
        teardown();
    }
    cr_assert(failed > 20 && refused > 5, "%u failed, %u refused", failed, refused);
}

Test(transfer_queue, what_cannot_be_asked_is_waited_for, .init = setup, .fini = teardown)
{
    fake.held = 1;
    fake.fail_error = -EIO;
    for (unsigned round = 0; round < 2; round++) {
        cupool_transfer transfer = copy_of(TO, fake.device, round ? pageable : fake.pinned, 2000);

        fake.fail_at = fake.all_calls + 1;
        cr_assert_eq(cupool_transfer_query(transfers, transfer), -EIO);
        cr_assert_eq(fake_run(&fake, 1), 0, "the memory is the caller's again, so nothing may run");
    }
}

Test(transfer_queue, a_child_after_fork_is_refused, .init = setup, .fini = teardown)
{
    cupool_transfer transfer = copy_of(TO, fake.device, fake.pinned, 8);
    int status = 1;
    pid_t child = fork();

    if (child == 0)
        _exit(cupool_transfer_query(transfers, transfer) == -ECHILD &&
                      cupool_transfers_poll(transfers) == -ECHILD &&
                      submit(TO, NULL, 0, &transfer) == -ECHILD
                  ? 0
                  : 1);
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
}

Test(transfer_queue, configurations_that_make_no_queues)
{
    struct cupool_transfers_config config = config_small();

    fake_make(&fake);
    const struct transfer_backend backend = fake_backend(&fake);
    struct cupool_transfers *made = NULL;
    config.piece_bytes = 100;
    cr_assert_eq(transfers_create(&backend, &config, &made), -EINVAL);
    config = config_small();
    config.depth = 0;
    cr_assert_eq(transfers_create(&backend, &config, &made), -EINVAL);
    config = config_small();
    config.requests = 0;
    cr_assert_eq(transfers_create(&backend, &config, &made), -EINVAL);
    cr_assert_null(made);
    transfers_destroy(NULL);
    fake_end(&fake);
}
