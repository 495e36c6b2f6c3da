/* SPDX-License-Identifier: MIT */
/*
 * Joins the stacks of one location (frames.h): the same function, file, line and column, or the
 * same code address where no line is known. Locations are looked up on first use.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_LOCATIONS_H
#define TOOLS_ANALYSIS_LOCATIONS_H

#include "cupti/read/trace_reader.h"
#include "tools/analysis/analysis.h"

struct locations;

/** Errors: -ENOMEM. */
int locations_create(const struct trace_reader *reader, struct locations **ret_locations);

/** NULL is accepted. */
void locations_destroy(struct locations *locations);

/** Returns the site under which all stacks of a site's location are counted. */
uint64_t locations_site(struct locations *locations, uint64_t site);

/** The lens that counts by location. */
struct analysis_lens locations_lens(struct locations *locations);

#endif
