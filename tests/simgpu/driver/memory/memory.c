/* SPDX-License-Identifier: MIT */
/*
 * Segments, blocks in them, and allocations of their own. For a segment: used granules = sum over
 * its blocks of extent / 512; `longest` is never below the longest free run.
 */
#include "tests/simgpu/driver/memory/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#define GRANULES (PAGE_BYTES / MEMORY_ALIGN)

struct segment {
    LIST_ENTRY(segment) link;
    struct arena *arena;
    struct physical *physical;
    uintptr_t base;
    unsigned used;
    unsigned longest;
    struct allocation *block[GRANULES]; /* around each granule; NULL where it is free */
};

struct allocation_list memory_others = LIST_HEAD_INITIALIZER(memory_others);

uint64_t memory_next_id(void)
{
    static uint64_t last;

    return ++last;
}

uintptr_t segment_base(const struct segment *segment)
{
    return segment->base;
}

struct physical *segment_physical(const struct segment *segment)
{
    return segment->physical;
}

size_t memory_rounded(size_t bytes)
{
    return bytes < PAGE_BYTES ? ROUND_UP(bytes, MEMORY_ALIGN) : ROUND_UP(bytes, PAGE_BYTES);
}

/* Physical memory at a new address; both or nothing. */
static CUresult backing_map(struct device *device, size_t bytes, struct physical **ret_physical,
                            uintptr_t *ret_base)
{
    struct physical *physical;
    CUresult result = physical_create(device, bytes, false, &physical);

    if (result != CUDA_SUCCESS)
        return result;
    uintptr_t base = va_take(bytes, PAGE_BYTES, 0);
    if (!base) {
        result = CUDA_ERROR_OUT_OF_MEMORY;
        goto drop;
    }
    result = physical_map(physical, base, 0, bytes, PROT_READ | PROT_WRITE);
    if (result != CUDA_SUCCESS) {
        va_give(base, bytes);
        goto drop;
    }
    *ret_physical = physical;
    *ret_base = base;
drop:
    physical->handles--;
    physical_check(physical);
    return result;
}

static CUresult segment_create(struct arena *arena, struct segment **ret)
{
    struct segment *segment = calloc(1, sizeof *segment);

    if (!segment)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = backing_map(arena->device, PAGE_BYTES, &segment->physical, &segment->base);
    if (result != CUDA_SUCCESS) {
        free(segment);
        return result;
    }
    segment->arena = arena;
    segment->longest = GRANULES;
    va_page(segment->base)->segment = segment;
    LIST_INSERT_HEAD(&arena->segments, segment, link);
    arena->segment_count++;
    *ret = segment;
    return CUDA_SUCCESS;
}

static void segment_destroy(struct segment *segment)
{
    LIST_REMOVE(segment, link);
    segment->arena->segment_count--;
    va_page(segment->base)->segment = NULL;
    physical_unmap(segment->physical, segment->base, PAGE_BYTES);
    va_give(segment->base, PAGE_BYTES);
    free(segment);
}

/* First run of free granules that is long enough; GRANULES if there is none. */
static unsigned segment_search(struct segment *segment, unsigned granules)
{
    unsigned run = 0, longest = 0;

    if (segment->longest < granules)
        return GRANULES;
    for (unsigned i = 0; i < GRANULES;) {
        struct allocation *block = segment->block[i];

        if (block) {
            i = (unsigned)((block->base + block->extent - segment->base) / MEMORY_ALIGN);
            run = 0;
            continue;
        }
        i++;
        if (++run == granules)
            return i - granules;
        longest = run > longest ? run : longest;
    }
    segment->longest = longest;
    return GRANULES;
}

static CUresult block_take(struct arena *arena, struct allocation *into)
{
    unsigned granules = (unsigned)(into->extent / MEMORY_ALIGN), first = GRANULES;
    struct segment *segment;

    LIST_FOREACH(segment, &arena->segments, link) {
        first = segment_search(segment, granules);
        if (first < GRANULES)
            break;
    }
    if (!segment) {
        CUresult result = segment_create(arena, &segment);

        if (result != CUDA_SUCCESS)
            return result;
        first = 0;
    }
    for (unsigned i = 0; i < granules; i++)
        segment->block[first + i] = into;
    segment->used += granules;
    into->segment = segment;
    into->base = segment->base + first * MEMORY_ALIGN;
    return CUDA_SUCCESS;
}

