/* SPDX-License-Identifier: MIT */
/*
 * Turns the caller's copies into fragments: validated, sorted by destination, merged, each with its
 * method.
 *
 * Destinations are sorted and do not overlap, so a binary search checks each source against them.
 * Memory ranges are cached between look-ups: fragments of one allocation cost one driver call.
 */
#include <errno.h>
#include <string.h>

#include "pool/transfer/queue.h"

#define RANGES 4u

/** Memory that was looked up. */
struct range {
    uint64_t first, end;
    enum transfer_place place;
};

struct looks {
    struct range ranges[RANGES];
    unsigned next;
};

static int range_of(struct cupool_transfers *transfers, struct looks *looks, uint64_t address,
                    struct range *ret_range)
{
    struct range range = {.first = address};

    for (unsigned at = 0; at < RANGES; at++)
        if (address >= looks->ranges[at].first && address < looks->ranges[at].end) {
            *ret_range = looks->ranges[at];
            return 0;
        }
    int error = transfers->backend.place(transfers->backend.state, address, &range.place,
                                         &range.end);
    if (error < 0)
        return error;
    /* The extent of pageable memory is not known: the result holds for this address alone. */
    if (range.end != UINT64_MAX)
        looks->ranges[looks->next++ % RANGES] = range;
    *ret_range = range;
    return 0;
}

/* Sorting in place: the library's own may allocate. */
static bool lower(const struct transfer_fragment *left, const struct transfer_fragment *right)
{
    return left->to < right->to;
}

static void sift_down(struct transfer_fragment *fragments, uint32_t root, uint32_t count)
{
    struct transfer_fragment moved = fragments[root];

    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && lower(&fragments[child], &fragments[child + 1]))
            child++;
        if (!lower(&moved, &fragments[child]))
            break;
        fragments[root] = fragments[child];
    }
    fragments[root] = moved;
}

static void fragments_sort(struct transfer_fragment *fragments, uint32_t count)
{
    uint32_t sorted = 1;

    while (sorted < count && !lower(&fragments[sorted], &fragments[sorted - 1]))
        sorted++;
    if (sorted >= count)
        return;
    for (uint32_t root = count / 2; root > 0; root--)
        sift_down(fragments, root - 1, count);
    for (uint32_t last = count - 1; last > 0; last--) {
        struct transfer_fragment first = fragments[0];

        fragments[0] = fragments[last];
        fragments[last] = first;
        sift_down(fragments, 0, last);
    }
}

/* Checks the sizes and addresses themselves; skips empty copies. */
static int copies_take(struct cupool_transfers *transfers, struct transfer_request *request,
                       struct transfer_fragment *fragments, const struct transfer_source *source,
                       uint32_t count, size_t alignment)
{
    size_t odd = alignment > 1 ? alignment - 1 : 0;

    if ((alignment & odd) != 0)
        return transfers_fail(transfers, -EINVAL, "the alignment is not a power of two");
    for (uint32_t at = 0; at < count; at++) {
        const struct cupool_copy copy = source->at(source->state, at);
        uint64_t to = (uintptr_t)copy.to, from = (uintptr_t)copy.from, bytes = copy.bytes, end;

        if (bytes == 0)
            continue;
        if (to == 0 || from == 0)
            return transfers_fail(transfers, -EINVAL, "an address is null");
        if (__builtin_add_overflow(to, bytes, &end) || __builtin_add_overflow(from, bytes, &end) ||
            __builtin_add_overflow(request->bytes, bytes, &request->bytes))
            return transfers_fail(transfers, -EOVERFLOW, "a copy exceeds the address space");
        if (((to | from | bytes) & odd) != 0)
            return transfers_fail(transfers, -EINVAL,
                                  "an address or size is not aligned as requested");
        fragments[request->count++] = (struct transfer_fragment){
            .to = to, .from = from, .bytes = bytes};
    }
    return 0;
}

static int overlap_check(struct cupool_transfers *transfers,
                         const struct transfer_fragment *fragments, uint32_t count)
{
    for (uint32_t at = 1; at < count; at++)
        if (fragments[at].to - fragments[at - 1].to < fragments[at - 1].bytes)
            return transfers_fail(transfers, -ENOTUNIQ, "two destinations overlap");
    for (uint32_t at = 0; at < count; at++) {
        /* Finds the last destination that begins before the end of this source. */
        uint64_t end = fragments[at].from + fragments[at].bytes;
        uint32_t low = 0, high = count;

        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (fragments[middle].to < end)
                low = middle + 1;
            else
                high = middle;
        }
        if (low > 0 && fragments[low - 1].to + fragments[low - 1].bytes > fragments[at].from)
            return transfers_fail(transfers, -ENOTUNIQ, "a destination overlaps a source");
    }
    return 0;
}

