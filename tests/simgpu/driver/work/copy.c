/* SPDX-License-Identifier: MIT */
/*
 * From arguments to units of work. Every form of copy becomes a box of rows between two addresses
 * of this process.
 */
#include "tests/simgpu/driver/work/copy.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/memory/array.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/work/capture.h"

enum place { PLACE_DEVICE, PLACE_PINNED, PLACE_PAGEABLE, PLACE_BAD };

/* Where [address, +bytes) is. Addresses of the region belong to the device or are invalid. */
static enum place place_of(uintptr_t address, size_t bytes)
{
    if (va_contains(address)) {
        struct allocation *found = memory_find(address);

        if (!found || !memory_covers(address, bytes))
            return PLACE_BAD;
        return found->kind == MEMORY_MANAGED ? PLACE_PINNED : PLACE_DEVICE;
    }
    return host_memory_find(address) ? PLACE_PINNED : PLACE_PAGEABLE;
}

static size_t box_span(const struct copy *copy, size_t pitch, size_t slice)
{
    return (copy->depth - 1) * slice + (copy->height - 1) * pitch + copy->width_bytes;
}

/* A private copy of a pageable source, so that the program may change it after the call. */
static bool stage_source(struct work *work)
{
    struct copy *copy = &work->copy;
    size_t plane = copy->width_bytes * copy->height;
    char *staging = malloc(plane * copy->depth);

    if (!staging)
        return false;
    for (size_t z = 0; z < copy->depth; z++)
        for (size_t y = 0; y < copy->height; y++)
            memcpy(staging + z * plane + y * copy->width_bytes,
                   (char *)copy->source + z * copy->source_slice + y * copy->source_pitch,
                   copy->width_bytes);
    work->staging = staging;
    copy->source = (uintptr_t)staging;
    copy->source_pitch = copy->width_bytes;
    copy->source_slice = plane;
    return true;
}

