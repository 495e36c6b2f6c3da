/* SPDX-License-Identifier: MIT */
/*
 * Callers of a site: its call paths with their figures.
 *
 * Stacks are joined by the functions and lines behind the site; the wrappers before it do not
 * matter.
 *
 * Threading: single-threaded; immutable after creation.
 */
#ifndef TOOLS_REPORT_BASE_CALLERS_H
#define TOOLS_REPORT_BASE_CALLERS_H

#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/analysis.h"
#include "tools/symbols/frames.h"

#define CALLERS_DEPTH 6 /* frames of a path that are named */

/** A path: the key of `sum` is one of its stacks; own peaks are upper bounds. */
struct caller {
    uint64_t site, place; /* place: equal for equal paths */
    struct tally sum;
};

/** Sorts by site, then by memory: at the peak, leaked, in all. */
struct callers {
    const struct analysis *analysis;
    struct caller *row;
    size_t rows;
};

/** Errors: -ENOMEM. */
int callers_create(const struct analysis *analysis, struct callers *ret_callers);
void callers_done(struct callers *callers);

/** The paths of a site, most first; their number. */
size_t callers_of(const struct callers *callers, uint64_t site, const struct caller **ret_first);

/** "Engine::serve (engine.cc:41) < main (engine.cc:57)"; empty where nobody of the program calls.
 */
void caller_text(const struct callers *callers, const struct caller *caller, char *ret_text,
                 size_t text_bytes);

/** The wrappers between a site and CUDA, nearest first: "make_buffer, DeviceBuffer::DeviceBuffer".
 */
void caller_passed_text(const struct callers *callers, const struct caller *caller, char *ret_text,
                        size_t text_bytes);

#endif
