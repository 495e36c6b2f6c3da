/* SPDX-License-Identifier: MIT */
/*
 * Stacks of the report as lists of texts, and the same in the page for the script, which makes
 * icicles of a range, from the other end and by thread from them.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_HTML_HTML_PATHS_H
#define TOOLS_REPORT_HTML_HTML_PATHS_H

#include "tools/analysis/flame.h"
#include "tools/report/html/html_article.h"

#define HTML_FRAME_BYTES 256

/** Frames of a stack, the outermost first. */
struct html_path {
    char text[FLAME_DEPTH][HTML_FRAME_BYTES];
    const char *frame[FLAME_DEPTH];
    bool is_module[FLAME_DEPTH]; /* and no frame */
    size_t depth;
};

/** The stacks of an analysis: by thread where it is detailed. */
const struct tallies *html_paths_of(const struct analysis *analysis);

/** The stack of a row of these. */
uint64_t html_path_stack(const struct analysis *analysis, uint64_t key);

/**
 * The frames of a stack, with the name of a module once before its functions, and without what the
 * C runtime calls before the program's first function.
 */
void html_path_find(const struct analysis *analysis, uint64_t stack, struct frames_budget *budget,
                    struct html_path *ret_path);

/** A stack's bytes. */
uint64_t html_path_bytes(const struct tally *row, enum flame_measure measure);

/** The stacks with most, for the script; all others in one. Errors: -ENOMEM. */
int html_paths_data_print(const struct html_article *article);

#endif
