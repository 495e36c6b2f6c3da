/* SPDX-License-Identifier: MIT */
/*
 * Tensors on the device: one that is made sure of, many that are brought at once. Memory comes from
 * the memory manager on the caller's stream; a copy begins after that stream's work so far, so that
 * memory which the stream has just freed is not written under it.
 */
#include <errno.h>

#include "engine/device.h"
#include "engine/transfer_device.h"
#include "include/cupool/memory.h"
#include "pool/transfer/queue.h"

#define ALIGNMENT      ((size_t)256)
#define ALIGNMENT_MOST ((size_t)512) /* of the memory manager */

static struct cupool_transfer_options after_stream(cupool_stream stream)
{
    struct cupool_transfer_options options;

    cupool_transfer_options_init(&options);
    options.after_stream = stream;
    return options;
}

/* Whether the memory is the device's own from end to end. */
static int is_on_device(struct cupool_transfers *transfers, const void *memory, size_t bytes)
{
    const struct transfer_backend *backend = &transfers->backend;
    uint64_t at = (uintptr_t)memory, end = at + bytes, next;
    enum transfer_place place;

    if (end < at)
        return transfers_fail(transfers, -EOVERFLOW, "an address and its bytes overflow");
    if (backend->host)
        return 1;
    for (; at < end; at = next) {
        int error = backend->place(backend->state, at, &place, &next);

        if (error < 0)
            return transfers_fail(transfers, error, "the driver does not know an address");
        if (place == TRANSFER_FOREIGN)
            return transfers_fail(transfers, -EXDEV, "memory belongs to another device or context");
        if (place != TRANSFER_DEVICE)
            return 0;
    }
    return 1;
}

int cupool_transfers_ensure(struct cupool_transfers *transfers, const void *memory, size_t bytes,
                            cupool_stream stream, void **ret_memory, cupool_transfer *ret_transfer)
{
    const struct cupool_transfer_options options = after_stream(stream);
    void *made = NULL;

    if (!transfers || !memory || bytes == 0 || !ret_memory || !ret_transfer)
        return -EINVAL;
    int here = is_on_device(transfers, memory, bytes);
    if (here < 0)
        return here;
    if (here) {
        *ret_memory = (void *)(uintptr_t)memory;
        *ret_transfer = 0;
        return 0;
    }
    struct cupool_device *device = transfer_device(transfers);
    int error = cupool_memory_allocate(device, bytes, stream, &made);
    if (error < 0)
        return transfers_fail(transfers, error, "the device does not have that much memory");
    const struct cupool_copy copy = {made, memory, bytes};
    error = cupool_transfers_submit(transfers, CUPOOL_TO_DEVICE, &copy, 1, &options, ret_transfer);
    if (error < 0) {
        cupool_memory_free(device, made, stream);
        return error;
    }
    *ret_memory = made;
    return 0;
}

/* Places of the tensors behind one another; the bytes of all of them. */
static int sources_place(struct cupool_transfers *transfers,
                         const struct cupool_tensor_source *sources, uint32_t count,
                         size_t alignment, size_t *ret_bytes)
{
    size_t bytes = 0;

    for (uint32_t at = 0; at < count; at++) {
        size_t rounded;

        if (__builtin_add_overflow(sources[at].bytes, alignment - 1, &rounded) ||
            __builtin_add_overflow(bytes, rounded & ~(alignment - 1), &bytes))
            return transfers_fail(transfers, -EOVERFLOW, "the tensors overflow");
        if (sources[at].bytes != 0 && !sources[at].memory)
            return transfers_fail(transfers, -EINVAL, "an address is null");
    }
    *ret_bytes = bytes;
    return 0;
}

/** A prefetch as copies. */
struct prefetch {
    const struct cupool_tensor_source *sources;
    void *const *addresses;
};

static struct cupool_copy prefetch_at(const void *state, uint32_t number)
{
    const struct prefetch *prefetch = state;

    return (struct cupool_copy){prefetch->addresses[number], prefetch->sources[number].memory,
                                prefetch->sources[number].bytes};
}

int cupool_transfers_prefetch(struct cupool_transfers *transfers,
                              const struct cupool_tensor_source *sources, uint32_t count,
                              size_t alignment, cupool_stream stream, void **ret_memory,
                              void **ret_addresses, cupool_transfer *ret_transfer)
{
    const struct cupool_transfer_options options = after_stream(stream);
    const struct prefetch prefetch = {sources, ret_addresses};
    const struct transfer_source source = {&prefetch, prefetch_at};
    size_t bytes = 0, at_byte = 0;
    void *memory = NULL;

    if (!transfers || !sources || count == 0 || !ret_memory || !ret_addresses || !ret_transfer)
        return -EINVAL;
    alignment = alignment == 0 ? ALIGNMENT : alignment;
    if ((alignment & (alignment - 1)) != 0 || alignment > ALIGNMENT_MOST)
        return transfers_fail(transfers, -EINVAL, "the alignment is not a power of two up to 512");
    int error = sources_place(transfers, sources, count, alignment, &bytes);
    if (error == 0 && bytes == 0)
        error = transfers_fail(transfers, -EINVAL, "the tensors have no bytes");
    if (error < 0)
        return error;
    struct cupool_device *device = transfer_device(transfers);
    error = cupool_memory_allocate(device, bytes, stream, &memory);
    if (error < 0)
        return transfers_fail(transfers, error, "the device does not have that much memory");
    for (uint32_t at = 0; at < count; at++) {
        ret_addresses[at] = (char *)memory + at_byte;
        at_byte += (sources[at].bytes + alignment - 1) & ~(alignment - 1);
    }
    error = transfers_submit(transfers, CUPOOL_TO_DEVICE, &source, count, &options, ret_transfer);
    if (error < 0) {
        cupool_memory_free(device, memory, stream);
        return error;
    }
    *ret_memory = memory;
    return 0;
}
