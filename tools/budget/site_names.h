/* SPDX-License-Identifier: MIT */
/*
 * Code addresses of a trace under names that outlive a rebuild.
 *
 * The name of a site is its module's file name and its function, without the offset in it, the
 * build-id, the address or the compiler's suffixes: these change with every build, or every run.
 * Sites of one function are one site here. Without a name of the function its place is the offset
 * in the module's file, which holds until the module is rebuilt. The function is that of the
 * location (frames.h), behind wrappers, also where the compiler inlined it; of Python the module is
 * the source's file name. Lines change with every edit above them, so they are shown but are no
 * part of the name.
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

struct site_name {
    const char *module; /* file name, or "unknown" */
    const char *function;
};

/** A line of source; `file` is NULL where it is not known. */
struct site_line {
    const char *file; /* valid until symbols_done */
    uint64_t line;
};

struct site_names;

/**
 * `ignored` are globs of sites to leave out. A glob is held against the location, as its name and
 * as reports print it, and against the caller of the allocation, which may be a library that a
 * location never is.
 * Errors: -ENOMEM.
 */
int site_names_create(const struct trace_reader *reader, const char *const *ignored,
                      size_t ignored_count, struct site_names **ret_names);

/** NULL is accepted. */
void site_names_destroy(struct site_names *names);

/** The name of any site; of an unknown one too. */
struct site_name site_names_get(const struct site_names *names, uint64_t site);

/** Position of the site in its function. */
struct site_line site_names_line(const struct site_names *names, uint64_t site);

/** The site all sites of its name are counted under; 0 for an unknown one. */
uint64_t site_names_first(const struct site_names *names, uint64_t site);

/** A choice of sites: of all that are not ignored, those that fit a glob. */
struct site_choice {
    const struct site_names *names;
    const char *glob; /* NULL: all */
    bool fitted;      /* out: there was a site that fits */
};

/** The lens that joins the sites of a function and leaves out all but the chosen. */
struct analysis_lens site_choice_lens(struct site_choice *choice);

/** Length of a function's name without its parameters. */
size_t site_function_length(const char *function);

/** Whether a glob fits the module, the function, or the function without its parameters. */
bool site_name_fits(const struct site_name *name, const char *glob);

#endif
