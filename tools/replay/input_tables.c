/* SPDX-License-Identifier: MIT */
#include "tools/replay/input_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int number_table_get(struct number_table *table, uint64_t key, unsigned most, uint32_t *ret_number)
{
    uint32_t row = key_index_get(&table->index, key, table->count);

    if (row == KEY_INDEX_NONE)
        return -ENOMEM;
    if (row == table->count)
        table->count++;
    *ret_number = row < most ? row : most - 1;
    return 0;
}

void number_table_done(struct number_table *table)
{
    key_index_done(&table->index);
    *table = (struct number_table){0};
}

static int room_make(struct live_table *table)
{
    size_t room = table->room + table->room / 2 + 1024;
    struct live_buffer *grown;

    if (table->rows < table->room)
        return 0;
    grown = reallocarray(table->live, room, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    table->live = grown;
    table->room = room;
    return 0;
}

int live_table_get(struct live_table *table, uint64_t address, struct live_buffer **ret_live)
{
    uint32_t row = room_make(table) < 0 ? KEY_INDEX_NONE
                                        : key_index_get(&table->index, address, table->rows);

    if (row == KEY_INDEX_NONE)
        return -ENOMEM;
    if (row == table->rows)
        table->live[table->rows++] = (struct live_buffer){0};
    *ret_live = &table->live[row];
    return 0;
}

struct live_buffer *live_table_find(const struct live_table *table, uint64_t address)
{
    uint32_t row = key_index_find(&table->index, address);

    return row == KEY_INDEX_NONE ? NULL : &table->live[row];
}

void live_table_done(struct live_table *table)
{
    key_index_done(&table->index);
    free(table->live);
    *table = (struct live_table){0};
}
