/* SPDX-License-Identifier: MIT */
/*
 * The addresses of the modelled device: live ranges never overlap, and there are always enough,
 * however much was taken before. Fixed seed.
 */
#include <criterion/criterion.h>

#include <errno.h>

#include "tools/replay/address_space.h"
#include "tools/replay/device_script.h"

#define FIRST  UINT64_C(0x10000000000)
#define PAGE   UINT64_C(0x200000)
#define SLOTS  64
#define ROUNDS 20000

struct slot {
    uint64_t address, bytes;
    unsigned context;
};

static uint64_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void expect_apart(const struct slot slots[SLOTS], const struct slot *made)
{
    for (size_t i = 0; i < SLOTS; i++)
        cr_assert(&slots[i] == made || !slots[i].bytes ||
                  made->address + made->bytes <= slots[i].address ||
                  slots[i].address + slots[i].bytes <= made->address);
}

Test(address_space, serves_more_in_total_than_it_has)
{
    struct slot slots[SLOTS] = {0};
    struct address_space space;
    uint64_t state = 1, end = FIRST + 4096 * PAGE, total = 0;

    address_space_init(&space, FIRST, end);
    for (int round = 0; round < ROUNDS; round++) {
        struct slot *slot = &slots[random_next(&state) % SLOTS];
        unsigned context = (unsigned)(random_next(&state) % REPLAY_CONTEXTS_MAX);

        if (round % 1000 == 999) {
            address_space_give_all(&space, context);
            for (size_t i = 0; i < SLOTS; i++)
                if (slots[i].context == context)
                    slots[i].bytes = 0;
        }
        if (slot->bytes)
            address_space_give(&space, slot->context, slot->address);
        *slot = (struct slot){.bytes = (1 + random_next(&state) % 16) * PAGE, .context = context};
        cr_assert_eq(address_space_take(&space, context, slot->bytes, &slot->address), 0);
        cr_assert(slot->address >= FIRST && slot->address + slot->bytes <= end);
        expect_apart(slots, slot);
        total += slot->bytes;
    }
    cr_assert_gt(total, 10 * (end - FIRST));
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i].bytes)
            address_space_give(&space, slots[i].context, slots[i].address);
    uint64_t whole; /* everything joined again */
    cr_assert_eq(address_space_take(&space, 0, end - FIRST, &whole), 0);
    cr_assert_eq(whole, FIRST);
    cr_assert_eq(address_space_take(&space, 0, PAGE, &whole), -ENOMEM);
    address_space_give(&space, 1, FIRST); /* not this context's */
    cr_assert_eq(address_space_take(&space, 0, PAGE, &whole), -ENOMEM);
    address_space_done(&space);
}

Test(address_space, has_no_place_for_no_bytes)
{
    struct address_space space;
    uint64_t address = 1, other;

    address_space_init(&space, FIRST, FIRST + 2 * PAGE);
    for (int round = 0; round < 2; round++) { /* from new addresses, then from free ones */
        cr_assert_eq(address_space_take(&space, 0, 0, &address), -EINVAL);
        cr_assert_eq(address, 1);
        cr_assert_eq(address_space_take(&space, 0, 2 * PAGE, &other), 0);
        cr_assert_eq(address_space_take(&space, 0, 0, &address), -EINVAL);
        address_space_give(&space, 0, other);
    }
    address_space_done(&space);
}

Test(address_space, lies_beside_recorded_addresses)
{
    static const struct {
        uint64_t address, bytes;
    } recorded[] = {
        {UINT64_C(0x7f0000000000), 40 * PAGE}, {3 * FIRST, PAGE}, {5, PAGE}, {FIRST, 1}};

    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        struct script_call call = {
            .kind = SCRIPT_ALLOCATE, .address = recorded[i].address, .bytes = recorded[i].bytes};
        struct replay_trace trace = {.script = &call, .script_count = 1};
        struct device_profile profile;
        struct device_model device;
        uint64_t low = recorded[i].address, high = low + recorded[i].bytes;

        device_profile_init(&profile);
        device_model_init(&device, &profile);
        device_model_follow(&device, &trace);
        cr_assert(device.addresses.end <= low || device.addresses.next >= high);
        cr_assert_gt(device.addresses.end - device.addresses.next, UINT64_C(1) << 46);
        cr_assert_eq(device.addresses.next % PAGE, 0);
        device_model_done(&device);
    }
}
