/* SPDX-License-Identifier: MIT */
/*
 * Buffers that grow by copying: a larger block is allocated, the contents move, the smaller one is
 * freed; in between, both exist.
 *
 * A free counts as part of a copy if the last block of its site is larger, was allocated while the
 * freed block was live, and is at most a few allocations old. Each larger block replaces one. Where
 * blocks are also exchanged for smaller ones, nothing grows; those are counted, too.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_COPIES_H
#define TOOLS_ANALYSIS_SERIES_COPIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct copies_site {
    uint64_t order, bytes; /* of the last block; order 0: it is gone, or replaced one already */
    uint64_t copies;       /* so far */
    uint64_t exchanges;    /* of an older block for one that is no larger, so far */
    uint64_t old_bytes;    /* of the largest that was replaced */
    uint64_t at_peak_bytes, at_peak_serial; /* old ones that the peak of this serial holds */
};

/** As the rows of sites are numbered. */
struct copies {
    struct copies_site *row;
    size_t rows;
};

/** Errors: -ENOMEM. */
int copies_allocate(struct copies *copies, size_t row, uint64_t order, uint64_t bytes);

/** `now`: allocations so far; `peak_order`, `peak_serial`: identify the peak so far. */
void copies_free(struct copies *copies, size_t row, uint64_t order, uint64_t bytes, uint64_t now,
                 uint64_t peak_order, uint64_t peak_serial);

void copies_done(struct copies *copies);

#endif
