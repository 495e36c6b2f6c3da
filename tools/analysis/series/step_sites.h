/* SPDX-License-Identifier: MIT */
/*
 * Sites that allocate in steps: for each site, the most allocations in one step, and the number of
 * steps with any.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_STEP_SITES_H
#define TOOLS_ANALYSIS_SERIES_STEP_SITES_H

#include <stddef.h>
#include <stdint.h>

/** A site; all 0: it allocates in no step. */
struct step_site {
    uint64_t serial, now; /* the step it allocated in last, and how often in it */
    uint64_t most, steps; /* of one step at most; steps in which it allocates */
    uint64_t sum;         /* of all steps */
};

/** Of all sites, as their rows are numbered. */
struct step_sites {
    struct step_site *row;
    size_t rows, room;
};

/** Adds an allocation of a site in a step of that number, from 1. Errors: -ENOMEM. */
int step_sites_add(struct step_sites *sites, size_t row, uint64_t serial);

void step_sites_done(struct step_sites *sites);

/** Returns the rows that allocate most in one step, and in several; their number. */
size_t step_sites_most(const struct step_sites *sites, size_t *ret_rows, size_t count);

#endif
