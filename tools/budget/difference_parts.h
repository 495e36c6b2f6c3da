/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of a difference: difference.c compares sites with the same name on both
 * sides, difference_match.c the others.
 *
 * Threading: as the difference.
 */
#ifndef TOOLS_BUDGET_DIFFERENCE_PARTS_H
#define TOOLS_BUDGET_DIFFERENCE_PARTS_H

#include "tools/budget/difference.h"

/** Whether a figure of bytes grew beyond the tolerance. */
bool difference_grew(const struct difference *difference, uint64_t before, uint64_t after);

/** Whether a site grew, by its own peak and its leaks. */
void difference_site_judge(const struct difference *difference, struct site_change *change);

/** Joins and judges the sites that only one side has. Errors: -ENOMEM. */
int difference_match(struct difference *difference);

#endif
