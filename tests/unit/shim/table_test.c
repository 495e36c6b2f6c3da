/* SPDX-License-Identifier: MIT */
/*
 * The hash table with constant costs at any size: results, and the number of nodes that a look-up
 * visits.
 */
#include <criterion/criterion.h>

#include "shim/memory/table.h"

struct number {
    struct table_node node;
    uint64_t value;
};

static struct table table = TABLE_OF(struct number);

static void add(uint64_t key, uint64_t value)
{
    struct number *number = table_add(&table, key);

    cr_assert(number);
    cr_assert_eq(number->value, 0);
    number->value = value;
}

Test(table, finds_what_was_added_and_nothing_else)
{
    cr_assert_null(table_first(&table, 1));
    for (uint64_t key = 0; key < 50000; key++)
        add(key * 3, key);
    for (uint64_t key = 0; key < 150000; key++) {
        const struct number *found = table_first(&table, key);

        cr_assert_eq(found != NULL, key % 3 == 0);
        cr_assert(!found || (found->value == key / 3 && !table_next(found)));
    }
    cr_assert_eq(table.count, 50000);
}

Test(table, holds_a_key_more_than_once)
{
    for (uint64_t i = 1; i <= 5; i++)
        add(77, i);
    uint64_t sum = 0;
    for (struct number *each = table_first(&table, 77); each; each = table_next(each))
        sum += each->value;
    cr_assert_eq(sum, 15);
    table_remove(&table, table_next(table_first(&table, 77)));
    cr_assert_eq(table.count, 4);
}

Test(table, reuses_what_was_removed)
{
    for (uint64_t turn = 0; turn < 1000; turn++)
        for (uint64_t key = 0; key < 100; key++) {
            add(key + turn * 100, 1);
            table_remove(&table, table_first(&table, key + turn * 100));
        }
    cr_assert_eq(table.count, 0);
    cr_assert_leq(table.buckets, 1024);
}

/* The longest chain, and the nodes in front of the average one. */
static void look(size_t *ret_longest, double *ret_before)
{
    size_t before = 0;

    *ret_longest = 0;
    for (size_t bucket = 0; bucket < table.buckets; bucket++) {
        unsigned segment = bucket < 1024 ? 0 : 64 - (unsigned)__builtin_clzll(bucket / 1024);
        size_t begin = segment ? (size_t)1024 << (segment - 1) : 0, length = 0;

        for (const struct table_node *node = table.segment[segment][bucket - begin]; node;
             node = node->next)
            before += length++;
        *ret_longest = length > *ret_longest ? length : *ret_longest;
    }
    *ret_before = (double)before / (double)table.count;
}

/* Keys as they come: pages of 2 MiB, blocks of 512 bytes, heap pointers. */
Test(table, one_looks_as_far_among_many_as_among_few)
{
    static const uint64_t steps[] = {(uint64_t)1 << 21, 512, 48};
    size_t longest;
    double before;

    for (uint64_t i = 1; i <= 300000; i++) {
        add(UINT64_C(0x7f0000000000) + i * steps[i % 3], i);
        if (i == 1000 || i == 10000 || i == 100000 || i == 300000) {
            look(&longest, &before);
            cr_assert_lt(longest, 16, "at %lu: %zu in one bucket", i, longest);
            cr_assert_lt(before, 2.0, "at %lu: %.2f in front of the average", i, before);
        }
    }
}