static uint32_t neighbours_join(struct transfer_fragment *fragments, uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t at = 1; at < count; at++) {
        struct transfer_fragment *last = &fragments[kept];

        if (fragments[at].to == last->to + last->bytes &&
            fragments[at].from == last->from + last->bytes)
            last->bytes += fragments[at].bytes;
        else
            fragments[++kept] = fragments[at];
    }
    return count == 0 ? 0 : kept + 1;
}

/* The device's side: its own memory from end to end. */
static int device_side(struct cupool_transfers *transfers, struct looks *looks, uint64_t address,
                       uint64_t bytes)
{
    struct range range;

    for (uint64_t at = address; at < address + bytes; at = range.end) {
        int error = range_of(transfers, looks, at, &range);

        if (error < 0)
            return transfers_fail(transfers, error, "the driver does not know an address");
        if (range.place == TRANSFER_FOREIGN)
            return transfers_fail(transfers, -EXDEV, "memory belongs to another device or context");
        if (range.place != TRANSFER_DEVICE)
            return at == address
                       ? transfers_fail(transfers, -EINVAL,
                                        "an address on the device side is not device memory")
                       : transfers_fail(transfers, -EFAULT, "a copy exceeds its device memory");
    }
    return 0;
}

/* Checks the host's side: where it is page-locked, and whether it is contiguous. */
static int host_side(struct cupool_transfers *transfers, struct looks *looks, uint64_t address,
                     struct transfer_fragment *fragment)
{
    struct range range;
    int error = range_of(transfers, looks, address, &range);

    if (error < 0)
        return transfers_fail(transfers, error, "the driver does not know an address");
    if (range.place == TRANSFER_DEVICE || range.place == TRANSFER_FOREIGN)
        return transfers_fail(transfers, range.place == TRANSFER_DEVICE ? -EINVAL : -EXDEV,
                              "an address on the host side is device memory");
    fragment->crossing = range.end - address < fragment->bytes;
    fragment->way = range.place == TRANSFER_PAGEABLE || fragment->crossing ? TRANSFER_BY_RING
                                                                           : TRANSFER_BY_COPY;
    return 0;
}

static int places_find(struct transfer_queue *queue, struct transfer_request *request,
                       struct transfer_fragment *fragments)
{
    struct cupool_transfers *transfers = queue->transfers;
    struct looks to = {.next = 0}, from = {.next = 0};

    for (uint32_t at = 0; at < request->count; at++) {
        struct transfer_fragment *fragment = &fragments[at];
        int error = 0;

        fragment->way = TRANSFER_BY_COPY;
        if (transfers->backend.host)
            continue;
        if (queue->direction != CUPOOL_FROM_DEVICE)
            error = device_side(transfers, &to, fragment->to, fragment->bytes);
        else
            error = host_side(transfers, &to, fragment->to, fragment);
        if (error == 0 && queue->direction != CUPOOL_TO_DEVICE)
            error = device_side(transfers, &from, fragment->from, fragment->bytes);
        else if (error == 0)
            error = host_side(transfers, &from, fragment->from, fragment);
        if (error < 0)
            return error;
        request->host_reads |= fragment->way == TRANSFER_BY_RING &&
                               queue->direction == CUPOOL_TO_DEVICE;
        request->unpacks |= fragment->way == TRANSFER_BY_RING &&
                            queue->direction == CUPOOL_FROM_DEVICE;
    }
    return 0;
}

/* Assigns small ones to the kernel, if there are enough of them. */
static void ways_choose(struct cupool_transfers *transfers, struct transfer_fragment *fragments,
                        uint32_t count)
{
    uint64_t below = atomic_load(&transfers->kernel_below), small = 0;

    if (!transfers->backend.copy_kernel || atomic_load(&transfers->no_kernel))
        return;
    for (uint32_t at = 0; at < count; at++)
        small += fragments[at].way == TRANSFER_BY_COPY && fragments[at].bytes < below;
    if (small == 0 || small < atomic_load(&transfers->kernel_from))
        return;
    for (uint32_t at = 0; at < count; at++)
        if (fragments[at].way == TRANSFER_BY_COPY && fragments[at].bytes < below)
            fragments[at].way = TRANSFER_BY_KERNEL;
}

int transfer_plan(struct transfer_queue *queue, struct transfer_request *request,
                  const struct transfer_source *source, uint32_t count, size_t alignment)
{
    struct cupool_transfers *transfers = queue->transfers;
    struct transfer_fragment *fragments = queue->fragments + request->first;

    request->count = 0;
    request->bytes = 0;
    request->host_reads = request->unpacks = false;
    int error = copies_take(transfers, request, fragments, source, count, alignment);
    if (error < 0)
        return error;
    request->submitted = request->count;
    fragments_sort(fragments, request->count);
    error = overlap_check(transfers, fragments, request->count);
    if (error < 0)
        return error;
    request->count = neighbours_join(fragments, request->count);
    error = places_find(queue, request, fragments);
    if (error < 0)
        return error;
    ways_choose(transfers, fragments, request->count);
    return 0;
}