static void block_give(struct allocation *block)
{
    struct segment *segment = block->segment;
    unsigned first = (unsigned)((block->base - segment->base) / MEMORY_ALIGN);
    unsigned granules = (unsigned)(block->extent / MEMORY_ALIGN);

    for (unsigned i = 0; i < granules; i++)
        segment->block[first + i] = NULL;
    segment->used -= granules;
    segment->longest = GRANULES;
    if (!segment->used && !segment->arena->keeps_empty)
        segment_destroy(segment);
}

size_t memory_trim(struct arena *arena, size_t bytes)
{
    size_t given = 0;
    struct segment *segment = LIST_FIRST(&arena->segments);

    while (segment && given < bytes) {
        struct segment *next = LIST_NEXT(segment, link);

        if (!segment->used) {
            segment_destroy(segment);
            given += PAGE_BYTES;
        }
        segment = next;
    }
    return given;
}

/* Imported memory can begin inside its first page. */
static uintptr_t first_page(const struct allocation *allocation)
{
    return allocation->base / PAGE_BYTES * PAGE_BYTES;
}

static void pages_set(struct allocation *allocation, struct allocation *value)
{
    for (size_t at = 0; at < allocation->extent; at += PAGE_BYTES)
        va_page(first_page(allocation) + at)->allocation = value;
}

static struct allocation *allocation_create(struct memory_owner owner, enum memory_kind kind,
                                            size_t bytes)
{
    struct allocation *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->kind = kind;
    made->bytes = bytes;
    made->extent = memory_rounded(bytes);
    made->ctx = owner.ctx;
    made->device = owner.device;
    made->id = memory_next_id();
    return made;
}

static void allocation_publish(struct allocation *allocation, struct memory_owner owner)
{
    if (!allocation->segment)
        pages_set(allocation, allocation);
    LIST_INSERT_HEAD(owner.allocations, allocation, link);
}

CUresult memory_take(struct arena *arena, struct memory_owner owner, enum memory_kind kind,
                     size_t bytes, struct allocation **ret)
{
    if (bytes > SIZE_MAX - PAGE_BYTES)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct allocation *made = allocation_create(owner, kind, bytes);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = bytes < PAGE_BYTES
                          ? block_take(arena, made)
                          : backing_map(arena->device, made->extent, &made->physical, &made->base);
    if (result != CUDA_SUCCESS) {
        free(made);
        return result;
    }
    allocation_publish(made, owner);
    *ret = made;
    return CUDA_SUCCESS;
}

CUresult memory_adopt(struct physical *physical, struct memory_owner owner, enum memory_kind kind,
                      size_t skip_bytes, size_t bytes, struct allocation **ret)
{
    struct allocation *made = allocation_create(owner, kind, bytes);
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;

    if (!made)
        return result;
    made->extent = ROUND_UP(skip_bytes + bytes, PAGE_BYTES);
    made->physical = physical;
    made->base = va_take(made->extent, PAGE_BYTES, 0);
    if (!made->base)
        goto drop;
    result = physical_map(physical, made->base, 0, made->extent, PROT_READ | PROT_WRITE);
    if (result != CUDA_SUCCESS)
        goto unreserve;
    made->base += skip_bytes;
    allocation_publish(made, owner);
    *ret = made;
    return CUDA_SUCCESS;
unreserve:
    va_give(made->base, made->extent);
drop:
    free(made);
    return result;
}

void memory_give(struct allocation *allocation)
{
    LIST_REMOVE(allocation, link);
    if (allocation->segment)
        block_give(allocation);
    else {
        pages_set(allocation, NULL);
        physical_unmap(allocation->physical, first_page(allocation), allocation->extent);
        va_give(first_page(allocation), allocation->extent);
    }
    free(allocation);
}

struct allocation *memory_find(uintptr_t address)
{
    struct page *page = va_page(address);

    if (!page)
        return NULL;
    struct allocation *found = page->allocation;
    if (page->segment)
        found = page->segment->block[(address - page->segment->base) / MEMORY_ALIGN];
    return found && address - found->base < found->bytes ? found : NULL;
}

bool memory_covers(uintptr_t address, size_t bytes)
{
    struct allocation *at = memory_find(address);

    while (at && at->base + at->bytes - address < bytes) {
        /* Only mappings of the program's own may be used across their borders. */
        if (at->kind != MEMORY_MAPPED)
            return false;
        bytes -= at->base + at->bytes - address;
        address = at->base + at->bytes;
        at = memory_find(address);
    }
    return at;
}
