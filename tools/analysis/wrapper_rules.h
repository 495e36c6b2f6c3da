/* SPDX-License-Identifier: MIT */
/*
 * Finds the wrappers of a program (wrappers.h) by their allocations. A function that
 * allocates is one when
 *
 *   - its name says so (an allocator, a constructor, operator new, make, create_tensor) and it has
 *     several call sites, or one that is in another function than main; or
 *   - only an allocator calls it, so it is part of that; or
 *   - its call paths differ in the fate of their blocks: some keep them, others do not;
 *   - several functions call it, and some free at once, others later; or its name says that it
 * makes something, and either holds.
 *
 * Names of libraries are not part of this: they are skipped in any case (frames.h). Skipping a
 * wrapper uncovers callers that may be wrappers themselves, so the rules are applied until nothing
 * changes.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_WRAPPER_RULES_H
#define TOOLS_ANALYSIS_WRAPPER_RULES_H

#include <stddef.h>

#include "cupti/read/trace_reader.h"

/**
 * Reads all events of a trace, if its stacks offer a choice of locations, and adds the wrappers it
 * shows. Afterwards this reader has no noted locations (frames_forget); call that for earlier
 * readers, too. Errors: as analysis_create(), with one line in ret_why.
 */
int wrapper_rules_learn(struct trace_reader *reader, char *ret_why, size_t why_bytes);

#endif
