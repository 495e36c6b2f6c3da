/* SPDX-License-Identifier: MIT */
/*
 * Opened memory, against a plain list: blocks, holes between them, whole mappings, and how often
 * each is open.
 */
#include <criterion/criterion.h>

#include "shim/share/ipc_imports.h"
#include "tests/random.h"

#define SEED     UINT64_C(20240612)
#define ROUNDS   100000
#define MAPPINGS 4u
#define PLACES   8u /* blocks of a mapping; the first may be the whole */
#define MIB      (UINT64_C(1) << 20)
#define PLACE    (MIB / PLACES)

static unsigned opened[MAPPINGS][PLACES];
static bool is_whole[MAPPINGS];

static uint64_t draw(void)
{
    static uint64_t state = SEED;

    state = random_xorshift(state);
    return state;
}

/* Two by two without a gap between them. */
static uint64_t base_of(unsigned mapping)
{
    return (mapping / 2 * 10 + mapping % 2 + 1) * MIB;
}

static uint64_t bytes_of(unsigned place)
{
    return 1000 * (place + 1);
}

static bool mapped(unsigned mapping)
{
    for (unsigned place = 0; place < PLACES; place++)
        if (opened[mapping][place])
            return true;
    return false;
}

static enum range_kind expected(unsigned mapping, unsigned place, uint64_t offset)
{
    bool whole = opened[mapping][0] && is_whole[mapping];

    if (!mapped(mapping))
        return RANGE_DRIVER;
    if (opened[mapping][place] && !(place == 0 && whole) && offset < bytes_of(place))
        return RANGE_BLOCK;
    return whole ? RANGE_DRIVER : RANGE_HOLE;
}

static void open_one(unsigned mapping, unsigned place)
{
    uint64_t base = base_of(mapping);

    if (place == 0 && !opened[mapping][0])
        is_whole[mapping] = draw() % 2;
    cr_assert(ipc_import_add(&(struct ipc_import){
        .address = base + place * PLACE,
        .bytes = place == 0 && is_whole[mapping] ? 0 : bytes_of(place),
        .base = base,
        .base_bytes = MIB,
        .context = mapping,
    }));
    opened[mapping][place]++;
}

static void close_one(unsigned mapping, unsigned place)
{
    struct ipc_import gone;
    uint64_t base = base_of(mapping), address = base + place * PLACE;

    if (opened[mapping][place]) {
        cr_assert_eq(ipc_import_base(address), base);
        bool last = --opened[mapping][place] == 0;
        cr_assert_eq(ipc_import_closed(address, &gone), last);
        cr_assert(!last || gone.address == address);
        cr_assert_eq(ipc_import_mapped(base), mapped(mapping));
        return;
    }
    cr_assert_not(ipc_import_closed(address, &gone));
    bool refused = place == 0 && mapped(mapping);
    cr_assert_eq(ipc_import_base(address), refused ? address | 1 : address);
}

Test(ipc_imports, agree_with_a_list)
{
    for (int round = 0; round < ROUNDS; round++) {
        unsigned mapping = draw() % MAPPINGS, place = draw() % PLACES;
        struct ipc_import found = {0};

        if (draw() % 2)
            open_one(mapping, place);
        else
            close_one(mapping, place);
        mapping = draw() % MAPPINGS;
        place = draw() % PLACES;
        uint64_t offset = draw() % 3 ? draw() % PLACE : bytes_of(place) - draw() % 2;
        uint64_t address = base_of(mapping) + place * PLACE + offset;
        enum range_kind kind = ipc_import_find(address, &found);
        cr_assert_eq(kind, expected(mapping, place, offset), "round %d, seed %llu", round,
                     (unsigned long long)SEED);
        if (kind == RANGE_BLOCK)
            cr_assert(found.address == address - offset && found.bytes == bytes_of(place) &&
                      found.base == base_of(mapping));
    }
}

Test(ipc_imports, end_with_their_context)
{
    struct ipc_import found = {0};

    open_one(0, 1);
    open_one(0, 2);
    open_one(1, 1);
    cr_assert_eq(ipc_import_find(base_of(0) + PLACE, &found), RANGE_BLOCK);
    uint64_t id = found.id;
    cr_assert_eq(ipc_import_find(base_of(0) + 2 * PLACE, &found), RANGE_BLOCK);
    cr_assert_neq(found.id, id);
    cr_assert_not(ipc_import_synchronous(base_of(0) + PLACE, true));
    cr_assert(ipc_import_synchronous(base_of(0) + PLACE, true));
    ipc_imports_forget_context(0);
    cr_assert_eq(ipc_import_find(base_of(0) + PLACE, &found), RANGE_DRIVER);
    cr_assert_eq(ipc_import_find(base_of(1) + PLACE, &found), RANGE_BLOCK);
    open_one(0, 1);
    cr_assert_eq(ipc_import_find(base_of(0) + PLACE, &found), RANGE_BLOCK);
    cr_assert_neq(found.id, id, "opened anew");
    cr_assert_not(found.synchronous);
}
