/* SPDX-License-Identifier: MIT */
/*
 * Allocators that split large areas by best fit and join freed neighbours: BFC and the pool of
 * cudaMallocAsync. They differ in their grain, in when they split a block, in how they grow, and in
 * whether they return memory.
 *
 * bfc. Source: tsl/framework/bfc_allocator.cc. Sizes round up to 256 B; 21 bins by size, the first
 *   bin with a block that is large enough, in it the smallest block; it is cut when it is at least
 *   twice as long as wanted or more than 128 MiB would be lost. One preallocated area: reserved is
 *   how far up it was ever used, so that R says how large an area the program needs.
 * async. The driver's algorithm is not published, and no published figure says what it reserves for
 *   a known sequence. The model follows the documentation: memory of a pool is reserved in large
 *   areas and split (CUDA Programming Guide, "Stream Ordered Memory Allocator"; drivers were
 *   observed to take 32 MiB), and with the default release threshold of 0 free memory is returned
 *   when the program synchronises. A trace has no synchronisation, so memory is returned only when
 *   the device refuses, as wholly free areas. Grain 512 B, best fit, always split. Reuse across
 *   streams is assumed to succeed always. So R is that of a program that seldom synchronises; it
 *   may be too low where streams differ, and too high where the driver maps pages instead of
 *   splitting areas.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/replay/model_heap.h"
#include "tools/replay/policy.h"

#define MIB           (UINT64_C(1) << 20)
#define BFC_GRAIN     UINT64_C(256)
#define BFC_LOSS_MOST (128 * MIB)
#define BFC_AREA      (UINT64_C(1) << 46)
#define ASYNC_GRAIN   UINT64_C(512)
#define ASYNC_AREA    (32 * MIB)

enum arena_kind { ARENA_BFC, ARENA_ASYNC };

struct arena {
    struct device_model *device;
    struct model_heap heap;
    struct size_tree free;
    enum arena_kind kind;
};

static int arena_make(struct device_model *device, enum arena_kind kind, void **ret_state)
{
    struct arena *arena = calloc(1, sizeof *arena);

    if (!arena)
        return -ENOMEM;
    arena->device = device;
    arena->kind = kind;
    *ret_state = arena;
    return 0;
}

static int bfc_create(struct device_model *device, const struct options *options, void **ret_state)
{
    (void)options;
    return arena_make(device, ARENA_BFC, ret_state);
}

static int async_create(struct device_model *device, const struct options *options,
                        void **ret_state)
{
    (void)options;
    return arena_make(device, ARENA_ASYNC, ret_state);
}

static uint64_t rounded(uint64_t bytes, uint64_t grain)
{
    return (bytes + grain - 1) / grain * grain;
}

/* ---- growing ---- */

static int area_add(struct arena *arena, uint64_t bytes)
{
    struct model_area *area;
    int error = arena->kind == ARENA_BFC ? 0 : device_model_take(arena->device, bytes);

    device_model_call(arena->device, DEVICE_ALLOCATE, bytes == BFC_AREA ? 0 : bytes);
    if (error < 0)
        return error;
    area = model_area_create(&arena->heap, bytes);
    if (!area)
        return -ENOMEM;
    size_tree_insert(&arena->free, &area->first->node);
    return 0;
}

/* The whole device at once. */
static int bfc_grow(struct arena *arena)
{
    uint64_t capacity = arena->device->capacity_bytes;

    if (arena->heap.areas)
        return -ENOMEM;
    return area_add(arena, capacity ? capacity / BFC_GRAIN * BFC_GRAIN : BFC_AREA);
}

static void areas_release(struct arena *arena)
{
    for (struct model_area *area = arena->heap.idle, *next; area; area = next) {
        next = area->idle_next;
        size_tree_remove(&arena->free, &area->first->node);
        device_model_call(arena->device, DEVICE_FREE, area->bytes);
        device_model_give(arena->device, area->bytes);
        model_area_destroy(&arena->heap, area);
    }
}

static int async_grow(struct arena *arena, uint64_t bytes)
{
    int error = area_add(arena, rounded(bytes, ASYNC_AREA));

    if (error == 0)
        return 0;
    areas_release(arena);
    return area_add(arena, rounded(bytes, ASYNC_AREA));
}

static int arena_grow(struct arena *arena, uint64_t bytes)
{
    switch (arena->kind) {
    case ARENA_BFC: return bfc_grow(arena);
    case ARENA_ASYNC: return async_grow(arena, bytes);
    }
    return -EINVAL;
}

/* ---- requests ---- */

static uint64_t arena_grain(const struct arena *arena)
{
    return arena->kind == ARENA_BFC ? BFC_GRAIN : ASYNC_GRAIN;
}

static bool is_cut(const struct arena *arena, uint64_t have, uint64_t wanted)
{
    if (arena->kind == ARENA_BFC)
        return have >= 2 * wanted || have - wanted >= BFC_LOSS_MOST;
    return have > wanted;
}

/* BFC's one area is the whole device; the part that was ever in use is what it needed. */
static int level_note(struct arena *arena, const struct model_block *block)
{
    uint64_t end = block->node.address + block->node.bytes - block->area->address;

    if (arena->kind != ARENA_BFC || end <= arena->device->used_bytes)
        return 0;
    return device_model_take(arena->device, end - arena->device->used_bytes);
}

static int arena_allocate(void *state, const struct policy_request *request, uint64_t *ret_token)
{
    struct arena *arena = state;
    uint64_t bytes = rounded(request->bytes, arena_grain(arena));
    struct size_node *node = size_tree_best(&arena->free, bytes);
    struct model_block *block, *rest;
    int error = node ? 0 : arena_grow(arena, bytes);

    if (error == 0 && !node)
        node = size_tree_best(&arena->free, bytes);
    if (arena->kind == ARENA_ASYNC)
        device_model_call(arena->device, DEVICE_ASYNC_ALLOCATE, 0);
    if (!node)
        return error < 0 ? error : -ENOMEM;
    block = model_block_of(node);
    size_tree_remove(&arena->free, node);
    if (is_cut(arena, block->node.bytes, bytes)) {
        rest = model_block_split(block, bytes);
        if (!rest)
            return -ENOMEM;
        size_tree_insert(&arena->free, &rest->node);
    }
    error = level_note(arena, block);
    if (error < 0)
        return error;
    block->used = true;
    model_area_note(&arena->heap, block->area);
    *ret_token = (uint64_t)(uintptr_t)block;
    return 0;
}

static void arena_release(void *state, uint64_t token)
{
    struct arena *arena = state;
    struct model_block *block = (struct model_block *)(uintptr_t)token;

    block->used = false;
    block = model_block_coalesce(&arena->free, block);
    size_tree_insert(&arena->free, &block->node);
    model_area_note(&arena->heap, block->area);
    if (arena->kind == ARENA_ASYNC)
        device_model_call(arena->device, DEVICE_ASYNC_FREE, 0);
}

/* Each call of cudaMallocAsync and cudaFreeAsync is the program's own. */
static void arena_destroy(void *state)
{
    struct arena *arena = state;

    model_heap_done(&arena->heap);
    free(arena);
}

const struct policy_ops policy_bfc = {
    .create = bfc_create,
    .allocate = arena_allocate,
    .release = arena_release,
    .destroy = arena_destroy,
};

const struct policy_ops policy_async = {
    .create = async_create,
    .allocate = arena_allocate,
    .release = arena_release,
    .destroy = arena_destroy,
};
