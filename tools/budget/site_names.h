/* SPDX-License-Identifier: MIT */
/*
 * Names for a trace's code addresses that outlive a rebuild.
 *
 * A site's name is its module's file name and its function, without the offset, the build-id, the
 * address or the compiler's suffixes, which change with every build or run. Sites in one function
 * are one site here. If the function has no name, its place is the offset in the module's file,
 * which is valid until the module is rebuilt. The function is the one of the location (frames.h),
 * past wrappers, even where the compiler inlined it; for Python the module is the source's file
 * name. Lines change with every edit above them, so they are shown but are not part of the name.
 *
 * Threading: immutable after creation.
 */
#ifndef TOOLS_BUDGET_SITE_NAMES_H
#define TOOLS_BUDGET_SITE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/read/trace_reader.h"
#include "tools/analysis/analysis.h"
#include "tools/base/glob.h"
#include "tools/base/texts.h"

struct site_name {
    const char *module; /* file name, or "unknown" */
    const char *function;
};

/** A line of source; `file` is NULL where it is not known. */
struct site_line {
    const char *file;   /* valid until symbols_done */
    const char *folder; /* where a relative name begins; NULL: not known. The same */
    uint64_t line;
};

struct site_names;

/**
 * `ignored` are globs of sites to leave out. A glob is matched against the location, both as its
 * name and as reports print it, and against the direct caller of the allocation, which may be a
 * library that a location never is. Each is compared with each distinct text once. Errors: -ENOMEM.
 */
int site_names_create(const struct trace_reader *reader, const char *const *ignored,
                      size_t ignored_count, struct glob_work *work, struct site_names **ret_names);

/**
 * Makes a set of the sites that match each glob and are not ignored. Errors: -ENOMEM; -E2BIG: sites
 * are in too many (site_sets.h).
 */
int site_names_sets(const struct site_names *names, const struct texts *globs,
                    struct glob_work *work, struct site_sets *ret_sets);
void site_names_sets_done(struct site_sets *sets);

/** NULL is accepted. */
void site_names_destroy(struct site_names *names);

/** The name of any site; of an unknown one too. */
struct site_name site_names_get(const struct site_names *names, uint64_t site);

/** Position of the site in its function. */
struct site_line site_names_line(const struct site_names *names, uint64_t site);

/** Returns the site under which all sites of its name are counted; 0 for an unknown one. */
uint64_t site_names_first(const struct site_names *names, uint64_t site);

/** Selects the sites that are not ignored. */
struct site_choice {
    const struct site_names *names;
    bool *seen; /* out, by site, 0 for the unknown one: there was such a site; NULL: not asked */
};

/** Makes the lens that joins the sites of a function and leaves out all but the selected. */
struct analysis_lens site_choice_lens(struct site_choice *choice);

/** Length of a function's name without its parameters. */
size_t site_function_length(const char *function);

/** Whether a glob matches the module, the function, or the function without its parameters. */
bool site_name_fits(const struct site_name *name, const char *glob, struct glob_work *work);

#endif
