/* SPDX-License-Identifier: MIT */
#include "tools/analysis/address_map.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/analysis/analysis.h"

#define GAPS_WIDE  20  /* more are narrower */
#define GAPS_DRAWN 256 /* of more, the wide ones alone */

static int compare_addresses(const void *a, const void *b)
{
    const struct replay_block *left = a, *right = b;

    if (left->address != right->address)
        return left->address < right->address ? -1 : 1;
    return (left->order > right->order) - (left->order < right->order);
}

static bool is_shown(const struct replay_block *block)
{
    return block->allocated_bytes && block->allocated_bytes <= UINT64_MAX - block->address &&
           (block->space == BLOCK_SPACE_SEGMENT ||
            (block->space == BLOCK_SPACE_ADDRESS && memory_kind(block->memory)->on_device));
}

/** Everything of the moment, in no order. */
static int moment_collect(const struct block_table *block_table,
                          const struct address_history *history, enum address_moment moment,
                          struct address_gone *ret_found)
{
    const struct address_gone *gone = &history->gone[moment];
    uint64_t newest = moment == ADDRESS_AT_PEAK ? history->peak_order : UINT64_MAX;
    const struct replay_block *block;
    size_t position = 0;
    bool fine = true;

    for (size_t i = 0; i < gone->count && fine; i++)
        if (is_shown(&gone->block[i]))
            fine = address_gone_add(ret_found, &gone->block[i]);
    while (fine && (block = block_table_next(block_table, &position)))
        if (block->order <= newest && is_shown(block))
            fine = address_gone_add(ret_found, block);
    return fine ? 0 : -ENOMEM;
}

/** Bytes of a segment; adjacent mapped ones count as one, because blocks cross their borders. */
static uint64_t segment_bytes(const struct address_gone *found, size_t row)
{
    const struct replay_block *segment = &found->block[row];
    uint64_t bytes = segment->allocated_bytes;

    for (; segment->memory == TRACE_MEMORY_MAPPING && row < found->count; row++) {
        const struct replay_block *next = &found->block[row];

        if (next->space != BLOCK_SPACE_SEGMENT || next == segment)
            continue;
        if (next->memory != TRACE_MEMORY_MAPPING || next->address != segment->address + bytes)
            break;
        bytes += next->allocated_bytes;
    }
    return bytes;
}

/** Returns the extent a block lies in: the current one, or a new one behind it. */
static struct address_extent *extent_for(struct address_map *map, const struct address_gone *found,
                                         size_t *next_segment, const struct replay_block *block)
{
    struct address_extent *extent = map->extents ? &map->extent[map->extents - 1] : NULL;

    for (; *next_segment < found->count; ++*next_segment) {
        const struct replay_block *segment = &found->block[*next_segment];

        if (segment->space != BLOCK_SPACE_SEGMENT)
            continue;
        if (block && segment->address > block->address)
            break;
        if (extent && segment->address < extent->address + extent->bytes)
            continue;
        extent = &map->extent[map->extents++];
        *extent = (struct address_extent){.address = segment->address,
                                          .bytes = segment_bytes(found, *next_segment),
                                          .segment = true,
                                          .mapped = segment->memory == TRACE_MEMORY_MAPPING,
                                          .first = map->blocks};
        map->segments++;
    }
    if (!block || (extent && block->address < extent->address + extent->bytes))
        return extent;
    map->extent[map->extents] = (struct address_extent){
        .address = block->address, .bytes = block->allocated_bytes, .first = map->blocks};
    return &map->extent[map->extents++];
}

static bool block_fits(const struct address_map *map, const struct address_extent *extent,
                       const struct replay_block *block)
{
    const struct replay_block *last = extent->blocks ? &map->block[map->blocks - 1] : NULL;

    return block->allocated_bytes <= extent->address + extent->bytes - block->address &&
           (!last || block->address >= last->address + last->allocated_bytes);
}

static void block_place(struct address_map *map, struct address_extent *extent,
                        const struct replay_block *block)
{
    struct replay_block *placed = &map->block[map->blocks++];

    *placed = *block;
    if (placed->requested_bytes > placed->allocated_bytes)
        placed->requested_bytes = placed->allocated_bytes;
    extent->blocks++;
    extent->used_bytes += placed->requested_bytes;
    extent->waste_bytes += placed->allocated_bytes - placed->requested_bytes;
}

