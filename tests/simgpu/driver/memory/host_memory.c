/* SPDX-License-Identifier: MIT */
/*
 * Pinned ranges in an array sorted by address; they never overlap. Guarded by driver_lock.
 */
#include "tests/simgpu/driver/memory/host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct allocation **ranges;
static size_t range_count, range_room;

/* Index of the first range that ends after the address. */
static size_t range_after(uintptr_t address)
{
    size_t low = 0, high = range_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (ranges[middle]->base + ranges[middle]->bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct allocation *host_memory_find(uintptr_t address)
{
    size_t at = range_after(address);

    return at < range_count && ranges[at]->base <= address ? ranges[at] : NULL;
}

static bool range_insert(struct allocation *range)
{
    size_t at = range_after(range->base);

    if (range_count == range_room) {
        size_t room = range_room ? 2 * range_room : 64;
        struct allocation **grown = realloc(ranges, room * sizeof *grown);

        if (!grown)
            return false;
        ranges = grown;
        range_room = room;
    }
    memmove(ranges + at + 1, ranges + at, (range_count - at) * sizeof *ranges);
    ranges[at] = range;
    range_count++;
    return true;
}

CUresult host_memory_add(struct memory_owner owner, enum memory_kind kind, void *base, size_t bytes,
                         unsigned flags)
{
    struct allocation *made = calloc(1, sizeof *made);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->kind = kind;
    made->base = (uintptr_t)base;
    made->bytes = bytes;
    made->extent = ROUND_UP(bytes, 4096);
    made->ctx = owner.ctx;
    made->device = owner.device;
    made->id = memory_next_id();
    made->flags = flags;
    if (!range_insert(made)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    LIST_INSERT_HEAD(owner.allocations, made, link);
    return CUDA_SUCCESS;
}

void host_memory_give(struct allocation *range)
{
    size_t at = range_after(range->base);

    memmove(ranges + at, ranges + at + 1, (range_count - at - 1) * sizeof *ranges);
    range_count--;
    LIST_REMOVE(range, link);
    if (range->kind == MEMORY_HOST)
        munmap((void *)range->base, range->extent);
    free(range);
}

bool host_memory_overlaps(uintptr_t base, size_t bytes)
{
    size_t at = range_after(base);

    return at < range_count && ranges[at]->base < base + bytes;
}
