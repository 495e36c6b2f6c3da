/* SPDX-License-Identifier: MIT */
/*
 * When phases were open, in constant memory: episodes of one phase that follow each other closely
 * are joined when there are too many, the shortest gaps first by doubling what counts as close.
 *
 * Threading: none of its own.
 */
#ifndef TOOLS_EPISODES_H
#define TOOLS_EPISODES_H

#include <stddef.h>
#include <stdint.h>

#define EPISODES 512

struct episode {
    uint64_t begin_ns, end_ns;
    size_t phase;
};

struct episodes {
    struct episode row[EPISODES];
    size_t count;
    uint64_t close_ns; /* gaps up to this were closed */
};

/** Adds an episode that ends last. */
void episodes_add(struct episodes *episodes, size_t phase, uint64_t begin_ns, uint64_t end_ns);

#endif