uint64_t address_hole_before(const struct address_map *map, const struct address_extent *extent,
                             size_t block)
{
    const struct replay_block *blocks = map->block + extent->first;
    uint64_t begin = block ? blocks[block - 1].address + blocks[block - 1].allocated_bytes
                           : extent->address;
    uint64_t end = block < extent->blocks ? blocks[block].address : extent->address + extent->bytes;

    return end - begin;
}

static void extent_finish(struct address_map *map, struct address_extent *extent)
{
    for (size_t i = 0; i <= extent->blocks; i++) {
        uint64_t hole = address_hole_before(map, extent, i);

        extent->hole_bytes += hole;
        extent->holes += hole != 0;
        if (hole > extent->hole_most)
            extent->hole_most = hole;
    }
    map->bytes += extent->bytes;
    map->used_bytes += extent->used_bytes;
    map->waste_bytes += extent->waste_bytes;
    map->hole_bytes += extent->hole_bytes;
    if (extent->hole_most > map->hole_most)
        map->hole_most = extent->hole_most;
}

int address_map_create(const struct block_table *block_table, const struct address_history *history,
                       enum address_moment moment, struct address_map *ret_map)
{
    struct address_gone found = {0};
    struct address_map map = {0};
    size_t next_segment = 0;
    int error = moment_collect(block_table, history, moment, &found);

    map.extent = calloc(found.count + 1, sizeof *map.extent);
    map.block = calloc(found.count + 1, sizeof *map.block);
    if (error < 0 || !map.extent || !map.block) {
        address_gone_done(&found);
        address_map_done(&map);
        return -ENOMEM;
    }
    if (found.count)
        qsort(found.block, found.count, sizeof *found.block, compare_addresses);
    for (size_t i = 0; i < found.count; i++) {
        struct address_extent *extent;

        if (found.block[i].space == BLOCK_SPACE_SEGMENT)
            continue;
        extent = extent_for(&map, &found, &next_segment, &found.block[i]);
        if (block_fits(&map, extent, &found.block[i]))
            block_place(&map, extent, &found.block[i]);
    }
    extent_for(&map, &found, &next_segment, NULL);
    for (size_t i = 0; i < map.extents; i++)
        extent_finish(&map, &map.extent[i]);
    address_gone_done(&found);
    *ret_map = map;
    return 0;
}

/** The range of a pool that holds an address; NULL: none. */
static const struct defragmentation_backing *range_find(
    const struct defragmentation *defragmentation, uint64_t address)
{
    for (size_t i = 0; i < defragmentation->backings; i++) {
        const struct defragmentation_backing *backing = &defragmentation->backing[i];

        if (backing->mapped && address >= backing->range_address &&
            address - backing->range_address < backing->range_bytes)
            return backing;
    }
    return NULL;
}

/** What is not drawn stays in the sums. */
static void gaps_limit(struct address_map *map)
{
    for (size_t i = 0; i < map->extents && map->gaps > GAPS_DRAWN; i++)
        if (map->extent[i].gap_bytes <= map->gap_bytes / GAPS_DRAWN)
            map->extent[i].gap_bytes = 0;
    map->gaps_drawn = 0;
    for (size_t i = 0; i < map->extents; i++)
        map->gaps_drawn += map->extent[i].gap_bytes != 0;
}

void address_map_gaps(struct address_map *map, const struct defragmentation *defragmentation)
{
    if (map->bytes > UINT64_MAX / 2)
        return; /* of no device: with gaps they could not be counted */
    for (size_t i = 0; i < map->extents; i++) {
        struct address_extent *extent = &map->extent[i];
        const struct defragmentation_backing *range = range_find(defragmentation, extent->address);
        uint64_t end;

        if (!range || !extent->mapped)
            continue;
        end = i ? map->extent[i - 1].address + map->extent[i - 1].bytes : 0;
        extent->gap_bytes = extent->address -
                            (end > range->range_address ? end : range->range_address);
        map->gap_bytes += extent->gap_bytes;
        map->gaps += extent->gap_bytes != 0;
    }
    gaps_limit(map);
}

uint64_t address_map_gap_width(const struct address_map *map)
{
    return map->bytes / (map->gaps_drawn > GAPS_WIDE ? 2 * map->gaps_drawn : 2 * GAPS_WIDE) + 1;
}

void address_map_done(struct address_map *map)
{
    free(map->extent);
    free(map->block);
    *map = (struct address_map){0};
}
