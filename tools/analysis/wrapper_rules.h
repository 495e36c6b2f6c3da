/* SPDX-License-Identifier: MIT */
/*
 * Finds the wrappers of a program (wrappers.h) by what its allocations show. A function that
 * allocates is one when
 *
 *   - its name says so (an allocator, a constructor, operator new, make, create_tensor) and it has
 *     several call sites, or one that is in another function than main; or
 *   - it is called by an allocator alone, whose part it is; or
 *   - its call paths are told apart by what becomes of their blocks: some keep them, others do not;
 *   - several functions call it, and some free at once, others later; or its name says that it
 * makes something, and either holds.
 *
 * Names of libraries are none of this: they are passed in any case (frames.h). What was passed
 * uncovers callers that may be wrappers themselves, so the rules are applied until nothing changes.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_WRAPPER_RULES_H
#define TOOLS_ANALYSIS_WRAPPER_RULES_H

#include <stddef.h>

#include "cupti/read/trace_reader.h"

/**
 * Reads all events of a trace, where its stacks have a choice of locations, and adds the wrappers
 * that it shows. Ends with nothing noted of locations in this reader (frames_forget); readers that
 * were learnt from before need that too. Errors: as analysis_create, with one line in ret_why.
 */
int wrapper_rules_learn(struct trace_reader *reader, char *ret_why, size_t why_bytes);

#endif
