/* SPDX-License-Identifier: MIT */
/*
 * Sets of stacks whose memory is followed together, many in one reading of a trace. An allocation
 * costs as much as the number of sets that its stack is in: on average this may be SITE_SETS_EACH,
 * beside SITE_SETS_FIRST in all.
 *
 * Threading: as the analysis.
 */
#ifndef TOOLS_ANALYSIS_SITE_SETS_H
#define TOOLS_ANALYSIS_SITE_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SITE_SETS_EACH  64
#define SITE_SETS_FIRST (UINT64_C(1) << 22)

struct analysis;
struct tally;

/** Requested device memory of a set, as an analysis of its stacks alone would have it. */
struct site_set {
    uint64_t current_bytes, peak_bytes, leaked_bytes;
    uint64_t peak_bound; /* of a trace of limited size, what the peak is at most; 0: it is exact */
    uint64_t carried;    /* stacks that its beginning is about */
    uint64_t openings;   /* of the window, that the peak accounts for */
};

/** That a stack is in a set; `next` as row + 1. */
struct site_sets_member {
    uint32_t set, next;
};

struct site_sets {
    uint32_t *first; /* of a stack's members, as row + 1; 0: in none. Stack 0: unknown */
    size_t stacks;   /* numbers from 0; higher ones are unknown, too */
    struct site_sets_member *member;
    size_t members, members_room;
    struct site_set *set;
    size_t sets;
    uint64_t visits, visits_most; /* of sets by changes so far */
    bool spent;                   /* they were too many: the figures are not valid */
    uint64_t before_bytes;        /* of the stack that is about to change */
};

/** Starts from what a trace of limited size carries. */
void site_sets_carry(struct site_sets *sets, const struct analysis *analysis);

/** The live memory of a stack is about to change, or has changed. */
void site_sets_change(struct site_sets *sets, const struct analysis *analysis,
                      const struct tally *stack, bool done);

/** The trace was read, and leaks were counted. */
void site_sets_finish(struct site_sets *sets, const struct analysis *analysis);

#endif
