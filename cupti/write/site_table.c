/* SPDX-License-Identifier: MIT */
/*
 * Linear probing; a table at most three quarters full ends every search.
 */
#include "cupti/write/site_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#define FIRST_BITS 12

struct site_entry {
    atomic_ullong high; /* 0: free; stored last */
    atomic_uint low;
    atomic_uint id;
};

struct site_entries {
    uint32_t bits; /* log2 of the entries; immutable */
    struct site_entry entry[];
};

static size_t entries_bytes(uint32_t bits)
{
    return sizeof(struct site_entries) + (sizeof(struct site_entry) << bits);
}

static struct site_entries *entries_map(uint32_t bits)
{
    struct site_entries *entries = mmap(NULL, entries_bytes(bits), PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (entries == MAP_FAILED)
        return NULL;
    entries->bits = bits;
    return entries;
}

static uint32_t first_place(const struct site_entries *entries, struct site_key key)
{
    uint64_t mixed = (key.high ^ ((uint64_t)key.low << 32 | key.low)) *
                     UINT64_C(0x9e3779b97f4a7c15);

    return (uint32_t)(mixed >> (64 - entries->bits));
}

int site_table_init(struct site_table *ret_table)
{
    struct site_entries *entries = entries_map(FIRST_BITS);

    if (!entries)
        return -ENOMEM;
    *ret_table = (struct site_table){.entries = entries};
    return 0;
}

uint32_t site_table_find(const struct site_table *table, struct site_key key)
{
    const struct site_entries *entries = atomic_load_explicit(&table->entries,
                                                              memory_order_acquire);
    uint32_t mask = (UINT32_C(1) << entries->bits) - 1;

    for (uint32_t i = first_place(entries, key);; i = (i + 1) & mask) {
        const struct site_entry *entry = &entries->entry[i];
        uint64_t high = atomic_load_explicit(&entry->high, memory_order_acquire);

        if (high == key.high && atomic_load_explicit(&entry->low, memory_order_relaxed) == key.low)
            return atomic_load_explicit(&entry->id, memory_order_relaxed);
        if (!high)
            return 0;
    }
}

static void entry_put(struct site_entries *entries, struct site_key key, uint32_t id)
{
    uint32_t mask = (UINT32_C(1) << entries->bits) - 1, i = first_place(entries, key);

    while (atomic_load_explicit(&entries->entry[i].high, memory_order_relaxed))
        i = (i + 1) & mask;
    atomic_store_explicit(&entries->entry[i].id, id, memory_order_relaxed);
    atomic_store_explicit(&entries->entry[i].low, key.low, memory_order_relaxed);
    atomic_store_explicit(&entries->entry[i].high, key.high, memory_order_release);
}

static struct site_entries *entries_grow(struct site_table *table, const struct site_entries *old)
{
    struct site_entries *entries = entries_map(old->bits + 1);

    for (uint32_t i = 0; entries && i < UINT32_C(1) << old->bits; i++) {
        const struct site_entry *entry = &old->entry[i];
        uint64_t high = atomic_load_explicit(&entry->high, memory_order_relaxed);

        if (high)
            entry_put(
                entries,
                (struct site_key){high, atomic_load_explicit(&entry->low, memory_order_relaxed)},
                atomic_load_explicit(&entry->id, memory_order_relaxed));
    }
    if (entries)
        atomic_store_explicit(&table->entries, entries, memory_order_release);
    return entries;
}

int site_table_insert(struct site_table *table, struct site_key key, uint32_t id)
{
    struct site_entries *entries = atomic_load_explicit(&table->entries, memory_order_relaxed);

    if (table->used == SITE_TABLE_MOST)
        return -ENOSPC;
    if (table->used == (UINT32_C(3) << entries->bits) / 4)
        entries = entries_grow(table, entries);
    if (!entries)
        return -ENOMEM;
    entry_put(entries, key, id);
    table->used++;
    return 0;
}
