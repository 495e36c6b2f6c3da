/* SPDX-License-Identifier: MIT */
/*
 * The index of a tier against a model of itself, and its edges.
 */
#include "tests/random.h"
#include "tests/unit/tier/fixture.h"

#include "pool/tier/index.h"

static struct kv_heap heap;
static struct tier_index box;

static void holds(void)
{
    const char *why = tier_index_check(&box);

    cr_assert(!why, "%s", why);
}

static int begin(uint64_t number, uint64_t batch, uint32_t *ret_entry)
{
    struct cupool_kv_hash hash = hash_of(number);

    return tier_index_begin(&box, &hash, batch, true, ret_entry);
}

static int store(uint64_t number, uint64_t batch, uint64_t charge)
{
    uint32_t entry, victim;
    int error;

    while ((error = begin(number, batch, &entry)) == -EAGAIN)
        tier_index_removed(&box, entry);
    if (error < 0)
        return error;
    while ((error = tier_index_room(&box, entry, charge, &victim)) == -EAGAIN)
        tier_index_removed(&box, victim);
    tier_index_end(&box, entry, number, error == 0);
    holds();
    return error;
}

static int pin(uint64_t number, uint32_t *ret_entry)
{
    struct cupool_kv_hash hash = hash_of(number);

    return tier_index_pin(&box, &hash, ret_entry);
}

Test(index, the_oldest_goes_first_and_a_touched_one_is_the_newest)
{
    uint32_t entry;

    cr_assert_eq(tier_index_init(&box, &heap, 8, 300), 0);
    for (uint64_t number = 1; number <= 3; number++)
        cr_assert_eq(store(number, number, 100), 0);
    cr_assert_eq(begin(1, 9, &entry), -EEXIST);
    cr_assert_eq(store(4, 10, 100), 0);
    cr_assert_eq(pin(2, &entry), -ENOENT);
    cr_assert_eq(pin(1, &entry), 0);
    cr_assert_eq(box.entries[entry].token, 1);
    cr_assert_not(tier_index_unpin(&box, entry));
    cr_assert_eq(box.evictions, 1);
    kv_heap_done(&heap);
}

Test(index, entries_run_out_before_bytes)
{
    cr_assert_eq(tier_index_init(&box, &heap, 2, 1000), 0);
    for (uint64_t number = 1; number <= 5; number++)
        cr_assert_eq(store(number, number, 1), 0);
    cr_assert_eq(box.count, 2);
    cr_assert_eq(box.charged, 2);
    cr_assert_eq(box.evictions, 3);
    kv_heap_done(&heap);
}

Test(index, what_is_larger_than_the_budget_evicts_nothing)
{
    cr_assert_eq(tier_index_init(&box, &heap, 4, 100), 0);
    cr_assert_eq(store(1, 1, 60), 0);
    cr_assert_eq(store(2, 2, 101), -ENOSPC);
    cr_assert_eq(store(3, 3, UINT64_MAX), -ENOSPC);
    cr_assert_eq(box.count, 1);
    cr_assert_eq(box.charged, 60);
    kv_heap_done(&heap);
}

Test(index, a_key_that_is_being_stored_is_not_served)
{
    struct cupool_kv_hash hash = hash_of(1);
    uint32_t entry, other;

    cr_assert_eq(tier_index_init(&box, &heap, 4, 100), 0);
    cr_assert_eq(begin(1, 1, &entry), 0);
    cr_assert_eq(pin(1, &other), -EINPROGRESS);
    cr_assert_eq(begin(1, 2, &other), -EINPROGRESS);
    cr_assert_not(tier_index_forget(&box, &hash, &other));
    holds();
    tier_index_end(&box, entry, 0, true);
    cr_assert_eq(pin(1, &other), 0);
    tier_index_unpin(&box, other);
    kv_heap_done(&heap);
}

Test(index, a_key_that_is_being_removed_is_neither_served_nor_stored)
{
    struct cupool_kv_hash hash = hash_of(1);
    uint32_t entry, other;

    cr_assert_eq(tier_index_init(&box, &heap, 4, 100), 0);
    cr_assert_eq(store(1, 1, 60), 0);
    cr_assert(tier_index_forget(&box, &hash, &entry));
    cr_assert_eq(pin(1, &other), -ENOENT);
    cr_assert_eq(begin(1, 2, &other), -EBUSY);
    cr_assert_not(tier_index_forget(&box, &hash, &other));
    cr_assert_eq(box.charged, 60, "its bytes are there until it is gone");
    holds();
    tier_index_removed(&box, entry);
    cr_assert_eq(box.charged, 0);
    cr_assert_eq(store(1, 3, 60), 0);
    kv_heap_done(&heap);
}

Test(index, one_that_is_read_goes_when_its_last_reader_has_gone)
{
    struct cupool_kv_hash hash = hash_of(1);
    uint32_t entry, other;

    cr_assert_eq(tier_index_init(&box, &heap, 4, 100), 0);
    cr_assert_eq(store(1, 1, 60), 0);
    cr_assert_eq(pin(1, &entry), 0);
    cr_assert_eq(pin(1, &entry), 0);
    cr_assert_not(tier_index_forget(&box, &hash, &other));
    cr_assert_eq(pin(1, &other), -ENOENT);
    cr_assert_eq(begin(1, 2, &other), -EBUSY);
    cr_assert_not(tier_index_unpin(&box, entry));
    cr_assert(tier_index_unpin(&box, entry));
    tier_index_removed(&box, entry);
    holds();
    cr_assert_eq(box.count, 0);
    kv_heap_done(&heap);
}

Test(index, adopted_entries_are_older_than_those_before)
{
    struct cupool_kv_hash hash;
    uint32_t entry;

    cr_assert_eq(tier_index_init(&box, &heap, 3, 100), 0);
    for (uint64_t number = 1; number <= 3; number++) {
        hash = hash_of(number);
        cr_assert_eq(tier_index_adopt(&box, &hash, 30, 0), 0);
        cr_assert_eq(tier_index_adopt(&box, &hash, 30, 0), -EEXIST);
    }
    hash = hash_of(4);
    cr_assert_eq(tier_index_adopt(&box, &hash, 30, 0), -ENOSPC);
    cr_assert_eq(store(9, 1, 30), 0);
    cr_assert_eq(pin(3, &entry), -ENOENT);
    cr_assert_eq(pin(1, &entry), 0);
    tier_index_unpin(&box, entry);
    kv_heap_done(&heap);
}

static uint64_t drawn = 20240611;

static uint32_t draw(uint32_t below)
{
    drawn = random_lcg(drawn);
    return (uint32_t)(drawn >> 33) % below;
}

Test(index, random_calls_keep_every_invariant)
{
    uint32_t pinned[8], pins = 0;

    cr_assert_eq(tier_index_init(&box, &heap, 24, 1000), 0);
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t number = draw(40);
        uint32_t entry;
        struct cupool_kv_hash hash = hash_of(number);

        switch (draw(4)) {
        case 0:
        case 1: store(number, step / 5 + 1, draw(120)); break;
        case 2:
            if (pins < 8 && pin(number, &entry) == 0)
                pinned[pins++] = entry;
            else if (pins > 0 && tier_index_unpin(&box, pinned[--pins]))
                tier_index_removed(&box, pinned[pins]);
            break;
        default:
            if (tier_index_forget(&box, &hash, &entry))
                tier_index_removed(&box, entry);
        }
        holds();
        cr_assert(box.charged <= 1000);
    }
    kv_heap_done(&heap);
}
