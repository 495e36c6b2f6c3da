/* SPDX-License-Identifier: MIT */
/*
 * The queue of quarantined objects against a plain array: order, labels, room.
 */
#include "tests/unit/harness.h"
#include <stdlib.h>

#include "pool/base/queue.h"

#define ENTRIES 5000u

static struct {
    uintptr_t slab;
    uint32_t index, label;
} expected[ENTRIES];

static pool_count account;
static struct queue queue;

static void append(unsigned at, uint32_t label)
{
    expected[at].slab = ((uintptr_t)rand() << 16 | (uintptr_t)rand()) & QUEUE_SLAB_MASK;
    expected[at].index = (unsigned)rand() % 128;
    expected[at].label = label;
    queue_append(&queue, (const struct slab *)expected[at].slab, expected[at].index, label);
}

/* `last_label` and `exact`: labels may be higher than given when they were far apart. */
static void expect_oldest(unsigned at, uint32_t *last_label, bool exact)
{
    uint64_t entry = queue_peek(&queue);
    uint32_t label = queue_label(&queue);

    cr_assert_eq((uintptr_t)queue_entry_slab(entry), expected[at].slab);
    cr_assert_eq(queue_entry_index(entry), expected[at].index);
    cr_assert_geq((int32_t)(label - expected[at].label), 0, "it would be handed out too early");
    cr_assert_geq((int32_t)(label - *last_label), 0, "labels decrease");
    if (exact)
        cr_assert_eq(label, expected[at].label);
    *last_label = label;
    queue_pop(&queue);
}

static void fill_and_drain(uint32_t label, uint32_t step_max, bool exact)
{
    unsigned first = 0, last = 0;
    uint32_t last_label = label;

    while (first < ENTRIES) {
        if (last < ENTRIES && last - first < 200 && rand() % 2 == 0) {
            label += (uint32_t)rand() % step_max;
            append(last++, label);
        } else if (first < last) {
            if (last - first > 7)
                cr_assert_eq((uintptr_t)queue_entry_slab(queue_ahead(&queue, 7)),
                             expected[first + 7].slab);
            expect_oldest(first++, &last_label, exact);
        }
        cr_assert_eq(queue.count, last - first);
        cr_assert_eq(queue_ahead(&queue, last - first < 29 ? last - first : 29) != 0,
                     last - first > 29);
    }
}

Test(queue, what_goes_in_comes_out_in_order)
{
    cr_assert_eq(queue_reserve(&queue, 200, &account), 0);
    uint64_t room = count_get(&account);
    fill_and_drain(1, 4, true);
    fill_and_drain(UINT32_MAX - 100, 4, true); /* over the end of the numbers */
    cr_assert_eq(count_get(&account), room, "appending takes no memory");
    queue_done(&queue, &account);
    cr_assert_eq(count_get(&account), 0);
}

Test(queue, labels_far_apart_are_raised_and_never_lowered)
{
    cr_assert_eq(queue_reserve(&queue, 200, &account), 0);
    fill_and_drain(7, 50000, false);
    queue_done(&queue, &account);
    cr_assert_eq(count_get(&account), 0);
}

Test(queue, room_is_given_up_but_not_what_is_in_use)
{
    cr_assert_eq(queue_reserve(&queue, 3000, &account), 0);
    uint32_t last_label = 1;
    for (unsigned at = 0; at < 300; at++)
        append(at, 1);
    queue_shrink(&queue, 300, &account);
    cr_assert_lt(queue.chunks, 3000 / QUEUE_CHUNK_ENTRIES);
    for (unsigned at = 0; at < 300; at++)
        expect_oldest(at, &last_label, true);
    queue_shrink(&queue, 0, &account);
    cr_assert_eq(queue.chunks, 1);
    queue_done(&queue, &account);
    cr_assert_eq(count_get(&account), 0);
}
