/* SPDX-License-Identifier: MIT */
/*
 * PyTorch's caching allocator, plain and with expandable_segments:True.
 *
 * Source: c10/cuda/CUDACachingAllocator.cpp of PyTorch 2.x. Constants: sizes round up to 512 B; up
 * to 1 MiB from the small pool, in segments of 2 MiB; below 10 MiB from segments of 20 MiB; else a
 * segment rounded up to 2 MiB. Best fit, lowest address, among the free blocks of the request's
 * stream and pool. A block is split when 512 B remain (small) or more than 1 MiB (large).
 * Neighbours in a segment join. When the device refuses, segments that are free as a whole go
 * back, and the request is tried once more.
 *
 * Expandable: one range of 9/8 of the device for each stream and pool, filled with handles of 2 MiB
 * (small) or 20 MiB (large); a block is split when 512 B remain; when the device refuses, handles
 * that are free as a whole are unmapped, and the request is tried once more.
 *
 * A block is free for its own stream at once, as there. Not modelled: garbage collection,
 * max_split_size, roundup_power2_divisions, record_stream, private pools of graphs; all are off or
 * absent by default.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/replay/model_heap.h"
#include "tools/replay/policy.h"

#define ROUND_BYTES      UINT64_C(512)
#define SMALL_MOST       (UINT64_C(1) << 20)
#define SMALL_SEGMENT    (UINT64_C(2) << 20)
#define LARGE_LEAST      (UINT64_C(10) << 20)
#define LARGE_SEGMENT    (UINT64_C(20) << 20)
#define LARGE_ROUND      (UINT64_C(2) << 20)
#define ENDLESS_RANGE    (UINT64_C(1) << 44)
#define POOLS_PER_STREAM 2u

/** Memory of a stream, small or large. */
struct stream_pool {
    struct size_tree blocks;   /* free ones */
    struct model_area *ranges; /* where expandable, the last first */
};

struct caching {
    struct device_model *device;
    struct model_heap heap;
    bool expandable;
    struct stream_pool *pools; /* by stream and whether large */
    uint32_t streams;
};

static int caching_make(struct device_model *device, bool expandable, void **ret_state)
{
    struct caching *caching = calloc(1, sizeof *caching);

    if (!caching)
        return -ENOMEM;
    caching->device = device;
    caching->expandable = expandable;
    *ret_state = caching;
    return 0;
}

static int caching_create(struct device_model *device, const struct options *options,
                          void **ret_state)
{
    (void)options;
    return caching_make(device, false, ret_state);
}

static int expandable_create(struct device_model *device, const struct options *options,
                             void **ret_state)
{
    (void)options;
    return caching_make(device, true, ret_state);
}

static struct stream_pool *pool_of(struct caching *caching, uint32_t stream, bool small)
{
    if (stream >= caching->streams) {
        struct stream_pool *grown = reallocarray(caching->pools, (stream + 1) * POOLS_PER_STREAM,
                                                 sizeof *grown);

        if (!grown)
            return NULL;
        for (size_t i = caching->streams * POOLS_PER_STREAM; i < (stream + 1) * POOLS_PER_STREAM;
             i++)
            grown[i] = (struct stream_pool){0};
        caching->pools = grown;
        caching->streams = stream + 1;
    }
    return &caching->pools[stream * POOLS_PER_STREAM + !small];
}

static struct size_tree *blocks_of(struct caching *caching, const struct model_area *area)
{
    return &pool_of(caching, area->stream, area->small)->blocks;
}

/* ---- segments ---- */

static uint64_t segment_bytes(uint64_t bytes)
{
    if (bytes <= SMALL_MOST)
        return SMALL_SEGMENT;
    return bytes < LARGE_LEAST ? LARGE_SEGMENT
                               : (bytes + LARGE_ROUND - 1) / LARGE_ROUND * LARGE_ROUND;
}

static int segment_take(struct caching *caching, uint64_t bytes, uint32_t stream,
                        struct model_block **ret_block)
{
    uint64_t wanted = segment_bytes(bytes);
    int error = device_model_take(caching->device, wanted);
    struct model_area *area;

    device_model_call(caching->device, DEVICE_ALLOCATE, wanted);
    if (error < 0)
        return error;
    area = model_area_create(&caching->heap, wanted);
    if (!area)
        return -ENOMEM;
    area->stream = stream;
    area->small = bytes <= SMALL_MOST;
    *ret_block = area->first;
    return 0;
}

static void segments_release(struct caching *caching)
{
    for (struct model_area *area = caching->heap.idle, *next; area; area = next) {
        next = area->idle_next;
        size_tree_remove(blocks_of(caching, area), &area->first->node);
        device_model_call(caching->device, DEVICE_FREE, area->bytes);
        device_model_give(caching->device, area->bytes);
        model_area_destroy(&caching->heap, area);
    }
}

/* ---- expandable segments ---- */

static uint64_t handle_bytes(bool small)
{
    return small ? SMALL_SEGMENT : LARGE_SEGMENT;
}

