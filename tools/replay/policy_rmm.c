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

struct rmm {
    struct device_model *device;
    struct model_heap heap;
    struct size_tree *lists; /* free blocks, by stream */
    uint32_t streams;
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

static int lists_extend(struct rmm *rmm, uint32_t stream)
{
    struct size_tree *grown;

    if (stream < rmm->streams)
        return 0;
    grown = reallocarray(rmm->lists, stream + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    for (uint32_t i = rmm->streams; i <= stream; i++)
        grown[i] = (struct size_tree){0};
    rmm->lists = grown;
    rmm->streams = stream + 1;
    return 0;
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
    rest->list = stream;
    size_tree_insert(&rmm->lists[stream], &rest->node);
    return 0;
}

/* Takes the best fit from a stream's list and splits it; *ret_block NULL: nothing fits. */
static int list_take(struct rmm *rmm, uint32_t stream, uint64_t bytes,
                     struct model_block **ret_block)
{
    struct size_node *node = size_tree_best(&rmm->lists[stream], bytes);

    *ret_block = NULL;
    if (!node)
        return 0;
    size_tree_remove(&rmm->lists[stream], node);
    *ret_block = model_block_of(node);
    return rest_return(rmm, *ret_block, bytes, stream);
}

static void block_return(struct rmm *rmm, struct model_block *block, uint32_t stream)
{
    block->list = stream;
    block = model_block_coalesce(&rmm->lists[stream], block);
    size_tree_insert(&rmm->lists[stream], &block->node);
}

static void list_merge(struct rmm *rmm, uint32_t from, uint32_t stream)
{
    struct size_node *node;

    while ((node = rmm->lists[from].root)) {
        size_tree_remove(&rmm->lists[from], node);
        block_return(rmm, model_block_of(node), stream);
    }
}

/* Takes a block from the lists of other streams, or merges these lists into the own one. */
static int others_take(struct rmm *rmm, uint32_t stream, uint64_t bytes, bool merging,
                       struct model_block **ret_block)
{
    int r = 0;

    for (uint32_t other = 0; other < rmm->streams && r == 0 && !*ret_block; other++) {
        if (other == stream)
            continue;
        if (merging)
            list_merge(rmm, other, stream);
        r = list_take(rmm, merging ? stream : other, bytes, ret_block);
    }
    return r;
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
    int r;

    while (!(area = area_add(rmm, more, &r)) && more > bytes)
        more = more / 2 > bytes ? more / 2 : bytes;
    if (!area)
        return r;
    *ret_block = area->first;
    return rest_return(rmm, area->first, bytes, stream);
}

static int rmm_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct rmm *rmm = state;
    uint64_t bytes = (request->bytes + GRAIN - 1) / GRAIN * GRAIN;
    struct model_block *block = NULL;
    int r = lists_extend(rmm, request->stream);

    if (r == 0)
        r = list_take(rmm, request->stream, bytes, &block);
    if (r == 0 && !block)
        r = others_take(rmm, request->stream, bytes, false, &block);
    if (r == 0 && !block)
        r = others_take(rmm, request->stream, bytes, true, &block);
    if (r == 0 && !block)
        r = pool_grow(rmm, request->stream, bytes, &block);
    if (r < 0)
        return r;
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
    free(rmm);
}

const struct policy_ops policy_rmm = {
    .create = rmm_create,
    .allocate = rmm_allocate,
    .release = rmm_release,
    .destroy = rmm_destroy,
};