static CUresult submit_copy(const struct copy *copy, struct destination where)
{
    enum place from = place_of(copy->source,
                               box_span(copy, copy->source_pitch, copy->source_slice));
    enum place to = place_of(copy->target, box_span(copy, copy->target_pitch, copy->target_slice));
    CUstream stream;
    CUresult result = stream_resolve(where.stream, where.per_thread, &stream);

    if (result == CUDA_SUCCESS && (from == PLACE_BAD || to == PLACE_BAD))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = stream_check_capture(stream);
    bool wait = where.async ? to == PLACE_PAGEABLE && !stream->capture
                            : from != PLACE_DEVICE || to != PLACE_DEVICE;
    if (result == CUDA_SUCCESS && !where.async)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    struct work *work = work_create(WORK_COPY);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->copy = *copy;
    work->copy.between_host = from != PLACE_DEVICE || to != PLACE_DEVICE;
    if (!wait && from == PLACE_PAGEABLE && !stream->capture && !stage_source(work)) {
        work_destroy(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return stream_submit(stream, work, wait);
}

static CUresult nothing_to_do(struct destination where)
{
    CUstream stream;

    return stream_resolve(where.stream, where.per_thread, &stream);
}

/* Device calls also take pinned memory, which the device knows under the same address. */
static bool device_knows(uintptr_t address, size_t bytes)
{
    enum place place = place_of(address, bytes);

    return place == PLACE_DEVICE || place == PLACE_PINNED;
}

static struct copy linear(uintptr_t target, uintptr_t source, size_t bytes)
{
    struct copy copy = {.source = source,
                        .target = target,
                        .source_pitch = bytes,
                        .target_pitch = bytes,
                        .source_slice = bytes,
                        .target_slice = bytes,
                        .width_bytes = bytes,
                        .height = 1,
                        .depth = 1};

    copy.as_given = (CUDA_MEMCPY3D){
        .srcMemoryType = va_contains(source) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST,
        .srcHost = (void *)source,
        .srcDevice = source,
        .dstMemoryType = va_contains(target) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST,
        .dstHost = (void *)target,
        .dstDevice = target,
        .WidthInBytes = bytes,
        .Height = 1,
        .Depth = 1};
    return copy;
}

CUresult copy_linear(uintptr_t target, uintptr_t source, size_t bytes, unsigned device,
                     struct destination where)
{
    struct copy copy = linear(target, source, bytes);

    if (!bytes)
        return nothing_to_do(where);
    if (!target || !source || (device & COPY_TO_DEVICE && !device_knows(target, bytes)) ||
        (device & COPY_FROM_DEVICE && !device_knows(source, bytes))) {
        CUresult result = nothing_to_do(where);
        return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
    }
    return submit_copy(&copy, where);
}

CUresult copy_batch(CUdeviceptr *targets, CUdeviceptr *sources, size_t *sizes, size_t count,
                    struct destination where)
{
    bool legacy = where.stream == CU_STREAM_LEGACY || (!where.stream && !where.per_thread);

    if (!targets || !sources || !sizes || !count || legacy)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        CUresult result = copy_linear(targets[i], sources[i], sizes[i], 0, where);

        if (result != CUDA_SUCCESS)
            return result;
    }
    return CUDA_SUCCESS;
}

struct side {
    uintptr_t base;
    size_t pitch, slice;
};

/* One end of a 3D copy, moved to its first byte. */
static CUresult side_resolve(CUmemorytype type, const void *host, CUdeviceptr device, CUarray array,
                             size_t pitch, size_t height, const size_t at[3],
                             const CUDA_MEMCPY3D *box, struct side *ret)
{
    size_t x = at[0], y = at[1], z = at[2];
    struct side side = {0, pitch, pitch * height};

    switch (type) {
    case CU_MEMORYTYPE_HOST: side.base = (uintptr_t)host; break;
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED: side.base = device; break;
    case CU_MEMORYTYPE_ARRAY:
        if (!handle_is(array, HANDLE_ARRAY))
            return CUDA_ERROR_INVALID_HANDLE;
        side = (struct side){array->memory->base, array->pitch, array->slice};
        if (x + box->WidthInBytes > array->pitch || y + box->Height > array->rows ||
            z + box->Depth > array->layers)
            return CUDA_ERROR_INVALID_VALUE;
        break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    if (!side.base || (side.pitch < x + box->WidthInBytes && (box->Height > 1 || box->Depth > 1)))
        return CUDA_ERROR_INVALID_VALUE;
    if (box->Depth > 1 && type != CU_MEMORYTYPE_ARRAY && height < y + box->Height)
        return CUDA_ERROR_INVALID_VALUE;
    side.base += z * side.slice + y * side.pitch + x;
    *ret = side;
    return CUDA_SUCCESS;
}

CUresult copy_resolve(const CUDA_MEMCPY3D *box, struct copy *ret)
{
    const size_t from_at[3] = {box->srcXInBytes, box->srcY, box->srcZ};
    const size_t to_at[3] = {box->dstXInBytes, box->dstY, box->dstZ};
    struct side from, to;
    CUresult result = side_resolve(box->srcMemoryType, box->srcHost, box->srcDevice, box->srcArray,
                                   box->srcPitch, box->srcHeight, from_at, box, &from);

    if (result == CUDA_SUCCESS)
        result = side_resolve(box->dstMemoryType, box->dstHost, box->dstDevice, box->dstArray,
                              box->dstPitch, box->dstHeight, to_at, box, &to);
    if (result != CUDA_SUCCESS)
        return result;
    *ret = (struct copy){.source = from.base,
                         .target = to.base,
                         .source_pitch = from.pitch,
                         .target_pitch = to.pitch,
                         .source_slice = from.slice,
                         .target_slice = to.slice,
                         .width_bytes = box->WidthInBytes,
                         .height = box->Height,
                         .depth = box->Depth,
                         .as_given = *box};
    return CUDA_SUCCESS;
}

CUresult copy_box(const CUDA_MEMCPY3D *box, struct destination where)
{
    struct copy copy;

    if (!box)
        return CUDA_ERROR_INVALID_VALUE;
    if (!box->WidthInBytes || !box->Height || !box->Depth)
        return nothing_to_do(where);
    CUresult result = copy_resolve(box, &copy);
    return result == CUDA_SUCCESS ? submit_copy(&copy, where) : result;
}

CUresult copy_flat_box(const CUDA_MEMCPY2D *flat, struct destination where)
{
    if (!flat)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D box = {.srcXInBytes = flat->srcXInBytes,
                         .srcY = flat->srcY,
                         .srcMemoryType = flat->srcMemoryType,
                         .srcHost = flat->srcHost,
                         .srcDevice = flat->srcDevice,
                         .srcArray = flat->srcArray,
                         .srcPitch = flat->srcPitch ? flat->srcPitch : flat->WidthInBytes,
                         .srcHeight = flat->Height,
                         .dstXInBytes = flat->dstXInBytes,
                         .dstY = flat->dstY,
                         .dstMemoryType = flat->dstMemoryType,
                         .dstHost = flat->dstHost,
                         .dstDevice = flat->dstDevice,
                         .dstArray = flat->dstArray,
                         .dstPitch = flat->dstPitch ? flat->dstPitch : flat->WidthInBytes,
                         .dstHeight = flat->Height,
                         .WidthInBytes = flat->WidthInBytes,
                         .Height = flat->Height,
                         .Depth = 1};
    return copy_box(&box, where);
}

CUresult copy_peer_box(const CUDA_MEMCPY3D_PEER *peer, struct destination where)
{
    if (!peer)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D box = {.srcXInBytes = peer->srcXInBytes,
                         .srcY = peer->srcY,
                         .srcZ = peer->srcZ,
                         .srcMemoryType = peer->srcMemoryType,
                         .srcHost = peer->srcHost,
                         .srcDevice = peer->srcDevice,
                         .srcArray = peer->srcArray,
                         .srcPitch = peer->srcPitch,
                         .srcHeight = peer->srcHeight,
                         .dstXInBytes = peer->dstXInBytes,
                         .dstY = peer->dstY,
                         .dstZ = peer->dstZ,
                         .dstMemoryType = peer->dstMemoryType,
                         .dstHost = peer->dstHost,
                         .dstDevice = peer->dstDevice,
                         .dstArray = peer->dstArray,
                         .dstPitch = peer->dstPitch,
                         .dstHeight = peer->dstHeight,
                         .WidthInBytes = peer->WidthInBytes,
                         .Height = peer->Height,
                         .Depth = peer->Depth};
    return copy_box(&box, where);
}

static bool array_covers(CUarray array, size_t offset, size_t bytes)
{
    return handle_is(array, HANDLE_ARRAY) && offset + bytes <= array->memory->bytes;
}

CUresult copy_array(CUarray array, size_t offset, uintptr_t other, bool to_array, size_t bytes,
                    struct destination where)
{
    if (!array_covers(array, offset, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    uintptr_t inside = array->memory->base + offset;
    return to_array ? copy_linear(inside, other, bytes, 0, where)
                    : copy_linear(other, inside, bytes, 0, where);
}

CUresult copy_between_arrays(CUarray target, size_t target_offset, CUarray source,
                             size_t source_offset, size_t bytes, struct destination where)
{
    if (!array_covers(target, target_offset, bytes) || !array_covers(source, source_offset, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    return copy_linear(target->memory->base + target_offset, source->memory->base + source_offset,
                       bytes, 0, where);
}

CUresult fill_resolve(uintptr_t target, size_t pitch, unsigned value, unsigned element_bytes,
                      size_t width, size_t height, struct fill *ret)
{
    if (target % element_bytes || (height > 1 && pitch % element_bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (height > 1 && pitch < width * element_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (width && height && !device_knows(target, (height - 1) * pitch + width * element_bytes))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (struct fill){target, pitch, value, element_bytes, width, height};
    return CUDA_SUCCESS;
}

CUresult fill_box(uintptr_t target, size_t pitch, unsigned value, unsigned element_bytes,
                  size_t width, size_t height, struct destination where)
{
    CUstream stream;
    struct fill fill;
    CUresult result = stream_resolve(where.stream, where.per_thread, &stream);

    if (result == CUDA_SUCCESS)
        result = fill_resolve(target, pitch, value, element_bytes, width, height, &fill);
    if (result == CUDA_SUCCESS)
        result = stream_check_capture(stream);
    if (result == CUDA_SUCCESS && !where.async)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS || !width || !height)
        return result;
    struct work *work = work_create(WORK_FILL);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->fill = fill;
    bool wait = !where.async && place_of(target, width * element_bytes) != PLACE_DEVICE;
    return stream_submit(stream, work, wait);
}
