/* SPDX-License-Identifier: MIT */
/*
 * A range is in `live` or in `places` by its address, which is the size of that node, and, if
 * free, in `free` by its size.
 */
#include "tools/replay/address_space.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

struct space_range {
    struct size_node place; /* bytes: where it begins */
    struct size_node size;
};

static struct space_range *range_at(struct size_node *place)
{
    return (struct space_range *)(void *)place;
}

static struct space_range *range_of_size(struct size_node *size)
{
    return (struct space_range *)(void *)((char *)size - offsetof(struct space_range, size));
}

static struct space_range *range_find(const struct size_tree *places, uint64_t address)
{
    struct size_node *found = size_tree_at_least(places, address, 0);

    return found && found->bytes == address ? range_at(found) : NULL;
}

void address_space_init(struct address_space *ret_space, uint64_t first, uint64_t end)
{
    *ret_space = (struct address_space){.next = first, .end = end};
}

static void free_insert(struct address_space *space, struct space_range *range, uint64_t begin,
                        uint64_t bytes)
{
    range->place = (struct size_node){.bytes = begin};
    range->size = (struct size_node){.bytes = bytes, .address = begin};
    size_tree_insert(&space->places, &range->place);
    size_tree_insert(&space->free, &range->size);
}

static void free_remove(struct address_space *space, struct space_range *range)
{
    size_tree_remove(&space->places, &range->place);
    size_tree_remove(&space->free, &range->size);
}

/* Inserts a range that is in no tree, joined with its neighbours. */
static void free_join(struct address_space *space, struct space_range *range, uint64_t begin,
                      uint64_t bytes)
{
    struct size_node *before = size_tree_below(&space->places, begin, 0);
    struct space_range *after = range_find(&space->places, begin + bytes);

    if (after) {
        bytes += after->size.bytes;
        free_remove(space, after);
        free(after);
    }
    if (before && before->bytes + range_at(before)->size.bytes == begin) {
        struct space_range *joined = range_at(before);

        begin = before->bytes;
        bytes += joined->size.bytes;
        free_remove(space, joined);
        free(joined);
    }
    free_insert(space, range, begin, bytes);
}

static void live_insert(struct address_space *space, unsigned context, struct space_range *range,
                        uint64_t begin, uint64_t bytes)
{
    range->place = (struct size_node){.bytes = begin};
    range->size = (struct size_node){.bytes = bytes, .address = begin};
    size_tree_insert(&space->live[context], &range->place);
}

/* The addresses that were never used become free ones. False: the host has no memory. */
static bool rest_free(struct address_space *space)
{
    struct space_range *rest = space->next < space->end ? malloc(sizeof *rest) : NULL;

    if (rest)
        free_join(space, rest, space->next, space->end - space->next);
    else if (space->next < space->end)
        return false;
    space->next = space->end;
    return true;
}

/* Cuts the range from the front of the best free one. */
static int take_again(struct address_space *space, unsigned context, struct space_range *range,
                      uint64_t bytes, uint64_t *ret_address)
{
    struct size_node *best = rest_free(space) ? size_tree_best(&space->free, bytes) : NULL;

    if (!best)
        return -ENOMEM;
    struct space_range *whole = range_of_size(best);
    uint64_t begin = best->address, left = best->bytes - bytes;
    free_remove(space, whole);
    if (left)
        free_insert(space, whole, begin + bytes, left);
    else
        free(whole);
    live_insert(space, context, range, begin, bytes);
    *ret_address = begin;
    return 0;
}

int address_space_take(struct address_space *space, unsigned context, uint64_t bytes,
                       uint64_t *ret_address)
{
    struct space_range *range;

    if (!bytes)
        return -EINVAL;
    range = malloc(sizeof *range);
    if (!range)
        return -ENOMEM;
    if (bytes > space->end - space->next) {
        int error = take_again(space, context, range, bytes, ret_address);

        if (error < 0)
            free(range);
        return error;
    }
    live_insert(space, context, range, space->next, bytes);
    *ret_address = space->next;
    space->next += bytes;
    return 0;
}

static void give(struct address_space *space, unsigned context, struct space_range *range)
{
    uint64_t begin = range->size.address, bytes = range->size.bytes;

    size_tree_remove(&space->live[context], &range->place);
    free_join(space, range, begin, bytes);
}

void address_space_give(struct address_space *space, unsigned context, uint64_t address)
{
    struct space_range *range = range_find(&space->live[context], address);

    if (range)
        give(space, context, range);
}

void address_space_give_all(struct address_space *space, unsigned context)
{
    while (space->live[context].root)
        give(space, context, range_at(space->live[context].root));
}

void address_space_done(struct address_space *space)
{
    for (unsigned context = 0; context < REPLAY_CONTEXTS_MAX; context++)
        address_space_give_all(space, context);
    while (space->places.root) {
        struct space_range *range = range_at(space->places.root);

        free_remove(space, range);
        free(range);
    }
}
