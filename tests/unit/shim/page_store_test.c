/* SPDX-License-Identifier: MIT */
/*
 * Adds, gets and drops slots and pages at random and compares with a plain list. Each descriptor
 * must be open while a slot has its page.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/share/page_store.h"
#include "tests/random.h"

#define SEED   UINT64_C(20261130)
#define ROUNDS 20000
#define SLOTS  6u
#define IDS    10u
#define MOST   40u /* pages of a slot */

static struct {
    uint64_t key;
    uint32_t count;
    uint64_t ids[MOST];
} known[SLOTS];

static uint64_t draw(uint64_t below)
{
    static uint64_t state = SEED;

    state = random_xorshift(state);
    return state % below;
}

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) >= 0;
}

static uint32_t distinct(void)
{
    uint32_t count = 0;

    for (uint64_t id = 1; id <= IDS; id++) {
        bool there = false;

        for (unsigned slot = 0; slot < SLOTS; slot++)
            for (unsigned i = 0; i < known[slot].count; i++)
                there = there || known[slot].ids[i] == id;
        count += there;
    }
    return count;
}

static void put(struct page_store *store, uint32_t slot)
{
    static uint64_t last_key;
    uint64_t id = 1 + draw(IDS);
    struct page_store_page page = {
        .id = id,
        .bytes = id << 21,
        .descriptor = memfd_create("page", MFD_CLOEXEC),
    };

    if (!known[slot].key || draw(20) == 0) { /* another block */
        known[slot].key = ++last_key;
        known[slot].count = 0;
    }
    if (known[slot].count == MOST) {
        close(page.descriptor);
        return;
    }
    cr_assert_eq(page_store_put(store, slot, known[slot].key, known[slot].count + 1, &page, IDS),
                 -EINVAL, "not the next page");
    cr_assert(is_open(page.descriptor));
    cr_assert_eq(page_store_put(store, slot, known[slot].key, known[slot].count, &page, IDS), 0);
    known[slot].ids[known[slot].count++] = id;
}

static void get(const struct page_store *store, uint32_t slot)
{
    struct page_store_page pages[MOST];
    uint32_t index = (uint32_t)draw(MOST + 2), most = (uint32_t)draw(MOST + 1);
    uint32_t left = index < known[slot].count ? known[slot].count - index : 0;
    uint32_t got = page_store_get(store, slot, known[slot].key, index, most, pages);

    cr_assert_eq(got, left < most ? left : most);
    for (uint32_t i = 0; i < got; i++) {
        cr_assert_eq(pages[i].id, known[slot].ids[index + i]);
        cr_assert_eq(pages[i].bytes, pages[i].id << 21);
        cr_assert(is_open(pages[i].descriptor));
    }
    cr_assert_eq(page_store_get(store, slot, known[slot].key + 1000000, 0, most, pages), 0);
}

static void drop(struct page_store *store, uint32_t slot)
{
    if (known[slot].key) /* of an earlier block */
        page_store_drop(store, slot, known[slot].key - 1);
    if (draw(2))
        return;
    page_store_drop(store, slot, known[slot].key + draw(2)); /* or of a later one */
    known[slot].key = 0;
    known[slot].count = 0;
}

static unsigned open_count(void)
{
    unsigned count = 0;

    for (int descriptor = 0; descriptor < 1024; descriptor++)
        count += is_open(descriptor);
    return count;
}

Test(page_store, as_a_list)
{
    struct page_store *store = page_store_create();
    unsigned before = open_count();

    cr_assert(store);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t slot = (uint32_t)draw(SLOTS);
        uint64_t kind = draw(10);

        if (kind < 6)
            put(store, slot);
        else if (kind < 9)
            get(store, slot);
        else
            drop(store, slot);
        cr_assert_eq(page_store_count(store), distinct(), "round %u", round);
        if (round % 100 == 0)
            cr_assert_eq(open_count(), before + distinct(), "round %u", round);
    }
    page_store_destroy(store);
    cr_assert_eq(open_count(), before);
}

Test(page_store, is_bounded)
{
    struct page_store *store = page_store_create();
    struct page_store_page page = {.bytes = 1 << 21};

    cr_assert(store);
    for (uint32_t index = 0; index < 5; index++) {
        page.id = index + 1;
        page.descriptor = memfd_create("page", MFD_CLOEXEC);
        cr_assert_eq(page_store_put(store, 3, 7, index, &page, 4), index < 4 ? 0 : -ENOSPC);
    }
    cr_assert(is_open(page.descriptor), "what was refused is the caller's");
    page.id = 1; /* a known page takes no descriptor */
    cr_assert_eq(page_store_put(store, 4, 8, 0, &page, 4), 0);
    cr_assert_not(is_open(page.descriptor));
    page.bytes *= 2;
    cr_assert_eq(page_store_put(store, 4, 8, 1, &page, 4), -EINVAL, "the same page, another size");
    cr_assert_eq(page_store_put(store, 1u << 20, 8, 0, &page, 4), -EINVAL, "no slot");
    cr_assert_eq(page_store_get(store, 1u << 20, 8, 0, 1, &page), 0, "no slot");
    page_store_destroy(store);
}
