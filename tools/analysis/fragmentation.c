/* SPDX-License-Identifier: MIT */
#include "tools/analysis/fragmentation.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/analysis/analysis.h"

/* Every program keeps a few segments; from this share on it is reported. */
#define NOTABLE_BYTES   (4 << 20)
#define NOTABLE_PERCENT 5

static int compare_keys(const void *a, const void *b)
{
    const struct fragmentation_part *left = a, *right = b;

    return (left->key > right->key) - (left->key < right->key);
}

static int compare_pinned(const void *a, const void *b)
{
    const struct fragmentation_part *left = a, *right = b;

    if (left->pinned_bytes != right->pinned_bytes)
        return left->pinned_bytes > right->pinned_bytes ? -1 : 1;
    if (left->block_bytes != right->block_bytes)
        return left->block_bytes < right->block_bytes ? -1 : 1;
    return compare_keys(a, b);
}

/** Free rest of a segment that has one block and no room for another of its size. */
static uint64_t segment_rounding(const struct address_extent *extent)
{
    return extent->segment && extent->blocks == 1 &&
                   extent->hole_bytes < extent->used_bytes + extent->waste_bytes
               ? extent->hole_bytes
               : 0;
}

/** A share for each block of a segment; they add up exactly to its free space. */
static size_t segment_share(const struct address_map *map, const struct address_extent *extent,
                            struct fragmentation_part *parts)
{
    const struct replay_block *blocks = map->block + extent->first;
    uint64_t whole = extent->used_bytes + extent->waste_bytes, so_far = 0, given = 0;

    for (size_t i = 0; i < extent->blocks; i++) {
        uint64_t due;

        so_far += blocks[i].allocated_bytes;
        due = (uint64_t)((unsigned __int128)extent->hole_bytes * so_far / whole);
        parts[i] = (struct fragmentation_part){
            .pinned_bytes = due - given, .block_bytes = blocks[i].allocated_bytes, .blocks = 1};
        parts[i].rounding_bytes = segment_rounding(extent);
        given = due;
    }
    return extent->blocks;
}

/** Shares of all blocks in segments, with their blocks. */
static size_t map_share(const struct address_map *map, struct fragmentation_part *parts,
                        const struct replay_block **blocks)
{
    size_t count = 0;

    for (size_t i = 0; i < map->extents; i++) {
        const struct address_extent *extent = &map->extent[i];

        if (!extent->segment)
            continue;
        for (size_t k = 0; k < extent->blocks; k++)
            blocks[count + k] = &map->block[extent->first + k];
        count += segment_share(map, extent, parts + count);
    }
    return count;
}

/** Sums the shares of each key and sorts them; a copy that the caller frees. */
static int parts_join(const struct fragmentation_part *parts, size_t count,
                      struct fragmentation_part **ret_joined, size_t *ret_count)
{
    struct fragmentation_part *joined = calloc(count + 1, sizeof *joined);
    size_t rows = 0, pinning = 0;

    if (!joined)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        joined[i] = parts[i];
    qsort(joined, count, sizeof *joined, compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (rows && joined[rows - 1].key == joined[i].key) {
            joined[rows - 1].pinned_bytes += joined[i].pinned_bytes;
            joined[rows - 1].block_bytes += joined[i].block_bytes;
            joined[rows - 1].blocks++;
            joined[rows - 1].rounding_bytes += joined[i].rounding_bytes;
        } else {
            joined[rows++] = joined[i];
        }
    }
    qsort(joined, rows, sizeof *joined, compare_pinned);
    while (pinning < rows && joined[pinning].pinned_bytes)
        pinning++;
    *ret_joined = joined;
    *ret_count = pinning;
    return 0;
}

static int rounding_find(const struct address_map *map, struct fragmentation_part *parts,
                         struct fragmentation *found)
{
    for (size_t i = 0; i < map->extents; i++) {
        const struct address_extent *extent = &map->extent[i];

        for (size_t k = extent->first; k < extent->first + extent->blocks; k++) {
            const struct replay_block *block = &map->block[k];
            uint64_t waste = block->allocated_bytes - block->requested_bytes +
                             segment_rounding(extent);

            parts[k] = (struct fragmentation_part){.key = block->site,
                                                   .pinned_bytes = waste,
                                                   .block_bytes = block->allocated_bytes +
                                                                  segment_rounding(extent),
                                                   .blocks = 1};
            found->rounding_bytes += waste;
        }
    }
    return parts_join(parts, map->blocks, &found->rounding, &found->roundings);
}

int fragmentation_create(const struct analysis *analysis, struct fragmentation *ret_fragmentation)
{
    struct fragmentation found = {0};
    struct fragmentation_part *parts;
    const struct replay_block **blocks;
    struct address_map map;
    size_t count;
    int error = address_map_create(&analysis->block_table, &analysis->addresses, ADDRESS_AT_PEAK,
                                   &map);

    if (error < 0)
        return error;
    parts = calloc(map.blocks + 1, sizeof *parts);
    blocks = calloc(map.blocks + 1, sizeof *blocks);
    error = parts && blocks ? 0 : -ENOMEM;
    count = error == 0 ? map_share(&map, parts, blocks) : 0;
    for (size_t i = 0; i < count; i++)
        parts[i].key = blocks[i]->site;
    if (error == 0)
        error = parts_join(parts, count, &found.site, &found.sites);
    for (size_t i = 0; i < found.sites; i++)
        found.pinned_bytes += found.site[i].pinned_bytes;
    for (size_t i = 0; i < count; i++)
        parts[i].key = blocks[i]->stack;
    if (error == 0)
        error = parts_join(parts, count, &found.stack, &found.stacks);
    if (error == 0)
        error = rounding_find(&map, parts, &found);
    free(parts);
    free(blocks);
    address_map_done(&map);
    if (error < 0)
        fragmentation_done(&found);
    else
        *ret_fragmentation = found;
    return error;
}

void fragmentation_done(struct fragmentation *fragmentation)
{
    free(fragmentation->site);
    free(fragmentation->stack);
    free(fragmentation->rounding);
    *fragmentation = (struct fragmentation){0};
}

bool fragmentation_is_notable(uint64_t pinned_bytes, uint64_t driver_bytes)
{
    return pinned_bytes >= NOTABLE_BYTES && (unsigned __int128)pinned_bytes * 100 >=
                                                (unsigned __int128)driver_bytes * NOTABLE_PERCENT;
}

size_t fragmentation_notable_sites(const struct analysis *analysis)
{
    const struct fragmentation *fragmentation = &analysis->fragmentation;
    size_t count = 0;

    while (
        count < fragmentation->sites &&
        fragmentation_is_notable(fragmentation->site[count].pinned_bytes, analysis->driver.at_peak))
        count++;
    return count;
}
