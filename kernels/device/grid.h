/* SPDX-License-Identifier: MIT */
/*
 * One source of a kernel, two compilers: nvcc for the device, the host's C compiler for the host.
 *
 * A kernel is a function of its position in the grid and of one struct of arguments, written in the
 * C that both compilers know. From name_lane(), KERNEL_DEFINE(name, type) makes the kernel for the
 * device, or name_host(), which runs every lane of a grid one after another. Lanes interact only in
 * kernel_minimum(), so their order does not matter.
 *
 * Work is cut into tiles; a warp takes every N-th, where N is the number of warps. Addresses in
 * arguments are numbers: device addresses there, process addresses on the host.
 *
 * Threading: none of its own.
 */
#ifndef KERNELS_DEVICE_GRID_H
#define KERNELS_DEVICE_GRID_H

#ifdef __CUDACC__
#include <cstdint>
#else
#include <stdint.h>
#endif
#include <stddef.h>

#define KERNEL_WARP    32u
#define KERNEL_THREADS 128u /* of a block */

/** Bytes that a warp handles at a time. */
#define KERNEL_TILE_BYTES 4096u

/** Where a lane is. */
struct kernel_place {
    uint32_t warp, warps; /* in the whole grid */
    uint32_t lane;        /* in its warp */
};

#ifdef __CUDACC__

#define KERNEL_INLINE static __device__ __forceinline__
typedef ulonglong2 kernel_wide;
typedef uint64_t kernel_word;
typedef uint32_t kernel_half;
typedef uint16_t kernel_short;

KERNEL_INLINE kernel_wide kernel_wide_of(uint64_t low, uint64_t high)
{
    return make_ulonglong2(low, high);
}

/** Stores both words at once, to an aligned place. nvcc may store the members of a struct one by
 * one. */
KERNEL_INLINE void kernel_wide_store(void *to, uint64_t low, uint64_t high)
{
    asm volatile("st.v2.u64 [%0], {%1, %2};" : : "l"(to), "l"(low), "l"(high) : "memory");
}

/** The least byte of a word that is not 0. */
KERNEL_INLINE uint32_t kernel_first_byte(uint64_t word)
{
    return (uint32_t)(__ffsll((long long)word) - 1) / 8;
}

KERNEL_INLINE void kernel_minimum(uint64_t *at, uint64_t value)
{
    atomicMin((unsigned long long *)at, (unsigned long long)value);
}

#define KERNEL_DEFINE(name, type)                                                                  \
    extern "C" __global__ void __launch_bounds__(KERNEL_THREADS)                                   \
        name(const __grid_constant__ type arguments)                                               \
    {                                                                                              \
        const uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x;                             \
        const struct kernel_place place = {thread / KERNEL_WARP,                                   \
                                           gridDim.x * (blockDim.x / KERNEL_WARP),                 \
                                           threadIdx.x % KERNEL_WARP};                             \
        name##_lane(place, &arguments);                                                            \
    }

#else

#define KERNEL_INLINE static inline
typedef struct {
    uint64_t x, y;
} __attribute__((aligned(16), may_alias)) kernel_wide;
typedef uint64_t __attribute__((may_alias)) kernel_word;
typedef uint32_t __attribute__((may_alias)) kernel_half;
typedef uint16_t __attribute__((may_alias)) kernel_short;

KERNEL_INLINE kernel_wide kernel_wide_of(uint64_t low, uint64_t high)
{
    return (kernel_wide){low, high};
}

KERNEL_INLINE void kernel_wide_store(void *to, uint64_t low, uint64_t high)
{
    *(kernel_wide *)to = kernel_wide_of(low, high);
}

KERNEL_INLINE uint32_t kernel_first_byte(uint64_t word)
{
    return (uint32_t)__builtin_ctzll(word) / 8;
}

KERNEL_INLINE void kernel_minimum(uint64_t *at, uint64_t value)
{
    if (value < *at)
        *at = value;
}

#define KERNEL_DEFINE(name, type)                                                                  \
    void name##_host(const type *arguments, uint32_t warps)                                        \
    {                                                                                              \
        for (uint32_t warp = 0; warp < warps; warp++)                                              \
            for (uint32_t lane = 0; lane < KERNEL_WARP; lane++)                                    \
                name##_lane((struct kernel_place){warp, warps, lane}, arguments);                  \
    }

#endif

/**
 * Finds the item that a tile belongs to: the last one that begins at or before it. An item's first
 * tile is a word at `offset` in the item.
 */
KERNEL_INLINE const void *kernel_item_of_tile(const void *items, uint32_t count, uint32_t bytes,
                                              uint32_t offset, uint64_t tile)
{
    const char *first_tiles = (const char *)items + offset;
    uint32_t low = 0, high = count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (*(const kernel_word *)(first_tiles + (uint64_t)middle * bytes) <= tile)
            low = middle;
        else
            high = middle;
    }
    return (const char *)items + (uint64_t)low * bytes;
}

/** Returns the tiles of a piece of work of this many bytes: at least one, which has the odd
 * ends. */
#define KERNEL_TILES(bytes)                                                                        \
    ((bytes) == 0 ? 1 : ((bytes) + KERNEL_TILE_BYTES - 1) / KERNEL_TILE_BYTES)

#endif
