/* SPDX-License-Identifier: MIT */
/*
 * Lifetimes of device memory blocks. Blocks are temporary if they are freed so soon that the
 * program could have kept one buffer instead.
 *
 * "Soon" is counted in allocations, not in time, so it is the same in every run of a program.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_REPLAY_LIFETIMES_H
#define CUPTI_REPLAY_LIFETIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A block is temporary when fewer allocations than this happened during its life. */
#define LIFETIME_TEMPORARY 4

#define LIFETIME_CLASSES 19

struct lifetime_class {
    uint64_t blocks, bytes;
};

/** Freed blocks by lifetime; the last class is unbounded. */
struct lifetimes {
    struct lifetime_class row[LIFETIME_CLASSES];
    uint64_t blocks, bytes;
};

void lifetimes_add(struct lifetimes *lifetimes, uint64_t lived_ns, uint64_t bytes);

/** Upper bound of a class; UINT64_MAX for the last. */
uint64_t lifetime_class_ns(size_t row);

/** Returns the class in which half of all blocks have ended; 0 where there are none. */
size_t lifetimes_median(const struct lifetimes *lifetimes);

#endif
