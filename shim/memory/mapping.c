/* SPDX-License-Identifier: MIT */
/*
 * A skip list. See mapping.h.
 */
#include "shim/memory/mapping.h"

#include <errno.h>
#include <stddef.h>

#include "shim/memory/node_cache.h"

static struct node_cache nodes = {.item_bytes = sizeof(struct mapping)};
static struct mapping head;

static unsigned levels_of(uint64_t address)
{
    uint64_t bits = address * UINT64_C(0x9e3779b97f4a7c15);
    unsigned levels = 1;

    for (bits ^= bits >> 29; levels < MAPPING_LEVELS && (bits & 3) == 0; bits >>= 2)
        levels++;
    return levels;
}

/* Finds, on each level, the last mapping that begins before an address. */
static void before(uint64_t address, struct mapping *ret_last[MAPPING_LEVELS])
{
    struct mapping *last = &head;

    for (unsigned level = MAPPING_LEVELS; level-- > 0;) {
        while (last->next[level] && last->next[level]->address < address)
            last = last->next[level];
        ret_last[level] = last;
    }
}

void mapping_return(struct mapping *mapping)
{
    struct mapping *last[MAPPING_LEVELS];

    before(mapping->address, last);
    for (unsigned level = 0; level < levels_of(mapping->address); level++) {
        mapping->next[level] = last[level]->next[level];
        last[level]->next[level] = mapping;
    }
}

int mapping_add(uint64_t address, uint64_t bytes, struct physical *physical)
{
    struct mapping *made = node_cache_take(&nodes);

    if (!made)
        return -ENOMEM;
    made->address = address;
    made->bytes = bytes;
    made->physical = physical;
    mapping_return(made);
    return 0;
}

void mapping_drop(struct mapping *mapping)
{
    node_cache_give(&nodes, mapping);
}

struct mapping *mapping_at(uint64_t address)
{
    struct mapping *last[MAPPING_LEVELS];

    before(address + 1, last);
    struct mapping *found = last[0];
    return found != &head && address - found->address < found->bytes ? found : NULL;
}

struct mapping *mapping_take(uint64_t address, uint64_t bytes)
{
    struct mapping *last[MAPPING_LEVELS];
    struct mapping *chain = NULL, **end = &chain;
    const struct mapping *first = mapping_at(address);

    before(first ? first->address : address, last);
    for (;;) {
        struct mapping *taken = last[0]->next[0];

        if (!taken || (taken != first && taken->address - address >= bytes))
            break;
        for (unsigned level = 0; level < levels_of(taken->address); level++)
            last[level]->next[level] = taken->next[level];
        taken->next[0] = NULL;
        *end = taken;
        end = &taken->next[0];
    }
    return chain;
}

void mapping_forget_all(void)
{
    nodes = (struct node_cache){.item_bytes = sizeof(struct mapping)};
    head = (struct mapping){0};
}