/* Whole handles, and room for the block that it is made for. */
static uint64_t range_bytes(uint64_t bytes, bool small)
{
    uint64_t handle = handle_bytes(small), least = bytes > ENDLESS_RANGE ? bytes : ENDLESS_RANGE;

    return (least + handle - 1) / handle * handle;
}

static bool is_room(const struct model_block *block)
{
    return block && !block->used;
}

static bool has_room(struct caching *caching, const struct model_block *block, uint64_t bytes)
{
    uint64_t room = 0;

    for (; room < bytes && is_room(block); block = block->next) {
        device_model_look(caching->device, 1);
        room += block->node.bytes;
    }
    return room >= bytes;
}

/* An area belongs to the list as long as it has unmapped blocks, the highest address first. */
static void area_list(struct stream_pool *pool, struct model_area *area)
{
    struct model_area **link = &pool->ranges;

    while (*link && (*link)->address > area->address)
        link = &(*link)->earlier;
    area->earlier = *link;
    area->listed = true;
    *link = area;
}

/* Returns the next area of the list that has unmapped blocks; others leave the list. */
static struct model_area *area_next(struct model_area **link)
{
    while (*link && !(*link)->unmapped) {
        (*link)->listed = false;
        *link = (*link)->earlier;
    }
    return *link;
}

/* Returns the lowest unmapped place that has room, together with a free block before it. */
static struct model_block *range_place(struct caching *caching, uint32_t stream, bool small,
                                       uint64_t bytes)
{
    struct stream_pool *pool = pool_of(caching, stream, small);
    struct model_area *area, **link = &pool->ranges;

    for (; (area = area_next(link)); link = &area->earlier) {
        bool only_end = area->unmapped == 1 && area->last->unmapped;

        for (struct model_block *block = only_end ? area->last : area->first; block;
             block = block->next) {
            struct model_block *from = block;

            device_model_look(caching->device, 1);
            if (!block->unmapped)
                continue;
            if (block->prev && is_room(block->prev))
                from = block->prev;
            if (has_room(caching, from, bytes))
                return from;
        }
    }
    area = model_area_create(&caching->heap, range_bytes(bytes, small));
    if (!area)
        return NULL;
    area->stream = stream;
    area->small = small;
    area_list(pool, area);
    area->first->unmapped = true;
    area->unmapped = 1;
    device_model_call(caching->device, DEVICE_RESERVE, 0);
    return area->first;
}

/* Maps the first bytes of an unmapped place, in whole handles, and joins free memory around it;
 * the joined block is in the tree. NULL: the device has no more. */
