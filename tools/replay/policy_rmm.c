/* SPDX-License-Identifier: MIT */
/*
 * RMM's pool_memory_resource.
 *
 * Source: rmm/mr/pool_memory_resource.hpp and rmm/mr/detail/stream_ordered_memory_resource.hpp of
 * 25.12. Sizes round up to 256 B. Each stream has a list of free blocks: best fit, lowest address
 * first, always cut, joined with neighbours of the same list. If the stream's own list has no fit,
 * the lists of other streams are searched, in the order in which the streams appeared; the rest of
 * such a block stays in its list. Then those lists are merged into the own one, one by one, until
 * something fits. Then the pool grows by its size or by the request, whichever is more, and by half
 * as much after each refusal of the device. It returns nothing. It starts empty; programs usually
 * give an initial size, below which no call is made.
 *
 * A block is freed on the stream that it was allocated on. Traces of cupool have no streams.
 * tests/clients/rmm_pool runs RMM's own code on the same requests: bytes and calls are equal.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/replay/model_heap.h"
#include "tools/replay/policy.h"

#define GRAIN UINT64_C(256)

/* Free blocks of a stream. */
struct list {
    struct size_tree tree;
    uint64_t blocks;
    uint32_t id; /* of its blocks: lists change their streams */
};

struct rmm {
    struct device_model *device;
    struct model_heap heap;
    struct list *lists; /* by stream */
    /* Bytes of the longest block of each list, from `room` on, and of pairs of these, up to 1: a
     * request must not look at the lists of all streams. */
    uint64_t *longest;
    uint32_t room; /* lists; a power of two, or 0 */
};

static int rmm_create(struct device_model *device, const struct options *options, void **ret_state)
{
    struct rmm *rmm = calloc(1, sizeof *rmm);

    (void)options;
    if (!rmm)
        return -ENOMEM;
    rmm->device = device;
    *ret_state = rmm;
    return 0;
}

static uint64_t longer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int lists_extend(struct rmm *rmm, uint32_t stream)
{
    uint32_t room = rmm->room ? rmm->room : 1;
    struct list *lists;
    uint64_t *longest;

    if (stream < rmm->room)
        return 0;
    while (room <= stream)
        room *= 2;
    lists = reallocarray(rmm->lists, room, sizeof *lists);
    if (!lists)
        return -ENOMEM;
    rmm->lists = lists;
    longest = calloc(room, 2 * sizeof *longest);
    if (!longest)
        return -ENOMEM;
    for (uint32_t i = 0; i < rmm->room; i++)
        longest[room + i] = rmm->longest[rmm->room + i];
    for (uint32_t i = room; i-- > 1;)
        longest[i] = longer(longest[2 * i], longest[2 * i + 1]);
    for (uint32_t i = rmm->room; i < room; i++)
        lists[i] = (struct list){.id = i};
    free(rmm->longest);
    rmm->longest = longest;
    rmm->room = room;
    return 0;
}

/* Updates the tree of largest blocks after a change of a list. */
static void longest_note(struct rmm *rmm, uint32_t stream)
{
    struct size_node *node = size_tree_largest(&rmm->lists[stream].tree);
    uint32_t i = rmm->room + stream;

    rmm->longest[i] = node ? node->bytes : 0;
    while (i /= 2)
        rmm->longest[i] = longer(rmm->longest[2 * i], rmm->longest[2 * i + 1]);
}

/* Returns the first list from `stream` on with a block of at least `bytes`; `room`: none. */
static uint32_t list_from(const struct rmm *rmm, uint32_t stream, uint64_t bytes)
{
    uint32_t i = rmm->room + stream;

    if (stream >= rmm->room)
        return rmm->room;
    while (rmm->longest[i] < bytes) {
        while (i & 1) /* a right half, or the whole */
            i /= 2;
        if (!i)
            return rmm->room;
        i++;
    }
    while (i < rmm->room)
        i = rmm->longest[2 * i] >= bytes ? 2 * i : 2 * i + 1;
    return i - rmm->room;
}

static void list_insert(struct rmm *rmm, uint32_t stream, struct model_block *block)
{
    struct list *list = &rmm->lists[stream];

    block->list = list->id;
    size_tree_insert(&list->tree, &block->node);
    list->blocks++;
    longest_note(rmm, stream);
}

static void list_remove(struct rmm *rmm, uint32_t stream, struct size_node *node)
{
    size_tree_remove(&rmm->lists[stream].tree, node);
    rmm->lists[stream].blocks--;
    longest_note(rmm, stream);
}

/* Splits a block that is in no list; the rest goes to the list of a stream. */
static int rest_return(struct rmm *rmm, struct model_block *block, uint64_t bytes, uint32_t stream)
{
    struct model_block *rest;

    if (block->node.bytes == bytes)
        return 0;
    rest = model_block_split(block, bytes);
    if (!rest)
        return -ENOMEM;
    list_insert(rmm, stream, rest);
    return 0;
}

