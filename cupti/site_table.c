/* SPDX-License-Identifier: MIT */
/*
 * See site_table.h. Linear probing; a table at most three quarters full ends every search.
 */
#include "cupti/site_table.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define SITE_BITS    17
#define SITE_ENTRIES (UINT32_C(1) << SITE_BITS)
#define SITE_MASK    (SITE_ENTRIES - 1)
#define SITE_MOST    (SITE_ENTRIES / 4 * 3)

static uint32_t first_place(uint64_t address)
{
    return (uint32_t)(address * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SITE_BITS));
}

int site_table_init(struct site_table *ret_table)
{
    void *pages = mmap(NULL, SITE_ENTRIES * sizeof(struct site_entry), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (pages == MAP_FAILED)
        return -ENOMEM;
    *ret_table = (struct site_table){.entry = pages};
    return 0;
}

uint32_t site_table_find(const struct site_table *table, uint64_t address)
{
    for (uint32_t i = first_place(address);; i = (i + 1) & SITE_MASK) {
        uint64_t key = atomic_load_explicit(&table->entry[i].address, memory_order_acquire);

        if (key == address)
            return atomic_load_explicit(&table->entry[i].id, memory_order_relaxed);
        if (!key)
            return 0;
    }
}

int site_table_insert(struct site_table *table, uint64_t address, uint32_t id)
{
    uint32_t i = first_place(address);

    if (table->used == SITE_MOST)
        return -ENOSPC;
    while (atomic_load_explicit(&table->entry[i].address, memory_order_relaxed))
        i = (i + 1) & SITE_MASK;
    atomic_store_explicit(&table->entry[i].id, id, memory_order_relaxed);
    atomic_store_explicit(&table->entry[i].address, address, memory_order_release);
    table->used++;
    return 0;
}
