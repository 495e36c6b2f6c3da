/* SPDX-License-Identifier: MIT */
/*
 * The table by address is probed linearly. Removal shifts later entries back, so there are no
 * tombstones. At least half of the table is free.
 */
#include "cupti/replay/block_table.h"

#include <errno.h>
#include <string.h>

#include "cupti/base/pages.h"

#define FIRST_ROOM 1024
#define MOST_ROOM  (UINT32_C(1) << 31)

static size_t address_place(const struct block_table *block_table, enum block_space space,
                            uint64_t address)
{
    uint64_t key = address + ((uint64_t)space << 60);

    return (size_t)hash_key(&block_table->seed, key) & (2 * block_table->room - 1);
}

static uint32_t *chain_of(const struct block_table *block_table, uint32_t context)
{
    return &block_table->context[hash_key(&block_table->seed, ~(uint64_t)context) &
                                 (block_table->room - 1)];
}

/** Returns the slot of a key, or the free slot where it belongs. */
static uint32_t *address_find(const struct block_table *block_table, enum block_space space,
                              uint64_t address)
{
    size_t mask = 2 * block_table->room - 1, i = address_place(block_table, space, address);

    for (; block_table->address[i]; i = (i + 1) & mask) {
        const struct replay_block *block = &block_table->row[block_table->address[i] - 1].block;

        if (block->address == address && block->space == space)
            break;
    }
    return &block_table->address[i];
}

struct replay_block *block_table_find(const struct block_table *block_table, enum block_space space,
                                      uint64_t address)
{
    uint32_t number = block_table->room ? *address_find(block_table, space, address) : 0;

    return number ? &block_table->row[number - 1].block : NULL;
}

static void chain_add(struct block_table *block_table, uint32_t number)
{
    struct block_row *row = &block_table->row[number - 1];
    uint32_t *first = chain_of(block_table, row->block.context);

    row->chained = true;
    row->previous = 0;
    row->next = *first;
    if (*first)
        block_table->row[*first - 1].previous = number;
    *first = number;
}

static void chain_remove(struct block_table *block_table, struct block_row *row)
{
    if (!row->chained)
        return;
    row->chained = false;
    if (row->previous)
        block_table->row[row->previous - 1].next = row->next;
    else
        *chain_of(block_table, row->block.context) = row->next;
    if (row->next)
        block_table->row[row->next - 1].previous = row->previous;
}

static int grow(struct block_table *block_table)
{
    struct block_table larger = *block_table;

    larger.room = block_table->room ? block_table->room * 2 : FIRST_ROOM;
    if (!block_table->room)
        larger.seed = hash_seed_draw(block_table);
    if (larger.room > MOST_ROOM)
        return -ENOMEM;
    larger.row = pages_map(larger.room * sizeof *larger.row);
    larger.address = pages_map(2 * larger.room * sizeof *larger.address);
    larger.context = pages_map(larger.room * sizeof *larger.context);
    if (!larger.row || !larger.address || !larger.context) {
        block_table_done(&larger);
        return -ENOMEM;
    }
    if (block_table->rows)
        memcpy(larger.row, block_table->row, block_table->rows * sizeof *block_table->row);
    for (uint32_t number = 1; number <= larger.rows; number++) {
        const struct block_row *row = &larger.row[number - 1];

        if (!row->block.space)
            continue;
        *address_find(&larger, row->block.space, row->block.address) = number;
        if (row->chained)
            chain_add(&larger, number);
    }
    block_table_done(block_table);
    *block_table = larger;
    return 0;
}

int block_table_add(struct block_table *block_table, const struct replay_block *block)
{
    uint32_t number;

    if (block_table->used == block_table->room && grow(block_table) < 0)
        return -ENOMEM;
    number = block_table->free;
    if (number)
        block_table->free = block_table->row[number - 1].next;
    else
        number = (uint32_t)++block_table->rows;
    *address_find(block_table, block->space, block->address) = number;
    block_table->row[number - 1].block = *block;
    chain_add(block_table, number);
    block_table->used++;
    return 0;
}

/** Takes a key out of the table by address. */
static void address_remove(struct block_table *block_table, const struct replay_block *block)
{
    size_t mask = 2 * block_table->room - 1;
    size_t hole = (size_t)(address_find(block_table, block->space, block->address) -
                           block_table->address);

    for (size_t i = (hole + 1) & mask; block_table->address[i]; i = (i + 1) & mask) {
        const struct replay_block *other = &block_table->row[block_table->address[i] - 1].block;
        size_t home = address_place(block_table, other->space, other->address);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            block_table->address[hole] = block_table->address[i];
            hole = i;
        }
    }
    block_table->address[hole] = 0;
}

void block_table_remove(struct block_table *block_table, struct replay_block *block)
{
    struct block_row *row = (struct block_row *)block; /* its first member */

    address_remove(block_table, block);
    chain_remove(block_table, row);
    row->block.space = 0;
    row->next = block_table->free;
    block_table->free = (uint32_t)(row - block_table->row) + 1;
    block_table->used--;
}

struct replay_block *block_table_context_take(struct block_table *block_table, uint32_t context)
{
    uint32_t number = block_table->room ? *chain_of(block_table, context) : 0;

    while (number && block_table->row[number - 1].block.context != context)
        number = block_table->row[number - 1].next;
    if (!number)
        return NULL;
    chain_remove(block_table, &block_table->row[number - 1]);
    return &block_table->row[number - 1].block;
}

struct replay_block *block_table_next(const struct block_table *block_table, size_t *position)
{
    while (*position < block_table->rows) {
        struct replay_block *block = &block_table->row[(*position)++].block;

        if (block->space)
            return block;
    }
    return NULL;
}

void block_table_done(struct block_table *block_table)
{
    pages_unmap(block_table->row, block_table->room * sizeof *block_table->row);
    pages_unmap(block_table->address, 2 * block_table->room * sizeof *block_table->address);
    pages_unmap(block_table->context, block_table->room * sizeof *block_table->context);
    *block_table = (struct block_table){0};
}
