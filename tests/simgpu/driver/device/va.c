/* SPDX-License-Identifier: MIT */
/*
 * The allocator of device addresses. Equation: an extent in a bin has the same extent_pages at its
 * first and last page, every other page has 0, and no two free extents touch.
 */
#include "tests/simgpu/driver/device/va.h"

#include <stdio.h>
#include <sys/mman.h>

#define REGION_LARGEST ((size_t)8 << 40)
#define REGION_LEAST   ((size_t)16 << 30)
#define BINS           32

static uintptr_t region_base; /* immutable after va_open */
static size_t region_pages;
static struct page *pages;
static uint32_t bins[BINS]; /* index + 1 of the first extent with 2^bin <= pages < 2^(bin+1) */

static unsigned bin_of(size_t count)
{
    return 63 - (unsigned)__builtin_clzll(count);
}

static void extent_insert(uint32_t first, uint32_t count)
{
    uint32_t *head = &bins[bin_of(count)];

    pages[first].extent_pages = pages[first + count - 1].extent_pages = count;
    pages[first].prev = 0;
    pages[first].next = *head;
    if (*head)
        pages[*head - 1].prev = first + 1;
    *head = first + 1;
}

static void extent_remove(uint32_t first)
{
    uint32_t count = pages[first].extent_pages;

    if (pages[first].prev)
        pages[pages[first].prev - 1].next = pages[first].next;
    else
        bins[bin_of(count)] = pages[first].next;
    if (pages[first].next)
        pages[pages[first].next - 1].prev = pages[first].prev;
    pages[first].extent_pages = pages[first + count - 1].extent_pages = 0;
}

/* Reserve as much as the system gives: sanitizers and limits leave less room than a plain process.
 */
CUresult va_open(void)
{
    size_t bytes = REGION_LARGEST;
    char *found = MAP_FAILED;

    for (; bytes >= REGION_LEAST && found == MAP_FAILED; bytes /= 2)
        found = mmap(NULL, bytes + PAGE_BYTES, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    bytes *= 2;
    region_base = ROUND_UP((uintptr_t)found, PAGE_BYTES);
    region_pages = bytes / PAGE_BYTES;
    pages = mmap(NULL, region_pages * sizeof *pages, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* A child after fork must not share device memory with its parent. */
    madvise((void *)region_base, bytes, MADV_DONTFORK);
    extent_insert(0, (uint32_t)region_pages);
    return CUDA_SUCCESS;
}

bool va_contains(uintptr_t address)
{
    return address - region_base < region_pages * PAGE_BYTES;
}

struct page *va_page(uintptr_t address)
{
    return va_contains(address) ? &pages[(address - region_base) / PAGE_BYTES] : NULL;
}

/* Where in a free extent `count` pages with that alignment begin; -1 if they do not fit. */
static int64_t fit_in(uint32_t first, size_t count, size_t align)
{
    uintptr_t start = region_base + (uintptr_t)first * PAGE_BYTES;
    size_t skip = (ROUND_UP(start, align) - start) / PAGE_BYTES;

    return skip + count <= pages[first].extent_pages ? (int64_t)(first + skip) : -1;
}

static int64_t find_anywhere(size_t count, size_t align, uint32_t *ret_extent)
{
    for (unsigned bin = bin_of(count); bin < BINS; bin++)
        for (uint32_t at = bins[bin]; at; at = pages[at - 1].next) {
            int64_t first = fit_in(at - 1, count, align);

            if (first < 0)
                continue;
            *ret_extent = at - 1;
            return first;
        }
    return -1;
}

static int64_t find_at(uintptr_t wanted, size_t count, uint32_t *ret_extent)
{
    int64_t first = (int64_t)((wanted - region_base) / PAGE_BYTES);

    for (unsigned bin = 0; bin < BINS; bin++)
        for (uint32_t at = bins[bin]; at; at = pages[at - 1].next)
            if (at - 1 <= first && first + count <= at - 1 + pages[at - 1].extent_pages) {
                *ret_extent = at - 1;
                return first;
            }
    return -1;
}

uintptr_t va_take(size_t bytes, size_t align, uintptr_t wanted)
{
    size_t count = ROUND_UP(bytes, PAGE_BYTES) / PAGE_BYTES;
    uint32_t extent;
    int64_t first = -1;

    if (!count || count > region_pages)
        return 0;
    if (wanted && va_contains(wanted) && wanted % PAGE_BYTES == 0 && wanted % align == 0)
        first = find_at(wanted, count, &extent);
    if (first < 0)
        first = find_anywhere(count, align, &extent);
    if (first < 0)
        return 0;
    uint32_t end = extent + pages[extent].extent_pages;
    extent_remove(extent);
    if (first > extent)
        extent_insert(extent, (uint32_t)first - extent);
    if (first + count < end)
        extent_insert((uint32_t)(first + count), (uint32_t)(end - first - count));
    return region_base + (uintptr_t)first * PAGE_BYTES;
}

void va_give(uintptr_t address, size_t bytes)
{
    uint32_t first = (uint32_t)((address - region_base) / PAGE_BYTES);
    uint32_t count = (uint32_t)(ROUND_UP(bytes, PAGE_BYTES) / PAGE_BYTES);

    if (first + count < region_pages && pages[first + count].extent_pages) {
        uint32_t right = pages[first + count].extent_pages;

        extent_remove(first + count);
        count += right;
    }
    if (first && pages[first - 1].extent_pages) {
        uint32_t left = pages[first - 1].extent_pages;

        extent_remove(first - left);
        first -= left;
        count += left;
    }
    extent_insert(first, count);
}
