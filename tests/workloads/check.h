/* SPDX-License-Identifier: MIT */
/*
 * Shared by the workloads: checked runtime calls, and one seeded hash for everything random.
 *
 * A failed CUDA call is one line on stderr, naming the call, and exit status 1. The hash is
 * splitmix64's finaliser: the same on host and device, and short enough to be written again in the
 * Python reference. Stateless; any thread.
 */
#ifndef WORKLOADS_CHECK_H
#define WORKLOADS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __CUDACC__
#include <cuda_runtime_api.h>

#define CUDA_CHECK(call) cuda_check((call), #call, __FILE__, __LINE__)

static inline void cuda_check(cudaError_t error, const char *call, const char *file, int line)
{
    if (error == cudaSuccess)
        return;
    fprintf(stderr, "%s:%d: %s: %s (%s)\n", file, line, call, cudaGetErrorString(error),
            cudaGetErrorName(error));
    exit(1);
}
#define HASH_FUNCTION static __host__ __device__ inline
#else
#define HASH_FUNCTION static inline
#endif

/** Mixes 64 bits into 64 uniformly spread ones. */
HASH_FUNCTION uint64_t hash_mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

/** The value number `index` of the stream named by (seed, name). */
HASH_FUNCTION uint64_t hash_at(uint64_t seed, uint64_t name, uint64_t index)
{
    return hash_mix(hash_mix(hash_mix(seed) ^ name) ^ index);
}

/** Uniform in [0, 1), exact in a double. */
HASH_FUNCTION double hash_unit(uint64_t hash)
{
    return (double)(hash >> 11) * (1.0 / 9007199254740992.0);
}

#endif
