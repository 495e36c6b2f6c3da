/* SPDX-License-Identifier: MIT */
/*
 * The table by address is probed linearly. Removal shifts later entries back, so there are no
 * tombstones. At least half of the table is free.
 */
#include "cupti/replay/ledger.h"

#include <errno.h>
#include <string.h>

#include "cupti/base/pages.h"

#define FIRST_ROOM 1024
#define MOST_ROOM  (UINT32_C(1) << 31)

static size_t address_place(const struct ledger *ledger, enum ledger_space space, uint64_t address)
{
    uint64_t key = address + ((uint64_t)space << 60);

    return (size_t)hash_key(&ledger->seed, key) & (2 * ledger->room - 1);
}

static uint32_t *chain_of(const struct ledger *ledger, uint32_t context)
{
    return &ledger->context[hash_key(&ledger->seed, ~(uint64_t)context) & (ledger->room - 1)];
}

/** Returns the slot of a key, or the free slot where it belongs. */
static uint32_t *address_find(const struct ledger *ledger, enum ledger_space space,
                              uint64_t address)
{
    size_t mask = 2 * ledger->room - 1, i = address_place(ledger, space, address);

    for (; ledger->address[i]; i = (i + 1) & mask) {
        const struct ledger_block *block = &ledger->row[ledger->address[i] - 1].block;

        if (block->address == address && block->space == space)
            break;
    }
    return &ledger->address[i];
}

struct ledger_block *ledger_find(const struct ledger *ledger, enum ledger_space space,
                                 uint64_t address)
{
    uint32_t number = ledger->room ? *address_find(ledger, space, address) : 0;

    return number ? &ledger->row[number - 1].block : NULL;
}

static void chain_add(struct ledger *ledger, uint32_t number)
{
    struct ledger_row *row = &ledger->row[number - 1];
    uint32_t *first = chain_of(ledger, row->block.context);

    row->chained = true;
    row->previous = 0;
    row->next = *first;
    if (*first)
        ledger->row[*first - 1].previous = number;
    *first = number;
}

static void chain_remove(struct ledger *ledger, struct ledger_row *row)
{
    if (!row->chained)
        return;
    row->chained = false;
    if (row->previous)
        ledger->row[row->previous - 1].next = row->next;
    else
        *chain_of(ledger, row->block.context) = row->next;
    if (row->next)
        ledger->row[row->next - 1].previous = row->previous;
}

static int grow(struct ledger *ledger)
{
    struct ledger larger = *ledger;

    larger.room = ledger->room ? ledger->room * 2 : FIRST_ROOM;
    if (!ledger->room)
        larger.seed = hash_seed_draw(ledger);
    if (larger.room > MOST_ROOM)
        return -ENOMEM;
    larger.row = pages_map(larger.room * sizeof *larger.row);
    larger.address = pages_map(2 * larger.room * sizeof *larger.address);
    larger.context = pages_map(larger.room * sizeof *larger.context);
    if (!larger.row || !larger.address || !larger.context) {
        ledger_done(&larger);
        return -ENOMEM;
    }
    if (ledger->rows)
        memcpy(larger.row, ledger->row, ledger->rows * sizeof *ledger->row);
    for (uint32_t number = 1; number <= larger.rows; number++) {
        const struct ledger_row *row = &larger.row[number - 1];

        if (!row->block.space)
            continue;
        *address_find(&larger, row->block.space, row->block.address) = number;
        if (row->chained)
            chain_add(&larger, number);
    }
    ledger_done(ledger);
    *ledger = larger;
    return 0;
}

int ledger_add(struct ledger *ledger, const struct ledger_block *block)
{
    uint32_t number;

    if (ledger->used == ledger->room && grow(ledger) < 0)
        return -ENOMEM;
    number = ledger->free;
    if (number)
        ledger->free = ledger->row[number - 1].next;
    else
        number = (uint32_t)++ledger->rows;
    *address_find(ledger, block->space, block->address) = number;
    ledger->row[number - 1].block = *block;
    chain_add(ledger, number);
    ledger->used++;
    return 0;
}

/** Takes a key out of the table by address. */
static void address_remove(struct ledger *ledger, const struct ledger_block *block)
{
    size_t mask = 2 * ledger->room - 1;
    size_t hole = (size_t)(address_find(ledger, block->space, block->address) - ledger->address);

    for (size_t i = (hole + 1) & mask; ledger->address[i]; i = (i + 1) & mask) {
        const struct ledger_block *other = &ledger->row[ledger->address[i] - 1].block;
        size_t home = address_place(ledger, other->space, other->address);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            ledger->address[hole] = ledger->address[i];
            hole = i;
        }
    }
    ledger->address[hole] = 0;
}

void ledger_remove(struct ledger *ledger, struct ledger_block *block)
{
    struct ledger_row *row = (struct ledger_row *)block; /* its first member */

    address_remove(ledger, block);
    chain_remove(ledger, row);
    row->block.space = 0;
    row->next = ledger->free;
    ledger->free = (uint32_t)(row - ledger->row) + 1;
    ledger->used--;
}

struct ledger_block *ledger_context_take(struct ledger *ledger, uint32_t context)
{
    uint32_t number = ledger->room ? *chain_of(ledger, context) : 0;

    while (number && ledger->row[number - 1].block.context != context)
        number = ledger->row[number - 1].next;
    if (!number)
        return NULL;
    chain_remove(ledger, &ledger->row[number - 1]);
    return &ledger->row[number - 1].block;
}

struct ledger_block *ledger_next(const struct ledger *ledger, size_t *position)
{
    while (*position < ledger->rows) {
        struct ledger_block *block = &ledger->row[(*position)++].block;

        if (block->space)
            return block;
    }
    return NULL;
}

void ledger_done(struct ledger *ledger)
{
    pages_unmap(ledger->row, ledger->room * sizeof *ledger->row);
    pages_unmap(ledger->address, 2 * ledger->room * sizeof *ledger->address);
    pages_unmap(ledger->context, ledger->room * sizeof *ledger->context);
    *ledger = (struct ledger){0};
}