/* Takes the best fit from a stream's list and splits it; *ret_block NULL: nothing fits. */
static int list_take(struct rmm *rmm, uint32_t stream, uint64_t bytes,
                     struct model_block **ret_block)
{
    struct size_node *node = size_tree_best(&rmm->lists[stream].tree, bytes);

    *ret_block = NULL;
    if (!node)
        return 0;
    list_remove(rmm, stream, node);
    *ret_block = model_block_of(node);
    return rest_return(rmm, *ret_block, bytes, stream);
}

/* Joins a block with its neighbours in the list. */
static void block_return(struct rmm *rmm, struct model_block *block, uint32_t stream)
{
    struct list *list = &rmm->lists[stream];

    block->list = list->id;
    list->blocks -= model_block_joins(block);
    list_insert(rmm, stream, model_block_coalesce(&list->tree, block));
}

/* The result is the same whichever list goes into the other, so the shorter one goes: a program may
 * merge long lists again and again. */
static void list_merge(struct rmm *rmm, uint32_t from, uint32_t stream)
{
    struct list list = rmm->lists[from];
    struct size_node *node;

    if (list.blocks > rmm->lists[stream].blocks) {
        rmm->lists[from] = rmm->lists[stream];
        rmm->lists[stream] = list;
        longest_note(rmm, stream);
        longest_note(rmm, from);
    }
    while ((node = rmm->lists[from].tree.root)) {
        list_remove(rmm, from, node);
        block_return(rmm, model_block_of(node), stream);
    }
}

/* Takes a block from another stream's list. */
static int others_take(struct rmm *rmm, uint64_t bytes, struct model_block **ret_block)
{
    uint32_t other = list_from(rmm, 0, bytes); /* not the own list, which has no fit */

    return other < rmm->room ? list_take(rmm, other, bytes, ret_block) : 0;
}

/* Merges other streams' lists into the own one until a block fits. */
static int merged_take(struct rmm *rmm, uint32_t stream, uint64_t bytes,
                       struct model_block **ret_block)
{
    int error = 0;

    for (uint32_t other = list_from(rmm, 0, 1); other < rmm->room && error == 0 && !*ret_block;
         other = list_from(rmm, other + 1, 1)) {
        if (other == stream)
            continue;
        list_merge(rmm, other, stream);
        error = list_take(rmm, stream, bytes, ret_block);
    }
    return error;
}

static struct model_area *area_add(struct rmm *rmm, uint64_t bytes, int *ret_error)
{
    struct model_area *area;

    *ret_error = device_model_take(rmm->device, bytes);
    device_model_call(rmm->device, DEVICE_ALLOCATE, bytes);
    if (*ret_error < 0)
        return NULL;
    area = model_area_create(&rmm->heap, bytes);
    if (!area)
        *ret_error = -ENOMEM;
    return area;
}

static int pool_grow(struct rmm *rmm, uint32_t stream, uint64_t bytes,
                     struct model_block **ret_block)
{
    uint64_t have = rmm->device->used_bytes, more = bytes > have ? bytes : have;
    struct model_area *area;
    int error;

    while (!(area = area_add(rmm, more, &error)) && more > bytes)
        more = more / 2 > bytes ? more / 2 : bytes;
    if (!area)
        return error;
    *ret_block = area->first;
    return rest_return(rmm, area->first, bytes, stream);
}

static int rmm_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct rmm *rmm = state;
    uint64_t bytes = (request->bytes + GRAIN - 1) / GRAIN * GRAIN;
    struct model_block *block = NULL;
    int error = lists_extend(rmm, request->stream);

    if (error == 0)
        error = list_take(rmm, request->stream, bytes, &block);
    if (error == 0 && !block)
        error = others_take(rmm, bytes, &block);
    if (error == 0 && !block)
        error = merged_take(rmm, request->stream, bytes, &block);
    if (error == 0 && !block)
        error = pool_grow(rmm, request->stream, bytes, &block);
    if (error < 0)
        return error;
    block->used = true;
    block->list = request->stream;
    *ret_token = (uint64_t)(uintptr_t)block;
    return 0;
}

static void rmm_release(void *state, uint64_t token)
{
    struct rmm *rmm = state;
    struct model_block *block = (struct model_block *)(uintptr_t)token;

    block->used = false;
    block_return(rmm, block, block->list);
}

static void rmm_destroy(void *state)
{
    struct rmm *rmm = state;

    model_heap_done(&rmm->heap);
    free(rmm->lists);
    free(rmm->longest);
    free(rmm);
}

const struct policy_ops policy_rmm = {
    .create = rmm_create,
    .allocate = rmm_allocate,
    .release = rmm_release,
    .destroy = rmm_destroy,
};
