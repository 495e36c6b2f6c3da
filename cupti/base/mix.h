/* SPDX-License-Identifier: MIT */
/*
 * A hash of 128 bits in two independent lanes, mixed differently so that neither waits for the
 * other.
 *
 * Threading: plain data.
 */
#ifndef CUPTI_BASE_MIX_H
#define CUPTI_BASE_MIX_H

#include <stdint.h>

struct mix {
    uint64_t a, b;
};

/** A word for each lane. */
static inline void mix_add_both(struct mix *mix, uint64_t a, uint64_t b)
{
    mix->a = (mix->a ^ a) * UINT64_C(0x9e3779b97f4a7c15);
    mix->a ^= mix->a >> 32;
    mix->b = (mix->b + b) * UINT64_C(0xd6e8feb86659fd93);
    mix->b ^= mix->b >> 29;
}

static inline void mix_add(struct mix *mix, uint64_t value)
{
    mix_add_both(mix, value, value);
}

#endif