static struct model_block *place_map(struct caching *caching, struct model_block *block,
                                     uint64_t bytes)
{
    uint64_t handle = handle_bytes(block->area->small);
    uint64_t count = (bytes + handle - 1) / handle, wanted = count * handle;
    uint64_t taken = device_model_take_often(caching->device, handle, count);
    struct size_tree *pool = blocks_of(caching, block->area);

    device_model_call_often(caching->device, DEVICE_CREATE, handle, taken + (taken < count));
    if (taken < count) {
        device_model_call_often(caching->device, DEVICE_RELEASE, handle, taken);
        device_model_give(caching->device, taken * handle);
        return NULL;
    }
    device_model_call_often(caching->device, DEVICE_MAP, handle, count);
    device_model_call(caching->device, DEVICE_ACCESS, wanted);
    if (wanted >= block->node.bytes)
        block->area->unmapped--;
    else if (!model_block_split(block, wanted))
        return NULL;
    block->unmapped = false;
    block = model_block_coalesce(pool, block);
    size_tree_insert(pool, &block->node);
    return block;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int range_take(struct caching *caching, uint64_t bytes, uint32_t stream,
                      struct model_block **ret_block)
{
    struct model_block *block = range_place(caching, stream, bytes <= SMALL_MOST, bytes);

    if (!block)
        return -ENOMEM;
    if (block->unmapped)
        block = place_map(caching, block, smaller(block->node.bytes, bytes));
    while (block && block->node.bytes < bytes) /* a free block, and behind it what is not mapped */
        block = place_map(caching, block->next,
                          smaller(bytes - block->node.bytes, block->next->node.bytes));
    if (!block)
        return -ENOMEM;
    size_tree_remove(blocks_of(caching, block->area), &block->node);
    *ret_block = block;
    return 0;
}

/* Whether an unmapped block and this neighbour become one. */
static unsigned joins(const struct model_block *neighbour)
{
    return neighbour && neighbour->unmapped;
}

/* Unmaps the whole handles in a free block, which is in the tree. */
static void block_unmap(struct caching *caching, struct model_block *block)
{
    uint64_t handle = handle_bytes(block->area->small), start = block->area->address;
    uint64_t from = (block->node.address - start + handle - 1) / handle * handle + start;
    uint64_t to = (block->node.address + block->node.bytes - start) / handle * handle + start;
    struct size_tree *pool = blocks_of(caching, block->area);
    struct model_block *rest;

    if (from >= to)
        return;
    size_tree_remove(pool, &block->node);
    if (from > block->node.address) {
        rest = model_block_split(block, from - block->node.address);
        size_tree_insert(pool, &block->node);
        if (!rest)
            return;
        block = rest;
    }
    if (to < block->node.address + block->node.bytes) {
        rest = model_block_split(block, to - block->node.address);
        if (rest)
            size_tree_insert(pool, &rest->node);
    }
    device_model_call_often(caching->device, DEVICE_UNMAP, handle, (to - from) / handle);
    device_model_call_often(caching->device, DEVICE_RELEASE, handle, (to - from) / handle);
    device_model_give(caching->device, to - from);
    block->unmapped = true;
    block->area->unmapped += 1 - joins(block->next) - joins(block->prev);
    if (!block->area->listed)
        area_list(pool_of(caching, block->area->stream, block->area->small), block->area);
    if (joins(block->next))
        model_block_join_next(block);
    if (joins(block->prev))
        model_block_join_next(block->prev);
}

/* The rest of a block that is unmapped is shorter than a handle, and comes later in its tree. */
static void handles_release(struct caching *caching)
{
    for (size_t i = 0; i < (size_t)caching->streams * POOLS_PER_STREAM; i++) {
        struct size_tree *tree = &caching->pools[i].blocks;
        uint64_t handle = handle_bytes(i % POOLS_PER_STREAM == 0);
        struct size_node *node = size_tree_largest(tree), *next;

        device_model_look(caching->device, 1);
        for (; node && node->bytes >= handle; node = next) {
            next = size_tree_previous(tree, node);
            device_model_look(caching->device, 1);
            block_unmap(caching, model_block_of(node));
        }
    }
}

/* ---- both ---- */

/* A block at the end of the mapped part counts with its possible size, so that shorter ones are
 * taken first. */
static uint64_t may_become(const struct model_block *block)
{
    return block->node.bytes + (block->next && block->next->unmapped ? block->next->node.bytes : 0);
}

static struct model_block *cached_take(struct caching *caching, struct size_tree *pool,
                                       uint64_t bytes)
{
    struct size_node *node = size_tree_best(pool, bytes), *next;

    while (node && caching->expandable) {
        device_model_look(caching->device, 1);
        next = size_tree_at_least(pool, node->bytes, node->address + 1);
        if (!next || may_become(model_block_of(next)) >= may_become(model_block_of(node)))
            break;
        node = next;
    }
    if (!node)
        return NULL;
    size_tree_remove(pool, node);
    return model_block_of(node);
}

static int fresh_take(struct caching *caching, uint64_t bytes, uint32_t stream,
                      struct model_block **ret_block)
{
    return caching->expandable ? range_take(caching, bytes, stream, ret_block)
                               : segment_take(caching, bytes, stream, ret_block);
}

static bool is_worth_splitting(const struct caching *caching, uint64_t rest, bool small)
{
    return small || caching->expandable ? rest >= ROUND_BYTES : rest > SMALL_MOST;
}

static int caching_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct caching *caching = state;
    uint64_t bytes = (request->bytes + ROUND_BYTES - 1) / ROUND_BYTES * ROUND_BYTES;
    bool small = bytes <= SMALL_MOST;
    struct stream_pool *pool = pool_of(caching, request->stream, small);
    struct model_block *block = pool ? cached_take(caching, &pool->blocks, bytes) : NULL, *rest;
    int error = 0;

    if (!pool)
        return -ENOMEM;
    if (!block && (error = fresh_take(caching, bytes, request->stream, &block)) < 0) {
        if (caching->expandable)
            handles_release(caching);
        else
            segments_release(caching);
        error = fresh_take(caching, bytes, request->stream, &block);
    }
    if (error < 0)
        return error;
    if (is_worth_splitting(caching, block->node.bytes - bytes, small)) {
        rest = model_block_split(block, bytes);
        if (!rest)
            return -ENOMEM;
        size_tree_insert(&pool->blocks, &rest->node);
    }
    block->used = true;
    model_area_note(&caching->heap, block->area);
    *ret_token = (uint64_t)(uintptr_t)block;
    return 0;
}

static void caching_release(void *state, uint64_t token)
{
    struct caching *caching = state;
    struct model_block *block = (struct model_block *)(uintptr_t)token;
    struct size_tree *pool = blocks_of(caching, block->area);

    block->used = false;
    block = model_block_coalesce(pool, block);
    size_tree_insert(pool, &block->node);
    model_area_note(&caching->heap, block->area);
}

static void caching_destroy(void *state)
{
    struct caching *caching = state;

    model_heap_done(&caching->heap);
    free(caching->pools);
    free(caching);
}

const struct policy_ops policy_pytorch = {
    .create = caching_create,
    .allocate = caching_allocate,
    .release = caching_release,
    .destroy = caching_destroy,
};

const struct policy_ops policy_expandable = {
    .create = expandable_create,
    .allocate = caching_allocate,
    .release = caching_release,
    .destroy = caching_destroy,
};
