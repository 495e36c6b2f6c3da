/* SPDX-License-Identifier: MIT */
/*
 * The old straight copies to and from arrays: `count` bytes from a position on, running over into
 * the next rows. They become one driver copy per row touched. Compiled twice: see runtime.h.
 */
#include "tests/simgpu/runtime/memory/copy.h"

#include <stddef.h>

/* A place in a copy: an array's row and column, or linear memory with rows of unlimited length. */
struct cursor {
    struct copy_side side;
    size_t row_bytes; /* 0: linear */
};

static cudaError_t cursor_open(struct cursor *cursor)
{
    if (!cursor->side.array)
        return cudaSuccess;
    return copy_array_row(cursor->side.array, &cursor->row_bytes)
               ?: (cursor->side.x_bytes < cursor->row_bytes ? cudaSuccess : cudaErrorInvalidValue);
}

static size_t cursor_room(const struct cursor *cursor, size_t wanted)
{
    size_t left = cursor->row_bytes - cursor->side.x_bytes;

    return cursor->row_bytes == 0 || left > wanted ? wanted : left;
}

static void cursor_advance(struct cursor *cursor, size_t bytes)
{
    if (cursor->row_bytes == 0) {
        cursor->side.pointer = (const char *)cursor->side.pointer + bytes;
        return;
    }
    cursor->side.x_bytes += bytes;
    if (cursor->side.x_bytes == cursor->row_bytes) {
        cursor->side.x_bytes = 0;
        cursor->side.y++;
    }
}

/* The copy of the next piece that stays within one row on both sides. */
static cudaError_t next_piece(struct cursor *dst, struct cursor *src, enum cudaMemcpyKind kind,
                              size_t *left, CUDA_MEMCPY2D *ret_piece)
{
    size_t piece = cursor_room(src, cursor_room(dst, *left));
    cudaError_t status = copy_describe_2d(dst->side, src->side, piece, 1, kind, ret_piece);

    cursor_advance(dst, piece);
    cursor_advance(src, piece);
    *left -= piece;
    return status;
}

static cudaError_t copy_run(struct copy_side to, struct copy_side from, size_t count,
                            enum cudaMemcpyKind kind)
{
    struct cursor dst = {to, 0}, src = {from, 0};
    cudaError_t status = context_ready() ?: cursor_open(&dst) ?: cursor_open(&src);

    while (status == cudaSuccess && count > 0) {
        CUDA_MEMCPY2D piece;

        status = next_piece(&dst, &src, kind, &count, &piece)
                     ?: error_from(STREAM_DRIVER(cuMemcpy2DUnaligned)(&piece));
    }
    return error_keep(status);
}

static cudaError_t copy_run_async(struct copy_side to, struct copy_side from, size_t count,
                                  enum cudaMemcpyKind kind, cudaStream_t stream)
{
    struct cursor dst = {to, 0}, src = {from, 0};
    cudaError_t status = context_ready() ?: cursor_open(&dst) ?: cursor_open(&src);

    while (status == cudaSuccess && count > 0) {
        CUDA_MEMCPY2D piece;

        status = next_piece(&dst, &src, kind, &count, &piece)
                     ?: error_from(STREAM_DRIVER(cuMemcpy2DAsync)(&piece, stream));
    }
    return error_keep(status);
}

static struct copy_side linear(const void *pointer)
{
    return (struct copy_side){.pointer = pointer};
}

static struct copy_side within(cudaArray_const_t array, size_t x_bytes, size_t y)
{
    return (struct copy_side){.array = array, .x_bytes = x_bytes, .y = y};
}

cudaError_t cudaMemcpyToArray(cudaArray_t dst, size_t wOffset, size_t hOffset, const void *src,
                              size_t count, enum cudaMemcpyKind kind)
{
    return copy_run(within(dst, wOffset, hOffset), linear(src), count, kind);
}

cudaError_t cudaMemcpyToArrayAsync(cudaArray_t dst, size_t wOffset, size_t hOffset, const void *src,
                                   size_t count, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    return copy_run_async(within(dst, wOffset, hOffset), linear(src), count, kind, stream);
}

cudaError_t cudaMemcpyFromArray(void *dst, cudaArray_const_t src, size_t wOffset, size_t hOffset,
                                size_t count, enum cudaMemcpyKind kind)
{
    return copy_run(linear(dst), within(src, wOffset, hOffset), count, kind);
}

cudaError_t cudaMemcpyFromArrayAsync(void *dst, cudaArray_const_t src, size_t wOffset,
                                     size_t hOffset, size_t count, enum cudaMemcpyKind kind,
                                     cudaStream_t stream)
{
    return copy_run_async(linear(dst), within(src, wOffset, hOffset), count, kind, stream);
}

cudaError_t cudaMemcpyArrayToArray(cudaArray_t dst, size_t wOffsetDst, size_t hOffsetDst,
                                   cudaArray_const_t src, size_t wOffsetSrc, size_t hOffsetSrc,
                                   size_t count, enum cudaMemcpyKind kind)
{
    return copy_run(within(dst, wOffsetDst, hOffsetDst), within(src, wOffsetSrc, hOffsetSrc), count,
                    kind);
}
