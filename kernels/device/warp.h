/* SPDX-License-Identifier: MIT */
/*
 * Cooperating warps, in the single-source form of grid.h.
 *
 * Such a kernel is a function of a warp, in phases. WARP_LANES(lane) holds the work of each lane:
 * on the device a lane runs it once, on the host a loop runs it for all lanes. Values of a lane
 * that outlive a phase are declared by WARP_EACH and accessed by WARP_OWN. Lanes exchange data only
 * in the functions below, called between phases by the whole warp, and through memory after
 * warp_sync(). A condition around a phase must be the same for the whole warp.
 *
 * A team is a power of two of adjacent lanes.
 *
 * From name_warp(), KERNEL_WARP_DEFINE(name, type, scratch) makes the kernel for the device, or
 * name_host(), which runs every warp of a grid. Each warp has its own scratch memory with undefined
 * content.
 */
#ifndef KERNELS_DEVICE_WARP_H
#define KERNELS_DEVICE_WARP_H

#include "kernels/device/grid.h"

#ifdef __CUDACC__

#define WARP_LANES(lane)                                                                           \
    for (uint32_t lane = threadIdx.x % KERNEL_WARP, once_##lane = 1; once_##lane; once_##lane = 0)
#define WARP_EACH(type, name) type name[1]
#define WARP_OWN(name, lane)  name[0 * (lane)]
#define WARP_ALL              0xffffffffu
#define KERNEL_UNROLL         _Pragma("unroll")
/* Least blocks on a multiprocessor: 64 registers for a thread. */
#define KERNEL_BLOCKS 8

KERNEL_INLINE void warp_sync(void)
{
    __syncwarp();
}

/** Each lane gets the largest of its team. */
KERNEL_INLINE void warp_maximum(int32_t *each, uint32_t team)
{
    for (uint32_t step = team / 2; step > 0; step /= 2) {
        int32_t other = __shfl_xor_sync(WARP_ALL, each[0], (int)step);

        each[0] = other > each[0] ? other : each[0];
    }
}

/** The sum, in the order ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)) for a team of eight. */
KERNEL_INLINE void warp_sum(float *each, uint32_t team)
{
    for (uint32_t step = team / 2; step > 0; step /= 2)
        each[0] += __shfl_xor_sync(WARP_ALL, each[0], (int)step);
}

KERNEL_INLINE void warp_count(uint32_t *each, uint32_t team)
{
    for (uint32_t step = team / 2; step > 0; step /= 2)
        each[0] += __shfl_xor_sync(WARP_ALL, each[0], (int)step);
}

/** A bit for each lane that has a number other than 0. */
KERNEL_INLINE uint32_t warp_ballot(const uint32_t *each)
{
    return __ballot_sync(WARP_ALL, each[0] != 0);
}

KERNEL_INLINE uint32_t kernel_popcount(uint32_t bits)
{
    return (uint32_t)__popc(bits);
}

/** Adds atomically to a number shared by this process or device. */
KERNEL_INLINE void kernel_add(uint64_t *at, uint64_t value)
{
    atomicAdd((unsigned long long *)at, (unsigned long long)value);
}

KERNEL_INLINE void kernel_add_32(uint32_t *at, uint32_t value)
{
    atomicAdd(at, value);
}

#define KERNEL_WARP_DEFINE(name, type, scratch_type)                                               \
    extern "C" __global__ void __launch_bounds__(KERNEL_THREADS, KERNEL_BLOCKS)                    \
        name(const __grid_constant__ type arguments)                                               \
    {                                                                                              \
        __shared__ scratch_type scratch[KERNEL_THREADS / KERNEL_WARP];                             \
        const uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x;                             \
        const struct kernel_place place = {thread / KERNEL_WARP,                                   \
                                           gridDim.x * (blockDim.x / KERNEL_WARP),                 \
                                           threadIdx.x % KERNEL_WARP};                             \
        name##_warp(place, &arguments, &scratch[threadIdx.x / KERNEL_WARP]);                       \
    }

#else

#define WARP_LANES(lane)      for (uint32_t lane = 0; lane < KERNEL_WARP; lane++)
#define WARP_EACH(type, name) type name[KERNEL_WARP]
#define WARP_OWN(name, lane)  name[lane]
#define KERNEL_UNROLL

KERNEL_INLINE void warp_sync(void)
{
}

#define WARP_REDUCE(name, type, join)                                                              \
    KERNEL_INLINE void name(type *each, uint32_t team)                                             \
    {                                                                                              \
        for (uint32_t step = team / 2; step > 0; step /= 2) {                                      \
            type before[KERNEL_WARP];                                                              \
            for (uint32_t lane = 0; lane < KERNEL_WARP; lane++)                                    \
                before[lane] = each[lane];                                                         \
            for (uint32_t lane = 0; lane < KERNEL_WARP; lane++) {                                  \
                type own = before[lane], other = before[lane ^ step];                              \
                each[lane] = join;                                                                 \
            }                                                                                      \
        }                                                                                          \
    }
WARP_REDUCE(warp_maximum, int32_t, other > own ? other : own)
WARP_REDUCE(warp_sum, float, own + other)
WARP_REDUCE(warp_count, uint32_t, own + other)
#undef WARP_REDUCE

KERNEL_INLINE uint32_t warp_ballot(const uint32_t *each)
{
    uint32_t ballot = 0;

    for (uint32_t lane = 0; lane < KERNEL_WARP; lane++)
        ballot |= (uint32_t)(each[lane] != 0) << lane;
    return ballot;
}

KERNEL_INLINE uint32_t kernel_popcount(uint32_t bits)
{
    return (uint32_t)__builtin_popcount(bits);
}

KERNEL_INLINE void kernel_add(uint64_t *at, uint64_t value)
{
    *at += value;
}

KERNEL_INLINE void kernel_add_32(uint32_t *at, uint32_t value)
{
    *at += value;
}

#define KERNEL_WARP_DEFINE(name, type, scratch_type)                                               \
    void name##_host(const type *arguments, uint32_t warps);                                       \
    void name##_host(const type *arguments, uint32_t warps)                                        \
    {                                                                                              \
        scratch_type scratch;                                                                      \
        for (uint32_t warp = 0; warp < warps; warp++)                                              \
            name##_warp((struct kernel_place){warp, warps, 0}, arguments, &scratch);               \
    }

#endif

/** Lanes below one in a ballot. */
KERNEL_INLINE uint32_t warp_before(uint32_t ballot, uint32_t lane)
{
    return kernel_popcount(ballot & ((1u << lane) - 1));
}

#endif
