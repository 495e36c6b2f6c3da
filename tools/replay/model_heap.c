/* SPDX-License-Identifier: MIT */
#include "tools/replay/model_heap.h"

#include <stdlib.h>

#define AREA_GRAIN UINT64_C(0x100000000)
#define AREA_GAPS  (2 * AREA_GRAIN) /* of the next one: its rounding and its grain */

struct model_area *model_area_create(struct model_heap *heap, uint64_t bytes)
{
    struct model_area *area = calloc(1, sizeof *area);
    struct model_block *block = calloc(1, sizeof *block);
    uint64_t address = heap->next_address + AREA_GRAIN, end, next;

    /* Blocks are told apart by their addresses, so none comes twice. */
    if (!area || !block || __builtin_add_overflow(address, bytes, &end) ||
        __builtin_add_overflow(end, AREA_GAPS, &next)) {
        free(area);
        free(block);
        return NULL;
    }
    *area = (struct model_area){.address = address, .bytes = bytes, .first = block, .last = block};
    heap->next_address = (end + AREA_GRAIN - 1) / AREA_GRAIN * AREA_GRAIN;
    block->node.address = area->address;
    block->node.bytes = bytes;
    block->area = area;
    area->next = heap->areas;
    if (area->next)
        area->next->prev = area;
    heap->areas = area;
    return area;
}

static void idle_remove(struct model_heap *heap, struct model_area *area)
{
    *(area->idle_prev ? &area->idle_prev->idle_next : &heap->idle) = area->idle_next;
    if (area->idle_next)
        area->idle_next->idle_prev = area->idle_prev;
    area->idle = false;
}

void model_area_note(struct model_heap *heap, struct model_area *area)
{
    bool idle = !area->first->used && !area->first->next;

    if (idle == area->idle)
        return;
    if (!idle) {
        idle_remove(heap, area);
        return;
    }
    area->idle = true;
    area->idle_prev = NULL;
    area->idle_next = heap->idle;
    if (area->idle_next)
        area->idle_next->idle_prev = area;
    heap->idle = area;
}

void model_area_destroy(struct model_heap *heap, struct model_area *area)
{
    if (area->idle)
        idle_remove(heap, area);
    for (struct model_block *block = area->first, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *(area->prev ? &area->prev->next : &heap->areas) = area->next;
    if (area->next)
        area->next->prev = area->prev;
    free(area);
}

void model_heap_done(struct model_heap *heap)
{
    while (heap->areas)
        model_area_destroy(heap, heap->areas);
}

struct model_block *model_block_split(struct model_block *block, uint64_t bytes)
{
    struct model_block *rest = calloc(1, sizeof *rest);

    if (!rest)
        return NULL;
    rest->node.address = block->node.address + bytes;
    rest->node.bytes = block->node.bytes - bytes;
    rest->area = block->area;
    rest->list = block->list;
    rest->unmapped = block->unmapped;
    rest->prev = block;
    rest->next = block->next;
    *(rest->next ? &rest->next->prev : &rest->area->last) = rest;
    block->next = rest;
    block->node.bytes = bytes;
    return rest;
}

void model_block_join_next(struct model_block *block)
{
    struct model_block *gone = block->next;

    block->node.bytes += gone->node.bytes;
    block->next = gone->next;
    *(block->next ? &block->next->prev : &block->area->last) = block;
    free(gone);
}

static bool is_joinable(const struct model_block *block, uint32_t list)
{
    return block && !block->used && !block->unmapped && block->list == list;
}

unsigned model_block_joins(const struct model_block *block)
{
    return is_joinable(block->next, block->list) + is_joinable(block->prev, block->list);
}

struct model_block *model_block_coalesce(struct size_tree *tree, struct model_block *block)
{
    if (is_joinable(block->next, block->list)) {
        size_tree_remove(tree, &block->next->node);
        model_block_join_next(block);
    }
    if (is_joinable(block->prev, block->list)) {
        block = block->prev;
        size_tree_remove(tree, &block->node);
        model_block_join_next(block);
    }
    return block;
}
