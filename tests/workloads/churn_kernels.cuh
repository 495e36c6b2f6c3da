/* SPDX-License-Identifier: MIT */
/*
 * The device code of churn: fill a block with a pattern, verify it, and keep a stream busy.
 *
 * A pattern is a function of the block's identity and the word's index, so nobody needs to keep a
 * copy. Each thread of a verification adds to a tally of its own, and verifications that share
 * tallies share a stream: no atomics, and sums that do not depend on order. Also compiled as C++
 * for the simulated device, hence the plain loops.
 */
#ifndef WORKLOADS_CHURN_KERNELS_CUH
#define WORKLOADS_CHURN_KERNELS_CUH

#include "tests/simgpu/host_kernel.h"

#define CHURN_THREADS     128 /* of every block */
#define CHURN_MAX_THREADS 4096

/** What a block holds: word i is mixed from key and first + i, or always the key's low byte. */
struct churn_content {
    uint64_t key;
    uint32_t first;
    int uniform;
};

/** What one thread of all verifications of one stream has seen. */
struct churn_tally {
    uint64_t mismatches, sum;
};

/** Word `index` of the content. */
static __host__ __device__ inline uint32_t churn_word(struct churn_content content, uint32_t index)
{
    uint32_t key = (uint32_t)content.key;
    if (content.uniform)
        return (key & 0xff) * 0x01010101u;
    uint32_t word = key ^ (content.first + index) * 0x9e3779b9u;
    word = (word ^ (word >> 16)) * 0x85ebca6bu;
    word = (word ^ (word >> 13)) * 0xc2b2ae35u;
    return word ^ (word >> 16) ^ (uint32_t)(content.key >> 32);
}

static __device__ inline uint32_t churn_thread()
{
    return blockIdx.x * blockDim.x + threadIdx.x;
}

__global__ void churn_fill(unsigned char *block, size_t bytes, struct churn_content content)
{
    uint32_t *words = (uint32_t *)block;
    uint32_t count = (uint32_t)(bytes / 4), stride = gridDim.x * blockDim.x;
    uint32_t self = churn_thread();
    for (uint32_t i = self; i < count; i += stride)
        words[i] = churn_word(content, i);
    uint32_t last = churn_word(content, count);
    if (self < bytes % 4)
        block[(size_t)count * 4 + self] = (unsigned char)(last >> (8 * self));
}

/** Compares the block with its content; counts what differs and sums up what is there. */
__global__ void churn_verify(const unsigned char *block, size_t bytes, struct churn_content content,
                             struct churn_tally *tallies)
{
    const uint32_t *words = (const uint32_t *)block;
    uint32_t count = (uint32_t)(bytes / 4), stride = gridDim.x * blockDim.x;
    uint32_t self = churn_thread();
    uint64_t mismatches = 0, sum = 0;
    for (uint32_t i = self; i < count; i += stride) {
        mismatches += words[i] != churn_word(content, i);
        sum += (words[i] ^ content.key) * (2ull * i + 1);
    }
    uint32_t last = churn_word(content, count);
    if (self < bytes % 4) {
        unsigned char byte = block[(size_t)count * 4 + self];
        mismatches += byte != (unsigned char)(last >> (8 * self));
        sum += (byte ^ content.key) * (2ull * bytes + self);
    }
    tallies[self].mismatches += mismatches;
    tallies[self].sum += sum;
}

/** Keeps the stream busy for a while: a chain of dependent steps in one thread. */
__global__ void churn_spin(uint32_t *sink, uint32_t steps)
{
    uint32_t value = steps;
    for (uint32_t i = 0; i < steps; i++)
        value = value * 1664525u + 1013904223u;
    *sink = value;
}

HOST_TWIN(churn_fill);
HOST_TWIN(churn_verify);
HOST_TWIN(churn_spin);

#endif
