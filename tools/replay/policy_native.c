/* SPDX-License-Identifier: MIT */
/*
 * cudaMalloc and cudaFree as the program calls them: one call for each.
 *
 * Source and constants: the driver hands out whole pages of 2 MiB, and cuts requests of up to 1 MiB
 * from shared pages at multiples of 512 bytes (best fit here; which fit the driver uses is not
 * published and moves the figure by less than 0.002). A page goes back with its last block.
 * cudaFree waits for the device; the profile's cost of the call has an average wait in it.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/replay/model_heap.h"
#include "tools/replay/policy.h"

#define PAGE_BYTES   (UINT64_C(2) << 20)
#define PACKED_MOST  (UINT64_C(1) << 20)
#define PACKED_GRAIN UINT64_C(512)

struct native {
    struct device_model *device;
    struct model_heap heap;
    struct size_tree free;
};

static int native_create(struct device_model *device, const struct options *options,
                         void **ret_state)
{
    struct native *native = calloc(1, sizeof *native);

    (void)options;
    if (!native)
        return -ENOMEM;
    native->device = device;
    *ret_state = native;
    return 0;
}

static uint64_t rounded(uint64_t bytes, uint64_t grain)
{
    return (bytes + grain - 1) / grain * grain;
}

/* Whole pages; the area's one block is in no tree. */
static int pages_take(struct native *native, uint64_t bytes, struct model_block **ret_block)
{
    struct model_area *area;
    int error = device_model_take(native->device, bytes);

    if (error < 0)
        return error;
    area = model_area_create(&native->heap, bytes);
    if (!area)
        return -ENOMEM;
    *ret_block = area->first;
    return 0;
}

static int packed_take(struct native *native, uint64_t bytes, struct model_block **ret_block)
{
    struct size_node *node = size_tree_best(&native->free, bytes);
    struct model_block *block = node ? model_block_of(node) : NULL, *rest;
    int error = 0;

    if (block)
        size_tree_remove(&native->free, node);
    else
        error = pages_take(native, PAGE_BYTES, &block);
    if (error < 0)
        return error;
    if (block->node.bytes > bytes) {
        rest = model_block_split(block, bytes);
        if (!rest)
            return -ENOMEM;
        size_tree_insert(&native->free, &rest->node);
    }
    *ret_block = block;
    return 0;
}

static int native_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct native *native = state;
    struct model_block *block = NULL;
    bool packed = request->bytes <= PACKED_MOST;
    uint64_t bytes = rounded(request->bytes, packed ? PACKED_GRAIN : PAGE_BYTES);
    int error = packed ? packed_take(native, bytes, &block) : pages_take(native, bytes, &block);

    device_model_call(native->device, DEVICE_ALLOCATE, bytes);
    if (error < 0)
        return error;
    block->used = true;
    *ret_token = (uint64_t)(uintptr_t)block;
    return 0;
}

static void native_release(void *state, uint64_t token)
{
    struct native *native = state;
    struct model_block *block = (struct model_block *)(uintptr_t)token;

    device_model_call(native->device, DEVICE_FREE, block->node.bytes);
    block->used = false;
    block = model_block_coalesce(&native->free, block);
    if (block->node.bytes == block->area->bytes) {
        device_model_give(native->device, block->area->bytes);
        model_area_destroy(&native->heap, block->area);
    } else {
        size_tree_insert(&native->free, &block->node);
    }
}

static void native_destroy(void *state)
{
    struct native *native = state;

    model_heap_done(&native->heap);
    free(native);
}

const struct policy_ops policy_native = {
    .create = native_create,
    .allocate = native_allocate,
    .release = native_release,
    .destroy = native_destroy,
};
