/* SPDX-License-Identifier: MIT */
/*
 * How long physical memory lives, by its handles and mappings alone; and the list of mappings
 * against a plain one.
 */
#include <criterion/criterion.h>

#include "shim/memory/ledger.h"
#include "shim/memory/mapping.h"
#include "shim/memory/physical.h"
#include "tests/random.h"

#define PAGE ((uint64_t)2 << 20)
#define BASE UINT64_C(0x700000000000)

static const struct physical_facts page = {
    .memory = TRACE_MEMORY_PHYSICAL, .device = 1, .bytes = PAGE};

static uint64_t make(uint64_t handle)
{
    struct physical_facts made;

    cr_assert(physical_made(handle, &page, &made));
    return made.id;
}

static uint64_t drop(uint64_t handle)
{
    struct physical_release release = physical_release_begin(handle);

    return physical_release_end(&release, true).id;
}

static void map(uint64_t handle, uint64_t address, uint64_t bytes)
{
    struct physical_facts facts;
    struct physical *physical = physical_map_begin(handle, &facts);

    cr_assert(physical);
    cr_assert_eq(physical_map_end(physical, address, bytes, true).id, 0);
}

/* How many mappings ended, and how many pieces of memory. */
static unsigned unmap(uint64_t address, uint64_t bytes, unsigned *ret_gone)
{
    unsigned ended = 0;

    *ret_gone = 0;
    for (struct mapping *taken = physical_unmap_begin(address, bytes), *next; taken; taken = next) {
        next = taken->next[0];
        *ret_gone += physical_unmap_end(taken, address, bytes).id != 0;
        ended++;
    }
    return ended;
}

static uint64_t held(void)
{
    return ledger_device_bytes(1) / PAGE;
}

Test(physical, ends_with_the_last_of_handle_and_mapping)
{
    unsigned gone;
    uint64_t id = make(5);

    cr_assert_eq(held(), 1);
    cr_assert_eq(drop(5), id);
    cr_assert_eq(held(), 0);
    make(5);
    map(5, BASE, PAGE);
    cr_assert_eq(drop(5), 0);
    cr_assert_eq(held(), 1);
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(gone, 1);
    make(6);
    map(6, BASE, PAGE);
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(gone, 0);
    cr_assert_eq(held(), 1);
    cr_assert_eq(drop(6), 6);
    cr_assert_eq(held(), 0);
}

Test(physical, twice_mapped_ends_with_the_second)
{
    unsigned gone;

    make(5);
    map(5, BASE, PAGE);
    map(5, BASE + 4 * PAGE, PAGE / 2);
    drop(5);
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(held(), 1);
    cr_assert_eq(unmap(BASE + 4 * PAGE, PAGE / 2, &gone), 1);
    cr_assert_eq(held(), 0);
}

Test(physical, one_call_ends_many_mappings)
{
    unsigned gone;

    for (uint64_t i = 0; i < 1000; i++) {
        make(100 + i);
        map(100 + i, BASE + i * PAGE, PAGE);
        drop(100 + i);
    }
    cr_assert_eq(held(), 1000);
    cr_assert_eq(unmap(BASE + 10 * PAGE, 900 * PAGE, &gone), 900);
    cr_assert_eq(gone, 900);
    cr_assert_eq(held(), 100);
    cr_assert_eq(unmap(BASE, 1000 * PAGE, &gone), 100);
    cr_assert_eq(held(), 0);
}

Test(physical, a_part_of_a_mapping_keeps_the_memory)
{
    unsigned gone;

    make(5);
    map(5, BASE, 4 * PAGE);
    drop(5);
    cr_assert_eq(unmap(BASE + PAGE, PAGE, &gone), 1);
    cr_assert_eq(gone, 0);
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(held(), 1);
    cr_assert_eq(unmap(BASE + 2 * PAGE, 2 * PAGE, &gone), 1);
    cr_assert_eq(gone, 1);
}

Test(physical, a_handle_that_is_asked_for_is_one_more)
{
    unsigned gone;

    make(5);
    map(5, BASE, PAGE);
    physical_retained(5, BASE + 17);  /* the same number */
    physical_retained(99, BASE + 18); /* another one */
    cr_assert_eq(drop(5), 0);
    cr_assert_eq(drop(5), 0);
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(held(), 1);
    cr_assert_eq(drop(99), 5);
    cr_assert_eq(held(), 0);
}

Test(physical, a_number_that_comes_again_is_other_memory)
{
    unsigned gone;

    make(5);
    map(5, BASE, PAGE);
    drop(5);
    uint64_t second = make(5);
    cr_assert_neq(second, 5);
    cr_assert_eq(held(), 2);
    cr_assert_eq(drop(5), second);
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(held(), 0);
}

Test(physical, what_comes_back_is_the_same_memory)
{
    struct physical_facts facts;

    make(5);
    physical_exported(5, 1234);
    cr_assert_not(physical_imported(6, 1234, &facts));
    cr_assert_eq(drop(5), 0);
    cr_assert_eq(held(), 1);
    cr_assert_eq(drop(6), 5);
    cr_assert_eq(held(), 0);
    cr_assert(physical_imported(7, 1234, &facts)); /* that memory is gone: another process's */
    cr_assert_eq(facts.bytes, 0);
    cr_assert_eq(held(), 0);
}

Test(physical, what_is_refused_changes_nothing)
{
    struct physical_facts facts;

    make(5);
    struct physical_release release = physical_release_begin(5);
    cr_assert_eq(physical_release_end(&release, false).id, 5);
    struct physical *physical = physical_map_begin(5, &facts);
    cr_assert_eq(physical_map_end(physical, BASE, PAGE, false).id, 0);
    map(5, BASE, PAGE);
    physical_unmap_undo(physical_unmap_begin(BASE, PAGE));
    cr_assert_eq(held(), 1);
    unsigned gone;
    cr_assert_eq(unmap(BASE, PAGE, &gone), 1);
    cr_assert_eq(drop(5), 5);
}

/* A drawn run of mapping and unmapping against an array of pages. */
Test(physical, mappings_are_as_in_a_plain_list)
{
    enum { PAGES = 4096 };
    static uint64_t begin_of[PAGES]; /* of the mapping around a page, from 1; 0: none */
    uint64_t seed = 42;
    for (int step = 0; step < 40000; step++) {
        seed = random_lcg(seed);
        uint64_t first = seed >> 33 & (PAGES - 1), pages = 1 + (seed >> 50 & 7);
        if (first + pages > PAGES)
            continue;
        bool is_free = true;
        for (uint64_t i = 0; i < pages; i++)
            is_free = is_free && !begin_of[first + i];
        if (is_free) {
            cr_assert_eq(mapping_add(first, pages, NULL), 0);
            for (uint64_t i = 0; i < pages; i++)
                begin_of[first + i] = first + 1;
        } else if (seed >> 60 > 7) {
            for (struct mapping *taken = mapping_take(first, pages), *next; taken; taken = next) {
                next = taken->next[0];
                cr_assert_eq(begin_of[taken->address], taken->address + 1);
                for (uint64_t i = 0; i < taken->bytes; i++)
                    begin_of[taken->address + i] = 0;
                mapping_drop(taken);
            }
            for (uint64_t i = 0; i < pages; i++)
                cr_assert_eq(begin_of[first + i], 0);
        }
        const struct mapping *found = mapping_at(first);
        cr_assert_eq(found ? found->address + 1 : 0, begin_of[first]);
    }
}
