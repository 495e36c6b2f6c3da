/* SPDX-License-Identifier: MIT */
/*
 * Linear probing, at most half full; removal shifts the followers back.
 */
#include "engine/addresses.h"

#include <stdlib.h>

static size_t home_of(const struct addresses *addresses, uint64_t address)
{
    return (size_t)((address >> 8) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & addresses->mask;
}

static size_t place_of(const struct addresses *addresses, uint64_t address)
{
    size_t at = home_of(addresses, address);

    while (addresses->entries[at].address != 0 && addresses->entries[at].address != address)
        at = (at + 1) & addresses->mask;
    return at;
}

static int grow(struct addresses *addresses)
{
    struct addresses larger = {.mask = addresses->mask == 0 ? 255 : addresses->mask * 2 + 1,
                               .count = addresses->count};

    larger.entries = calloc(larger.mask + 1, sizeof(*larger.entries));
    if (!larger.entries)
        return -1;
    for (size_t at = 0; addresses->entries && at <= addresses->mask; at++)
        if (addresses->entries[at].address != 0)
            larger.entries[place_of(&larger, addresses->entries[at].address)] =
                addresses->entries[at];
    free(addresses->entries);
    *addresses = larger;
    return 0;
}

struct address_entry *addresses_add(struct addresses *addresses, uint64_t address)
{
    if (2 * (addresses->count + 1) > addresses->mask && grow(addresses) < 0)
        return NULL;
    struct address_entry *entry = &addresses->entries[place_of(addresses, address)];
    addresses->count += entry->address == 0;
    *entry = (struct address_entry){.address = address};
    return entry;
}

struct address_entry *addresses_find(const struct addresses *addresses, uint64_t address)
{
    if (!addresses->entries || address == 0)
        return NULL;
    struct address_entry *entry = &addresses->entries[place_of(addresses, address)];
    return entry->address != 0 ? entry : NULL;
}

void addresses_remove(struct addresses *addresses, uint64_t address)
{
    size_t hole, at;

    if (!addresses_find(addresses, address))
        return;
    hole = at = place_of(addresses, address);
    addresses->count--;
    for (;;) {
        at = (at + 1) & addresses->mask;
        if (addresses->entries[at].address == 0)
            break;
        size_t home = home_of(addresses, addresses->entries[at].address);
        if (((at - home) & addresses->mask) >= ((at - hole) & addresses->mask)) {
            addresses->entries[hole] = addresses->entries[at];
            hole = at;
        }
    }
    addresses->entries[hole] = (struct address_entry){0};
}

void addresses_done(struct addresses *addresses)
{
    free(addresses->entries);
    *addresses = (struct addresses){0};
}
