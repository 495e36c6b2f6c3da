/* SPDX-License-Identifier: MIT */
/*
 * Generators of random numbers for tests: the same numbers from a seed everywhere.
 *
 * Threading: plain data.
 */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

/** The next state of a linear congruential generator. Its upper bits are the better ones. */
static inline uint64_t random_lcg(uint64_t state)
{
    return state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

/** The next state of a xorshift generator; the seed is not 0. */
static inline uint64_t random_xorshift(uint64_t state)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^ state << 17;
}

#endif
