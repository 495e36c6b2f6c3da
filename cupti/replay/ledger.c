/* SPDX-License-Identifier: MIT */
/*
 * See ledger.h. Linear probing; removal moves later blocks back, so there are no tombstones. At
 * least a quarter of the table is free.
 */
#include "cupti/replay/ledger.h"

#include <errno.h>

#include "cupti/base/pages.h"

#define FIRST_ROOM 1024

static size_t place_of(const struct ledger *ledger, enum ledger_space space, uint64_t address)
{
    uint64_t hash = (address + ((uint64_t)space << 60)) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(hash >> 20) & (ledger->room - 1);
}

struct ledger_block *ledger_find(const struct ledger *ledger, enum ledger_space space,
                                 uint64_t address)
{
    if (!ledger->room)
        return NULL;
    for (size_t i = place_of(ledger, space, address);; i = (i + 1) & (ledger->room - 1)) {
        struct ledger_block *block = &ledger->block[i];

        if (!block->space)
            return NULL;
        if (block->address == address && block->space == space)
            return block;
    }
}

static void place(struct ledger *ledger, const struct ledger_block *block)
{
    size_t i = place_of(ledger, block->space, block->address);

    while (ledger->block[i].space)
        i = (i + 1) & (ledger->room - 1);
    ledger->block[i] = *block;
    ledger->used++;
}

static int grow(struct ledger *ledger)
{
    struct ledger larger = {.room = ledger->room ? ledger->room * 2 : FIRST_ROOM};

    larger.block = pages_map(larger.room * sizeof *larger.block);
    if (!larger.block)
        return -ENOMEM;
    for (size_t i = 0; i < ledger->room; i++)
        if (ledger->block[i].space)
            place(&larger, &ledger->block[i]);
    ledger_done(ledger);
    *ledger = larger;
    return 0;
}

int ledger_add(struct ledger *ledger, const struct ledger_block *block)
{
    if (ledger->used >= ledger->room / 4 * 3 && grow(ledger) < 0)
        return -ENOMEM;
    place(ledger, block);
    return 0;
}

void ledger_remove(struct ledger *ledger, struct ledger_block *block)
{
    size_t mask = ledger->room - 1, hole = (size_t)(block - ledger->block);

    for (size_t i = (hole + 1) & mask; ledger->block[i].space; i = (i + 1) & mask) {
        size_t home = place_of(ledger, ledger->block[i].space, ledger->block[i].address);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            ledger->block[hole] = ledger->block[i];
            hole = i;
        }
    }
    ledger->block[hole].space = 0;
    ledger->used--;
}

struct ledger_block *ledger_next(const struct ledger *ledger, size_t *position)
{
    while (*position < ledger->room) {
        struct ledger_block *block = &ledger->block[(*position)++];

        if (block->space)
            return block;
    }
    return NULL;
}

void ledger_done(struct ledger *ledger)
{
    pages_unmap(ledger->block, ledger->room * sizeof *ledger->block);
    *ledger = (struct ledger){0};
}
