/* SPDX-License-Identifier: MIT */
/*
 * In the steady state nothing calls the heap: every way, with callbacks and cancelling.
 */
#include "tests/bench/heap_count.h"
#include "tests/unit/transfer/fixture.h"

static void hear(void *state, cupool_transfer transfer, int result)
{
    ++*(unsigned *)state;
}

static void round_run(unsigned *heard)
{
    static struct cupool_copy copies[100];
    struct cupool_transfer_options options;
    cupool_transfer transfers_of[4];

    cupool_transfer_options_init(&options);
    options.callback = hear;
    options.state = heard;
    for (unsigned way = 0; way < 4; way++) {
        uint8_t *host = way % 2 == 0 ? fake.pinned : pageable;

        for (unsigned at = 0; at < 100; at++)
            copies[at] = (struct cupool_copy){fake.device + (way * 100 + at) * 2600,
                                              host + at * 2601, way < 2 ? 2000 : 100 + at};
        cr_assert_eq(
            cupool_transfers_submit(transfers, TO, copies, 100, &options, &transfers_of[way]), 0);
    }
    cupool_transfer_cancel(transfers, transfers_of[3]);
    for (unsigned way = 0; way < 4; way++)
        wait_for(transfers_of[way]);
}

Test(transfer_steady, no_heap_call, .init = setup, .fini = teardown)
{
    unsigned heard = 0;

    fake.held = 1;
    round_run(&heard);
    uint64_t before = heap_calls();
    for (unsigned round = 0; round < 20; round++)
        round_run(&heard);
    cr_assert_eq(heap_calls(), before);
    cr_assert_eq(heard, 21 * 4);
    cr_assert_gt(stats_of(TO).launches, 0);
    cr_assert_gt(stats_of(TO).staged_bytes, 0);
    cr_assert_gt(stats_of(TO).batches, 0);
}
